// BPE models of tokenizer.json, and the steps that come with them.
#include <gtest/gtest.h>

#include "engine/text/bpe.h"
#include "engine/text/split_pattern.h"
#include "engine/text/tokenizer.h"
#include "formats/huggingface/tokenizer.h"

namespace onepass::test {
namespace {

// Of bytes, as RoBERTa's; U+0120 is a space.
Json good() {
  return Json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [
      {"id":0,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":true,"special":true},
      {"id":6,"content":"<new>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":false}],
    "normalizer": {"type":"NFC"},
    "pre_tokenizer": {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},
    "post_processor": {"type":"RobertaProcessing","sep":["<s>",0],"cls":["<s>",0],"trim_offsets":true,"add_prefix_space":false},
    "decoder": {"type":"ByteLevel"},
    "model": {"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":"","end_of_word_suffix":"",
      "fuse_unk":false,"byte_fallback":false,"ignore_merges":false,
      "vocab":{"<s>":0,"a":1,"b":2,"ab":3,"Ġ":4,"Ġab":5},"merges":["a b",["Ġ","ab"]]}})");
}

// Of characters, as Llama's.
Json characters() {
  Json json = good();
  json["normalizer"] = Json::parse(R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})");
  json["pre_tokenizer"] = nullptr;
  json["post_processor"] = nullptr;
  json["model"]["fuse_unk"] = true;
  json["model"]["byte_fallback"] = true;
  json["model"]["unk_token"] = "<s>";
  json["model"]["vocab"] = Json::parse(R"({"<s>":0,"a":1,"b":2,"ab":3,"▁":4,"▁ab":5})");
  json["model"]["merges"] = Json::parse(R"(["a b","▁ ab"])");
  json["added_tokens"].erase(1);
  return json;
}

Result<TokenizerSpec> parse(const Json& json) { return parse_tokenizer_json(json.dump()); }

std::vector<uint32_t> encode(const TokenizerSpec& spec, std::string_view text) {
  const std::vector<uint8_t> section = serialize_tokenizer(spec);
  const auto tokenizer = Tokenizer::parse(section, UINT32_MAX);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EncodeScratch scratch;
  Array<uint32_t> ids;
  EXPECT_TRUE((*tokenizer).encode(text, {}, scratch, ids, nullptr, nullptr).ok());
  return {ids.begin(), ids.end()};
}

TEST(BpeJson, OfBytes) {
  const auto spec = parse(good());
  ASSERT_TRUE(spec.ok()) << spec.error().where << spec.error().message;
  EXPECT_EQ(spec->kind, TokenizerKind::bpe);
  EXPECT_EQ(spec->pieces[5], " ab");
  EXPECT_EQ(spec->bpe_flags, uint32_t{bpe_byte_level});
  EXPECT_TRUE(spec->trim_offsets);
  EXPECT_EQ(encode(*spec, "ab ab<new>b"), (std::vector<uint32_t>{0, 3, 5, 6, 2, 0}));
  Json json = good();
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(parse(json)->bpe_flags, uint32_t{bpe_byte_level} | bpe_ignore_merges);
}

TEST(BpeJson, OfCharacters) {
  Json json = characters();
  const auto without = parse(json);  // byte_fallback without a token of a byte is none
  ASSERT_TRUE(without.ok()) << without.error().where << without.error().message;
  EXPECT_EQ(without->bpe_flags, uint32_t{bpe_has_unk} | bpe_fuse_unk);
  EXPECT_EQ(encode(*without, "ab abxy"), (std::vector<uint32_t>{3, 5, 0}));
  json["model"]["vocab"]["<0x41>"] = 6;
  EXPECT_EQ(parse(json).code(), Code::unsupported);  // one of 256
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (unsigned b = 0; b < 256; ++b) {
    json["model"]["vocab"][std::string("<0x") + kDigits[b / 16] + kDigits[b % 16] + ">"] = 6 + b;
  }
  const auto with = parse(json);
  ASSERT_TRUE(with.ok()) << with.error().message;
  EXPECT_EQ(encode(*with, "abA"), (std::vector<uint32_t>{3, 6 + 0x41}));
}

