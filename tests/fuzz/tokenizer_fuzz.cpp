// Tokenizer: no section and no text crashes; what is accepted tokenises every text to ids of the vocabulary, with spans
// inside the text in order, and truncation gives a prefix.
//
// The first byte chooses: 0 mod 4 the rest is a section; 1 mod 4 it is edits of a good section; else it is a text for
// one of 64 good tokenizers, chosen by the next byte: 16 of each of WordPiece, BPE of bytes and of characters, unigram.
#include <cstdlib>
#include <memory>

#include "tests/support/edits.h"
#include "tests/text/bpe_sections.h"
#include "tests/text/charsmap_blob.h"

namespace {

using namespace onepass;

constexpr std::string_view kText =
    "un[MASK]affable HELLO w\xC3\xB6rld! \xE4\xB8\xAD # \xFF tok TOK\tx\xCC\x81\xCC\x96 \xEA\xB0\x81 \xC4\xB0[SEP]aaab";

TokenizerSpec wordpiece_spec(unsigned flags) {
  TokenizerSpec spec = test::small_spec();
  spec.normalizer[0].flags = ~flags & 15;
  spec.max_input_chars_per_word = 20;
  const char* contents[] = {"tok", " x", "ab", "[x]", "\xC3\xA9", "b "};
  for (uint32_t i = 0; i < 6; ++i) {
    const bool lstrip = ((i ^ flags) & 1) != 0;
    const bool rstrip = ((i ^ flags) & 2) != 0;
    spec.added_tokens.push_back({21 + i, contents[i], i == 0, lstrip, rstrip, i % 2 == 0, i > 3});
  }
  return spec;
}

const std::vector<std::pair<std::string, std::string>> kMerges = {
    {"a", "a"}, {"aa", "a"}, {"aa", "aa"}, {" ", "t"},       {"t", "o"},
    {" ", " "}, {"o", "k"},  {" t", "ok"}, {"\xC3", "\xA9"}, {"l", "l"}};

TokenizerSpec byte_bpe_spec(unsigned flags) {
  TokenizerSpec spec = test::byte_spec(kMerges);
  if ((flags & 1) != 0) spec.bpe_flags |= bpe_ignore_merges;
  spec.trim_offsets = (flags & 2) != 0;
  spec.trim_prefix_space = (flags & 6) == 6;
  spec.pre_tokenizer[0].value = 1 + flags % static_cast<uint32_t>(SplitPattern::last);
  if ((flags & 4) != 0)
    spec.pre_tokenizer.insert(spec.pre_tokenizer.begin(), {PreTokenizerKind::prefix_space, 0, 0, ""});
  if ((flags & 8) != 0) {
    spec.normalizer = {{NormalizerKind::nfc, 0, "", ""}};
    spec.byte_ids['!'] = kNoPiece;  // a byte without a token
    spec.pre_tokenizer.insert(spec.pre_tokenizer.begin(), {PreTokenizerKind::digits, flags % 5, 0, ""});
  }
  const auto id = static_cast<uint32_t>(spec.pieces.size());
  spec.added_tokens = {{id, "<x>", true, true, false, (flags & 1) != 0, true},
                       {id + 1, "HELLO ", false, false, true, false, false}};
  return spec;
}

TokenizerSpec character_bpe_spec(unsigned flags) {
  uint32_t bpe = bpe_has_unk;
  if ((flags & 1) != 0) bpe |= bpe_byte_fallback;
  if ((flags & 2) != 0) bpe |= bpe_fuse_unk;
  if ((flags & 4) != 0) bpe |= bpe_ignore_merges;
  const std::string mark = "\xE2\x96\x81";
  TokenizerSpec spec = test::character_spec(
      {{"a", "a"}, {mark, "t"}, {mark, mark}, {"aa", "aa"}, {"o", "k"}, {mark + "t", "ok"}, {"a", mark}}, bpe);
  if ((flags & 8) != 0) {
    spec.normalizer = {{NormalizerKind::strip, flags % 4, "", ""}, {NormalizerKind::nfkc, 0, "", ""}};
    spec.pre_tokenizer = {
        {PreTokenizerKind::metaspace, metaspace_prepend_first | (flags % 2 * metaspace_split), 0, mark}};
  }
  return spec;
}

TokenizerSpec unigram_spec(unsigned flags) {
  TokenizerSpec spec;
  spec.kind = TokenizerKind::unigram;
  const std::string mark = "\xE2\x96\x81";
  spec.pieces = {"<unk>", mark, "a", "aa", "aaa", "b", mark + "tok", "hello", "o", "\xC3\xA9", mark + mark};
  spec.scores = {0, -3, -2, -3.5, -5, -2, -1, -4, -2, -2.5, -6};
  if ((flags & 1) != 0) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    for (unsigned b = 0; b < 256; ++b) {
      spec.pieces.push_back(std::string("<0x") + kDigits[b / 16] + kDigits[b % 16] + ">");
      spec.scores.push_back(-20);
    }
    spec.byte_fallback = true;
  }
  if ((flags & 2) != 0) {
    spec.normalizer = {
        {NormalizerKind::precompiled, 0, test::charsmap_blob({{"\t", " "}, {"\xC3\xB6", "oe"}, {"x", ""}}), ""},
        {NormalizerKind::replace_spaces, 0, "", " "}};
  }
  if ((flags & 4) != 0) spec.pre_tokenizer.push_back({PreTokenizerKind::whitespace_split, 0, 0, ""});
  spec.pre_tokenizer.push_back(
      {PreTokenizerKind::metaspace, metaspace_prepend_always | ((flags & 8) != 0 ? metaspace_split : 0u), 0, mark});
  spec.single_template = {{true, 0}, {false, 5}};
  return spec;
}

