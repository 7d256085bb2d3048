#include "tools/convert/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <set>

#include "engine/core/array.h"
#include "engine/runtime/model.h"
#include "engine/runtime/session.h"
#include "formats/huggingface/folder.h"
#include "formats/json/json.h"
#include "formats/safetensors/checkpoint.h"
#include "kernels/pack/pack.h"
#include "models/family.h"

namespace onepass::convert {

namespace {

using kernels::Layout;
using models::Family;
using models::SourceClass;
using models::TensorSource;

namespace fs = std::filesystem;

Error fail(Code code, const std::string& where, const char* text) {
  return make_error(code, Error::no_offset, where, "%s", text);
}
template <class... Args>
requires(sizeof...(Args) > 0) Error fail(Code code, const std::string& where, const char* format, Args... args) {
  return make_error(code, Error::no_offset, where, format, args...);
}

Layout matrix_layout(WeightType type, uint32_t group) {
  switch (type) {
    case WeightType::int4:
      return group == 64 ? Layout::i4g64_n32k4 : Layout::i4g32_n32k4;
    case WeightType::f32:
      return Layout::f32_n16;
    case WeightType::f16:
      return Layout::f16_n16;
    case WeightType::int8:
      return Layout::i8_n32k4;
  }
  return Layout::none;
}

Layout table_layout(WeightType type) {
  switch (type) {
    case WeightType::int4:
      return Layout::i4g32_rows;
    case WeightType::f32:
      return Layout::f32_rows;
    case WeightType::f16:
      return Layout::f16_rows;
    case WeightType::int8:
      return Layout::i8_rows;
  }
  return Layout::none;
}

const char* type_name(WeightType type) {
  switch (type) {
    case WeightType::f32:
      return "f32";
    case WeightType::f16:
      return "f16";
    case WeightType::int8:
      return "int8";
    case WeightType::int4:
      return "int4";
  }
  return "none";
}

bool is_integer(WeightType type) { return type == WeightType::int8 || type == WeightType::int4; }

// Heads are small, and their error is the answer's error: they stay in float.
Layout layout_of(const SlotSpec& spec, const Options& options) {
  switch (spec.role) {
    case Role::vector:
    case Role::rows:
      return Layout::f32_rows;
    case Role::table:
      return table_layout(options.embeddings.value_or(options.weights));
    case Role::matrix:
      if (spec.scope == Scope::head && is_integer(options.weights)) return Layout::f32_n16;
      return matrix_layout(options.weights, options.group);
  }
  return Layout::none;
}

struct Source {
  const Family* family = nullptr;
  const SourceClass* source_class = nullptr;
  std::optional<OnepassJson> own;  // onepass.json
  std::vector<HeadSpec> heads;
  models::SourceModel model;
};

Result<models::FoundClass> find_architecture(const HuggingFaceFolder& folder) {
  ONEPASS_TRY_ASSIGN(name, folder.architecture());
  const models::FoundClass found = models::find_class(name);
  if (found.family == nullptr) {
    std::string known;
    for (const Family* family : models::families()) {
      for (const SourceClass& c : family->classes) known += std::string(" ") + c.name;
    }
    return fail(Code::unsupported, "config.json: architectures", "%s is not supported; supported are%s", name.c_str(),
                known.c_str());
  }
  return found;
}

Status check_fixed(const JsonNode& json, const Family& family) {
  for (const models::FixedKey& fixed : family.fixed) {
    if (!json.has(fixed.key)) {
      if (!fixed.required) continue;
      return fail(Code::unsupported, json.path_of(fixed.key), "it is absent, and only %s is supported", fixed.value);
    }
    ONEPASS_TRY_ASSIGN(value, json.member(fixed.key));
    if (value.value() != Json::parse(fixed.value)) {
      return fail(Code::unsupported, value.path(), "only %s is supported", fixed.value);
    }
  }
  return {};
}

Result<Act> read_act(const JsonNode& json, const char* key) {
  ONEPASS_TRY_ASSIGN(name, json.string(key));
  if (const auto found = find_activation(name)) return Act{*found};
  return fail(Code::unsupported, json.path_of(key), "the activation %s is not supported", name.c_str());
}

// Sizes and the enums that config.json may choose.
Status read_config(const JsonNode& json, const Family& family, Config& config) {
  config.arch = family.arch;
  ONEPASS_TRY(check_fixed(json, family));
  for (const models::SizeKey& size : family.sizes) {
    ONEPASS_TRY_ASSIGN(value, json.u64(size.key, 1, max_text_tokens));
    config.*size.member = static_cast<uint32_t>(value);
  }
  if (family.segment_types_key != nullptr) {
    ONEPASS_TRY_ASSIGN(types, json.u64(family.segment_types_key, 0, 65536));
    config.arch.segment_types = static_cast<uint32_t>(types);
  }
  if (family.pad_key != nullptr) {
    ONEPASS_TRY_ASSIGN(pad, json.u64(family.pad_key, 0, max_text_tokens - 1));
    config.arch.position_first = static_cast<uint32_t>(pad) + 1;
  }
  if (family.embed_width_key != nullptr) {
    ONEPASS_TRY_ASSIGN(width, json.u64(family.embed_width_key, 1, max_width));
    if (width != config.width || family.embed_always_projected) config.embed_width = static_cast<uint32_t>(width);
  }
  ONEPASS_TRY_ASSIGN(act, read_act(json, family.act_key));
  config.arch.act = act;
  config.norm_eps = family.norm_eps;
  if (family.eps_key != nullptr) {
    ONEPASS_TRY_ASSIGN(eps, json.number(family.eps_key));
    config.norm_eps = eps;
  }
  config.kv_heads = config.heads;
  std::optional<uint64_t> head_width;
  if (family.head_width_key != nullptr) {
    ONEPASS_TRY_ASSIGN(given, json.optional_u64(family.head_width_key, 1, kernels::max_head_width));
    head_width = given;
  }
  if (!head_width && (config.heads == 0 || config.width % config.heads != 0)) {
    return fail(Code::bad_value, json.path(), "the width %u is not a multiple of the %u attention heads", config.width,
                config.heads);
  }
  config.head_width = static_cast<uint32_t>(head_width.value_or(config.width / config.heads));
  if (config.arch.position == Position::rotary) config.rotary_width = config.head_width;
  if (config.stored_layers == config.layers) config.stored_layers = 0;
  if (!slot_present(Slot::embed_position, config, 0)) return {};  // the family names max_tokens itself
  if (config.positions <= config.arch.position_first) {
    return fail(Code::bad_value, json.path(), "no position is left after the padding's %u", config.arch.position_first);
  }
  config.max_tokens = config.positions - config.arch.position_first;
  return {};
}

Result<Source> read_source(const HuggingFaceFolder& folder, const Options& options) {
  Source source;
  ONEPASS_TRY_ASSIGN(found, find_architecture(folder));
  source.family = found.family;
  source.source_class = found.source;
  ONEPASS_TRY(read_config(folder.config(), *found.family, source.model.config));
  source.own = folder.onepass_json();
  const bool needs_own = found.source->head.empty();
  if (needs_own != source.own.has_value()) {
    return fail(
        needs_own ? Code::missing_key : Code::unsupported, "onepass.json",
        needs_own ? "%s has no head of its own: describe the heads in onepass.json beside config.json (docs/convert.md)"
                  : "%s has a head of its own: remove onepass.json, or convert the encoder's class",
        found.source->name);
  }
  auto kinds = options.kinds;
  if (!source.own && found.source->pool == Pool::every_token) {
    kinds.try_emplace(std::string(kClassifierHead), HeadKind::token_label);
  }
  ONEPASS_TRY_ASSIGN(heads, folder.heads({kinds.begin(), kinds.end()}));
  source.heads = heads;
  source.model.config.arch.pool = found.source->pool;
  source.model.config.arch.pooler = found.source->pooler;
  source.model.config.arch.pooler_act = found.source->pooler_act;
  if (found.family->refine != nullptr) {
    ONEPASS_TRY(found.family->refine(folder.config(), source.model));
  }
  if (source.own) {
    source.model.config.arch.pool = source.own->pooling;
    source.model.config.arch.pooler = source.own->pooler_activation.has_value();
    source.model.config.arch.pooler_act = source.own->pooler_activation.value_or(Act::none);
    source.model.config.max_tokens = std::min(source.model.config.max_tokens, source.own->max_tokens);
  }
  const bool every_token = source.model.config.arch.pool == Pool::every_token;
  for (const HeadSpec& head : source.heads) {
    if ((head.kind == HeadKind::token_label) == every_token) continue;
    return fail(Code::unsupported, head.name,
                every_token ? "the checkpoint labels tokens, so the head's kind can only be token_label"
                            : "the checkpoint pools its tokens, so the head cannot label them");
  }
  return source;
}

Status apply_overrides(const Options& options, std::vector<HeadSpec>& heads) {
  if ((!options.labels.empty() || !options.thresholds.empty()) && heads.size() != 1) {
    return fail(Code::invalid_argument, "--labels", "labels and thresholds can be given for a model of one head alone");
  }
  if (!options.labels.empty()) {
    if (options.labels.size() != heads[0].labels.size()) {
      return fail(Code::invalid_argument, "--labels", "%zu labels for %zu classes", options.labels.size(),
                  heads[0].labels.size());
    }
    heads[0].labels = options.labels;
  }
  if (!options.thresholds.empty()) {
    if (heads[0].kind != HeadKind::multi_label) {
      return fail(Code::invalid_argument, "--thresholds",
                  "the head %s is %s, and thresholds belong to multi_label heads", heads[0].name.c_str(),
                  name_of(heads[0].kind));
    }
    heads[0].thresholds = options.thresholds;
  }
  const auto is_regression = [](const HeadSpec& head) { return head.kind == HeadKind::regression; };
  if (options.range && std::none_of(heads.begin(), heads.end(), is_regression)) {
    return fail(Code::invalid_argument, "--pad-range", "the model has no regression head, and a range belongs to one");
  }
  for (HeadSpec& head : heads) {
    if (head.kind != HeadKind::multi_label) head.thresholds.clear();
    if (head.kind == HeadKind::multi_label && head.thresholds.empty()) {
      head.thresholds.assign(head.labels.size(), kDefaultThreshold);
    }
    if (head.kind != HeadKind::regression) head.range.reset();
    if (head.kind == HeadKind::regression && options.range) head.range = options.range;
    ONEPASS_TRY(check_head(head, head.name));
  }
  return {};
}

HeadContent head_content(const HeadSpec& spec) {
  HeadContent head{spec.name, spec.kind, spec.labels, spec.thresholds, spec.temperature, 0, 0};
  if (spec.kind == HeadKind::regression) {
    constexpr float kLargest = std::numeric_limits<float>::max();
    head.range_low = spec.range ? (*spec.range)[0] : -kLargest;
    head.range_high = spec.range ? (*spec.range)[1] : kLargest;
  }
  return head;
}

// Finds tensors of the checkpoint and keeps count of what was used.
class Tensors {
 public:
  Tensors(std::shared_ptr<const Checkpoint> checkpoint, const Source& source)
      : checkpoint_(std::move(checkpoint)), source_(source) {}

