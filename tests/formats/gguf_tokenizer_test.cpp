// Tokenizers of GGUF files: what the keys say, and what only the names say. Whole tokenizers are compared with those of
// their checkpoints in tests/models/gguf_import_test.cpp.
#include "formats/gguf/tokenizer.h"

#include <gtest/gtest.h>

#include <functional>

#include "engine/text/bpe.h"
#include "engine/text/split_pattern.h"
#include "tests/support/gguf_writer.h"

namespace onepass::test {
namespace {

#define META "\xE2\x96\x81"

struct Vocabulary {
  std::string model = "gpt2", pre = "gpt-2", architecture = "llama";
  std::vector<std::string> tokens = {"<s>", "</s>", "a", "b", "ab", "\xC4\xA0", "<mask>"};
  std::vector<int32_t> types = {3, 3, 1, 1, 1, 1, 3};
  std::vector<std::string> merges = {"a b"};
  std::vector<float> scores;
  std::function<void(GgufFile&)> more;

  Result<TokenizerSpec> read() const {
    GgufFile file;
    file.key_text("tokenizer.ggml.model", model);
    if (!pre.empty()) file.key_text("tokenizer.ggml.pre", pre);
    file.key_texts("tokenizer.ggml.tokens", tokens).key_i32s("tokenizer.ggml.token_type", types);
    if (!merges.empty()) file.key_texts("tokenizer.ggml.merges", merges);
    if (!scores.empty()) file.key_f32s("tokenizer.ggml.scores", scores);
    file.key_u32("tokenizer.ggml.bos_token_id", 0).key_u32("tokenizer.ggml.eos_token_id", 1);
    if (more) more(file);
    const auto header = parse_gguf(file.file(), "m.gguf");
    if (!header.ok()) return header.error();
    return read_gguf_tokenizer(header->metadata, architecture);
  }
};

Vocabulary spm() {
  Vocabulary v;
  v.model = "llama";
  v.pre = "default";
  v.merges.clear();
  v.tokens = {"<unk>", "<s>", "</s>"};
  v.types = {2, 3, 3};
  for (const char* high = "0123456789ABCDEF"; *high != 0; ++high) {
    for (const char* low = "0123456789ABCDEF"; *low != 0; ++low) {
      v.tokens.push_back(std::string("<0x") + *high + *low + ">");
      v.types.push_back(6);
    }
  }
  for (const char* token : {META, "a", "b", "ab", META "a", META "ab", "aa", "aaa"}) {
    v.tokens.push_back(token);
    v.types.push_back(1);
  }
  v.scores.resize(v.tokens.size());
  for (size_t i = 259; i < v.tokens.size(); ++i) v.scores[i] = -static_cast<float>(i);
  v.more = [](GgufFile& f) { f.key_u32("tokenizer.ggml.unknown_token_id", 0); };
  return v;
}

std::vector<uint32_t> around(const TokenizerSpec& spec) {
  std::vector<uint32_t> ids;
  for (const TemplateEntry& entry : spec.single_template) ids.push_back(entry.is_sequence ? 999 : entry.id);
  return ids;
}

const AddedTokenSpec* added(const TokenizerSpec& spec, std::string_view content) {
  for (const AddedTokenSpec& token : spec.added_tokens) {
    if (token.content == content) return &token;
  }
  return nullptr;
}

std::string merge_text(const TokenizerSpec& spec, size_t i) {
  return spec.pieces[spec.merges[i].left] + "+" + spec.pieces[spec.merges[i].right];
}

TEST(GgufTokenizer, EveryPreTokenizerHasItsSteps) {
  struct Case {
    const char* pre;
    size_t normalizers, steps;
    bool ignore_merges;
    SplitPattern pattern;
    std::vector<uint32_t> around;
  };
  const Case cases[] = {
      {"gpt-2", 0, 1, false, SplitPattern::gpt2, {999}},
      {"roberta-bpe", 0, 1, false, SplitPattern::gpt2, {999}},
      {"modern-bert", 1, 1, false, SplitPattern::gpt2, {999}},
      {"smollm", 0, 2, false, SplitPattern::gpt2, {999}},
      {"llama-bpe", 0, 1, true, SplitPattern::llama3, {0, 999}},
      {"qwen2", 1, 1, false, SplitPattern::qwen2, {999}},
      {"gpt-4o", 0, 1, false, SplitPattern::o200k, {999}},
      {"tekken", 0, 1, true, SplitPattern::tekken, {0, 999}},
  };
  for (const Case& c : cases) {
    Vocabulary v;
    v.pre = c.pre;
    const auto spec = v.read();
    ASSERT_TRUE(spec.ok()) << c.pre << ": " << spec.error().where << ": " << spec.error().message;
    EXPECT_EQ(spec->kind, TokenizerKind::bpe);
    EXPECT_EQ(spec->normalizer.size(), c.normalizers) << c.pre;
    ASSERT_EQ(spec->pre_tokenizer.size(), c.steps) << c.pre;
    EXPECT_EQ(spec->pre_tokenizer.back().value, static_cast<uint32_t>(c.pattern)) << c.pre;
    EXPECT_EQ((spec->bpe_flags & bpe_ignore_merges) != 0, c.ignore_merges) << c.pre;
    EXPECT_EQ(around(spec.value()), c.around) << c.pre;
  }
}

TEST(GgufTokenizer, TokensAroundATextAreWhatTheKeysSay) {
  Vocabulary v;
  v.pre = "llama-bpe";
  v.more = [](GgufFile& f) {
    f.key_bool("tokenizer.ggml.add_bos_token", 0).key_bool("tokenizer.ggml.add_eos_token", 1);
  };
  EXPECT_EQ(around(v.read().value()), (std::vector<uint32_t>{999, 1}));
  v.more = [](GgufFile& f) { f.key_bool("tokenizer.ggml.add_bos_token", 1); };
  v.pre = "gpt-2";
  EXPECT_EQ(around(v.read().value()), (std::vector<uint32_t>{0, 999}));
  // An encoder has both, whatever else is said; [CLS] and [SEP] before <s> and </s>.
  v.architecture = "bert";
  v.more = [](GgufFile& f) {
    f.key_bool("tokenizer.ggml.add_bos_token", 0).key_u32("tokenizer.ggml.cls_token_id", 2);
    f.key_u32("tokenizer.ggml.seperator_token_id", 3);
  };
  EXPECT_EQ(around(v.read().value()), (std::vector<uint32_t>{2, 999, 3}));
}

TEST(GgufTokenizer, AddedTokensHaveTheFlagsOfTheirFamily) {
  Vocabulary v;
  v.pre = "roberta-bpe";
  v.more = [](GgufFile& f) { f.key_u32("tokenizer.ggml.mask_token_id", 6); };
  auto spec = v.read();
  ASSERT_TRUE(spec.ok());
  EXPECT_TRUE(added(spec.value(), "<mask>")->lstrip);
  EXPECT_TRUE(added(spec.value(), "<mask>")->special);
  EXPECT_FALSE(added(spec.value(), "<s>")->lstrip);
  v.pre = "gpt-2";
  EXPECT_FALSE(added(v.read().value(), "<mask>")->lstrip);

  Vocabulary phi = spm();
  phi.architecture = "phi3";
  phi.tokens.insert(phi.tokens.end(), {"<|endoftext|>", "<|user|>"});
  phi.types.insert(phi.types.end(), {3, 4});
  phi.scores.resize(phi.tokens.size());
  const auto with_phi = phi.read();
  ASSERT_TRUE(with_phi.ok()) << with_phi.error().message;
  EXPECT_TRUE(added(with_phi.value(), "<|user|>")->rstrip);
  EXPECT_FALSE(added(with_phi.value(), "<|user|>")->special);
  EXPECT_FALSE(added(with_phi.value(), "<|endoftext|>")->rstrip);
  phi.architecture = "llama";
  EXPECT_FALSE(added(phi.read().value(), "<|user|>")->rstrip);
}

TEST(GgufTokenizer, FillersOfTheTableAreNoTokens) {
  for (const int32_t type : {4, 5}) {
    Vocabulary v;
    v.tokens.push_back("[PAD7]");
    v.types.push_back(type);
    const auto spec = v.read();
    ASSERT_TRUE(spec.ok()) << spec.error().message;
    EXPECT_EQ(added(spec.value(), "[PAD7]"), nullptr);
  }
  Vocabulary real;
  real.tokens.push_back("[PAD1]");
  real.types.push_back(4);
  EXPECT_NE(added(real.read().value(), "[PAD1]"), nullptr);
}

TEST(GgufTokenizer, PhantomSpacesAreTurnedBack) {
  Vocabulary v;
  v.model = "bert";
  v.architecture = "bert";
  v.merges.clear();
  v.tokens = {"[PAD]", "[UNK]", META "the", "ing", META "!", META META, "", "[unused1]"};
  v.types = {3, 3, 1, 1, 1, 1, 1, 1};
  v.more = [](GgufFile& f) { f.key_u32("tokenizer.ggml.unknown_token_id", 1); };
  auto spec = v.read();
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->pieces, (std::vector<std::string>{"[PAD]", "[UNK]", "the", "##ing", "!", META, "##", "[unused1]"}));
  EXPECT_EQ(spec->normalizer[0].flags, 15u);
  EXPECT_EQ(spec->unk_id, 1u);
  // Capitals are known words only where text keeps them.
  v.tokens[3] = "Ing";
  EXPECT_EQ(v.read().code(), Code::unsupported);
  v.more = [](GgufFile& f) {
    f.key_u32("tokenizer.ggml.unknown_token_id", 1).key_bool("tokenizer.ggml.normalizer.lowercase", 0);
  };
  const auto cased = v.read();
  ASSERT_TRUE(cased.ok());
  EXPECT_EQ(cased->normalizer[0].flags, uint32_t{bert_clean_text} | bert_handle_chinese_chars);
  // "##a" and "a" of older files could become the same.
  v.tokens[3] = META "the";
  EXPECT_EQ(v.read().code(), Code::duplicate_name);
}

TEST(GgufTokenizer, MergesFollowFromScores) {
  const auto spec = spm().read();
  ASSERT_TRUE(spec.ok()) << spec.error().where << ": " << spec.error().message;
  // By the score of the piece; of one piece, in the order of the parts' ids (META 259, a 260, b 261, ab, META a, ...,
  // aa).
  const char* expected[] = {"a+b", META "+a", META "+ab", META "a+b", "a+a", "a+aa", "aa+a"};
  ASSERT_EQ(spec->merges.size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) EXPECT_EQ(merge_text(spec.value(), i), expected[i]);
  EXPECT_EQ(spec->bpe_flags, uint32_t{bpe_has_unk} | bpe_fuse_unk | bpe_byte_fallback);
  EXPECT_EQ(spec->normalizer.size(), 2u);
  EXPECT_EQ(spec->normalizer[0].kind, NormalizerKind::prepend);
  EXPECT_EQ(around(spec.value()), (std::vector<uint32_t>{0, 999}));  // bos_token_id is 0 here

  Vocabulary gemma = spm();
  gemma.more = [](GgufFile& f) {
    f.key_u32("tokenizer.ggml.unknown_token_id", 0).key_bool("tokenizer.ggml.add_space_prefix", 0);
  };
  EXPECT_EQ(gemma.read().value().normalizer.size(), 1u);
}

TEST(GgufTokenizer, UnigramPiecesKeepScoresAndTheMaskGetsItsName) {
  Vocabulary v;
  v.model = "t5";
  v.architecture = "bert";
  v.pre = "default";
  v.merges.clear();
  v.tokens = {"<s>", "</s>", "<unk>", META "a", "b", "[PAD5]"};
  v.types = {3, 3, 2, 1, 1, 5};
  v.scores = {0, 0, 0, -1.5f, -2.25f, -10000};
  v.more = [](GgufFile& f) {
    f.key_u32("tokenizer.ggml.unknown_token_id", 2).key_u32("tokenizer.ggml.mask_token_id", 5);
  };
  const auto spec = v.read();
  ASSERT_TRUE(spec.ok()) << spec.error().where << ": " << spec.error().message;
  EXPECT_EQ(spec->kind, TokenizerKind::unigram);
  EXPECT_EQ(spec->scores[4], -2.25);
  ASSERT_NE(added(spec.value(), "<mask>"), nullptr);
  EXPECT_TRUE(added(spec.value(), "<mask>")->lstrip);
  EXPECT_EQ(around(spec.value()), (std::vector<uint32_t>{0, 999, 1}));
}

TEST(GgufTokenizer, WhatIsNotKnownIsRefused) {
  struct Case {
    const char* name;
    std::function<void(Vocabulary&)> change;
    Code code;
  };
  const Case cases[] = {
      {"another model", [](Vocabulary& v) { v.model = "plamo2"; }, Code::unsupported},
      {"another pre-tokenizer", [](Vocabulary& v) { v.pre = "deepseek-llm"; }, Code::unsupported},
      {"no pre-tokenizer", [](Vocabulary& v) { v.pre = ""; }, Code::missing_key},
      {"no merges", [](Vocabulary& v) { v.merges.clear(); }, Code::missing_key},
      {"a merge of one part", [](Vocabulary& v) { v.merges = {"ab"}; }, Code::bad_value},
      {"a merge of no token", [](Vocabulary& v) { v.merges = {"b a"}; }, Code::bad_vocabulary},
      {"a token twice", [](Vocabulary& v) { v.tokens[3] = "a"; }, Code::duplicate_name},
      {"an empty token", [](Vocabulary& v) { v.tokens[3] = ""; }, Code::bad_vocabulary},
      {"a type of 0", [](Vocabulary& v) { v.types[0] = 0; }, Code::unknown_value},
      {"a negative type", [](Vocabulary& v) { v.types[0] = -1; }, Code::unknown_value},
      {"too few types", [](Vocabulary& v) { v.types.pop_back(); }, Code::bad_vocabulary},
      {"too many scores", [](Vocabulary& v) { v.scores.resize(8); }, Code::bad_vocabulary},
      {"llama without scores", [](Vocabulary& v) { v.model = "llama"; }, Code::missing_key},
      {"t5 without scores", [](Vocabulary& v) { v.model = "t5"; }, Code::missing_key},
      {"t5 without an unknown token",
       [](Vocabulary& v) {
         v.model = "t5";
         v.scores.resize(7);
       },
       Code::missing_key},
      {"a mask that is not there",
       [](Vocabulary& v) { v.more = [](GgufFile& f) { f.key_u32("tokenizer.ggml.mask_token_id", 7); }; },
       Code::bad_vocabulary},
      {"a boolean as a number",
       [](Vocabulary& v) { v.more = [](GgufFile& f) { f.key_u32("tokenizer.ggml.add_bos_token", 1); }; },
       Code::bad_type},
      {"a broken tokenizer.json",
       [](Vocabulary& v) { v.more = [](GgufFile& f) { f.key_text("tokenizer.huggingface.json", "{"); }; },
       Code::bad_syntax},
  };
  for (const Case& c : cases) {
    Vocabulary v;
    c.change(v);
    const auto spec = v.read();
    EXPECT_EQ(code_name(spec.code()), std::string(code_name(c.code)))
        << c.name << ": " << (spec.ok() ? "" : spec.error().message);
  }
}

}  // namespace
}  // namespace onepass::test