constexpr size_t kGood = 64;
TokenizerSpec good_spec(size_t which) {
  const auto flags = static_cast<unsigned>(which % 16);
  switch (which / 16) {
    case 0:
      return wordpiece_spec(flags);
    case 1:
      return byte_bpe_spec(flags);
    case 2:
      return character_bpe_spec(flags);
    default:
      return unigram_spec(flags);
  }
}

void require(bool condition) {
  if (!condition) std::abort();
}

// Shared by all runs: what one text leaves meets the next, and a run allocates little.
struct Buffers {
  EncodeScratch scratch;
  Array<uint32_t> ids, cut;
  Array<TokenSpan> spans;
};

void check_text(const Tokenizer& tokenizer, std::string_view text) {
  static Buffers& buffers = *new Buffers;
  auto& [scratch, ids, cut, spans] = buffers;
  ids.clear();
  cut.clear();
  spans.clear();
  EncodeStats stats;
  require(tokenizer.encode(text, {}, scratch, ids, &spans, &stats).ok());
  require(ids.size() == spans.size() && ids.size() == stats.total_tokens && !stats.truncated);
  require(stats.bytes_used <= text.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    require(ids[i] < tokenizer.vocab_size());
    require(spans[i].begin <= spans[i].end && spans[i].end <= text.size());
  }
  // A limit from the template alone to all tokens, chosen by the text.
  const size_t around = tokenizer.special_count();
  size_t seed = text.size();
  for (const char c : text) seed = seed * 31 + static_cast<uint8_t>(c);
  const size_t max = around + seed % (ids.size() - around + 1);
  require(tokenizer.encode(text, {.max_tokens = max}, scratch, cut, nullptr, &stats).ok());
  require(cut.size() == max && stats.total_tokens == ids.size() && stats.truncated == (max < ids.size()));
  // The template's tokens before the text, the text's first tokens, the template's tokens after it.
  size_t same = 0;
  while (same < max && cut[same] == ids[same]) ++same;
  size_t tail = 0;
  while (tail < max && cut[max - 1 - tail] == ids[ids.size() - 1 - tail]) ++tail;
  require(same + tail >= max);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  if (data[0] % 4 > 1) {
    static std::unique_ptr<test::Parsed> tokenizers[kGood];
    std::unique_ptr<test::Parsed>& tokenizer = tokenizers[data[1] % kGood];
    if (tokenizer == nullptr) tokenizer = std::make_unique<test::Parsed>(good_spec(data[1] % kGood));
    require(tokenizer->code() == Code::ok);
    // A copy of its own, so that reading past the text shows.
    const std::unique_ptr<char[]> text(new char[size - 2]);
    if (size > 2) std::memcpy(text.get(), data + 2, size - 2);
    check_text(**tokenizer, {text.get(), size - 2});
    return 0;
  }
  std::vector<uint8_t> section(data + 1, data + size);
  if (data[0] % 4 == 1) {
    static std::vector<uint8_t> sections[kGood];
    std::vector<uint8_t>& good = sections[data[1] % kGood];
    if (good.empty()) good = serialize_tokenizer(good_spec(data[1] % kGood));
    const std::string edited =
        test::apply_edits({reinterpret_cast<const char*>(good.data()), good.size()}, {data + 2, size - 2});
    section.assign(edited.begin(), edited.end());
  }
  section.shrink_to_fit();
  const auto tokenizer = Tokenizer::parse(section, 4096);
  if (!tokenizer.ok()) {
    require(tokenizer.code() != Code::ok && tokenizer.error().message[0] != '\0');
    require(tokenizer.error().offset == Error::no_offset || tokenizer.error().offset <= section.size());
    return 0;
  }
  for (uint32_t id = 0; id <= (*tokenizer).vocab_size(); ++id) (void)(*tokenizer).token(id).size();
  check_text(*tokenizer, kText);
  return 0;
}