  // The parts of one tensor of ours, each with its name in the checkpoint, checked against the shape.
  Result<std::vector<std::string>> find(const TensorNeed& need) {
    std::vector<std::string> parts;
    const bool is_head = need.spec->scope == Scope::head;
    const bool vector = need.spec->role == Role::vector;
    const auto take = [&](std::string name, bool is_vector, uint64_t n, uint64_t k) -> Status {
      ONEPASS_TRY(use(name, is_vector ? std::vector<uint64_t>{k} : std::vector<uint64_t>{n, k}));
      parts.push_back(std::move(name));
      return {};
    };
    if (is_head && source_.own) {
      ONEPASS_TRY(
          take("heads." + source_.heads[need.index].name + (vector ? ".bias" : ".weight"), vector, need.n, need.k));
      return parts;
    }
    const auto classes = static_cast<uint32_t>(is_head ? source_.heads[need.index].labels.size() : 0);
    const auto take_rows = [&](std::span<const TensorSource> rows, std::string_view prefix) -> Status {
      for (const TensorSource& row : rows) {
        if (row.slot != need.spec->slot) continue;
        ONEPASS_TRY(take(resolve(row, prefix, need.index), row.n == Dim::one,
                         dim_value(row.n, source_.model.config, classes),
                         dim_value(row.k, source_.model.config, classes)));
      }
      return {};
    };
    ONEPASS_TRY(take_rows(source_.source_class->head, ""));
    if (parts.empty()) ONEPASS_TRY(take_rows(source_.family->tensors, source_.source_class->prefix));
    if (parts.empty()) ONEPASS_TRY(take_rows(source_.model.more_tensors, source_.source_class->prefix));
    return parts;
  }

