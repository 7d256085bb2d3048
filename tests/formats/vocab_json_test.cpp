// vocab.json and merges.txt: what is known becomes a TokenizerSpec, everything else is a named error.
#include <gtest/gtest.h>

#include <string>

#include "engine/text/bpe.h"
#include "engine/text/split_pattern.h"
#include "engine/text/tokenizer.h"
#include "formats/huggingface/tokenizer.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

constexpr const char* kSpace = "\xC4\xA0";  // U+0120 stands for a space

// The tokens of all three families, the bytes a to c and a space, and two merges.
std::string vocab(const std::string& more = "") {
  return R"({"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"a":4,"b":5,"c":6,")" + std::string(kSpace) + R"(":7,"ab":8,")" +
         kSpace + R"(ab":9,"<mask>":10)" + more + "}";
}
std::string merges() { return std::string("#version: 0.2\na b\n") + kSpace + " ab\n"; }

Result<TokenizerSpec> parse(const char* model_type, const char* config = nullptr, const std::string& v = vocab(),
                            const std::string& m = merges()) {
  if (config == nullptr) return parse_vocab_json(v, m, nullptr, model_type);
  const Json json = Json::parse(config);
  return parse_vocab_json(v, m, &json, model_type);
}

std::vector<std::pair<uint32_t, std::string>> added_of(const TokenizerSpec& spec) {
  std::vector<std::pair<uint32_t, std::string>> added;
  for (const AddedTokenSpec& token : spec.added_tokens) added.emplace_back(token.id, token.content);
  return added;
}
std::vector<int> template_of(const TokenizerSpec& spec) {
  std::vector<int> ids;
  for (const TemplateEntry& entry : spec.single_template) ids.push_back(entry.is_sequence ? -1 : int(entry.id));
  return ids;
}
using Added = std::vector<std::pair<uint32_t, std::string>>;

TEST(VocabJson, Roberta) {
  const auto spec = parse("roberta");
  ASSERT_TRUE(spec.ok()) << spec.error().where << spec.error().message;
  EXPECT_EQ(spec->kind, TokenizerKind::bpe);
  EXPECT_EQ(spec->pieces[9], " ab");
  EXPECT_EQ(added_of(*spec), (Added{{0, "<s>"}, {1, "<pad>"}, {2, "</s>"}, {3, "<unk>"}, {10, "<mask>"}}));
  EXPECT_TRUE(spec->added_tokens[4].lstrip && spec->added_tokens[4].normalized && spec->added_tokens[4].special);
  EXPECT_FALSE(spec->added_tokens[3].lstrip);
  EXPECT_EQ(template_of(*spec), (std::vector<int>{0, -1, 2}));
  EXPECT_TRUE(spec->trim_offsets && spec->byte_level);
  EXPECT_FALSE(spec->trim_prefix_space);
  ASSERT_EQ(spec->merges.size(), 2u);
  EXPECT_EQ(spec->merges[1].result, 9u);
  ASSERT_EQ(spec->pre_tokenizer.size(), 1u);
  EXPECT_EQ(spec->pre_tokenizer[0].value, static_cast<uint32_t>(SplitPattern::gpt2));
  const std::vector<uint8_t> section = serialize_tokenizer(*spec);
  const auto tokenizer = Tokenizer::parse(section, UINT32_MAX);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EncodeScratch scratch;
  Array<uint32_t> ids;
  ASSERT_TRUE((*tokenizer).encode("ab ab <mask>c", {}, scratch, ids, nullptr, nullptr).ok());
  EXPECT_EQ(std::vector<uint32_t>(ids.begin(), ids.end()), (std::vector<uint32_t>{0, 8, 9, 10, 6, 2}));
}

TEST(VocabJson, Options) {
  const auto spec = parse("", R"({"tokenizer_class":"RobertaTokenizerFast","add_prefix_space":true,
                              "mask_token":{"content":"<mask>","lstrip":false}})");
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->pre_tokenizer[0].kind, PreTokenizerKind::prefix_space);
  EXPECT_TRUE(spec->trim_prefix_space);
  EXPECT_FALSE(spec->added_tokens[4].lstrip);
  EXPECT_FALSE(parse("roberta", R"({"trim_offsets":false})")->trim_offsets);
}

