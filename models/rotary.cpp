#include "models/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>

namespace onepass::models {

namespace {

Error unsupported(const std::string& where, const std::string& why) {
  return make_error(Code::unsupported, Error::no_offset, where, "%s", why.c_str());
}

Result<double> number_or(const JsonNode& json, const char* key, double otherwise) {
  if (!json.has(key)) return otherwise;
  return json.number(key);
}

// A number of a set of rotary parameters; all are positive.
Result<double> positive(const JsonNode& json, const char* key) {
  ONEPASS_TRY_ASSIGN(value, json.number(key));
  if (!(value > 0)) return make_error(Code::bad_value, Error::no_offset, json.path_of(key), "it must be above 0");
  return value;
}

// Slow pairs turn slower by `factor`, fast ones stay, and those between are blended.
Status scale_llama3(const JsonNode& set, double original, std::vector<float>& frequencies) {
  ONEPASS_TRY_ASSIGN(factor, positive(set, "factor"));
  ONEPASS_TRY_ASSIGN(low, positive(set, "low_freq_factor"));
  ONEPASS_TRY_ASSIGN(high, positive(set, "high_freq_factor"));
  if (!(high > low)) return unsupported(set.path_of("high_freq_factor"), "it must be above low_freq_factor");
  const auto longest = static_cast<float>(original / low), shortest = static_cast<float>(original / high);
  const auto by = static_cast<float>(factor), context = static_cast<float>(original);
  for (float& f : frequencies) {
    const float wave = static_cast<float>(2 * std::numbers::pi) / f;
    if (wave > longest) {
      f = f / by;
    } else if (!(wave < shortest)) {
      const float smooth = (context / wave - static_cast<float>(low)) / static_cast<float>(high - low);
      f = (1.0f - smooth) * f / by + smooth * f;
    }
  }
  return {};
}

Result<std::vector<float>> longrope_factors(const JsonNode& set, const char* key, size_t count) {
  ONEPASS_TRY_ASSIGN(list, set.array(key));
  ONEPASS_TRY_ASSIGN(elements, list.elements());
  if (elements.size() != count) {
    return make_error(Code::bad_shape, Error::no_offset, list.path(), "%zu factors, and heads have %zu pairs to turn",
                      elements.size(), count);
  }
  std::vector<float> factors;
  for (const JsonNode& element : elements) {
    ONEPASS_TRY_ASSIGN(value, element.as_number());
    if (!(value > 0)) return make_error(Code::bad_value, Error::no_offset, element.path(), "it must be above 0");
    factors.push_back(static_cast<float>(value));
  }
  return factors;
}

// One set of parameters: rope_parameters, or one of its sets, or rope_scaling.
struct Set {
  std::vector<float> frequencies, long_frequencies;
  double original = 0;  // of longrope
  double factor = 1;    // of longrope and yarn
};

// theta^(i / width), what frequencies are one over.
std::vector<float> powers(double theta, uint32_t width) {
  std::vector<float> out;
  for (uint32_t i = 0; i < width; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(width);
    out.push_back(static_cast<float>(std::pow(theta, static_cast<double>(exponent))));
  }
  return out;
}

// Pairs that turn often within the original length stay, slow ones turn slower by `factor`, and those between, by their
// number, are blended (Peng et al. 2023, arXiv:2309.00071).
Status scale_yarn(const JsonNode& json, double theta, double original, const Config& config, Set& set) {
  ONEPASS_TRY_ASSIGN(factor, number_or(json, "factor", config.max_tokens / original));
  ONEPASS_TRY_ASSIGN(fast, number_or(json, "beta_fast", 32));
  ONEPASS_TRY_ASSIGN(slow, number_or(json, "beta_slow", 1));
  ONEPASS_TRY_ASSIGN(mscale, number_or(json, "mscale", 0));
  ONEPASS_TRY_ASSIGN(mscale_all, number_or(json, "mscale_all_dim", 0));
  bool truncate = true;
  if (json.has("truncate")) {
    ONEPASS_TRY_ASSIGN(given, json.boolean("truncate"));
    truncate = given;
  }
  if (!(factor > 0) || !(fast > 0) || !(slow > 0) || !(theta > 1)) {
    return make_error(Code::bad_value, Error::no_offset, json.path(),
                      "factor, beta_fast and beta_slow must be above 0, and rope_theta above 1");
  }
  const auto mscale_of = [&](double by) { return factor <= 1 ? 1.0 : 0.1 * by * std::log(factor) + 1.0; };
  const bool both = mscale != 0 && mscale_all != 0;
  ONEPASS_TRY_ASSIGN(
      attention, number_or(json, "attention_factor", both ? mscale_of(mscale) / mscale_of(mscale_all) : mscale_of(1)));
  set.factor = attention;
  // The pair that turns so often within the original length.
  const double width = config.rotary_width;
  const auto pair_of = [&](double turns) {
    return width * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  double low = pair_of(fast), high = pair_of(slow);
  if (truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, width - 1);
  if (low == high) high += 0.001;
  const std::vector<float> by = powers(theta, config.rotary_width);
  for (size_t i = 0; i < by.size(); ++i) {
    const float ramp =
        std::clamp((static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float stays = 1.0f - ramp;
    set.frequencies[i] = 1.0f / (static_cast<float>(factor) * by[i]) * (1.0f - stays) + 1.0f / by[i] * stays;
  }
  return {};
}

// Where the original length is not said, it is `original`.
Status scale_longrope(const JsonNode& json, double theta, double original, const Config& config, Set& set) {
  const std::vector<float> by = powers(theta, config.rotary_width);
  ONEPASS_TRY_ASSIGN(short_factors, longrope_factors(json, "short_factor", by.size()));
  ONEPASS_TRY_ASSIGN(long_factors, longrope_factors(json, "long_factor", by.size()));
  set.frequencies.clear();
  for (size_t i = 0; i < by.size(); ++i) {
    set.frequencies.push_back(1.0f / (short_factors[i] * by[i]));
    set.long_frequencies.push_back(1.0f / (long_factors[i] * by[i]));
  }
  set.original = original;
  ONEPASS_TRY_ASSIGN(growth, number_or(json, "factor", config.max_tokens / original));
  const double usual = growth <= 1 ? 1 : std::sqrt(1 + std::log(growth) / std::log(original));
  ONEPASS_TRY_ASSIGN(factor, number_or(json, "attention_factor", usual));
  set.factor = factor;
  return {};
}

// `json` is null where config.json has no set. `original`: what it says beside the set, or 0.
Result<Set> read_set(const JsonNode* json, double theta, double original, const Config& config) {
  std::string type = "default";
  if (json != nullptr) {
    for (const char* key : {"type", "rope_type"}) {
      if (!json->has(key)) continue;
      ONEPASS_TRY_ASSIGN(name, json->string(key));
      type = name;
    }
    ONEPASS_TRY_ASSIGN(given, number_or(*json, "rope_theta", theta));
    theta = given;
  }
  if (!(theta >= 1)) {
    return make_error(Code::bad_value, Error::no_offset, "config.json: rope_theta", "it must be at least 1");
  }
  Set set;
  set.frequencies = rotary_frequencies(theta, config.rotary_width);
  if (type == "default") return set;
  if (type == "linear") {
    ONEPASS_TRY_ASSIGN(factor, positive(*json, "factor"));
    for (float& f : set.frequencies) f /= static_cast<float>(factor);
    return set;
  }
  if (original == 0) {
    ONEPASS_TRY_ASSIGN(given, number_or(*json, "original_max_position_embeddings", config.max_tokens));
    original = given;
  }
  if (!(original >= 2 && original <= max_text_tokens)) {
    return unsupported(json->path_of("original_max_position_embeddings"), "it must be 2 to 1,048,576");
  }
  if (type == "llama3") {
    ONEPASS_TRY(scale_llama3(*json, original, set.frequencies));
    return set;
  }
  if (type == "longrope" || type == "su") {
    ONEPASS_TRY(scale_longrope(*json, theta, original, config, set));
    return set;
  }
  if (type == "yarn") {
    ONEPASS_TRY(scale_yarn(*json, theta, original, config, set));
    return set;
  }
  return unsupported(json->path_of("rope_type"),
                     type + ": only default, linear, llama3, yarn and longrope are supported");
}

// A set by its key, or nothing where there is none.
Result<std::optional<JsonNode>> find_set(const JsonNode& json, const char* key) {
  if (!json.has(key)) return std::optional<JsonNode>();
  ONEPASS_TRY_ASSIGN(set, json.object(key));
  return std::optional<JsonNode>(set);
}

}  // namespace

std::vector<float> rotary_frequencies(double theta, uint32_t width) {
  std::vector<float> frequencies = powers(theta, width);
  for (float& f : frequencies) f = 1.0f / f;
  return frequencies;
}

Status read_rotary(const JsonNode& json, const RotaryKeys& keys, SourceModel& model) {
  Config& config = model.config;
  ONEPASS_TRY_ASSIGN(found, find_set(json, json.has("rope_parameters") ? "rope_parameters" : "rope_scaling"));
  const JsonNode* parameters = found ? &*found : nullptr;
  double part = 1;
  for (const JsonNode* place : {&json, parameters}) {
    if (place == nullptr) continue;
    ONEPASS_TRY_ASSIGN(given, number_or(*place, "partial_rotary_factor", part));
    part = given;
  }
  if (part != 1 && !keys.partial) {
    return unsupported(json.path_of("partial_rotary_factor"), "only 1 is supported for this architecture");
  }
  const double turned = config.head_width * part;
  if (!(turned >= 2 && turned <= config.head_width) || static_cast<uint32_t>(turned) % 2 != 0) {
    return unsupported(json.path_of("partial_rotary_factor"), "the part of a head that turns must be an even number");
  }
  config.rotary_width = static_cast<uint32_t>(turned);
  ONEPASS_TRY_ASSIGN(theta, number_or(json, "rope_theta", 10000));
  ONEPASS_TRY_ASSIGN(original, number_or(json, "original_max_position_embeddings", keys.default_original));
  ONEPASS_TRY_ASSIGN(set, read_set(parameters, theta, original, config));
  model.rotary_global = std::move(set.frequencies);
  model.rotary_long = std::move(set.long_frequencies);
  config.rotary_original = static_cast<uint32_t>(set.original);
  config.rotary_factor = set.factor == 1 ? 0 : set.factor;
  return {};
}

Status read_rotary_by_layer(const JsonNode& json, double theta, double local_theta, SourceModel& model) {
  Config& config = model.config;
  std::optional<JsonNode> global, local;
  if (json.has("rope_parameters")) {
    ONEPASS_TRY_ASSIGN(sets, json.object("rope_parameters"));
    ONEPASS_TRY_ASSIGN(full, find_set(sets, "full_attention"));
    ONEPASS_TRY_ASSIGN(sliding, find_set(sets, "sliding_attention"));
    global = full;
    local = sliding;
  } else {
    ONEPASS_TRY_ASSIGN(scaling, find_set(json, "rope_scaling"));
    global = scaling;
    ONEPASS_TRY_ASSIGN(given, number_or(json, "rope_theta", theta));
    ONEPASS_TRY_ASSIGN(given_local, number_or(json, "rope_local_base_freq", local_theta));
    theta = given;
    local_theta = given_local;
  }
  if (config.head_width % 2 != 0) return unsupported(json.path_of("head_dim"), "heads that turn must be of even width");
  config.rotary_width = config.head_width;
  ONEPASS_TRY_ASSIGN(set, read_set(global ? &*global : nullptr, theta, 0, config));
  ONEPASS_TRY_ASSIGN(local_set, read_set(local ? &*local : nullptr, local_theta, 0, config));
  if (!set.long_frequencies.empty() || !local_set.long_frequencies.empty() || set.factor != 1 ||
      local_set.factor != 1) {
    return unsupported(json.path_of("rope_parameters"), "longrope and yarn are not supported by kind of layer");
  }
  model.rotary_global = std::move(set.frequencies);
  model.rotary_local = std::move(local_set.frequencies);
  config.arch.local_rotary = config.window != 0;
  return {};
}

}  // namespace onepass::models