  // Fails on a tensor that nothing used.
  Status check_leftover(std::vector<std::string>* notes) const {
    for (const auto& [name, entry] : checkpoint_->tensors()) {
      if (used_.contains(name)) continue;
      if (is_ignored(name)) {
        if (notes != nullptr) notes->push_back("tensor " + name + " is not needed and left out");
        continue;
      }
      return fail(
          Code::extra_tensor, name,
          "the checkpoint has a tensor that the architecture %s does not know: it would be another model without it",
          source_.source_class->name);
    }
    return {};
  }

 private:
  std::string resolve(const TensorSource& row, std::string_view prefix, uint32_t index) const {
    char text[256];
    const char* hole = std::strstr(row.source, "{i}");
    const auto length = static_cast<int>(prefix.size());
    if (hole == nullptr) {
      std::snprintf(text, sizeof(text), "%.*s%s", length, prefix.data(), row.source);
    } else {
      std::snprintf(text, sizeof(text), "%.*s%.*s%u%s", length, prefix.data(), static_cast<int>(hole - row.source),
                    row.source, index, hole + 3);
    }
    std::string name = text;
    if (checkpoint_->find(name) != nullptr) return name;
    for (const models::NameAlias& alias : source_.family->aliases) {
      if (!name.ends_with(alias.suffix)) continue;
      std::string older = name.substr(0, name.size() - alias.suffix.size()) + std::string(alias.older);
      if (checkpoint_->find(older) != nullptr) return older;
    }
    return name;
  }

