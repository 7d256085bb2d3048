// The values of tensors alone, byte by byte.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "formats/onepass/verify.h"
#include "tests/formats/onepass_raw.h"

namespace onepass::test {
namespace {

using kernels::Layout;

// Every byte of an int4 tensor of whole steps is a pair of nibbles, a step and a zero, part of a scale, or padding.
TEST(OnepassValues, Int4Steps) {
  for (const Layout layout : {Layout::i4zg32_n32k4, Layout::i4zg64_n32k4}) {
    constexpr size_t n = 35, k = 131;
    std::vector<uint8_t> bytes = payload_of(layout, n, k, 1);
    TensorView tensor;
    tensor.name = "w";
    tensor.layout = layout;
    tensor.n = n;
    tensor.k = k;
    tensor.offset = 1000;
    tensor.bytes = bytes.size();
    tensor.data = bytes.data();
    ASSERT_TRUE(format::check_tensor_values(tensor).ok()) << kernels::layout_name(layout);
    const size_t group = kernels::group_size(layout), pair_bytes = kernels::i4_pair_bytes(layout);
    const size_t scales = kernels::scale_offset(layout, n, k), pairs = (kernels::i4_groups(layout, k) + 1) / 2;
    size_t padding = 0, free = 0;
    for (size_t at = 0; at < scales; ++at) {
      const size_t panel = at / (pairs * pair_bytes), pair = at / pair_bytes % pairs, in_pair = at % pair_bytes;
      const uint8_t before = bytes[at];
      if (in_pair >= group * 32) {
        const size_t channel = panel * 32 + in_pair % 32, odd = (in_pair - group * 32) / 32;
        const bool exists = channel < n && (pair * 2 + odd) * group < k;
        for (const unsigned factors : {0x0cu, 0x8bu, 0xffu}) {
          bytes[at] = static_cast<uint8_t>(factors);
          const Status status = format::check_tensor_values(tensor);
          ASSERT_FALSE(status.ok()) << at;
          EXPECT_EQ(status.error().code, Code::bad_value);
          EXPECT_EQ(status.error().offset, 1000 + at);
        }
        bytes[at] = 0x7b;
        EXPECT_EQ(format::check_tensor_values(tensor).ok(), exists) << at;
      } else {
        bytes[at] = static_cast<uint8_t>(before ^ 0x11);
        const Status status = format::check_tensor_values(tensor);
        if (status.ok()) {
          ++free;
        } else {
          EXPECT_EQ(status.error().code, Code::nonzero_padding) << at;
          EXPECT_EQ(status.error().offset, 1000 + at);
          ++padding;
        }
      }
      bytes[at] = before;
    }
    EXPECT_GT(free, n * k / 4);
    EXPECT_GT(padding, (64 - n) * k / 2);
    for (size_t channel = 0; channel < 64; ++channel) {
      for (const float bad : {0.0f, -1.0f, std::numeric_limits<float>::infinity(), 2.0f}) {
        if (bad == 2.0f && channel < n) continue;
        float before;
        std::memcpy(&before, bytes.data() + scales + channel * 4, 4);
        std::memcpy(bytes.data() + scales + channel * 4, &bad, 4);
        EXPECT_FALSE(format::check_tensor_values(tensor).ok()) << channel;
        std::memcpy(bytes.data() + scales + channel * 4, &before, 4);
      }
    }
  }
}

}  // namespace
}  // namespace onepass::test