TEST(VocabJson, Gpt2AndQwen2) {
  const auto gpt2 = parse("gpt2", nullptr, vocab(R"(,"<|endoftext|>":11)"));
  ASSERT_TRUE(gpt2.ok());
  EXPECT_EQ(added_of(*gpt2), (Added{{11, "<|endoftext|>"}}));
  EXPECT_EQ(template_of(*gpt2), (std::vector<int>{-1}));
  EXPECT_FALSE(gpt2->trim_offsets);
  // Behind the vocabulary, and what the configuration adds.
  const auto qwen2 = parse("qwen2", R"({"eos_token":"<|im_end|>","additional_special_tokens":["<|im_end|>"],
    "added_tokens_decoder":{"11":{"content":"<|endoftext|>","special":true},"12":{"content":"<|im_end|>"}}})");
  ASSERT_TRUE(qwen2.ok()) << qwen2.error().where << qwen2.error().message;
  EXPECT_EQ(added_of(*qwen2), (Added{{11, "<|endoftext|>"}, {12, "<|im_end|>"}}));
  EXPECT_EQ(qwen2->normalizer[0].kind, NormalizerKind::nfc);
  EXPECT_EQ(qwen2->pre_tokenizer[0].value, static_cast<uint32_t>(SplitPattern::qwen2));
  EXPECT_TRUE(parse("qwen3").ok());
}

struct Refused {
  const char* name;
  Code code;
  const char* model_type;
  const char* config;
};

TEST(VocabJson, WhatIsUnsupportedIsRefusedByName) {
  const Refused cases[] = {
      {"fine", Code::ok, "roberta", R"({"model_max_length":512,"errors":"replace"})"},
      {"no family", Code::unsupported, "", nullptr},
      {"another family", Code::unsupported, "clip", nullptr},
      {"another class", Code::unsupported, "roberta", R"({"tokenizer_class":"CLIPTokenizer"})"},
      {"unknown option", Code::unsupported, "roberta", R"({"dropout":0.1})"},
      {"add_bos_token", Code::unsupported, "gpt2", R"({"add_bos_token":true})"},
      {"do_lower_case", Code::unsupported, "roberta", R"({"do_lower_case":true})"},
      {"prefix space of Qwen", Code::unsupported, "qwen2", R"({"add_prefix_space":true})"},
      {"another token", Code::unsupported, "roberta", R"({"mask_token":"[MASK]"})"},
      {"additional token", Code::unsupported, "roberta", R"({"additional_special_tokens":["<x>"]})"},
      {"wrong id", Code::bad_vocabulary, "roberta", R"({"added_tokens_decoder":{"7":{"content":"<mask>"}}})"},
      {"no id", Code::bad_value, "roberta", R"({"added_tokens_decoder":{"x":{"content":"<mask>"}}})"},
      {"wrong type", Code::bad_type, "roberta", R"({"trim_offsets":1})"},
  };
  for (const Refused& c : cases) {
    const auto spec = parse(c.model_type, c.config);
    EXPECT_STREQ(code_name(spec.code()), code_name(c.code)) << c.name;
  }
}

TEST(VocabJson, BadFiles) {
  const auto code = [](const std::string& v, const std::string& m) { return parse("roberta", nullptr, v, m).code(); };
  EXPECT_EQ(code(vocab(), merges()), Code::ok);
  EXPECT_EQ(code(vocab(), ""), Code::ok);
  EXPECT_EQ(code(vocab(), "a b\r\n"), Code::ok);
  EXPECT_EQ(code(vocab(), "a b\n\n"), Code::bad_value);
  EXPECT_EQ(code(vocab(), "a b c\n"), Code::bad_value);
  EXPECT_EQ(code(vocab(), "ab\n"), Code::bad_value);
  EXPECT_EQ(code(vocab(), "a x\n"), Code::bad_vocabulary);
  EXPECT_EQ(code(vocab(), "b c\n"), Code::bad_vocabulary);               // what they make is no token
  EXPECT_EQ(code(vocab(R"(,"d":12)"), merges()), Code::bad_vocabulary);  // no token has id 11
  EXPECT_EQ(code(vocab(R"(,"d":5)"), merges()), Code::bad_vocabulary);
  EXPECT_EQ(code(vocab(R"(,"a":11)"), merges()), Code::duplicate_name);
  EXPECT_EQ(code("[]", merges()), Code::bad_type);
  EXPECT_EQ(code("{}", merges()), Code::bad_vocabulary);
  EXPECT_EQ(code("", merges()), Code::bad_syntax);
}

TEST(VocabJson, AFolder) {
  TempFolder folder;
  folder.write("vocab.json", vocab());
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::io_error);  // no merges.txt
  folder.write("merges.txt", merges());
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::unsupported);  // of which family?
  folder.write("config.json", R"({"model_type":"roberta"})");
  EXPECT_TRUE(read_tokenizer(folder.path()).ok());
  folder.write("special_tokens_map.json", R"({"mask_token":{"content":"<mask>","lstrip":true}})");
  EXPECT_TRUE(read_tokenizer(folder.path()).ok());
  folder.write("special_tokens_map.json", R"({"mask_token":"[MASK]"})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::unsupported);
  folder.write("special_tokens_map.json", "{}");
  folder.write("added_tokens.json", R"({"<new>":11})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::unsupported);
}

}  // namespace
}  // namespace onepass::test
