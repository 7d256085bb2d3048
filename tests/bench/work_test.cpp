// What a pass computes, against a count by hand; and models of random weights, which open.
#include "bench/models/work.h"

#include <gtest/gtest.h>

#include "bench/models/synthetic.h"
#include "engine/runtime/model.h"

namespace onepass::bench {
namespace {

Config small() {
  Config c;
  c.layers = 2, c.width = 8, c.heads = 2, c.kv_heads = 1, c.head_width = 3, c.ffn_width = 16;
  c.arch.pool = Pool::mean;
  return c;
}

TEST(Work, CountedByHand) {
  Config c = small();
  // A layer, 5 tokens: Q 5x8x6, K and V 5x8x6 (one head each), scores and values 2 x 5x5x6, output 5x6x8,
  // feed-forward 2 x 5x8x16; each a multiply and an add. 4 classes from 8 values.
  const double layer = 2.0 * (240 + 240 + 300 + 240 + 1280);
  EXPECT_EQ(pass_operations(c, 5, 4), 2 * layer + 2 * 8 * 4);
  // The first token alone, in the last layer: Q 48, K and V 240, scores and values 2 x 5x6, output 48, feed-forward
  // 256.
  c.arch.pool = Pool::first_token;
  EXPECT_EQ(pass_operations(c, 5, 4), layer + 2.0 * (48 + 240 + 60 + 48 + 256) + 2 * 8 * 4);
  c.arch.pooler = 1;
  EXPECT_EQ(pass_operations(c, 5, 4), layer + 2.0 * (48 + 240 + 60 + 48 + 256) + 2 * 8 * 8 + 2 * 8 * 4);
}

TEST(Synthetic, FilesOpenAndUnknownNamesDoNot) {
  for (const std::string& weights : weight_names()) {
    const auto content = synthetic_model("minilm-l6", weights);
    ASSERT_TRUE(content.ok());
    auto bytes = serialize_model(content.value());
    ASSERT_TRUE(bytes.ok());
    const auto model = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
    ASSERT_TRUE(model.ok()) << weights << ": " << model.error().message;
    EXPECT_EQ(model.value().config().layers, 6u);
  }
  EXPECT_FALSE(synthetic_model("minilm", "int8").ok());
  EXPECT_FALSE(synthetic_model("minilm-l6", "int3").ok());
}

}  // namespace
}  // namespace onepass::bench
