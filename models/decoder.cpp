#include "models/decoder.h"

#include <algorithm>

namespace onepass::models {

Result<bool> read_flag(const JsonNode& json, const char* key) {
  if (!json.has(key)) return false;
  return json.boolean(key);
}

void set_biased(ArchSpec& arch, uint32_t parts) {
  arch.biases = parts != 0;
  arch.unbiased = parts != 0 ? all_parts & ~parts : 0;
}

Status read_decoder(const JsonNode& json, SourceModel& model) {
  Config& config = model.config;
  ONEPASS_TRY_ASSIGN(kv_heads, json.optional_u64("num_key_value_heads", 1, max_width));
  if (kv_heads) config.kv_heads = static_cast<uint32_t>(*kv_heads);
  if (config.heads % config.kv_heads != 0) {
    return make_error(Code::bad_value, Error::no_offset, json.path_of("num_key_value_heads"),
                      "it must divide the %u attention heads", config.heads);
  }
  config.arch.pool = Pool::last;
  if (!json.has("pad_token_id")) return {};
  ONEPASS_TRY_ASSIGN(pad, json.number("pad_token_id"));
  // An id that no text has, such as -1, is no padding.
  if (!(pad >= 0 && pad < config.vocab)) return {};
  config.arch.pool = Pool::last_not_pad;
  config.pad_id = static_cast<uint32_t>(pad);
  return {};
}

Status set_windows(const JsonNode& json, const std::vector<bool>& windowed, Config& config) {
  config.window = config.window_first = config.global_every = config.global_first = 0;
  const auto count = static_cast<uint32_t>(windowed.size());
  if (std::none_of(windowed.begin(), windowed.end(), [](bool w) { return w; })) return {};
  ONEPASS_TRY_ASSIGN(window, json.u64("sliding_window", 1, max_text_tokens));
  config.window = static_cast<uint32_t>(window);
  const auto fits = [&] {
    for (uint32_t l = 0; l < count; ++l) {
      if (config.windowed(l) != windowed[l]) return false;
    }
    return true;
  };
  if (fits()) return {};
  // Every n-th layer without a window, from some layer on.
  const auto begin = windowed.begin();
  const auto first = std::find(begin, windowed.end(), false);
  const auto second = std::find(first + 1, windowed.end(), false);
  config.global_first = static_cast<uint32_t>(first - begin);
  config.global_every = second == windowed.end() ? count : static_cast<uint32_t>(second - first);
  if (config.global_first < config.global_every && fits()) return {};
  // None at first, then all.
  config.global_first = config.global_every = 0;
  config.window_first = static_cast<uint32_t>(std::find(begin, windowed.end(), true) - begin);
  if (fits()) return {};
  return make_error(Code::unsupported, Error::no_offset, json.path_of("layer_types"),
                    "only windows in every layer, in all but every n-th, or from one layer on are supported");
}

Status read_windows(const JsonNode& json, std::vector<bool> windowed, Config& config) {
  if (json.has("layer_types")) {
    ONEPASS_TRY_ASSIGN(list, json.array("layer_types"));
    ONEPASS_TRY_ASSIGN(types, list.as_strings());
    if (types.size() != config.layers) {
      return make_error(Code::bad_shape, Error::no_offset, list.path(), "%zu types for %u layers", types.size(),
                        config.layers);
    }
    windowed.clear();
    for (const std::string& type : types) {
      if (type != "full_attention" && type != "sliding_attention") {
        return make_error(Code::unsupported, Error::no_offset, list.path(),
                          "%.40s: only full_attention and sliding_attention are supported", type.c_str());
      }
      windowed.push_back(type == "sliding_attention");
    }
  }
  return set_windows(json, windowed, config);
}

Status read_windows_from_a_layer(const JsonNode& json, Config& config) {
  ONEPASS_TRY_ASSIGN(on, read_flag(json, "use_sliding_window"));
  if (!on || !json.has("sliding_window")) return {};
  ONEPASS_TRY_ASSIGN(first, json.optional_u64("max_window_layers", 0, max_text_tokens));
  std::vector<bool> windowed;
  for (uint32_t l = 0; l < config.layers; ++l) windowed.push_back(l >= first.value_or(28));
  return read_windows(json, std::move(windowed), config);
}

bool add_one_to_norms(Slot slot, const SourceModel&, TensorParts parts, std::vector<float>& out) {
  switch (slot) {
    case Slot::attn_norm_w:
    case Slot::attn_post_norm_w:
    case Slot::ffn_norm_w:
    case Slot::ffn_post_norm_w:
    case Slot::attn_q_norm_w:
    case Slot::attn_k_norm_w:
    case Slot::final_norm_w:
      break;
    default:
      return false;
  }
  for (const float w : parts[0]) out.push_back(1.0f + w);
  return true;
}

}  // namespace onepass::models