// Every known expression is told from the others, and nothing else is known.
TEST(BpeJson, Expressions) {
  Json json = good();
  json["pre_tokenizer"] = Json::parse(R"({"type":"Sequence","pretokenizers":[
    {"type":"Split","pattern":{"Regex":""},"behavior":"Isolated","invert":false},
    {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})");
  Json& regex = json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"];
  for (uint32_t i = 1; i <= static_cast<uint32_t>(SplitPattern::last); ++i) {
    const std::string expression = expression_of(static_cast<SplitPattern>(i));
    regex = expression;
    const auto spec = parse(json);
    ASSERT_TRUE(spec.ok()) << expression;
    ASSERT_EQ(spec->pre_tokenizer.size(), 1u);
    EXPECT_EQ(spec->pre_tokenizer[0].value, i);
    for (const std::string& other :
         {expression + "|x", expression.substr(1), expression + " ", std::string("(") + expression + ")"}) {
      regex = other;
      const auto refused = parse(json);
      EXPECT_EQ(refused.code(), Code::unsupported) << other;
      EXPECT_STREQ(refused.error().where, "tokenizer.json: pre_tokenizer.pretokenizers[0].pattern");
      EXPECT_NE(std::string(refused.error().message).find(other.substr(0, 40)), std::string::npos);
    }
  }
}

struct Bad {
  const char* name;
  const char* path;
  const char* value;
  Code code;
  const char* where;
};

TEST(BpeJson, WhatIsUnsupportedIsRefusedByName) {
  const Bad cases[] = {
      {"option", "/model/alpha", "0.1", Code::unsupported, ": model.alpha"},
      {"dropout", "/model/dropout", "0.1", Code::unsupported, ": model.dropout"},
      {"no dropout", "/model/dropout", "0.0", Code::ok, ""},
      {"prefix", "/model/continuing_subword_prefix", R"("##")", Code::unsupported, ": model.continuing_subword_prefix"},
      {"suffix", "/model/end_of_word_suffix", R"("</w>")", Code::unsupported, ": model.end_of_word_suffix"},
      {"unknown token", "/model/unk_token", R"("<unk>")", Code::bad_vocabulary, ": model.unk_token"},
      {"no vocabulary", "/model/vocab", "{}", Code::bad_vocabulary, ": model.vocab"},
      {"vocabulary of another kind", "/model/vocab", "[]", Code::bad_type, ": model.vocab"},
      {"merge of one", "/model/merges/0", R"("ab")", Code::bad_value, ": model.merges[0]"},
      {"merge of three", "/model/merges/0", R"("a b b")", Code::bad_value, ": model.merges[0]"},
      {"merge that lost its space", "/model/merges/0", R"("a  b")", Code::bad_value, ": model.merges[0]"},
      {"merge as three parts", "/model/merges/1", R"(["a","b","b"])", Code::bad_value, ": model.merges[1]"},
      {"merge of what is no token", "/model/merges/1", R"(["a","x"])", Code::bad_vocabulary, ": model.merges[1]"},
      {"merge that makes no token", "/model/merges/1", R"(["b","a"])", Code::bad_vocabulary, ": model.merges[1]"},
      {"characters without an unknown token", "/pre_tokenizer", R"({"type":"Whitespace"})", Code::unsupported,
       ": model.vocab"},
      {"unknown step", "/pre_tokenizer", R"({"type":"UnicodeScripts"})", Code::unsupported, ": pre_tokenizer"},
      {"step behind ByteLevel", "/pre_tokenizer",
       R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},{"type":"Whitespace"}]})",
       Code::unsupported, ": pre_tokenizer.pretokenizers[1]"},
      {"unknown normaliser", "/normalizer", R"({"type":"ByteLevel"})", Code::unsupported, ": normalizer"},
      {"expression of a normaliser", "/normalizer", R"({"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "})",
       Code::unsupported, ": normalizer.pattern"},
      {"unknown post-processor", "/post_processor", R"({"type":"Other"})", Code::unsupported, ": post_processor"},
      {"added token of another content", "/added_tokens/0/content", R"("Ġ")", Code::bad_vocabulary, ""},
  };
  for (const Bad& c : cases) {
    Json json = good();
    json[Json::json_pointer(c.path)] = Json::parse(c.value);
    const auto spec = parse(json);
    EXPECT_EQ(code_name(spec.code()), std::string(code_name(c.code)))
        << c.name << ": " << (spec.ok() ? "" : spec.error().where);
    if (spec.ok() || c.where[0] == '\0') continue;
    EXPECT_EQ(spec.error().where, std::string("tokenizer.json") + c.where) << c.name;
  }
}

}  // namespace
}  // namespace onepass::test
