// Strict JSON: every rule has a malformed text and its exact error.
#include "formats/json/json.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/mutations.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

using namespace std::string_literals;

constexpr size_t kAnySize = 1 << 20;

Result<Json> parse(std::string_view text) { return parse_json(text, kAnySize, "test.json"); }

struct BadText {
  const char* name;
  std::string text;
  Code code;
  uint64_t offset;
};

class BadJson : public testing::TestWithParam<BadText> {};

TEST_P(BadJson, IsRejected) {
  const auto result = parse(GetParam().text);
  EXPECT_STREQ(code_name(result.code()), code_name(GetParam().code));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().offset, GetParam().offset) << result.error().message;
  EXPECT_STREQ(result.error().where, "test.json");
  EXPECT_NE(result.error().message[0], '\0');
}

const std::string kDeep64 = std::string(64, '[') + std::string(64, ']');
const std::string kDeep65 = std::string(65, '[') + std::string(65, ']');

INSTANTIATE_TEST_SUITE_P(
    Rules, BadJson,
    testing::Values(
        BadText{"empty", "", Code::bad_syntax, 0}, BadText{"blank", " \n", Code::bad_syntax, 2},
        BadText{"cut_object", "{\"a\":1", Code::bad_syntax, 6}, BadText{"cut_array", "[1,", Code::bad_syntax, 3},
        BadText{"cut_string", "\"abc", Code::bad_syntax, 4}, BadText{"cut_literal", "tru", Code::bad_syntax, 3},
        BadText{"byte_order_mark", "\xEF\xBB\xBF{}", Code::bad_syntax, 0},
        BadText{"nul_at_end", "{}\0"s, Code::bad_syntax, 2},
        BadText{"nul_hides_garbage", "{}\0garbage"s, Code::bad_syntax, 2},
        BadText{"nul_in_string", "\"a\0b\""s, Code::bad_syntax, 2},
        BadText{"control_in_string", "\"a\nb\"", Code::bad_syntax, 2},
        BadText{"comma_at_end", "[1,]", Code::bad_syntax, 3},
        BadText{"comma_at_end_of_object", "{\"a\":1,}", Code::bad_syntax, 7},
        BadText{"comment", "/*x*/{}", Code::bad_syntax, 0}, BadText{"line_comment", "{} //x", Code::trailing_bytes, 3},
        BadText{"single_quotes", "{'a':1}", Code::bad_syntax, 1}, BadText{"bare_key", "{a:1}", Code::bad_syntax, 1},
        BadText{"number_key", "{1:1}", Code::bad_syntax, 1}, BadText{"nan", "NaN", Code::bad_syntax, 0},
        BadText{"infinity", "[Infinity]", Code::bad_syntax, 1},
        BadText{"minus_infinity", "[-Infinity]", Code::bad_syntax, 2},
        BadText{"leading_zero", "[01]", Code::bad_syntax, 2}, BadText{"plus", "[+1]", Code::bad_syntax, 1},
        BadText{"point_first", "[.5]", Code::bad_syntax, 1}, BadText{"point_last", "[1.]", Code::bad_syntax, 3},
        BadText{"hex", "[0x10]", Code::bad_syntax, 2}, BadText{"empty_exponent", "[1e]", Code::bad_syntax, 3},
        BadText{"too_large", "[1e309]", Code::bad_value, 5},
        BadText{"too_large_negative", "[-1e309]", Code::bad_value, 6},
        BadText{"bad_escape", R"(["\x41"])", Code::bad_syntax, 3},
        BadText{"short_escape", R"(["\u12"])", Code::bad_syntax, 6},
        BadText{"lone_high_surrogate", R"(["\ud800"])", Code::bad_syntax, 8},
        BadText{"lone_low_surrogate", R"(["\udc00"])", Code::bad_syntax, 7},
        BadText{"bad_utf8", "[\"\xC3(\"]", Code::bad_utf8, 2}, BadText{"overlong", "[\"\xC0\xAF\"]", Code::bad_utf8, 2},
        BadText{"surrogate_utf8", "[\"\xED\xA0\x80\"]", Code::bad_utf8, 2},
        BadText{"cut_utf8", "[\"\xE2\x82", Code::bad_utf8, 2}, BadText{"utf16", "\xFF\xFE{", Code::bad_utf8, 0},
        BadText{"two_values", "{} {}", Code::trailing_bytes, 3},
        BadText{"trailing_brace", "{}}", Code::trailing_bytes, 2},
        BadText{"trailing_garbage", "1 x", Code::trailing_bytes, 2},
        BadText{"duplicate", R"({"a":1,"a":1})", Code::duplicate_name, 9},
        BadText{"duplicate_escaped", R"({"a":1,"\u0061":1})", Code::duplicate_name, 14},
        BadText{"duplicate_deep", R"([{"x":{"b":1,"c":2,"b":3}}])", Code::duplicate_name, 21},
        BadText{"too_deep", kDeep65, Code::too_deep, 64},
        BadText{"never_closed", std::string(100000, '['), Code::too_deep, 64},
        BadText{"deep_objects",
                [] {
                  std::string text;
                  for (int i = 0; i < 65; ++i) text += "{\"a\":";
                  return text;
                }(),
                Code::too_deep, 320}),
    [](const testing::TestParamInfo<BadText>& info) { return std::string(info.param.name); });

