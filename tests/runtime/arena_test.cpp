// forward_arena_bytes is what a pass takes: enough, and not a byte more is touched.
#include "engine/runtime/forward.h"
#include "tests/formats/onepass_raw.h"
#include "tests/runtime/models.h"

namespace onepass::test {
namespace {

struct Shape {
  const char* name;
  std::vector<size_t> texts;  // tokens of each
};

std::vector<Shape> shapes(size_t max_tokens) {
  std::vector<size_t> mixed;
  for (size_t i = 0; i < 23; ++i) mixed.push_back(1 + i * 7 % max_tokens);
  return {{"one token", {1}},
          {"one long text", {max_tokens}},
          {"more texts than a chunk has rows", std::vector<size_t>(203, 1)},
          {"mixed", mixed},
          {"long among short", {1, max_tokens, 1}}};
}

void serial(void*, size_t count, void (*task)(void*, size_t), void* argument) {
  for (size_t i = 0; i < count; ++i) task(argument, i);
}

void check_arena(const ModelFile& file, const std::string& name) {
  auto bound = bind_weights(file);
  ASSERT_TRUE(bound.ok());
  const Weights& weights = bound.value();
  const Config& config = file.config();
  for (const Shape& shape : shapes(config.max_tokens)) {
    TokenBatch batch;
    size_t longest = 0;
    for (const size_t tokens : shape.texts) {
      batch.add(tokens, config.vocab, static_cast<uint32_t>(tokens + batch.starts.size()));
      longest = std::max(longest, tokens);
    }
    // Each text alone: buffers that overlap in a batch do so in another way there.
    std::vector<float> gold;
    for (size_t b = 0; b < shape.texts.size(); ++b) {
      const auto ids = std::span(batch.ids).subspan(batch.starts[b], shape.texts[b]);
      const uint32_t starts[] = {0, static_cast<uint32_t>(shape.texts[b])};
      const size_t need = forward_arena_bytes(config, file.total_classes(), ids.size(), 1, ids.size(), 1);
      const AlignedCopy arena(std::vector<uint8_t>(need, 0));
      std::vector<float> logits(file.total_classes());
      const auto status = forward(config, weights, *kernels::kernel_table(kernels::best_isa()), {}, {ids, starts},
                                  arena.span(), logits);
      ASSERT_TRUE(status.ok()) << status.error().message;
      gold.insert(gold.end(), logits.begin(), logits.end());
    }
    for (const unsigned threads : {1u, 5u}) {
      const size_t need =
          forward_arena_bytes(config, file.total_classes(), batch.ids.size(), shape.texts.size(), longest, threads);
      for (const Isa isa : {Isa::scalar, kernels::best_isa()}) {
        // NaN wherever it is read before it is written, and poison behind. The tight copy ends where the arena ends, so
        // that a sanitizer sees what a poison of that size would not.
        const AlignedCopy tight(std::vector<uint8_t>(need, 0xFF));
        const AlignedCopy wide(std::vector<uint8_t>(need + 65536, 0xFF));
        for (const bool poison : {false, true}) {
          const std::span<uint8_t> arena = poison ? wide.span() : tight.span();
          std::vector<float> logits(shape.texts.size() * file.total_classes());
          const Executor executor{serial, nullptr, threads};
          const auto pass = [&](size_t bytes) {
            return forward(config, weights, *kernels::kernel_table(isa), executor, {batch.ids, batch.starts},
                           arena.first(bytes), logits);
          };
          EXPECT_EQ(pass(need - 1).code(), Code::buffer_too_small);
          EXPECT_EQ(logits, std::vector<float>(logits.size())) << "a refused pass writes nothing";
          const Status status = pass(need);
          ASSERT_TRUE(status.ok()) << name << ", " << shape.name << ": " << status.error().message;
          EXPECT_TRUE(same_bits(logits, gold)) << name << ", " << shape.name << ", " << threads << " slots";
          if (!poison) continue;
          const auto behind = arena.subspan(need);
          EXPECT_EQ(static_cast<size_t>(std::count(behind.begin(), behind.end(), uint8_t{0xFF})), behind.size())
              << name << ", " << shape.name << ", " << threads << " slots: written behind the arena";
        }
      }
    }
  }
}

TEST(Arena, IsEnoughAndNotExceeded) {
  const std::pair<const char*, const char*> models[] = {{"own_heads", "f32"},       {"own_heads", "int8"},
                                                        {"own_heads_mean", "int8"}, {"odd_width_relu", "int8"},
                                                        {"wide_heads", "f32"},      {"heads_of_one", "int8"}};
  for (const auto& [name, weights] : models) {
    const Model model = open_bytes(bytes_of(name, weights));
    check_arena(model.file(), std::string(name) + " " + weights);
  }
}

// Fewer key and value heads than query heads, and heads that are not as wide as the model together.
TEST(Arena, OfAModelWithGroupedHeads) {
  const auto bytes = serialize_model(tiny_model());
  ASSERT_TRUE(bytes.ok());
  const auto file = ModelFile::from_memory(bytes.value(), {.mode = LoadMode::copy});
  ASSERT_TRUE(file.ok());
  check_arena(file.value(), "tiny");
}

TEST(Arena, GrowsWithEveryDimension) {
  const Model model = open_bytes(bytes_of("own_heads"));
  const auto bytes = [&](size_t tokens, size_t texts, size_t longest, unsigned threads) {
    return forward_arena_bytes(model.config(), model.total_classes(), tokens, texts, longest, threads);
  };
  const size_t base = bytes(64, 4, 16, 1);
  EXPECT_EQ(base % 64, 0u);
  EXPECT_GT(bytes(65, 4, 16, 1), base);
  EXPECT_GT(bytes(64, 5, 16, 1), base);
  EXPECT_GT(bytes(64, 4, 65, 1), base);  // keys are packed by 64
  EXPECT_GT(bytes(64, 4, 16, 2), base);
  EXPECT_EQ(bytes(64, 4, 16, 0), base);
}

}  // namespace
}  // namespace onepass::test