  Status use(const std::string& name, const std::vector<uint64_t>& shape) {
    const SafetensorsEntry* entry = checkpoint_->find(name);
    if (entry == nullptr) {
      return fail(Code::missing_tensor, name, "the checkpoint does not have this tensor, which %s needs",
                  source_.source_class->name);
    }
    if (entry->shape != shape) {
      const auto text = [](const std::vector<uint64_t>& dims) {
        std::string out = "[";
        for (const uint64_t d : dims) out += (out.size() > 1 ? "," : "") + std::to_string(d);
        return out + "]";
      };
      return fail(Code::bad_shape, name, "the shape is %s, and config.json says %s", text(entry->shape).c_str(),
                  text(shape).c_str());
    }
    used_.insert(name);
    return {};
  }

  // Known buffers, and a pooler that no head reads.
  bool is_ignored(std::string_view name) const {
    const std::string_view prefix = source_.source_class->prefix;
    if (!name.starts_with(prefix)) return false;
    const std::string_view rest = name.substr(prefix.size());
    for (const std::string_view ignored : source_.family->ignored) {
      if (rest == ignored) return true;
    }
    for (const TensorSource& row : source_.family->tensors) {
      if (rest == row.source && (row.slot == Slot::pooler_w || row.slot == Slot::pooler_b)) return true;
    }
    return false;
  }

