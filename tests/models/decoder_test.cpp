// Decoders: what their fixtures can tell apart, the token that is pooled, and what the converter refuses.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>

#include "engine/blocks/blocks.h"
#include "engine/runtime/forward.h"
#include "engine/runtime/model.h"
#include "engine/runtime/session.h"
#include "formats/json/json.h"
#include "tests/models/expected.h"
#include "tests/support/near.h"
#include "tests/support/temp_folder.h"
#include "tools/convert/convert.h"

namespace onepass::test {
namespace {

using convert::WeightType;

// A fixture checkpoint with another config.json.
class Edited {
 public:
  Edited(const std::string& name, const std::function<void(Json&)>& change) : name_(name) {
    for (const char* file : {"tokenizer.json", "model.safetensors"}) {
      std::filesystem::create_symlink(std::filesystem::absolute(fixtures() / name / file), folder_.path() / file);
    }
    std::ifstream file(fixtures() / name / "config.json");
    Json json = Json::parse(file);
    change(json);
    folder_.write("config.json", json.dump());
  }

  Result<ModelContent> convert(convert::Options options = {}) const {
    options.source = folder_.path();
    options.weights = WeightType::f32;
    return convert::convert_folder(options, nullptr);
  }
  Error error() const {
    const auto content = convert();
    return content.ok() ? Error{} : content.error();
  }
  // The logits of the fixture's texts, or of other ids.
  std::vector<float> logits(convert::Options options = {}, const std::vector<uint32_t>& ids = {}) const {
    const Expected expected = load_expected(fixtures() / name_);
    const auto content = convert(options);
    if (!content.ok()) throw std::runtime_error(std::string(content.error().where) + ": " + content.error().message);
    const auto bytes = serialize_model(content.value());
    if (!bytes.ok()) throw std::runtime_error(bytes.error().message);
    const auto model = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
    if (!model.ok()) throw std::runtime_error(std::string(model.error().where) + ": " + model.error().message);
    auto session = Session::create(model.value(), {});
    const std::vector<uint32_t> one = {0, static_cast<uint32_t>(ids.size())};
    const auto& starts = ids.empty() ? expected.starts : one;
    std::vector<float> out((starts.size() - 1) * model.value().total_classes());
    const Status status = session.value().run_ids(ids.empty() ? expected.ids : ids, starts, out);
    if (!status.ok()) throw std::runtime_error(status.error().message);
    return out;
  }

