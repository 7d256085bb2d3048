// Unigram models and character maps of tokenizer.json.
#include <gtest/gtest.h>

#include "engine/text/tokenizer.h"
#include "formats/huggingface/base64.h"
#include "formats/huggingface/tokenizer.h"
#include "tests/text/charsmap_blob.h"

namespace onepass::test {
namespace {

constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string encode_base64(const std::string& bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) bits = bits << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : kDigits[bits >> (18 - 6 * k) & 63];
  }
  return text;
}

Json good() {
  Json json = Json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [
      {"id":0,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
      {"id":1,"content":"<unk>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
    "normalizer": {"type":"Precompiled","precompiled_charsmap":""},
    "pre_tokenizer": {"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},
      {"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}]},
    "post_processor": null, "decoder": {"type":"Metaspace","replacement":"▁","prepend_scheme":"always"},
    "model": {"type":"Unigram","unk_id":1,"vocab":[["<s>",0.0],["<unk>",0.0],["▁a",-2.0122928619384766],["b",-3]],
      "byte_fallback":false}})");
  json["normalizer"]["precompiled_charsmap"] = encode_base64(charsmap_blob({{"A", "a"}}));
  return json;
}

Result<TokenizerSpec> parse(const Json& json) { return parse_tokenizer_json(json.dump()); }

TEST(UnigramJson, GoodFile) {
  const auto spec = parse(good());
  ASSERT_TRUE(spec.ok()) << spec.error().where << spec.error().message;
  EXPECT_EQ(spec->kind, TokenizerKind::unigram);
  EXPECT_EQ(spec->pieces, (std::vector<std::string>{"<s>", "<unk>",
                                                    "\xE2\x96\x81"
                                                    "a",
                                                    "b"}));
  EXPECT_EQ(spec->scores, (std::vector<double>{0, 0, -2.012292861938477, -3}));  // as serde_json reads them
  EXPECT_EQ(spec->unk_id, 1u);
  EXPECT_FALSE(spec->byte_fallback);
  ASSERT_EQ(spec->normalizer.size(), 1u);
  EXPECT_EQ(spec->normalizer[0].kind, NormalizerKind::precompiled);
  EXPECT_EQ(spec->normalizer[0].pattern, charsmap_blob({{"A", "a"}}));
  const std::vector<uint8_t> section = serialize_tokenizer(*spec);
  const auto tokenizer = Tokenizer::parse(section, 4);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EncodeScratch scratch;
  Array<uint32_t> ids;
  ASSERT_TRUE((*tokenizer).encode("Ab a<s>x", {}, scratch, ids, nullptr, nullptr).ok());
  EXPECT_EQ(std::vector<uint32_t>(ids.begin(), ids.end()), (std::vector<uint32_t>{2, 3, 2, 0, 1}));
}

// Files of the first releases name no type and have no byte_fallback.
TEST(UnigramJson, OldFile) {
  Json json = good();
  json["model"].erase("type");
  json["model"].erase("byte_fallback");
  const auto spec = parse(json);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->kind, TokenizerKind::unigram);
}

struct Bad {
  const char* name;
  const char* path;
  const char* value;
  Code code;
  const char* where;
};

TEST(UnigramJson, BadFiles) {
  const Bad cases[] = {
      {"option", "/model/alpha", "0.1", Code::unsupported, ": model.alpha"},
      {"no unknown token", "/model/unk_id", "null", Code::unsupported, ": model.unk_id"},
      {"unknown token out of range", "/model/unk_id", "4", Code::bad_vocabulary, ": model.unk_id"},
      {"empty vocabulary", "/model/vocab", "[]", Code::bad_vocabulary, ": model.vocab"},
      {"vocabulary of another kind", "/model/vocab", "{}", Code::bad_type, ": model.vocab"},
      {"piece alone", "/model/vocab/2", R"(["a"])", Code::bad_type, ": model.vocab[2]"},
      {"piece with more", "/model/vocab/2", R"(["a",1,2])", Code::bad_type, ": model.vocab[2]"},
      {"piece as a number", "/model/vocab/2", "[1,2]", Code::bad_type, ": model.vocab[2]"},
      {"score as a text", "/model/vocab/2", R"(["a","1"])", Code::bad_type, ": model.vocab[2]"},
      {"score null", "/model/vocab/2", R"(["a",null])", Code::bad_type, ": model.vocab[2]"},
      {"empty piece", "/model/vocab/2", R"(["",1])", Code::bad_vocabulary, ": model.vocab[2]"},
      {"piece twice", "/model/vocab/2", R"(["b",1])", Code::duplicate_name, ": model.vocab[3]"},
      {"fallback as a number", "/model/byte_fallback", "1", Code::bad_type, ": model.byte_fallback"},
      {"map not base64", "/normalizer/precompiled_charsmap", R"("AA=A")", Code::bad_value,
       ": normalizer.precompiled_charsmap"},
      {"map of another type", "/normalizer/precompiled_charsmap", "[]", Code::bad_type,
       ": normalizer.precompiled_charsmap"},
      {"map empty", "/normalizer/precompiled_charsmap", R"("")", Code::truncated, ""},
      {"map with an option", "/normalizer/x", "1", Code::unsupported, ": normalizer.x"},
  };
  for (const Bad& c : cases) {
    Json json = good();
    json[Json::json_pointer(c.path)] = Json::parse(c.value);
    const auto spec = parse(json);
    EXPECT_EQ(code_name(spec.code()), std::string(code_name(c.code))) << c.name;
    if (spec.ok() || c.where[0] == '\0') continue;
    EXPECT_EQ(spec.error().where, std::string("tokenizer.json") + c.where) << c.name;
  }
}

TEST(Base64, StrictAsTheLibrarys) {
  for (const std::string& bytes :
       {std::string(), std::string("f"), std::string("fo"), std::string("foo"), std::string("\0\xFF\x80 bar", 7)}) {
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
  }
  EXPECT_EQ(decode_base64("Zm9vYg=="), "foob");  // RFC 4648, section 10
  for (const char* bad : {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm 9", "Zm9v\n", "Zm-_"}) {
    EXPECT_FALSE(decode_base64(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace onepass::test