  std::shared_ptr<const Checkpoint> checkpoint_;
  const Source& source_;
  std::set<std::string> used_;
};

// What a tensor is made of.
struct Recipe {
  std::shared_ptr<const Checkpoint> checkpoint;
  const Family* family;
  models::SourceModel model;
  Slot slot;
  std::vector<std::string> parts;
};

// Reads the parts and packs them, when the file is written.
Status fill_tensor(const Recipe& recipe, Layout layout, uint64_t n, uint64_t k, std::span<uint8_t> out) {
  const std::vector<std::string>& parts = recipe.parts;
  std::vector<std::vector<float>> read;
  for (const std::string& part : parts) {
    ONEPASS_TRY_ASSIGN(one, recipe.checkpoint->read_f32(part));
    read.push_back(std::move(one));
  }
  std::vector<float> values;
  std::vector<size_t> part_ends;
  if (recipe.family->compute != nullptr && recipe.family->compute(recipe.slot, recipe.model, read, values)) {
    part_ends.push_back(values.size());
  } else {
    values = std::move(read[0]);
    part_ends.push_back(values.size());
    for (size_t i = 1; i < read.size(); ++i) {
      values.insert(values.end(), read[i].begin(), read[i].end());
      part_ends.push_back(values.size());
    }
  }
  const kernels::PackResult packed = kernels::pack(layout, values.data(), n, k, out.data());
  if (packed.ok()) return {};
  size_t part = 0;
  while (packed.index >= part_ends[part]) ++part;
  const size_t index = packed.index - (part == 0 ? 0 : part_ends[part - 1]);
  if (packed.status == kernels::PackStatus::f16_overflow) {
    return fail(Code::bad_value, parts[part], "element %zu is %g, which f16 cannot hold: use f32 or int8", index,
                static_cast<double>(values[packed.index]));
  }
  return fail(Code::non_finite, parts[part], "element %zu is not a finite number", index);
}

// Radians that each pair of a head turns from one position to the next, in the reference implementation's arithmetic.
std::vector<float> rotary_frequencies(double theta, uint32_t rotary_width) {
  std::vector<float> frequencies;
  for (uint32_t i = 0; i < rotary_width; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(rotary_width);
    frequencies.push_back(1.0f / static_cast<float>(std::pow(theta, static_cast<double>(exponent))));
  }
  return frequencies;
}

// A tensor that no part of the checkpoint makes; empty where it is another.
std::vector<float> computed_tensor(Slot slot, const Source& source) {
  const Config& config = source.model.config;
  if (slot == Slot::rotary_global) return rotary_frequencies(source.model.rotary_theta, config.rotary_width);
  if (slot == Slot::rotary_local) return rotary_frequencies(source.model.rotary_theta_local, config.rotary_width);
  std::vector<float> rows;
  if (slot == Slot::relative_index) {
    const int64_t last = int64_t{config.max_tokens} - 1;
    for (int64_t d = -last; d <= last; ++d) {
      rows.push_back(static_cast<float>(source.family->relative_row(d, source.model)));
    }
  }
  return rows;
}

std::string hex(std::span<const uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const uint8_t b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

AttentionType attention_of(const Options& options, const Config& config) {
  const bool integers = config.arch.relative == Relative::none &&
                        (options.weights == WeightType::int8 || options.weights == WeightType::int4);
  return options.attention.value_or(integers ? AttentionType::i8 : AttentionType::f32);
}

std::string quantisation_record(const Options& options, const Config& config) {
  const std::string weights = type_name(options.weights);
  const std::string tables = type_name(options.embeddings.value_or(options.weights));
  std::string record = "products " + weights;
  if (options.weights == WeightType::int4)
    record += " (symmetric, one scale per group of " + std::to_string(options.group) +
              " inputs, least squared error, activations one scale per token)";
  if (options.weights == WeightType::int8)
    record += " (symmetric, one scale per output channel, activations one scale per token)";
  if (config.attention == AttentionType::i8) record += "; attention int8";
  record += "; embeddings " + tables;
  if (tables == "int8") record += " (one scale per row)";
  if (tables == "int4") record += " (one scale per 32 of a row)";
  record += std::string("; heads ") + (options.weights == WeightType::f16 ? "f16" : "f32") + "; norms and biases f32";
  return record;
}

Result<std::string> licence_text(const fs::path& folder, const Source& source) {
  if (source.own && !source.own->licence.empty()) return source.own->licence;
  for (const char* name : {"LICENSE", "LICENSE.txt", "LICENCE"}) {
    if (fs::exists(folder / name)) return read_text_file(folder / name, size_t{1} << 20);
  }
  return std::string();
}

}  // namespace

Result<ModelContent> convert_folder(const Options& options, std::vector<std::string>* notes) noexcept try {
  if (!fs::is_directory(options.source)) {
    return fail(Code::io_error, options.source.string(), "not a folder: give a Hugging Face folder with config.json");
  }
  ONEPASS_TRY_ASSIGN(folder, HuggingFaceFolder::open(options.source));
  ONEPASS_TRY_ASSIGN(source, read_source(folder, options));
  ONEPASS_TRY(apply_overrides(options, source.heads));
  ONEPASS_TRY_ASSIGN(tokenizer, folder.tokenizer(options.tokenizer));
  ONEPASS_TRY_ASSIGN(opened, Checkpoint::open(options.source));
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(opened));
  ONEPASS_TRY_ASSIGN(hash, checkpoint->source_hash());
  ONEPASS_TRY_ASSIGN(licence, licence_text(options.source, source));