 private:
  std::string name_;
  TempFolder folder_;
};

struct Change {
  const char* fixture;
  const char* what;
  std::function<void(Json&)> change;
};

// Each number that config.json gives matters to the fixture that is there to prove it: with another one the logits are
// not the reference's.
TEST(DecoderFixtures, FeelEveryParameter) {
  const Change changes[] = {
      {"llama/llama3_scaling", "factor", [](Json& j) { j["rope_parameters"]["factor"] = 4.0; }},
      {"llama/llama3_scaling", "low", [](Json& j) { j["rope_parameters"]["low_freq_factor"] = 2.0; }},
      {"llama/llama3_scaling", "high", [](Json& j) { j["rope_parameters"]["high_freq_factor"] = 2.0; }},
      {"llama/llama3_scaling", "original",
       [](Json& j) { j["rope_parameters"]["original_max_position_embeddings"] = 64; }},
      {"llama/llama3_scaling_old", "theta", [](Json& j) { j["rope_theta"] = 1000.0; }},
      {"llama/llama3_scaling_old", "scaling", [](Json& j) { j["rope_scaling"] = nullptr; }},
      {"llama/biases_linear", "factor", [](Json& j) { j["rope_parameters"]["factor"] = 1.0; }},
      {"llama/padding_ends_a_text", "pad", [](Json& j) { j["pad_token_id"] = nullptr; }},
      {"llama/padding_ends_a_text", "act", [](Json& j) { j["hidden_act"] = "gelu_pytorch_tanh"; }},
      {"llama/llama3_scaling", "eps", [](Json& j) { j["rms_norm_eps"] = 0.05; }},
      {"mistral/window_5", "window", [](Json& j) { j["sliding_window"] = 6; }},
      {"mistral/window_1_old", "window", [](Json& j) { j["sliding_window"] = 2; }},
      {"mistral/f32_window_7", "window", [](Json& j) { j["sliding_window"] = nullptr; }},
      {"qwen2/windows_from_layer_1", "layer",
       [](Json& j) { j["layer_types"] = Json::parse(R"(["full_attention","full_attention","sliding_attention"])"); }},
      {"qwen2/windows_from_layer_1_old", "layer", [](Json& j) { j["max_window_layers"] = 0; }},
      {"llama/yarn", "beta_fast", [](Json& j) { j["rope_parameters"]["beta_fast"] = 0.5; }},
      {"llama/yarn", "beta_slow", [](Json& j) { j["rope_parameters"]["beta_slow"] = 0.5; }},
      {"llama/yarn", "attention_factor", [](Json& j) { j["rope_parameters"]["attention_factor"] = 0.95; }},
      {"qwen2/yarn", "factor", [](Json& j) { j["rope_parameters"]["factor"] = 3.0; }},
      {"qwen2/yarn", "original", [](Json& j) { j["rope_parameters"]["original_max_position_embeddings"] = 20; }},
      {"qwen2/yarn_old", "mscale", [](Json& j) { j["rope_scaling"]["mscale"] = 1.0; }},
      {"qwen3/yarn", "truncate", [](Json& j) { j["rope_parameters"]["truncate"] = true; }},
      {"mobilellm/layers_shared", "sharing", [](Json& j) { j["layer_sharing"] = false; }},
      {"mobilellm/f32_padding_ends_a_text", "pad", [](Json& j) { j["pad_token_id"] = nullptr; }},
      {"qwen3/windows", "window", [](Json& j) { j["use_sliding_window"] = false; }},
      {"gemma2/softcap_2", "softcap", [](Json& j) { j["attn_logit_softcapping"] = 2.1; }},
      {"gemma2/softcap_2", "no softcap", [](Json& j) { j["attn_logit_softcapping"] = nullptr; }},
      {"gemma2/softcap_2", "scale", [](Json& j) { j["query_pre_attn_scalar"] = 6; }},
      {"gemma2/biases_old", "window", [](Json& j) { j["sliding_window"] = 6; }},
      {"gemma3/linear_scaling", "factor", [](Json& j) { j["rope_parameters"]["full_attention"]["factor"] = 1.0; }},
      {"gemma3/linear_scaling", "local theta",
       [](Json& j) { j["rope_parameters"]["sliding_attention"]["rope_theta"] = 100.0; }},
      {"gemma3/every_second_old", "pattern",
       [](Json& j) { j.erase("_sliding_window_pattern"), j["sliding_window_pattern"] = 3; }},
      {"gemma3/seven_layers", "window", [](Json& j) { j["sliding_window"] = 5; }},
      {"phi3/window_7", "window", [](Json& j) { j["sliding_window"] = 8; }},
      {"phi3/longrope", "original", [](Json& j) { j["original_max_position_embeddings"] = 40; }},
      {"phi3/longrope", "long", [](Json& j) { j["rope_parameters"]["long_factor"][1] = 3.0; }},
      {"phi3/longrope", "short", [](Json& j) { j["rope_parameters"]["short_factor"][1] = 3.0; }},
      {"phi3/longrope", "factor", [](Json& j) { j["rope_parameters"]["attention_factor"] = 1.0; }},
      {"phi3/partial_longrope_old", "scaling", [](Json& j) { j["rope_scaling"] = nullptr; }},
      {"phi3/f32_partial", "part",
       [](Json& j) { j["partial_rotary_factor"] = j["rope_parameters"]["partial_rotary_factor"] = 1.0; }},
  };
  for (const Change& c : changes) {
    const Expected expected = load_expected(fixtures() / c.fixture);
    EXPECT_LE(max_difference(Edited(c.fixture, [](Json&) {}).logits(), expected.logits), 1e-5) << c.fixture;
    EXPECT_GT(max_difference(Edited(c.fixture, c.change).logits(), expected.logits), 1e-3)
        << c.fixture << ": " << c.what;
  }
}

TEST(PooledToken, FollowsTheRule) {
  Config c;
  c.pad_id = 9;
  const auto at = [&](Pool pool, std::vector<uint32_t> ids) {
    c.arch.pool = pool;
    return pooled_token(c, ids);
  };
  EXPECT_EQ(at(Pool::first_token, {1, 2, 9}), 0u);
  EXPECT_EQ(at(Pool::last, {1, 2, 9}), 2u);
  EXPECT_EQ(at(Pool::last_not_pad, {1, 2, 9, 9}), 1u);
  EXPECT_EQ(at(Pool::last_not_pad, {9, 2, 9, 3}), 3u);
  EXPECT_EQ(at(Pool::last_not_pad, {9, 9}), 0u);
  EXPECT_EQ(at(Pool::last_not_pad, {9}), 0u);
  // As argmax(ids == pad) - 1 counts, where -1 is the last.
  EXPECT_EQ(at(Pool::first_pad_minus_1, {1, 2, 9, 3, 9}), 1u);
  EXPECT_EQ(at(Pool::first_pad_minus_1, {1, 2, 3}), 2u);
  EXPECT_EQ(at(Pool::first_pad_minus_1, {9, 2, 3}), 2u);
}

// What follows the pooled token does not matter to a causal model, bit for bit.
TEST(PooledToken, IsReadWhereTheRuleSays) {
  const Edited plain("llama/llama3_scaling", [](Json&) {});
  const uint32_t pad = 299 - 1;
  const Edited with_pad("llama/llama3_scaling", [&](Json& j) { j["pad_token_id"] = pad; });
  const std::vector<uint32_t> ids = {5, 17, 40, pad, 8, pad};
  const auto first = with_pad.logits({.pool = Pool::first_pad_minus_1}, ids);
  EXPECT_TRUE(same_bits(first, plain.logits({.pool = Pool::last}, {5, 17, 40})));
  const auto last_word = with_pad.logits({.pool = Pool::last_not_pad}, ids);
  EXPECT_TRUE(same_bits(last_word, plain.logits({.pool = Pool::last}, {5, 17, 40, pad, 8})));
  EXPECT_TRUE(same_bits(last_word, with_pad.logits({}, ids)));
  const auto last = with_pad.logits({.pool = Pool::last}, ids);
  EXPECT_GT(max_difference(first, last_word), 1e-3);
  EXPECT_GT(max_difference(last, last_word), 1e-3);
}

// The last layer computes keys and values of every token, and the rest of the pooled one alone: the same bits as if it
// computed all.
TEST(LastLayer, OfThePooledTokenAloneHasTheBitsOfTheWhole) {
  for (const char* name : {"llama/llama3_scaling", "mistral/window_5", "qwen3/windows", "gemma2/softcap_2",
                           "gemma3/seven_layers", "phi3/longrope", "modernbert/window_3"}) {
    const Expected expected = load_expected(fixtures() / name);
    for (const WeightType weights : {WeightType::f32, WeightType::int8, WeightType::int4}) {
      const auto content = convert::convert_folder({.source = fixtures() / name, .weights = weights}, nullptr);
      ASSERT_TRUE(content.ok()) << content.error().message;
      const auto final_rows = [&](Pool pool) {
        ModelContent changed = content.value();
        changed.config.arch.pool = pool;
        if (pool == Pool::mean) changed.config.pad_id = 0;
        const auto bytes = serialize_model(changed);
        const auto model = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
        auto session = Session::create(model.value(), {});
        std::vector<float> rows, logits(expected.texts.size() * model.value().total_classes());
        const StageObserver observer{[](void* to, const char* stage, const float* x, size_t count, size_t width) {
                                       if (std::string_view(stage) == "final_norm") {
                                         static_cast<std::vector<float>*>(to)->assign(x, x + count * width);
                                       }
                                     },
                                     &rows};
        EXPECT_TRUE(session.value().run_ids(expected.ids, expected.starts, logits, observer).ok());
        return rows;
      };
      const auto whole = final_rows(Pool::mean), pooled = final_rows(content.value().config.arch.pool);
      const size_t width = content.value().config.width;
      ASSERT_EQ(whole.size(), expected.ids.size() * width);
      ASSERT_EQ(pooled.size(), expected.pooled.size() * width);
      for (size_t b = 0; b < expected.pooled.size(); ++b) {
        EXPECT_TRUE(same_bits({pooled.data() + b * width, width}, {whole.data() + expected.pooled[b] * width, width}))
            << name << ", text " << b;
      }
    }
  }
}

// What a pass keeps of each token: its row, its query, key and value, and what attention mixes. The wide rows of the
// feed-forward blocks exist for a chunk at a time.
TEST(Arena, HoldsNoFeedForwardRowsOfWholeTexts) {
  Config c;
  c.arch = convert::convert_folder({.source = fixtures() / "llama/llama3_scaling"}, nullptr).value().config.arch;
  c.layers = 16, c.width = 2048, c.heads = 32, c.kv_heads = 8, c.head_width = 64, c.ffn_width = 8192;
  c.vocab = 128256, c.max_tokens = 131072, c.rotary_width = 64, c.norm_eps = 1e-5;
  const auto bytes = [&](size_t tokens) { return forward_arena_bytes(c, 2, tokens, 1, tokens, 1); };
  const size_t row = (2048 + 3072 + 2048) * sizeof(float) + 16;
  const size_t packed_keys = 2 * 64 * sizeof(float);
  EXPECT_LE(bytes(8192) - bytes(4096), 4096 * (row + packed_keys + 16));
  EXPECT_LT(bytes(8192), 8192 * size_t{8192} * sizeof(float));
  EXPECT_LT(bytes(128), size_t{24} << 20);
}

TEST(PooledToken, EncodersHaveNoChoice) {
  const auto content =
      convert::convert_folder({.source = fixtures() / "bert/two_classes", .pool = Pool::last}, nullptr);
  ASSERT_FALSE(content.ok());
  EXPECT_EQ(content.error().code, Code::invalid_argument);
}

TEST(DecoderConfig, WhatIsNotSupportedIsRefused) {
  struct Refused {
    const char* fixture;
    const char* where;
    Code code;
    std::function<void(Json&)> change;
  };
  const Refused refused[] = {
      {"llama/llama3_scaling", "rope_parameters.rope_type", Code::unsupported,
       [](Json& j) { j["rope_parameters"]["rope_type"] = "dynamic"; }},
      {"qwen2/yarn", "rope_parameters", Code::bad_value, [](Json& j) { j["rope_parameters"]["factor"] = 0; }},
      {"qwen2/yarn", "beta_fast", Code::bad_type, [](Json& j) { j["rope_parameters"]["beta_fast"] = "32"; }},
      {"gemma3/linear_scaling", "rope_parameters", Code::unsupported,
       [](Json& j) { j["rope_parameters"]["full_attention"]["rope_type"] = "yarn"; }},
      {"llama/llama3_scaling", "rope_theta", Code::bad_value,
       [](Json& j) { j["rope_parameters"]["rope_theta"] = 0.5; }},
      {"llama/llama3_scaling", "factor", Code::missing_key, [](Json& j) { j["rope_parameters"].erase("factor"); }},
      {"llama/llama3_scaling", "partial_rotary_factor", Code::unsupported,
       [](Json& j) { j["partial_rotary_factor"] = 0.5; }},
      {"llama/llama3_scaling", "num_key_value_heads", Code::bad_value, [](Json& j) { j["num_key_value_heads"] = 3; }},
      {"qwen2/windows_from_layer_1", "layer_types", Code::bad_shape, [](Json& j) { j["layer_types"].erase(0); }},
      {"gemma2/softcap_2", "layer_types", Code::unsupported,
       [](Json& j) { j["layer_types"][1] = "chunked_attention"; }},
      {"gemma2/biases_old", "layer_types", Code::unsupported,
       [](Json& j) {
         j["layer_types"] = Json::parse(R"(["full_attention","full_attention","sliding_attention","full_attention"])");
       }},
      {"gemma2/softcap_2", "use_bidirectional_attention", Code::unsupported,
       [](Json& j) { j["use_bidirectional_attention"] = true; }},
      {"gemma3/seven_layers", "attn_logit_softcapping", Code::unsupported,
       [](Json& j) { j["attn_logit_softcapping"] = 50.0; }},
      {"phi3/longrope", "long_factor", Code::bad_shape, [](Json& j) { j["rope_parameters"]["long_factor"].erase(0); }},
      {"phi3/longrope", "short_factor", Code::bad_value, [](Json& j) { j["rope_parameters"]["short_factor"][0] = 0; }},
      {"phi3/f32_partial", "partial_rotary_factor", Code::unsupported,
       [](Json& j) { j["partial_rotary_factor"] = j["rope_parameters"]["partial_rotary_factor"] = 0.4; }},
  };
  for (const Refused& r : refused) {
    const Error error = Edited(r.fixture, r.change).error();
    EXPECT_EQ(error.code, r.code) << r.where << ": " << error.message;
    EXPECT_NE(std::string(error.where).find(r.where), std::string::npos) << error.where << " for " << r.where;
  }
}

}  // namespace
}  // namespace onepass::test