TEST(Json, Limits) {
  EXPECT_TRUE(parse(kDeep64).ok());
  EXPECT_EQ(parse_json("[1]", 2, "x").code(), Code::limit_exceeded);
  EXPECT_TRUE(parse_json("[1]", 3, "x").ok());
  EXPECT_TRUE(parse_json("[1,2]", 100, "x", 3).ok());
  EXPECT_EQ(parse_json("[1,2]", 100, "x", 2).code(), Code::limit_exceeded);
  EXPECT_EQ(parse_json("[[],{}]", 100, "x", 2).code(), Code::limit_exceeded);
}

TEST(Json, GoodTexts) {
  for (const char* text : {"null", " true ", "0", "-0", "1e308", "\"\"", "[]", "{}", "\t[\r\n1 , 2]\n", "1E-400"}) {
    EXPECT_TRUE(parse(text).ok()) << text;
  }
  const auto r = parse(R"({"a":[1,-2,2.5,"\u00e9\ud83d\ude00\u0000",null,true,{"b":{}}],"":18446744073709551615})");
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(r->size(), 2u);
  EXPECT_EQ((*r)["a"].size(), 7u);
  EXPECT_EQ((*r)["a"][1], -2);
  EXPECT_EQ((*r)["a"][2], 2.5);
  EXPECT_EQ((*r)["a"][3], "\u00e9\U0001F600\0"s);
  EXPECT_TRUE((*r)["a"][6]["b"].is_object());
  EXPECT_EQ((*r)[""], UINT64_MAX);
}