  ModelContent content;
  content.config = source.model.config;
  content.config.attention = attention_of(options, content.config);
  ONEPASS_TRY(validate(content.config));
  std::vector<uint32_t> classes;
  for (const HeadSpec& head : source.heads) {
    content.heads.push_back(head_content(head));
    classes.push_back(static_cast<uint32_t>(head.labels.size()));
  }
  content.tokenizer = serialize_tokenizer(tokenizer);
  const auto or_else = [](const std::string& a, const std::string& b, const std::string& c) {
    return !a.empty() ? a : !b.empty() ? b : c;
  };
  content.metadata = {.family = source.family->name,
                      .model_id = or_else(options.model_id, source.own ? source.own->model_id : "",
                                          fs::weakly_canonical(options.source).filename().string()),
                      .model_version = or_else(options.model_version, source.own ? source.own->model_version : "", "1"),
                      .licence = licence,
                      .source_hash = hex(hash),
                      .quantisation = quantisation_record(options, content.config),
                      .converter = "onepass " ONEPASS_VERSION};
  Tensors tensors(checkpoint, source);
  ONEPASS_TRY(for_each_tensor(content.config, classes, [&](const TensorNeed& need) -> Status {
    const Layout layout = layout_of(*need.spec, options);
    if (auto values = computed_tensor(need.spec->slot, source); !values.empty()) {
      content.tensors.push_back({.name = need.name,
                                 .layout = layout,
                                 .n = need.n,
                                 .k = need.k,
                                 .payload = {},
                                 .fill = [values = std::move(values)](std::span<uint8_t> out) -> Status {
                                   std::memcpy(out.data(), values.data(), out.size());
                                   return {};
                                 }});
      return {};
    }
    ONEPASS_TRY_ASSIGN(parts, tensors.find(need));
    content.tensors.push_back(
        {.name = need.name,
         .layout = layout,
         .n = need.n,
         .k = need.k,
         .payload = {},
         .fill = [recipe = Recipe{checkpoint, source.family, source.model, need.spec->slot, std::move(parts)}, layout,
                  n = need.n, k = need.k](std::span<uint8_t> out) { return fill_tensor(recipe, layout, n, k, out); }});
    return {};
  }));
  ONEPASS_TRY(tensors.check_leftover(notes));
  return content;
} catch (const std::bad_alloc&) {
  return fail(Code::out_of_memory, options.source.string(), "no memory for the conversion");
} catch (const std::exception& error) {
  return fail(Code::io_error, options.source.string(), "%s", error.what());
}

Status add_self_tests(ModelContent& content) noexcept try {
  ONEPASS_TRY_ASSIGN(bytes, serialize_model(content));
  ONEPASS_TRY_ASSIGN(model, Model::from_memory(bytes, {.mode = LoadMode::copy, .verify = false}));
  ONEPASS_TRY_ASSIGN(session, Session::create(model, {}));
  // Words for the tokenizer, and ids from all over the vocabulary for the table: 1 token, a few, and many.
  const std::string_view texts[] = {"", "I can't believe you did this for me, thank you!",
                                    "Why would anyone do that? It is 2 a.m. and the music is still far too loud."};
  std::vector<std::vector<uint32_t>> lines;
  for (const std::string_view text : texts) {
    const auto tokens = session.tokenize(text, {});
    if (tokens.ok()) lines.emplace_back(tokens.value().ids.begin(), tokens.value().ids.end());
  }
  std::vector<uint32_t> spread;
  const uint32_t count = std::min<uint32_t>(content.config.max_tokens, 37);
  for (uint32_t t = 0; t < count; ++t) {
    spread.push_back(static_cast<uint32_t>(uint64_t{t} * 2654435761u % content.config.vocab));
  }
  lines.push_back(std::move(spread));
  for (const auto& ids : lines) {
    SelfTestContent test{ids, std::vector<float>(model.config().logit_rows(ids.size(), 1) * model.total_classes())};
    const uint32_t starts[] = {0, static_cast<uint32_t>(ids.size())};
    ONEPASS_TRY(session.run_ids(ids, starts, test.logits));
    content.self_tests.push_back(std::move(test));
  }
  return {};
} catch (const std::exception& error) {
  return fail(Code::out_of_memory, "self_test", "%s", error.what());
}

}  // namespace onepass::convert
