// Blocks of every type: bit-equal to the gguf package's and ggml's own values (tools/dev/gguf_fixtures.py).
#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "formats/gguf/gguf.h"

namespace onepass::test {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes read_fixture(const std::string& name) {
  std::ifstream file(std::filesystem::path(std::getenv("ONEPASS_FIXTURES")) / "gguf" / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::span<const uint8_t> data_of(const Bytes& file, const GgufTensor& t) {
  return std::span(file).subspan(static_cast<size_t>(t.begin), static_cast<size_t>(t.end - t.begin));
}

size_t bits_that_differ(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return SIZE_MAX;
  size_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i]) ? 1 : 0;
  return count;
}

TEST(GgufDequantize, TheComparerSeesEveryBit) {
  const float a[] = {0.0f, 1.0f}, negative_zero[] = {-0.0f, 1.0f}, next[] = {0.0f, std::bit_cast<float>(0x3F800001u)};
  EXPECT_EQ(bits_that_differ(a, a), 0u);
  EXPECT_EQ(bits_that_differ(a, negative_zero), 1u);
  EXPECT_EQ(bits_that_differ(a, next), 1u);
  EXPECT_EQ(bits_that_differ(a, std::span(a).first(1)), SIZE_MAX);
}

class Fixture : public testing::TestWithParam<std::pair<const char*, size_t>> {};

TEST_P(Fixture, EveryTypeIsBitEqual) {
  const Bytes file = read_fixture(GetParam().first);
  const auto header = parse_gguf(file, GetParam().first);
  ASSERT_TRUE(header.ok()) << header.error().message;
  std::map<std::string, const GgufTensor*> tensors;
  for (const GgufTensor& t : header->tensors) tensors[t.name] = &t;
  size_t types = 0;
  for (const auto& [name, t] : tensors) {
    if (!name.starts_with("w.")) continue;
    EXPECT_EQ(name.substr(2), info_of(t->type).name);
    const GgufTensor& values = *tensors.at("v." + name.substr(2));
    std::vector<float> expected(values.elements), out(t->elements);
    ASSERT_TRUE(dequantize(GgmlType::f32, data_of(file, values), expected, 0, name).ok());
    const Status status = dequantize(t->type, data_of(file, *t), out, 0, name);
    ASSERT_TRUE(status.ok()) << name << ": " << status.error().message;
    EXPECT_EQ(bits_that_differ(expected, out), 0u) << name;
    // A part of the blocks gives that part of the values.
    const GgmlTypeInfo& info = info_of(t->type);
    ASSERT_TRUE(
        dequantize(t->type, data_of(file, *t).subspan(info.bytes), std::span(out).subspan(info.block), info.block, name)
            .ok());
    EXPECT_EQ(bits_that_differ(expected, out), 0u) << name;
    ++types;
  }
  EXPECT_EQ(types, GetParam().second);
}
INSTANTIATE_TEST_SUITE_P(Files, Fixture,
                         testing::Values(std::pair("package.gguf", 8), std::pair("ggml.gguf", 15),
                                         std::pair("random.gguf", 15)),
                         [](const auto& info) { return std::filesystem::path(info.param.first).stem().string(); });

TEST(GgufDequantize, AScaleThatIsNotFiniteIsNamedWithItsElement) {
  struct Case {
    GgmlType type;
    std::vector<size_t> scales;  // bytes in a block
  };
  const Case cases[] = {{GgmlType::f16, {0}},       {GgmlType::q4_0, {0}},    {GgmlType::q4_1, {0, 2}},
                        {GgmlType::q5_0, {0}},      {GgmlType::q5_1, {0, 2}}, {GgmlType::q8_0, {0}},
                        {GgmlType::q2_k, {80, 82}}, {GgmlType::q3_k, {108}},  {GgmlType::q4_k, {0, 2}},
                        {GgmlType::q5_k, {0, 2}},   {GgmlType::q6_k, {208}},  {GgmlType::iq4_nl, {0}},
                        {GgmlType::iq4_xs, {0}}};
  for (const Case& c : cases) {
    const GgmlTypeInfo& info = info_of(c.type);
    for (const size_t scale : c.scales) {
      for (const unsigned bad : {0x7C00u, 0xFC00u, 0x7E00u, 0x7C01u}) {
        Bytes blocks(2 * info.bytes);  // of zeros: even codes of 0 do not hide it
        std::vector<float> out(2 * info.block);
        EXPECT_TRUE(dequantize(c.type, blocks, out, 0, "t").ok()) << info.name;
        blocks[info.bytes + scale] = static_cast<uint8_t>(bad);
        blocks[info.bytes + scale + 1] = static_cast<uint8_t>(bad >> 8);
        const Status status = dequantize(c.type, blocks, out, 1000, "m.gguf: t");
        ASSERT_EQ(status.code(), Code::non_finite) << info.name << " " << scale;
        EXPECT_STREQ(status.error().where, "m.gguf: t");
        const std::string element = "element " + std::to_string(1000 + info.block) + " ";
        EXPECT_NE(std::string(status.error().message).find(element), std::string::npos) << status.error().message;
      }
    }
  }
  const float values[] = {1, std::bit_cast<float>(0x7F800000u)};
  Bytes bytes(8);
  std::memcpy(bytes.data(), values, 8);
  float out[4];
  EXPECT_EQ(dequantize(GgmlType::f32, bytes, std::span(out).first(2), 0, "t").code(), Code::non_finite);
  EXPECT_EQ(dequantize(GgmlType::bf16, Bytes{0, 0, 0x80, 0x7F}, std::span(out).first(2), 0, "t").code(),
            Code::non_finite);
}

}  // namespace
}  // namespace onepass::test
