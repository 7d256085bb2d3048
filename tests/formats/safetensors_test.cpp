// safetensors: every rule has a malformed file and its exact error; files of the official writer load.
#include "formats/safetensors/safetensors.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>

#include "tests/support/mutations.h"
#include "tests/support/safetensors_writer.h"

namespace onepass::test {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

Result<SafetensorsHeader> parse(std::span<const uint8_t> file) { return parse_safetensors(file, "model.safetensors"); }

// A file whose header field says `length`.
Bytes with_length(uint64_t length, std::string_view rest) {
  Bytes file;
  for (uint32_t i = 0; i < 8; ++i) file.push_back(static_cast<uint8_t>(length >> (8 * i)));
  file.insert(file.end(), rest.begin(), rest.end());
  return file;
}

Bytes file(std::string_view header, size_t data_bytes = 0) { return safetensors_file(header, Bytes(data_bytes)); }

struct BadFile {
  const char* name;
  Bytes bytes;
  Code code;
};

class BadSafetensors : public testing::TestWithParam<BadFile> {};

TEST_P(BadSafetensors, IsRejected) {
  const auto result = parse(GetParam().bytes);
  EXPECT_STREQ(code_name(result.code()), code_name(GetParam().code));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(std::string(result.error().where).rfind("model.safetensors", 0), 0u) << result.error().where;
  EXPECT_NE(result.error().message[0], '\0');
}

Bytes many_tensors(size_t n) {
  std::string header = "{";
  for (size_t i = 0; i < n; ++i) {
    header += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  return file(header + "}");
}

std::string many(std::string_view text, size_t n) {
  std::string all;
  for (size_t i = 0; i < n; ++i) all += text;
  return all;
}

std::string entry(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return R"({"t":{"dtype":)" + std::string(dtype) + R"(,"shape":)" + std::string(shape) + R"(,"data_offsets":)" +
         std::string(offsets) + "}}";
}

INSTANTIATE_TEST_SUITE_P(
    Rules, BadSafetensors,
    testing::Values(
        // The length field.
        BadFile{"empty", {}, Code::truncated}, BadFile{"seven_bytes", Bytes(7), Code::truncated},
        BadFile{"header_of_0", with_length(0, "{}"), Code::bad_value},
        BadFile{"header_of_1", with_length(1, "{}"), Code::bad_value},
        BadFile{"header_beyond_end", with_length(3, "{}"), Code::truncated},
        BadFile{"header_beyond_cap", with_length(100'000'001, "{}"), Code::limit_exceeded},
        BadFile{"header_of_2_to_63", with_length(uint64_t{1} << 63, "{}"), Code::limit_exceeded},
        BadFile{"header_of_max", with_length(UINT64_MAX, "{}"), Code::limit_exceeded},
        // The header's text.
        BadFile{"space_first", file(" {}"), Code::bad_syntax}, BadFile{"array", file("[]"), Code::bad_syntax},
        BadFile{"zeros", file(std::string(4, '\0')), Code::bad_syntax},
        BadFile{"cut_json", file("{\"t\":"), Code::bad_syntax},
        BadFile{"newline_last", file("{}\n"), Code::trailing_bytes},
        BadFile{"tab_then_space", file("{}\t "), Code::trailing_bytes},
        BadFile{"two_objects", file("{}{}"), Code::trailing_bytes},
        BadFile{"nul_last", file(std::string("{}\0", 3)), Code::bad_syntax},
        BadFile{"not_utf8", file("{\"\xFF\":1}"), Code::bad_utf8},
        BadFile{"same_name_twice",
                file(R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                     R"("t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
                Code::duplicate_name},
        BadFile{"dtype_twice", file(R"({"t":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
                Code::duplicate_name},
        BadFile{"too_deep", file("{\"t\":" + std::string(65, '[')), Code::too_deep},
        BadFile{"too_many_tensors", many_tensors(65'537), Code::limit_exceeded},
        BadFile{"too_many_values", file("{\"t\":[0" + many(",0", 2'000'000) + "]}"), Code::limit_exceeded},
        // __metadata__.
        BadFile{"metadata_number", file(R"({"__metadata__":{"a":1}})"), Code::bad_type},
        BadFile{"metadata_null", file(R"({"__metadata__":null})"), Code::bad_type},
        BadFile{"metadata_nested", file(R"({"__metadata__":{"a":{}}})"), Code::bad_type},
        // Names.
        BadFile{"empty_name", file(R"({"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), Code::bad_name},
        BadFile{"nul_in_name", file(R"({"a\u0000b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), Code::bad_name},
        BadFile{"long_name",
                file("{\"" + std::string(256, 'n') + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
                Code::bad_name},
        // An entry is exactly dtype, shape and data_offsets.
        BadFile{"entry_is_array", file("{\"t\":[]}"), Code::bad_type},
        BadFile{"no_dtype", file(R"({"t":{"shape":[0],"data_offsets":[0,0]}})"), Code::missing_key},
        BadFile{"no_shape", file(R"({"t":{"dtype":"U8","data_offsets":[0,0]}})"), Code::missing_key},
        BadFile{"no_offsets", file(R"({"t":{"dtype":"U8","shape":[0]}})"), Code::missing_key},
        BadFile{"fourth_key", file(R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}})"),
                Code::unknown_key},
        BadFile{"dtype_number", file(entry("1", "[0]", "[0,0]")), Code::bad_type},
        BadFile{"dtype_unknown", file(entry("\"F8_E4M3\"", "[0]", "[0,0]")), Code::bad_dtype},
        BadFile{"dtype_lower_case", file(entry("\"f32\"", "[0]", "[0,0]")), Code::bad_dtype},
        BadFile{"shape_number", file(entry("\"U8\"", "4", "[0,4]"), 4), Code::bad_type},
        BadFile{"dim_string", file(entry("\"U8\"", "[\"4\"]", "[0,4]"), 4), Code::bad_type},
        BadFile{"dim_fraction", file(entry("\"U8\"", "[4.0]", "[0,4]"), 4), Code::bad_type},
        BadFile{"dim_exponent", file(entry("\"U8\"", "[4e0]", "[0,4]"), 4), Code::bad_type},
        BadFile{"dim_negative", file(entry("\"U8\"", "[-4]", "[0,4]"), 4), Code::bad_value},
        BadFile{"dim_2_to_31", file(entry("\"U8\"", "[2147483648]", "[0,4]"), 4), Code::bad_value},
        BadFile{"dim_2_to_64", file(entry("\"U8\"", "[18446744073709551616]", "[0,4]"), 4), Code::bad_type},
        BadFile{"rank_9", file(entry("\"U8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1), Code::bad_shape},
        BadFile{"elements_above_cap", file(entry("\"U8\"", "[2147483647,64]", "[0,1]"), 1), Code::limit_exceeded},
        BadFile{"elements_overflow", file(entry("\"U8\"", "[2147483647,2147483647,2147483647]", "[0,1]"), 1),
                Code::limit_exceeded},
        BadFile{"elements_wrap_to_0", file(entry("\"U8\"", "[1073741824,1073741824,16]", "[0,0]")),
                Code::limit_exceeded},
        BadFile{"zero_hides_overflow", file(entry("\"U8\"", "[0,2147483647,2147483647,2147483647]", "[0,0]")),
                Code::limit_exceeded},
        BadFile{"one_offset", file(entry("\"U8\"", "[4]", "[4]"), 4), Code::bad_value},
        BadFile{"three_offsets", file(entry("\"U8\"", "[4]", "[0,4,4]"), 4), Code::bad_value},
        BadFile{"offset_negative", file(entry("\"U8\"", "[4]", "[-4,0]"), 4), Code::bad_value},
        BadFile{"offset_fraction", file(entry("\"U8\"", "[4]", "[0.0,4]"), 4), Code::bad_type},
        BadFile{"offsets_reversed", file(entry("\"U8\"", "[4]", "[4,0]"), 4), Code::bad_value},
        BadFile{"end_behind_file", file(entry("\"U8\"", "[4]", "[0,4]"), 3), Code::truncated},
        BadFile{"end_of_max", file(entry("\"U8\"", "[4]", "[0,18446744073709551615]"), 4), Code::truncated},
        BadFile{"size_below_shape", file(entry("\"F32\"", "[2]", "[0,4]"), 4), Code::size_mismatch},
        BadFile{"size_above_shape", file(entry("\"F16\"", "[]", "[0,4]"), 4), Code::size_mismatch},
        // The tensors cover the data.
        BadFile{"gap_first", file(entry("\"U8\"", "[3]", "[1,4]"), 4), Code::bad_section},
        BadFile{"gap_between",
                file(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                     R"("b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                     3),
                Code::bad_section},
        BadFile{"overlap",
                file(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                     R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                     3),
                Code::bad_section},
        BadFile{"same_bytes",
                file(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                     R"("b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                     2),
                Code::bad_section},
        BadFile{"empty_inside",
                file(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                     R"("b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}})",
                     2),
                Code::bad_section},
        BadFile{"bytes_after_last", file(entry("\"U8\"", "[4]", "[0,4]"), 5), Code::trailing_bytes},
        BadFile{"bytes_without_tensors", file("{}", 1), Code::trailing_bytes}),
    [](const testing::TestParamInfo<BadFile>& info) { return std::string(info.param.name); });

// Made by safetensors 0.5 for Python: {"a": f32 [[1.5,-2,.25]], "b.w": f16 [1,-65504,2^-24], "c": i64 [-1,2]}.
const char* const kOfficial =
    "c8000000000000007b225f5f6d657461646174615f5f223a7b22666f726d6174223a226e70227d2c2263223a7b226474797065223a22493634"
    "222c227368617065223a5b325d2c22646174615f6f666673657473223a5b302c31365d7d2c2261223a7b226474797065223a22463332222c22"
    "7368617065223a5b312c335d2c22646174615f6f666673657473223a5b31362c32385d7d2c22622e77223a7b226474797065223a2246313622"
    "2c227368617065223a5b335d2c22646174615f6f666673657473223a5b32382c33345d7d7dffffffffffffffff02000000000000000000c03f"
    "000000c00000803e003cfffb0100";

TEST(Safetensors, ReadsAFileOfTheOfficialWriter) {
  const Bytes bytes = from_hex(kOfficial);
  const auto header = parse(bytes);
  ASSERT_TRUE(header.ok()) << header.error().message;
  ASSERT_EQ(header->entries.size(), 3u);
  EXPECT_EQ(header->metadata.at("format"), "np");
  const auto& [c, a, b] = std::tie(header->entries[0], header->entries[1], header->entries[2]);
  EXPECT_EQ(c.name, "c");
  EXPECT_EQ(c.dtype, SafetensorsType::i64);
  EXPECT_EQ(c.begin, 208u);
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.shape, (std::vector<uint64_t>{1, 3}));
  EXPECT_EQ(a.elements, 3u);
  EXPECT_EQ(b.name, "b.w");
  EXPECT_EQ(b.end, bytes.size());

  const auto data = [&](const SafetensorsEntry& e) { return std::span(bytes).subspan(e.begin, e.end - e.begin); };
  std::vector<float> out(3);
  ASSERT_TRUE(convert_to_f32(a.dtype, data(a), out, 0, "a").ok());
  EXPECT_EQ(out, (std::vector<float>{1.5f, -2.0f, 0.25f}));
  ASSERT_TRUE(convert_to_f32(b.dtype, data(b), out, 0, "b").ok());
  EXPECT_EQ(out, (std::vector<float>{1.0f, -65504.0f, 0x1p-24f}));
  EXPECT_EQ(convert_to_f32(c.dtype, data(c), std::span(out).first(2), 0, "c").code(), Code::bad_dtype);
}

TEST(Safetensors, GoodEdges) {
  EXPECT_TRUE(parse(file("{}")).ok());
  EXPECT_TRUE(parse(file("{}   ")).ok());
  EXPECT_TRUE(parse(file("{\n}")).ok());
  EXPECT_TRUE(parse(file(R"({"__metadata__":{}})")).ok());
  EXPECT_TRUE(parse(many_tensors(65'536)).ok());
  EXPECT_TRUE(parse(file(entry("\"F64\"", "[]", "[0,8]"), 8)).ok());  // a scalar
  EXPECT_TRUE(parse(file(entry("\"F32\"", "[0,7]", "[0,0]"))).ok());
  EXPECT_TRUE(parse(file(entry("\"U8\"", "[1,1,1,1,1,1,1,1]", "[0,1]"), 1)).ok());
  EXPECT_TRUE(
      parse(file("{\"" + std::string(255, 'n') + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})")).ok());
}

TEST(Safetensors, EveryDtypeHasItsSize) {
  const std::pair<const char*, size_t> types[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                                                  {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};
  for (const auto& [name, size] : types) {
    std::string quoted = "\"";
    quoted.append(name).append("\"");
    const auto good = parse(file(entry(quoted, "[3]", "[0," + std::to_string(3 * size) + "]"), 3 * size));
    ASSERT_TRUE(good.ok()) << name;
    EXPECT_STREQ(name_of(good->entries[0].dtype), name);
    EXPECT_EQ(parse(file(entry(quoted, "[3]", "[0," + std::to_string(3 * size + 1) + "]"), 3 * size + 1)).code(),
              Code::size_mismatch);
  }
}

// The oracle is the definition in double: sign * 2^(e-15) * (1 + f/1024), or f * 2^-24 where e = 0.
TEST(Safetensors, EveryF16IsConvertedExactly) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint8_t bytes[2] = {static_cast<uint8_t>(bits), static_cast<uint8_t>(bits >> 8)};
    float out = 0;
    const Status status = convert_to_f32(SafetensorsType::f16, bytes, {&out, 1}, 0, "t");
    const int exponent = static_cast<int>(bits >> 10) & 31;
    const double fraction = bits & 1023;
    if (exponent == 31) {
      EXPECT_EQ(status.code(), Code::non_finite) << bits;
      continue;
    }
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1 + fraction / 1024, exponent - 15);
    ASSERT_TRUE(status.ok()) << bits;
    EXPECT_EQ(static_cast<double>(out), bits >= 32768 ? -magnitude : magnitude) << bits;
    EXPECT_EQ(std::signbit(out), bits >= 32768) << bits;
  }
}

TEST(Safetensors, EveryBf16IsTheUpperHalfOfItsF32) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint8_t bytes[2] = {static_cast<uint8_t>(bits), static_cast<uint8_t>(bits >> 8)};
    float out = 0;
    const Status status = convert_to_f32(SafetensorsType::bf16, bytes, {&out, 1}, 0, "t");
    const float expected = std::bit_cast<float>(bits << 16);
    EXPECT_EQ(status.ok(), ((bits >> 7) & 255) != 255) << bits;
    if (status.ok()) {
      EXPECT_EQ(std::bit_cast<uint32_t>(out), std::bit_cast<uint32_t>(expected)) << bits;
    }
  }
}

TEST(Safetensors, NonFiniteValuesNameTensorAndElement) {
  const auto convert_f64 = [](double value) {
    const auto bits = std::bit_cast<uint64_t>(value);
    uint8_t bytes[9] = {};
    for (uint32_t i = 0; i < 8; ++i) bytes[i + 1] = static_cast<uint8_t>(bits >> (8 * i));
    float out = 0;
    return convert_to_f32(SafetensorsType::f64, std::span(bytes).subspan(1), {&out, 1}, 41, "file: t").code();
  };
  EXPECT_EQ(convert_f64(1.0), Code::ok);
  EXPECT_EQ(convert_f64(-static_cast<double>(std::numeric_limits<float>::max())), Code::ok);
  EXPECT_EQ(convert_f64(3.5e38), Code::non_finite);
  EXPECT_EQ(convert_f64(-1e308), Code::non_finite);
  EXPECT_EQ(convert_f64(std::numeric_limits<double>::quiet_NaN()), Code::non_finite);
  EXPECT_EQ(convert_f64(-std::numeric_limits<double>::infinity()), Code::non_finite);
  const uint8_t bytes[8] = {0, 0, 0, 0, 0, 0, 0xC0, 0x7F};  // 0, NaN
  float out[2];
  const Status status = convert_to_f32(SafetensorsType::f32, bytes, out, 40, "file: t");
  ASSERT_EQ(status.code(), Code::non_finite);
  EXPECT_STREQ(status.error().where, "file: t");
  EXPECT_NE(std::string(status.error().message).find("element 41 "), std::string::npos) << status.error().message;
}

TEST(Safetensors, MutationsGiveAnErrorOrAWellFormedHeader) {
  const float values[] = {1.0f, 2.0f, 3.0f};
  const std::vector<SafetensorsTensor> tensors = {
      f32_tensor("a.weight", {3, 1}, values), {"b", "BF16", {1}, {0, 0x3F}}, {"c", "BOOL", {}, {1}}};
  const Bytes good = write_safetensors(tensors, {{"format", "pt"}});
  ASSERT_TRUE(parse(good).ok());
  const size_t count = for_each_mutation(good, [&](std::span<const uint8_t> damaged, size_t) {
    const auto header = parse(damaged);
    if (!header.ok()) return;
    ASSERT_EQ(damaged.size(), good.size()) << "a truncated file must not load";
    uint64_t covered = header->data_begin;
    for (const SafetensorsEntry& e : header->entries) {
      ASSERT_EQ(e.begin, covered);
      ASSERT_EQ(e.end - e.begin, e.elements * size_of(e.dtype));
      covered = e.end;
      std::vector<float> out(e.elements);
      (void)convert_to_f32(e.dtype, damaged.subspan(e.begin, e.end - e.begin), out, 0, e.name).ok();
    }
    ASSERT_EQ(covered, damaged.size());
  });
  EXPECT_GT(count, 2000u);
}

}  // namespace
}  // namespace onepass::test
