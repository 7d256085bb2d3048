// GGUF: every rule has a malformed file and its exact error; values of every type are read; damage is an error or a
// well-formed header.
#include "formats/gguf/gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/gguf_writer.h"
#include "tests/support/mutations.h"

namespace onepass::test {
namespace {

using Bytes = std::vector<uint8_t>;

Result<GgufHeader> parse(std::span<const uint8_t> file) { return parse_gguf(file, "m.gguf"); }

constexpr uint64_t kKeyAt = 24;                    // of the first key, or of the first tensor info where there is none
constexpr uint64_t kValueAt = kKeyAt + 8 + 1 + 4;  // of the value of a key with a name of one letter
constexpr uint64_t kInfoAt = kKeyAt + 8 + 1;       // behind the name of one letter of the first tensor

struct BadFile {
  const char* name;
  Bytes bytes;
  Code code;
  uint64_t offset = Error::no_offset;  // checked where one is given
};

class BadGguf : public testing::TestWithParam<BadFile> {};

TEST_P(BadGguf, IsRejected) {
  const auto result = parse(GetParam().bytes);
  EXPECT_STREQ(code_name(result.code()), code_name(GetParam().code));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(std::string(result.error().where).rfind("m.gguf", 0), 0u) << result.error().where;
  EXPECT_NE(result.error().message[0], '\0');
  if (GetParam().offset != Error::no_offset) {
    EXPECT_EQ(result.error().offset, GetParam().offset) << result.error().message;
  }
}

std::string case_name(const testing::TestParamInfo<BadFile>& info) { return info.param.name; }

Bytes cut(Bytes bytes, size_t n) {
  bytes.resize(n);
  return bytes;
}

Bytes prefix(std::string_view magic, uint32_t version, uint64_t tensors, uint64_t keys) {
  return GgufBytes().raw(magic).u32(version).u64(tensors).u64(keys).bytes;
}

// One key "k" of this type and value, with room behind it for whatever its counts promise.
Bytes one_key(uint32_t type, const GgufBytes& value) { return GgufFile().key("k", type, value).file(); }

// One tensor "t", data of zeros.
Bytes one_tensor(const std::vector<uint64_t>& dims, uint32_t type, size_t data, std::optional<uint64_t> offset = {}) {
  return GgufFile().tensor("t", dims, type, Bytes(data), offset).file();
}

// The info of one tensor "t" and no data.
Bytes only_info(const std::vector<uint64_t>& dims, uint32_t type = 0, uint64_t offset = 0) {
  GgufBytes info;
  info.string("t").u32(static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) info.u64(dim);
  return GgufFile().infos(info.u32(type).u64(offset)).file();
}

Bytes with_version(uint32_t version) {
  GgufFile file;
  file.version = version;
  return file.file();
}

Bytes with_counts(std::optional<uint64_t> tensors, std::optional<uint64_t> keys) {
  GgufFile file;
  file.key_u32("k", 1).tensor("t", {1}, 0, Bytes(4));
  file.tensor_count = tensors;
  file.key_count = keys;
  return file.file();
}

Bytes many_keys(size_t n) {
  GgufFile file;
  for (size_t i = 0; i < n; ++i) file.key_bool(std::to_string(i), 1);
  return file.file();
}

Bytes many_tensors(size_t n) {
  GgufFile file;
  file.alignment = 8;
  file.key_u32("general.alignment", 8);
  for (size_t i = 0; i < n; ++i) file.tensor(std::to_string(i), {1}, 0, Bytes(4));
  return file.file();
}

Bytes aligned(uint32_t alignment) { return GgufFile().key_u32("general.alignment", alignment).file(); }

INSTANTIATE_TEST_SUITE_P(
    Prefix, BadGguf,
    testing::Values(BadFile{"empty", {}, Code::truncated, 0},
                    BadFile{"three_bytes", {'G', 'G', 'U'}, Code::truncated, 3},
                    BadFile{"magic_alone", {'G', 'G', 'U', 'F'}, Code::truncated, 4},
                    BadFile{"no_counts", cut(GgufFile().file(), 8), Code::truncated, 8},
                    BadFile{"one_count", cut(GgufFile().file(), 16), Code::truncated, 8},
                    BadFile{"cut_count", cut(GgufFile().file(), 23), Code::truncated, 8},
                    BadFile{"ggml", prefix("ggml", 3, 0, 0), Code::bad_magic, 0},
                    BadFile{"lower_case", prefix("gguf", 3, 0, 0), Code::bad_magic, 0},
                    BadFile{"magic_swapped", prefix("FUGG", 3, 0, 0), Code::bad_magic, 0},
                    BadFile{"zeros", Bytes(64), Code::bad_magic, 0},
                    BadFile{"version_0", with_version(0), Code::bad_version, 4},
                    BadFile{"version_1", with_version(1), Code::bad_version, 4},
                    BadFile{"version_4", with_version(4), Code::bad_version, 4},
                    BadFile{"version_max", with_version(UINT32_MAX), Code::bad_version, 4},
                    BadFile{"version_2_swapped", with_version(0x02000000), Code::bad_endian, 4},
                    BadFile{"version_3_swapped", with_version(0x03000000), Code::bad_endian, 4},
                    BadFile{"tensors_65537", with_counts(65'537, {}), Code::limit_exceeded, 8},
                    BadFile{"tensors_max", with_counts(UINT64_MAX, {}), Code::limit_exceeded, 8},
                    BadFile{"tensors_negative", with_counts(uint64_t{1} << 63, {}), Code::limit_exceeded, 8},
                    BadFile{"keys_65537", with_counts({}, 65'537), Code::limit_exceeded, 16},
                    BadFile{"keys_max", with_counts({}, UINT64_MAX), Code::limit_exceeded, 16},
                    BadFile{"keys_wrap", with_counts({}, (uint64_t{1} << 60)), Code::limit_exceeded, 16},
                    BadFile{"tensors_beyond_end", with_counts(65'536, {}), Code::truncated, 8},
                    BadFile{"keys_beyond_end", with_counts({}, 65'536), Code::truncated, 8},
                    BadFile{"too_many_keys", many_keys(65'537), Code::limit_exceeded, 16},
                    BadFile{"too_many_tensors", many_tensors(65'537), Code::limit_exceeded, 8}),
    case_name);

std::vector<BadFile> bad_keys() {
  const auto key = [](const GgufBytes& bytes) {
    GgufBytes out;
    out.raw("GGUF").u32(3).u64(0).u64(1);
    out.bytes.insert(out.bytes.end(), bytes.bytes.begin(), bytes.bytes.end());
    return out.bytes;
  };
  std::vector<BadFile> all = {
      {"name_empty", GgufFile().key_u32("", 1).file(), Code::bad_name, kKeyAt},
      {"name_256", GgufFile().key_u32(std::string(256, 'k'), 1).file(), Code::bad_name, kKeyAt},
      {"name_nul", GgufFile().key_u32(std::string_view("a\0b", 3), 1).file(), Code::bad_name, kKeyAt},
      {"name_not_utf8", GgufFile().key_u32("\xFF", 1).file(), Code::bad_utf8, kKeyAt},
      {"name_overlong", GgufFile().key_u32("\xC0\x80", 1).file(), Code::bad_utf8, kKeyAt},
      {"name_beyond_end", key(GgufBytes().u64(200).raw("k").u32(4).u32(1)), Code::truncated, kKeyAt},
      {"name_of_max", key(GgufBytes().u64(UINT64_MAX).raw("k").u32(4).u32(1)), Code::bad_name, kKeyAt},
      {"type_13", one_key(13, GgufBytes().u64(0)), Code::unknown_value, kKeyAt + 9},
      {"type_max", one_key(UINT32_MAX, GgufBytes().u64(0)), Code::unknown_value, kKeyAt + 9},
      {"u32_cut", one_key(4, GgufBytes().u8(1)), Code::truncated, kValueAt},
      {"u64_cut", one_key(10, GgufBytes().u32(1)), Code::truncated, kValueAt},
      {"u16_cut", one_key(2, GgufBytes().u8(1)), Code::truncated, kValueAt},
      {"f64_cut", one_key(12, GgufBytes().u32(1)), Code::truncated, kValueAt},
      {"bool_2", one_key(7, GgufBytes().u8(2)), Code::bad_value, kValueAt},
      {"bool_255", one_key(7, GgufBytes().u8(255)), Code::bad_value, kValueAt},
      {"string_cut_length", one_key(8, GgufBytes().u32(1)), Code::truncated, kValueAt},
      {"string_beyond_end", one_key(8, GgufBytes().u64(5).raw("four")), Code::truncated, kValueAt},
      {"string_16_mib_1", one_key(8, GgufBytes().u64((16u << 20) + 1)), Code::limit_exceeded, kValueAt},
      {"string_of_max", one_key(8, GgufBytes().u64(UINT64_MAX)), Code::limit_exceeded, kValueAt},
      {"string_not_utf8", one_key(8, GgufBytes().string("\xED\xA0\x80")), Code::bad_utf8, kValueAt},
      {"array_cut_type", one_key(9, GgufBytes().u8(4)), Code::truncated, kValueAt},
      {"array_cut_count", one_key(9, GgufBytes().u32(4).u32(1)), Code::truncated, kValueAt + 4},
      {"array_type_13", one_key(9, GgufBytes().u32(13).u64(0)), Code::unknown_value, kValueAt},
      {"array_of_arrays", one_key(9, GgufBytes().u32(9).u64(1).u32(4).u64(0)), Code::too_deep, kValueAt},
      {"array_of_no_arrays", one_key(9, GgufBytes().u32(9).u64(0)), Code::too_deep, kValueAt},
      {"array_beyond_cap", one_key(9, GgufBytes().u32(0).u64((1u << 24) + 1)), Code::limit_exceeded, kValueAt + 4},
      {"array_of_max", one_key(9, GgufBytes().u32(0).u64(UINT64_MAX)), Code::limit_exceeded, kValueAt + 4},
      {"array_wraps", one_key(9, GgufBytes().u32(10).u64(uint64_t{1} << 61)), Code::limit_exceeded, kValueAt + 4},
      {"array_beyond_end", one_key(9, GgufBytes().u32(4).u64(2).u32(1)), Code::truncated, kValueAt + 4},
      {"array_much_beyond_end", one_key(9, GgufBytes().u32(12).u64(1u << 24)), Code::truncated, kValueAt + 4},
      {"array_bool_2", one_key(9, GgufBytes().u32(7).u64(3).u8(0).u8(1).u8(2)), Code::bad_value, kValueAt + 14},
      {"array_strings_beyond_end", one_key(9, GgufBytes().u32(8).u64(1u << 20)), Code::truncated, kValueAt + 4},
      {"array_string_cut", one_key(9, GgufBytes().u32(8).u64(2).string("ab").u64(9)), Code::truncated, kValueAt + 22},
      {"array_string_too_long", one_key(9, GgufBytes().u32(8).u64(1).u64(1u << 25)), Code::limit_exceeded,
       kValueAt + 12},
      {"array_string_not_utf8", one_key(9, GgufBytes().u32(8).u64(1).string("\x80")), Code::bad_utf8, kValueAt + 12},
      {"key_twice", GgufFile().key_u32("k", 1).key_u32("k", 1).file(), Code::duplicate_name, kKeyAt + 17},
      {"key_twice_other_type", GgufFile().key_u32("k", 1).key_text("k", "").file(), Code::duplicate_name, kKeyAt + 17},
      {"alignment_0", aligned(0), Code::bad_value},
      {"alignment_4", aligned(4), Code::bad_value},
      {"alignment_24", aligned(24), Code::bad_value},
      {"alignment_131072", aligned(131'072), Code::bad_value},
      {"alignment_max", aligned(UINT32_MAX), Code::bad_value},
      {"alignment_i32", GgufFile().key("general.alignment", 5, GgufBytes().u32(32)).file(), Code::bad_type},
      {"alignment_u64", GgufFile().key("general.alignment", 10, GgufBytes().u64(32)).file(), Code::bad_type},
      {"alignment_text", GgufFile().key_text("general.alignment", "32").file(), Code::bad_type},
  };
  return all;
}
INSTANTIATE_TEST_SUITE_P(Keys, BadGguf, testing::ValuesIn(bad_keys()), case_name);

std::vector<BadFile> bad_tensors() {
  const uint64_t type_at = kInfoAt + 4 + 8, offset_at = type_at + 4;  // of a tensor of one dimension
  GgufFile twice, gap_filled, overlap, gap, order, misaligned, wide;
  twice.tensor("t", {1}, 0, Bytes(4)).tensor("t", {1}, 0, Bytes(4));
  gap_filled.tensor("a", {1}, 0, {0, 0, 0, 0, 1}).tensor("b", {1}, 0, Bytes(4));
  overlap.tensor("a", {16}, 0, Bytes(64)).tensor("b", {8}, 0, Bytes(32), 32);
  gap.tensor("a", {8}, 0, Bytes(32)).tensor("b", {8}, 0, Bytes(64), 64);
  order.tensor("a", {8}, 0, Bytes(32), 32).tensor("b", {8}, 0, Bytes(32), 0);
  wide.key_u32("general.alignment", 64);
  wide.tensor("a", {8}, 0, Bytes(32)).tensor("b", {8}, 0, Bytes(32));  // 32 apart, as the alignment 32 would have it
  Bytes padded = one_tensor({8}, 0, 32);
  GgufFile dirty_header;
  dirty_header.padding = 7;
  dirty_header.tensor("t", {8}, 0, Bytes(32));
  Bytes dirty_end = one_tensor({7}, 0, 28);
  dirty_end.back() = 1;
  const auto longer = [&](size_t n) {
    Bytes bytes = padded;
    bytes.resize(bytes.size() + n);
    return bytes;
  };
  const std::string long_name(64, 'n');
  return {
      {"name_empty", GgufFile().tensor("", {1}, 0, Bytes(4)).file(), Code::bad_name, kKeyAt},
      {"name_64", GgufFile().tensor(long_name, {1}, 0, Bytes(4)).file(), Code::bad_name, kKeyAt},
      {"name_nul", GgufFile().tensor(std::string_view("a\0", 2), {1}, 0, Bytes(4)).file(), Code::bad_name, kKeyAt},
      {"name_not_utf8", GgufFile().tensor("\xC3", {1}, 0, Bytes(4)).file(), Code::bad_utf8, kKeyAt},
      {"name_beyond_end", GgufFile().infos(GgufBytes().u64(60).raw(std::string(40, 't'))).file(), Code::truncated,
       kKeyAt},
      {"tensor_twice", twice.file(), Code::duplicate_name, kKeyAt + 33},
      {"rank_0", GgufFile().infos(GgufBytes().string("t").u32(0).u64(1).u32(0).u64(0)).file(), Code::bad_shape,
       kInfoAt},
      {"rank_5", one_tensor({1, 1, 1, 1, 1}, 0, 4), Code::bad_shape, kInfoAt},
      {"rank_max", GgufFile().infos(GgufBytes().string("t").u32(UINT32_MAX).u64(1).u32(0).u64(0)).file(),
       Code::bad_shape, kInfoAt},
      {"rank_cut", cut(only_info({1}), kInfoAt + 2), Code::truncated, 8},
      {"dim_0", only_info({0}), Code::bad_shape, kInfoAt + 4},
      {"dim_0_second", only_info({32, 0}), Code::bad_shape, kInfoAt + 12},
      {"dim_2_to_31", only_info({uint64_t{1} << 31}), Code::limit_exceeded, kInfoAt + 4},
      {"dim_max", only_info({UINT64_MAX}), Code::limit_exceeded, kInfoAt + 4},
      {"elements_above_cap", only_info({(1u << 31) - 1, 64}), Code::limit_exceeded, kInfoAt + 12},
      {"elements_wrap", only_info({1u << 30, 1u << 30, 16}), Code::limit_exceeded, kInfoAt + 12},
      {"elements_overflow", only_info({1u << 30, 4, (1u << 31) - 1, (1u << 31) - 1}), Code::limit_exceeded,
       kInfoAt + 20},
      {"type_q8_1", only_info({32}, 9), Code::bad_dtype, type_at},
      {"type_q4_2_removed", only_info({32}, 4), Code::bad_dtype, type_at},
      {"type_iq2_xxs", only_info({256}, 16), Code::bad_dtype, type_at},
      {"type_i32", only_info({1}, 26), Code::bad_dtype, type_at},
      {"type_f64", only_info({1}, 28), Code::bad_dtype, type_at},
      {"type_mxfp4", only_info({32}, 39), Code::bad_dtype, type_at},
      {"type_max", only_info({1}, UINT32_MAX), Code::bad_dtype, type_at},
      {"block_q4_0", only_info({33}, 2), Code::bad_shape, type_at},
      {"block_q8_0", only_info({16, 2}, 8), Code::bad_shape, type_at + 8},
      {"block_q4_k", only_info({128, 2}, 12), Code::bad_shape, type_at + 8},
      {"block_iq4_xs", only_info({32}, 23), Code::bad_shape, type_at},
      {"offset_4", one_tensor({1}, 0, 4, 4), Code::misaligned, offset_at},
      {"offset_max", one_tensor({1}, 0, 4, UINT64_MAX), Code::misaligned, offset_at},
      {"offset_32", one_tensor({1}, 0, 36, 32), Code::bad_section, offset_at},
      {"offset_wraps", one_tensor({1}, 0, 4, UINT64_MAX - 31), Code::bad_section, offset_at},
      {"overlap", overlap.file(), Code::bad_section},
      {"gap", gap.file(), Code::bad_section},
      {"wrong_order", order.file(), Code::bad_section},
      {"alignment_not_kept", wide.file(), Code::misaligned},
      {"no_data", only_info({1}), Code::truncated},
      {"data_cut", cut(padded, padded.size() - 1), Code::truncated},
      {"data_of_2_to_38", only_info({1u << 30, 64}), Code::truncated},
      {"padding_behind_header", dirty_header.file(), Code::nonzero_padding, kKeyAt + 33},
      {"padding_between", gap_filled.file(), Code::nonzero_padding},
      {"padding_behind_last", dirty_end, Code::nonzero_padding, 96 - 1},
      {"a_byte_behind", longer(1), Code::trailing_bytes, 96},
      {"an_alignment_behind", longer(32), Code::trailing_bytes, 96},
  };
}
INSTANTIATE_TEST_SUITE_P(Tensors, BadGguf, testing::ValuesIn(bad_tensors()), case_name);

TEST(Gguf, ReadsValuesOfEveryType) {
  GgufFile file;
  file.key("u8", 0, GgufBytes().u8(200)).key("i8", 1, GgufBytes().u8(0xFE));
  file.key("u16", 2, GgufBytes().u8(1).u8(2)).key("i16", 3, GgufBytes().u8(0xFF).u8(0xFF));
  file.key_u32("u32", 4'000'000'000).key("i32", 5, GgufBytes().u32(UINT32_MAX)).key_f32("f32", -1.5f);
  file.key_bool("yes", 1).key_bool("no", 0).key_text("text", "\xC3\xA9").key_text("none", "");
  file.key("u64", 10, GgufBytes().u64(uint64_t{1} << 40)).key("i64", 11, GgufBytes().u64(UINT64_MAX));
  file.key("f64", 12, GgufBytes().u64(0x3FF8000000000000));
  file.key_texts("texts", {"a", "", "bc"}).key_f32s("f32s", {1, -2}).key_i32s("i32s", {-1, 7});
  file.key("bytes", 9, GgufBytes().u32(0).u64(2).u8(0).u8(255));
  file.key("signed", 9, GgufBytes().u32(1).u64(1).u8(255));
  file.key("flags", 9, GgufBytes().u32(7).u64(2).u8(1).u8(0));
  file.key("nothing", 9, GgufBytes().u32(12).u64(0));
  const auto header = parse(file.file());
  ASSERT_TRUE(header.ok()) << header.error().message;
  const GgufMetadata& m = header->metadata;
  EXPECT_EQ(m.values().size(), 21u);
  EXPECT_EQ(m.find("u8")->bits, 200u);
  EXPECT_EQ(m.find("u16")->bits, 0x201u);
  EXPECT_EQ(m.find("u64")->bits, uint64_t{1} << 40);
  EXPECT_EQ(m.find("f64")->bits, 0x3FF8000000000000u);
  EXPECT_EQ(m.u32("u32").value(), 4'000'000'000u);
  EXPECT_EQ(m.f32("f32").value(), -1.5f);
  EXPECT_EQ(m.text("text").value(), "\xC3\xA9");
  EXPECT_EQ(m.text("none").value(), "");
  EXPECT_EQ(m.texts("texts").value(), (std::vector<std::string>{"a", "", "bc"}));
  EXPECT_EQ(m.f32s("f32s").value(), (std::vector<float>{1, -2}));
  EXPECT_EQ(m.i32s("i32s").value(), (std::vector<int32_t>{-1, 7}));
  EXPECT_EQ(m.bytes("bytes").value(), std::string("\0\xFF", 2));
  EXPECT_EQ(m.bytes("signed").value(), "\xFF");
  EXPECT_EQ(m.booleans("flags").value(), (std::vector<uint8_t>{1, 0}));
  EXPECT_EQ(m.optional_boolean("yes").value(), true);
  EXPECT_EQ(m.optional_boolean("no").value(), false);
  EXPECT_EQ(m.optional_boolean("absent").value(), std::nullopt);
  EXPECT_EQ(m.optional_u32("absent").value(), std::nullopt);
  EXPECT_EQ(m.optional_f32("f32").value(), -1.5f);
  EXPECT_EQ(m.optional_text("text").value(), "\xC3\xA9");
}

TEST(Gguf, AKeyIsOfItsTypeExactly) {
  GgufFile file;
  file.key_u32("u32", 1).key_f32("nan", std::numeric_limits<float>::quiet_NaN()).key_texts("texts", {"a"});
  file.key_f32s("f32s", {0, std::numeric_limits<float>::infinity()}).key("i32", 5, GgufBytes().u32(1));
  const auto header = parse(file.file());
  ASSERT_TRUE(header.ok());
  const GgufMetadata& m = header->metadata;
  EXPECT_EQ(m.u32("i32").code(), Code::bad_type);
  EXPECT_EQ(m.optional_u32("i32").code(), Code::bad_type);
  EXPECT_EQ(m.f32("u32").code(), Code::bad_type);
  EXPECT_EQ(m.text("texts").code(), Code::bad_type);
  EXPECT_EQ(m.texts("f32s").code(), Code::bad_type);
  EXPECT_EQ(m.i32s("f32s").code(), Code::bad_type);
  EXPECT_EQ(m.i32s("u32").code(), Code::bad_type);
  EXPECT_EQ(m.bytes("texts").code(), Code::bad_type);
  EXPECT_EQ(m.booleans("f32s").code(), Code::bad_type);
  EXPECT_EQ(m.optional_boolean("u32").code(), Code::bad_type);
  EXPECT_EQ(m.u32("absent").code(), Code::missing_key);
  EXPECT_EQ(m.texts("absent").code(), Code::missing_key);
  EXPECT_EQ(m.f32("nan").code(), Code::non_finite);
  const auto infinite = m.f32s("f32s");
  ASSERT_EQ(infinite.code(), Code::non_finite);
  EXPECT_EQ(infinite.error().offset, m.find("f32s")->offset + 16);
  EXPECT_STREQ(infinite.error().where, "m.gguf: f32s");
}

TEST(Gguf, GoodEdges) {
  EXPECT_TRUE(parse(GgufFile().file()).ok());  // nothing in it
  GgufFile second;
  second.version = 2;
  second.tensor("t", {1}, 0, Bytes(4));
  EXPECT_TRUE(parse(second.file()).ok());
  EXPECT_TRUE(parse(many_keys(65'536)).ok());
  EXPECT_TRUE(parse(many_tensors(65'536)).ok());
  EXPECT_TRUE(parse(GgufFile().key_u32(std::string(255, 'k'), 1).file()).ok());
  EXPECT_TRUE(parse(GgufFile().tensor(std::string(63, 'n'), {1, 1, 1, 1}, 0, Bytes(4)).file()).ok());
  EXPECT_TRUE(parse(cut(one_tensor({1}, 0, 4), 68)).ok());  // the last tensor not filled up
  for (const uint32_t alignment : {8u, 16u, 64u, 65'536u}) {
    GgufFile file;
    file.alignment = alignment;
    file.key_u32("general.alignment", alignment).tensor("a", {3}, 0, Bytes(12)).tensor("b", {3}, 1, Bytes(6));
    const auto header = parse(file.file());
    ASSERT_TRUE(header.ok()) << alignment << header.error().message;
    EXPECT_EQ(header->tensors[1].begin % alignment, 0u);
  }
  // Without tensors a file ends behind its keys, or at the alignment.
  Bytes keys = GgufFile().key_u32("k", 1).file();
  EXPECT_TRUE(parse(keys).ok());
  keys.resize(64);
  EXPECT_TRUE(parse(keys).ok());
}

TEST(Gguf, TensorsAreWhereTheFileSays) {
  GgufFile file;
  file.tensor("w", {32, 3}, 2, Bytes(54, 1)).tensor("v", {5}, 0, Bytes(20, 2));
  const Bytes bytes = file.file();
  const auto header = parse(bytes);
  ASSERT_TRUE(header.ok()) << header.error().message;
  const GgufTensor& w = header->tensors[0];
  EXPECT_EQ(w.name, "w");
  EXPECT_EQ(w.type, GgmlType::q4_0);
  EXPECT_EQ(w.shape, (std::vector<uint64_t>{3, 32}));
  EXPECT_EQ(w.elements, 96u);
  EXPECT_EQ(w.end - w.begin, 54u);
  EXPECT_EQ(header->tensors[1].begin, w.begin + 64);
  EXPECT_EQ(bytes[w.begin], 1);
  EXPECT_EQ(bytes[header->tensors[1].begin], 2);
}

// What is accepted has tensors inside the file, apart and in order, and every one can be read.
void check_accepted(const GgufHeader& header, std::span<const uint8_t> file) {
  uint64_t covered = 0;
  for (const GgufTensor& t : header.tensors) {
    ASSERT_GE(t.begin, covered);
    ASSERT_LE(t.end, file.size());
    const GgmlTypeInfo& info = info_of(t.type);
    ASSERT_EQ(t.end - t.begin, t.elements / info.block * info.bytes);
    ASSERT_EQ(t.begin % header.alignment, 0u);
    covered = t.end;
    std::vector<float> out(t.elements);
    (void)dequantize(t.type, file.subspan(t.begin, t.end - t.begin), out, 0, t.name).ok();
  }
}

TEST(Gguf, MutationsGiveAnErrorOrAWellFormedHeader) {
  GgufFile file;
  file.key_u32("general.alignment", 16).key_text("general.architecture", "bert").key_texts("tokens", {"a", "bc"});
  file.key_f32s("scores", {0, -1}).key_bool("flag", 1).key("u64", 10, GgufBytes().u64(5));
  file.alignment = 16;
  file.tensor("a.weight", {32, 2}, 2, Bytes(36, 3)).tensor("b", {5}, 0, Bytes(20)).tensor("c", {4}, 30, Bytes(8));
  const Bytes good = file.file();
  ASSERT_TRUE(parse(good).ok());
  const size_t count = for_each_mutation(good, [&](std::span<const uint8_t> damaged, size_t) {
    const auto header = parse(damaged);
    if (!header.ok()) {
      ASSERT_NE(header.error().message[0], '\0');
      return;
    }
    // Only the zeros behind the last tensor can be cut off.
    ASSERT_GE(damaged.size(), good.size() - 8);
    check_accepted(header.value(), damaged);
  });
  EXPECT_GT(count, 3000u);
}

TEST(Gguf, EveryTruncationOfTheHeaderIsTruncated) {
  GgufFile file;
  file.key_texts("tokens", {"a", "bc"}).key_u32("n", 1).tensor("a", {32, 2}, 8, Bytes(68, 3));
  const Bytes good = file.file();
  for (size_t n = 4; n < good.size() - 28; ++n) {
    EXPECT_EQ(parse(cut(good, n)).code(), Code::truncated) << n;
  }
}

}  // namespace
}  // namespace onepass::test
