// Weights of any bits: a finite answer, the same on every level, or non_finite_result. Never NaN, never a label from
// it.
#include <cmath>
#include <limits>
#include <random>

#include "tests/runtime/models.h"

namespace onepass::test {
namespace {

struct Levels {
  Code code;
  std::vector<float> logits;
};

// Runs a batch on every level, which must agree.
Levels run_everywhere(const Model& model, const std::string& what) {
  TokenBatch batch;
  for (const size_t tokens : {3u, 17u, 1u, 48u}) batch.add(tokens, model.config().vocab, 5);
  Levels first{};
  bool have = false;
  for (const Isa isa : available_levels()) {
    Session session = open_session(model, {.isa = isa, .executor = {}});
    std::vector<float> logits(4 * model.total_classes());
    const Status status = session.run_ids(batch.ids, batch.starts, logits);
    if (status.ok()) {
      for (const float x : logits) EXPECT_TRUE(std::isfinite(x)) << what;
    } else {
      EXPECT_EQ(status.code(), Code::non_finite_result) << what;
      EXPECT_STREQ(status.error().where, "logits");
      logits.clear();
    }
    if (!have) first = {status.code(), logits};
    have = true;
    EXPECT_EQ(status.code(), first.code) << what << " on " << kernels::isa_name(isa);
    EXPECT_TRUE(same_bits(logits, first.logits)) << what << " on " << kernels::isa_name(isa);
  }
  return first;
}

TEST(NonFinite, EveryTensorInTurn) {
  for (const char* weights : {"f32", "f16", "int8"}) {
    std::vector<std::string> names;
    open_patched("own_heads", weights, [&](const TensorView& t, auto) { names.emplace_back(t.name); });
    ASSERT_GT(names.size(), 20u);
    size_t refused = 0;
    for (const std::string& name : names) {
      // All ones is NaN in f32 and f16; in int8 tensors the codes are 127 or -1 and the scales NaN.
      const Model model = open_patched("own_heads", weights, [&](const TensorView& t, std::span<uint8_t> payload) {
        if (t.name == name) std::fill(payload.begin(), payload.end(), uint8_t{0xFF});
      });
      const bool one = run_everywhere(model, name + " " + weights).code == Code::non_finite_result;
      EXPECT_TRUE(one) << name << " " << weights << " is NaN and nobody notices";
      refused += one;
    }
    EXPECT_EQ(refused, names.size()) << weights << ": every tensor of the model matters";
  }
}

TEST(NonFinite, InfinityInOneWeight) {
  for (const char* weights : {"f32", "int8"}) {
    for (const Slot slot : {Slot::embed_norm_w, Slot::ffn_norm_b, Slot::head_b, Slot::head_w}) {
      const Model model = open_patched("own_heads", weights, [&](const TensorView& t, std::span<uint8_t> payload) {
        const float infinity = std::numeric_limits<float>::infinity();
        if (t.slot == slot) std::memcpy(payload.data(), &infinity, sizeof(infinity));
      });
      EXPECT_EQ(run_everywhere(model, "infinity").code, Code::non_finite_result) << static_cast<int>(slot);
    }
  }
}

TEST(NonFinite, RandomBytesEverywhere) {
  std::mt19937 random(11);
  for (const char* weights : {"f32", "f16", "int8"}) {
    for (int round = 0; round < 8; ++round) {
      const Model model = open_patched("own_heads", weights, [&](const TensorView&, std::span<uint8_t> payload) {
        for (uint8_t& byte : payload) byte = static_cast<uint8_t>(random());
      });
      run_everywhere(model, std::string("random ") + weights);
    }
  }
}

// Row 42 of the token table is NaN: the texts that use it fail, and the error says which they are.
TEST(NonFinite, TheTextIsNamed) {
  const Model model = open_patched("own_heads", "f32", [&](const TensorView& t, std::span<uint8_t> payload) {
    if (t.slot != Slot::embed_token) return;
    const size_t row = static_cast<size_t>(t.k) * sizeof(float);
    std::fill_n(payload.begin() + static_cast<std::ptrdiff_t>(42 * row), row, uint8_t{0xFF});
  });
  const std::string poisoned(model.tokenizer().token(42));
  std::vector<std::string> texts(5, "good");
  for (const size_t tokens_per_pass : {1u, 7u, 1000u}) {
    Session session = open_session(model, {.executor = {}, .tokens_per_pass = tokens_per_pass});
    const auto gold = classify(session, texts);
    ASSERT_TRUE(gold.status.ok());
    for (size_t at = 0; at < texts.size(); ++at) {
      auto with = texts;
      with[at] = poisoned;
      const Outcome outcome = classify(session, with);
      EXPECT_EQ(outcome.status.code(), Code::non_finite_result);
      EXPECT_NE(std::strstr(outcome.status.error().message, ("text " + std::to_string(at) + " ").c_str()), nullptr)
          << outcome.status.error().message << " with " << tokens_per_pass;
    }
    // The session forgets it.
    EXPECT_TRUE(same_bits(classify(session, texts).logits, gold.logits));
  }
}

}  // namespace
}  // namespace onepass::test