TEST(Json, GettersNameFileAndKey) {
  const auto doc = parse(
      R"({"s":"x","u":7,"n":-1,"f":2.5,"b":true,"z":null,"o":{"i":{"k":1}},"a":["p",3],"big":18446744073709551616})");
  ASSERT_TRUE(doc.ok());
  const JsonNode root(*doc, "config.json");

  EXPECT_EQ(*root.string("s"), "x");
  EXPECT_EQ(*root.u64("u", 7, 7), 7u);
  EXPECT_EQ(*root.number("f"), 2.5);
  EXPECT_EQ(*root.number("u"), 7.0);
  EXPECT_EQ(*root.number("n"), -1.0);
  EXPECT_TRUE(*root.boolean("b"));
  EXPECT_EQ(root.array("a")->elements()->size(), 2u);

  const auto where = [](const auto& result) { return result.ok() ? std::string("no error") : result.error().where; };
  EXPECT_EQ(root.string("nope").code(), Code::missing_key);
  EXPECT_EQ(where(root.string("nope")), "config.json: nope");
  EXPECT_EQ(root.string("z").code(), Code::bad_type);
  EXPECT_EQ(root.string("u").code(), Code::bad_type);
  EXPECT_EQ(root.u64("s", 0, 9).code(), Code::bad_type);
  EXPECT_EQ(root.u64("f", 0, 9).code(), Code::bad_type);
  EXPECT_EQ(root.u64("b", 0, 9).code(), Code::bad_type);
  EXPECT_EQ(root.u64("big", 0, UINT64_MAX).code(), Code::bad_type);
  EXPECT_EQ(root.u64("n", 0, 9).code(), Code::bad_value);
  EXPECT_EQ(root.u64("u", 0, 6).code(), Code::bad_value);
  EXPECT_EQ(root.u64("u", 8, 9).code(), Code::bad_value);
  EXPECT_EQ(root.number("s").code(), Code::bad_type);
  EXPECT_EQ(root.boolean("u").code(), Code::bad_type);
  EXPECT_EQ(root.object("a").code(), Code::bad_type);
  EXPECT_EQ(root.array("o").code(), Code::bad_type);
  EXPECT_EQ(root.array("a")->as_strings().code(), Code::bad_type);
  EXPECT_EQ(where(root.array("a")->as_strings()), "config.json: a[1]");
  EXPECT_EQ(where(root.object("o")->object("i")->string("k")), "config.json: o.i.k");
  EXPECT_EQ(root.member("s")->string("x").code(), Code::bad_type);

  EXPECT_FALSE(root.optional_string("nope")->has_value());
  EXPECT_FALSE(root.optional_u64("z", 0, 1)->has_value());
  EXPECT_EQ(**root.optional_u64("u", 0, 9), 7u);
  EXPECT_EQ(root.optional_u64("u", 0, 6).code(), Code::bad_value);
  EXPECT_EQ(root.optional_string("u").code(), Code::bad_type);
  EXPECT_EQ(root.member("s")->optional_string("x").code(), Code::bad_type);

  EXPECT_TRUE(root.object("o")->only({"i", "other"}).ok());
  EXPECT_EQ(root.only({"s"}).code(), Code::unknown_key);
  EXPECT_EQ(where(root.object("o")->only({"x"}, Code::unsupported)), "config.json: o.i");
  EXPECT_EQ(root.object("o")->only({"x"}, Code::unsupported).code(), Code::unsupported);
}

TEST(Json, ReadsRegularFilesOnly) {
  const TempFolder folder;
  folder.write("a.json", "{\"a\":1}");
  EXPECT_TRUE(read_json_file(folder.path() / "a.json", 7).ok());
  EXPECT_EQ(read_json_file(folder.path() / "a.json", 6).code(), Code::limit_exceeded);
  EXPECT_EQ(read_json_file(folder.path() / "b.json", 7).code(), Code::io_error);
  EXPECT_EQ(read_json_file(folder.path(), 7).code(), Code::io_error);
  EXPECT_EQ(read_json_file("/dev/zero", 7).code(), Code::io_error);
  folder.write("bad.json", "{");
  EXPECT_STREQ(read_json_file(folder.path() / "bad.json", 7).error().where, "bad.json");
}

TEST(Json, MutationsGiveAnErrorOrADocument) {
  const std::string text = R"({"a":[1,-2.5e3,"\u00e9\ud83d\ude00é",null,true],"b":{"c":false,"d":{}}})";
  const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  size_t errors = 0;
  const size_t count = for_each_mutation(bytes, [&](std::span<const uint8_t> damaged, size_t) {
    const std::string_view view(reinterpret_cast<const char*>(damaged.data()), damaged.size());
    const auto result = parse(view);
    if (result.ok()) {
      // What was accepted says the same when it is written and read again.
      const auto again = parse(result->dump());
      ASSERT_TRUE(again.ok()) << view;
      EXPECT_EQ(*again, *result);
    } else {
      ++errors;
      EXPECT_LE(result.error().offset, damaged.size());
    }
  });
  EXPECT_GT(count, 700u);
  EXPECT_GT(errors, count / 2);
}

}  // namespace
}  // namespace onepass::test
