// Long texts: where they are cut, that a chunk is read as a text of its own, and how chunks become one answer.
#include "engine/runtime/chunk.h"

#include <cmath>
#include <ctime>

#include "tests/runtime/models.h"

namespace onepass::test {
namespace {

// "|" marks a place in a text.
struct Marked {
  std::string text;
  std::vector<size_t> at;
  explicit Marked(std::string_view marked) {
    for (const char c : marked) {
      if (c == '|') {
        at.push_back(text.size());
      } else {
        text += c;
      }
    }
  }
};

TEST(ChunkEnd, AfterTheLastSentenceOfTheSecondHalf) {
  for (const char* marked : {
           "Nothing here is long. It is short.| And now it go|es on",
           "Nothing here is long enough, is it?| And now it go|es on",
           "Nothing here is long enough (at all!)| And now it go|es on",
           "Nothing here is long enough, she said: \xE2\x80\x9Cno.\xE2\x80\x9D| And now it go|es on",
           "Nothing here is long enough\xE2\x80\xA6| And now it go|es on",
           "Nothing here is long enough\xE3\x80\x82|And now it go|es on",
           "Nothing here is long enough|\n\nAnd now it go|es on",
           "Nothing here is long, now it goes on.| |so",
           "Nothing here is long, now it goes on.||",
       }) {
    const Marked m(marked);
    EXPECT_EQ(chunk_end(m.text, 0, m.at[1]), m.at[0]) << marked;
  }
}

TEST(ChunkEnd, ElseAfterTheLastWord) {
  for (const char* marked : {
           "Too early. But then it goes on and on| un|til the end",
           "It has 3.5 of them and they are a.b.c and so| o|n",
           "Nothing here\xE3\x80\x80is| lon|g enough",
           "one\ntwo three|\nfo|ur",
       }) {
    const Marked m(marked);
    EXPECT_EQ(chunk_end(m.text, 0, m.at[1]), m.at[0]) << marked;
  }
}

TEST(ChunkEnd, ElseBeforeTheCharacterThatWouldBeCut) {
  EXPECT_EQ(chunk_end("abcdefgh", 2, 6), 6u);
  const std::string wide = "\xE4\xB8\xAD\xE4\xB8\xAD\xE4\xB8\xAD";
  EXPECT_EQ(chunk_end(wide, 0, 4), 3u);
  EXPECT_EQ(chunk_end(wide, 0, 5), 3u);
  EXPECT_EQ(chunk_end(wide, 0, 6), 6u);
  EXPECT_EQ(chunk_end(wide, 0, 2), 3u) << "a chunk has a character at least";
  EXPECT_EQ(chunk_end("\x80\x80\x80\x80\x80\x80\x80\x80", 0, 3), 3u) << "no UTF-8";
}

TEST(ChunkBegin, WithASentenceElseAWord) {
  // Where it may begin, where it does, and the end.
  for (const char* marked : {
           "It ends |here. |And then it goes on for a while| more",
           "It ends he|re. |And then it goes on for a while| more",
           "It ends here, and it g|oes |on. And| more",
           "on and o|n |on| more",
       }) {
    const Marked m(marked);
    EXPECT_EQ(chunk_begin(m.text, m.at[0], m.at[2]), m.at[1]) << marked;
  }
  EXPECT_EQ(chunk_begin("word  next", 4, 4), 6u) << "no overlap: behind the spaces";
  EXPECT_EQ(chunk_begin("wordnext", 4, 4), 4u);
  EXPECT_EQ(chunk_begin("abcdefgh", 2, 6), 6u) << "no word begins: no overlap";
}

// ---- Sessions ----

struct Seen {
  std::vector<size_t> texts;
  std::vector<Chunk> chunks;
  std::vector<std::vector<float>> logits;
  static void call(void* context, size_t text, const Chunk& chunk, std::span<const float> logits) {
    auto& seen = *static_cast<Seen*>(context);
    seen.texts.push_back(text);
    seen.chunks.push_back(chunk);
    seen.logits.emplace_back(logits.begin(), logits.end());
  }
};

struct ChunkedOutcome {
  Status status;
  std::vector<TextResult> results;
  std::vector<float> logits, scores;
  Seen seen;
};

ChunkedOutcome classify_in_chunks(Session& session, const std::vector<std::string>& texts, ClassifyOptions options) {
  options.on_long = OnLong::chunk;
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const size_t floats = texts.size() * session.model().total_classes();
  ChunkedOutcome o{
      {}, std::vector<TextResult>(texts.size()), std::vector<float>(floats), std::vector<float>(floats), {}};
  o.status = session.classify(views, options, o.results, o.logits, o.scores, {Seen::call, &o.seen});
  return o;
}

std::string prose(size_t words, uint32_t seed) {
  static const char* kWords[] = {"good", "bad",  "sad", "happy", "dog", "cat",
                                 "love", "very", "not", "what",  "was", "it"};
  std::string text;
  for (size_t i = 0; i < words; ++i) {
    seed = seed * 1664525u + 1013904223u;
    if (i != 0) text += (seed >> 28) == 0 ? "  " : " ";
    text += kWords[(seed >> 16) % std::size(kWords)];
    if ((seed >> 8) % 9 == 0) text += (seed >> 12) % 2 == 0 ? "." : "! ";
  }
  return text;
}

std::vector<std::string> long_texts() {
  std::vector<std::string> texts = sample_texts();
  for (const size_t words : {60u, 61u, 200u, 700u}) texts.push_back(prose(words, static_cast<uint32_t>(words)));
  texts.push_back("   " + prose(100, 9) + "   \n ");
  std::string cjk, spaces(3000, ' '), joined(4000, 'x');
  for (int i = 0; i < 400; ++i) cjk += "\xE4\xB8\xAD";
  texts.insert(texts.end(),
               {cjk, spaces, joined, spaces + "good" + spaces + "dog" + spaces, "\xFF\xFE" + prose(80, 3)});
  return texts;
}

TEST(Chunks, EachIsATextOfItsOwn) {
  const Model model = open_bytes(bytes_of("own_heads"));
  const size_t classes = model.total_classes();
  const auto texts = long_texts();
  for (const size_t tokens_per_pass : {1u, 100u, 1024u}) {
    Session session = open_session(model, {.executor = {}, .tokens_per_pass = tokens_per_pass});
    Session alone = open_session(model);
    for (const size_t max_tokens : {0u, 4u, 17u}) {
      for (const size_t overlap : {size_t{0}, ClassifyOptions::default_overlap}) {
        const auto o = classify_in_chunks(session, texts, {.max_tokens = max_tokens, .overlap = overlap});
        ASSERT_TRUE(o.status.ok()) << o.status.error().message;
        const size_t limit = max_tokens == 0 ? 48 : max_tokens;
        size_t i = 0;
        for (size_t b = 0; b < texts.size(); ++b) {
          size_t read = 0, tokens = 0;
          const size_t first = i;
          for (; i < o.seen.chunks.size() && o.seen.texts[i] == b; ++i) {
            const Chunk& chunk = o.seen.chunks[i];
            ASSERT_LT(chunk.begin, texts[b].size() + 1);
            ASSERT_LE(chunk.end, texts[b].size());
            EXPECT_LE(chunk.tokens, limit);
            tokens += chunk.tokens;
            // Nothing but spaces lies between two chunks, and each goes further than the one before.
            for (size_t at = read; at < chunk.begin; ++at)
              EXPECT_NE(std::string(" \n").find(texts[b][at]), std::string::npos);
            if (i != first) {
              EXPECT_GT(chunk.begin, o.seen.chunks[i - 1].begin);
              EXPECT_GT(chunk.end, o.seen.chunks[i - 1].end);
              EXPECT_TRUE(overlap != 0 || chunk.begin >= o.seen.chunks[i - 1].end);
            }
            read = chunk.end;
            const std::string part = texts[b].substr(chunk.begin, chunk.end - chunk.begin);
            const auto one = classify(alone, {{part}}, {.max_tokens = max_tokens});
            ASSERT_TRUE(one.status.ok());
            EXPECT_FALSE(one.results[0].truncated) << part;
            EXPECT_EQ(one.results[0].tokens, chunk.tokens);
            EXPECT_TRUE(same_bits(one.logits, o.seen.logits[i])) << part;
          }
          EXPECT_EQ(o.results[b].chunks, i - first);
          EXPECT_EQ(o.results[b].tokens, tokens);
          EXPECT_EQ(o.results[b].bytes_read, texts[b].size());
          EXPECT_FALSE(o.results[b].truncated);
          for (size_t at = read; at < texts[b].size(); ++at)
            EXPECT_NE(std::string(" \n").find(texts[b][at]), std::string::npos);
          if (i - first == 1) {
            EXPECT_TRUE(same_bits(std::vector<float>(o.logits.begin() + std::ptrdiff_t(b * classes),
                                                     o.logits.begin() + std::ptrdiff_t((b + 1) * classes)),
                                  o.seen.logits[first]));
          }
        }
        EXPECT_EQ(i, o.seen.chunks.size());
      }
    }
  }
}

TEST(Chunks, CountTheTextsTokens) {
  const Model model = open_bytes(bytes_of("own_heads"));
  Session session = open_session(model);
  for (const std::string& text : {prose(300, 4), prose(61, 61), std::string("good")}) {
    const auto whole = classify(session, {{text}});
    const auto chunked = classify_in_chunks(session, {text}, {});
    EXPECT_EQ(chunked.results[0].text_tokens, whole.results[0].text_tokens);
  }
}

TEST(Chunks, Aggregates) {
  const Model model = open_bytes(bytes_of("own_heads"));
  Session session = open_session(model);
  const auto texts = long_texts();
  for (const Aggregate aggregate : {Aggregate::mean, Aggregate::max}) {
    const auto o = classify_in_chunks(session, texts, {.aggregate = aggregate});
    ASSERT_TRUE(o.status.ok());
    size_t many = 0;
    for (size_t b = 0; b < texts.size(); ++b) {
      std::vector<double> mean(12, 0), most(12, -INFINITY);
      double weight = 0;
      for (size_t i = 0; i < o.seen.chunks.size(); ++i) {
        if (o.seen.texts[i] != b) continue;
        const double w = o.seen.chunks[i].tokens - 2;
        weight += w;
        for (size_t c = 0; c < 12; ++c) {
          mean[c] += w * static_cast<double>(o.seen.logits[i][c]);
          most[c] = std::max(most[c], static_cast<double>(o.seen.logits[i][c]));
        }
      }
      if (o.results[b].chunks == 1) continue;
      ++many;
      for (size_t c = 0; c < 12; ++c) {
        // The first 9 are labels, the others a regression.
        const double gold = aggregate == Aggregate::max && c < 9 ? most[c] : mean[c] / weight;
        EXPECT_NEAR(static_cast<double>(o.logits[b * 12 + c]), gold, 1e-6 * (1 + std::fabs(gold))) << b << " " << c;
      }
    }
    EXPECT_GE(many, 6u);
  }
}

TEST(Chunks, PassesAndNeighboursChangeNoBit) {
  const Model model = open_bytes(bytes_of("own_heads"));
  const auto texts = long_texts();
  Session session = open_session(model);
  const auto gold = classify_in_chunks(session, texts, {});
  for (const size_t tokens_per_pass : {1u, 50u, 333u, 100000u}) {
    Session other = open_session(model, {.executor = {run_on_threads, nullptr, 3}, .tokens_per_pass = tokens_per_pass});
    const auto o = classify_in_chunks(other, texts, {});
    EXPECT_TRUE(same_bits(o.logits, gold.logits)) << tokens_per_pass;
    EXPECT_TRUE(same_bits(o.scores, gold.scores)) << tokens_per_pass;
  }
  for (size_t b = 0; b < texts.size(); ++b) {
    const auto alone = classify_in_chunks(session, {texts[b]}, {});
    EXPECT_TRUE(same_bits(alone.logits, std::vector<float>(gold.logits.begin() + std::ptrdiff_t(b * 12),
                                                           gold.logits.begin() + std::ptrdiff_t(b * 12 + 12))));
  }
}

TEST(Chunks, WrongOptions) {
  const Model model = open_bytes(bytes_of("own_heads"));
  Session session = open_session(model);
  const auto o = classify_in_chunks(session, {"good", "bad"}, {.max_tokens = 16, .overlap = 5});
  EXPECT_EQ(o.status.code(), Code::invalid_argument);
  EXPECT_STREQ(o.status.error().where, "overlap");
  EXPECT_TRUE(classify_in_chunks(session, {"good"}, {.max_tokens = 16, .overlap = 4}).status.ok());
  const auto small = classify_in_chunks(session, {"good"}, {.max_tokens = 2});
  EXPECT_EQ(small.status.code(), Code::invalid_argument);
  EXPECT_STREQ(small.status.error().where, "max_tokens");
}

// Eight times the text takes about eight times the time: a scan to the end for every chunk would take 64 times.
TEST(Chunks, TimeIsLinear) {
  const Model model = open_bytes(bytes_of("own_heads"));
  EncodeScratch scratch;
  Array<TokenSpan> spans;
  Array<uint32_t> ids;
  const auto seconds = [&](const std::string& text) {
    const std::clock_t start = std::clock();
    Chunker chunker(model.tokenizer(), text, {.max_tokens = 48, .overlap = 6});
    while (!chunker.done()) {
      Chunk chunk;
      ids.clear();
      EXPECT_TRUE(chunker.next(scratch, spans, ids, chunk).ok());
    }
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  std::string hostile;
  for (int i = 0; i < 8; ++i) hostile += std::string(10000, 'x') + ". " + prose(50, 1);
  for (const std::string& text : {prose(10000, 1), std::string(100000, 'x'), std::string(50000, '.'), hostile}) {
    std::string eight;
    for (int i = 0; i < 8; ++i) eight += text;
    EXPECT_LT(seconds(eight), 24 * seconds(text) + 0.01) << text.substr(0, 20);
  }
}

}  // namespace
}  // namespace onepass::test
