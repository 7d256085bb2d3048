#include "formats/huggingface/onepass_json.h"

#include <cmath>

#include "engine/core/utf8.h"

namespace onepass {

namespace {

// A number of the file as a float: a double beyond its range is no value of ours.
Result<float> read_float(const JsonNode& node) {
  ONEPASS_TRY_ASSIGN(number, node.as_number());
  if (!(std::abs(number) <= 1e30)) {
    return make_error(Code::bad_value, Error::no_offset, node.path(), "%g is too large", number);
  }
  return static_cast<float>(number);
}

Result<std::vector<float>> read_floats(const JsonNode& node) {
  ONEPASS_TRY_ASSIGN(elements, node.elements());
  std::vector<float> values;
  values.reserve(elements.size());
  for (const JsonNode& element : elements) {
    ONEPASS_TRY_ASSIGN(value, read_float(element));
    values.push_back(value);
  }
  return values;
}

Result<std::string> read_text(const JsonNode& root, std::string_view key) {
  ONEPASS_TRY_ASSIGN(text, root.string(key));
  if (!is_valid_name(text)) {
    return make_error(Code::bad_value, Error::no_offset, root.path_of(key), "must have 1 to 255 bytes and no NUL");
  }
  return std::move(text);
}

Result<HeadSpec> read_head(const JsonNode& node) {
  ONEPASS_TRY(node.only({"name", "kind", "labels", "thresholds", "temperature", "range"}));
  HeadSpec head;
  ONEPASS_TRY_ASSIGN(name, node.string("name"));
  head.name = std::move(name);
  ONEPASS_TRY_ASSIGN(kind_name, node.string("kind"));
  const auto kind = find_head_kind(kind_name);
  if (!kind.has_value()) {
    return make_error(Code::unknown_value, Error::no_offset, node.path_of("kind"),
                      "\"%.40s\" is none of single_label, multi_label, regression, token_label", kind_name.c_str());
  }
  head.kind = *kind;
  ONEPASS_TRY_ASSIGN(label_list, node.array("labels"));
  ONEPASS_TRY_ASSIGN(labels, label_list.as_strings());
  head.labels = std::move(labels);
  ONEPASS_TRY_ASSIGN(threshold_list, node.optional_array("thresholds"));
  if (threshold_list.has_value()) {
    ONEPASS_TRY_ASSIGN(thresholds, read_floats(*threshold_list));
    head.thresholds = std::move(thresholds);
  } else if (head.kind == HeadKind::multi_label) {
    head.thresholds.assign(head.labels.size(), kDefaultThreshold);
  }
  if (node.has("temperature")) {
    ONEPASS_TRY_ASSIGN(temperature_node, node.member("temperature"));
    ONEPASS_TRY_ASSIGN(temperature, read_float(temperature_node));
    head.temperature = temperature;
  }
  ONEPASS_TRY_ASSIGN(range_list, node.optional_array("range"));
  if (range_list.has_value()) {
    ONEPASS_TRY_ASSIGN(range, read_floats(*range_list));
    if (range.size() != 2) {
      return make_error(Code::bad_value, Error::no_offset, range_list->path(), "must be [low, high]");
    }
    head.range = {{range[0], range[1]}};
  }
  ONEPASS_TRY(check_head(head, node.path()));
  return head;
}

Status read_pooling(const JsonNode& root, OnepassJson& out) {
  ONEPASS_TRY_ASSIGN(pooling, root.string("pooling"));
  if (pooling == "first_token") {
    out.pooling = Pool::first_token;
  } else if (pooling == "mean") {
    out.pooling = Pool::mean;
  } else if (pooling == "last") {
    out.pooling = Pool::last;
  } else if (pooling == "every_token") {
    out.pooling = Pool::every_token;
  } else {
    return make_error(Code::unknown_value, Error::no_offset, root.path_of("pooling"),
                      "\"%.40s\" is none of first_token, mean, last, every_token", pooling.c_str());
  }
  ONEPASS_TRY_ASSIGN(pooler, root.member("pooler"));
  if (pooler.value().is_null()) return {};
  ONEPASS_TRY(pooler.only({"activation"}));
  ONEPASS_TRY_ASSIGN(name, pooler.string("activation"));
  out.pooler_activation = find_activation(name);
  if (!out.pooler_activation.has_value()) {
    return make_error(Code::unknown_value, Error::no_offset, pooler.path_of("activation"),
                      "\"%.40s\" is none of gelu, gelu_accurate, gelu_fast, gelu_new, gelu_python, gelu_python_tanh, "
                      "gelu_pytorch_tanh, relu, sigmoid, silu, swish, tanh",
                      name.c_str());
  }
  return {};
}

Status read_heads(const JsonNode& root, OnepassJson& out) {
  ONEPASS_TRY_ASSIGN(list, root.array("heads"));
  ONEPASS_TRY_ASSIGN(nodes, list.elements());
  if (nodes.empty() || nodes.size() > max_model_heads) {
    return make_error(Code::bad_value, Error::no_offset, list.path(), "%zu heads; a model has 1 to %u", nodes.size(),
                      max_model_heads);
  }
  for (const JsonNode& node : nodes) {
    ONEPASS_TRY_ASSIGN(head, read_head(node));
    for (const HeadSpec& other : out.heads) {
      if (other.name == head.name) {
        return make_error(Code::duplicate_name, Error::no_offset, node.path_of("name"),
                          "the head \"%.64s\" occurs twice; rename one", head.name.c_str());
      }
    }
    out.heads.push_back(std::move(head));
  }
  return {};
}

Result<OnepassJson> parse(const JsonNode& root) {
  ONEPASS_TRY(root.only(
      {"format_version", "model_id", "model_version", "licence", "pooling", "pooler", "max_tokens", "heads"}));
  ONEPASS_TRY_ASSIGN(version, root.u64("format_version", 0, UINT64_MAX));
  if (version != 1) {
    return make_error(Code::bad_version, Error::no_offset, root.path_of("format_version"),
                      "this program reads version 1; take a newer release of it");
  }
  OnepassJson out;
  ONEPASS_TRY_ASSIGN(model_id, read_text(root, "model_id"));
  out.model_id = std::move(model_id);
  ONEPASS_TRY_ASSIGN(model_version, read_text(root, "model_version"));
  out.model_version = std::move(model_version);
  ONEPASS_TRY_ASSIGN(licence, read_text(root, "licence"));
  out.licence = std::move(licence);
  ONEPASS_TRY(read_pooling(root, out));
  ONEPASS_TRY_ASSIGN(max_tokens, root.u64("max_tokens", 1, max_text_tokens));
  out.max_tokens = static_cast<uint32_t>(max_tokens);
  ONEPASS_TRY(read_heads(root, out));
  return out;
}

}  // namespace

std::optional<kernels::Act> find_activation(std::string_view name) noexcept {
  using kernels::Act;
  // ACT2FN of transformers, as far as two names mean one of our functions.
  constexpr std::pair<std::string_view, Act> kNames[] = {{"gelu", Act::gelu_erf},
                                                         {"gelu_accurate", Act::gelu_tanh},
                                                         {"gelu_fast", Act::gelu_tanh},
                                                         {"gelu_new", Act::gelu_tanh},
                                                         {"gelu_python", Act::gelu_erf},
                                                         {"gelu_python_tanh", Act::gelu_tanh},
                                                         {"gelu_pytorch_tanh", Act::gelu_tanh},
                                                         {"relu", Act::relu},
                                                         {"sigmoid", Act::sigmoid},
                                                         {"silu", Act::silu},
                                                         {"swish", Act::silu},
                                                         {"tanh", Act::tanh}};
  for (const auto& [known, act] : kNames) {
    if (name == known) return act;
  }
  return std::nullopt;
}

Result<OnepassJson> parse_onepass_json(const JsonNode& root) noexcept {
  try {
    return parse(root);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, root.path(), "out of memory while reading heads");
  }
}

}  // namespace onepass
