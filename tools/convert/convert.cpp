#include "tools/convert/convert.h"

#include <algorithm>
#include <array>
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
#include "tools/convert/gguf_import.h"
#include "tools/convert/own_answers.h"
#include "tools/convert/packed_import.h"
#include "tools/convert/stored.h"
#include "tools/convert/trim_vocabulary.h"

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
      return group == 64 ? Layout::i4zg64_n32k4 : Layout::i4zg32_n32k4;
    case WeightType::f32:
      return Layout::f32_n16;
    case WeightType::f16:
      return Layout::f16_n16;
    case WeightType::int8:
    case WeightType::source:
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
    case WeightType::source:
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
    case WeightType::source:
      return "as the source";
  }
  return "none";
}

bool is_integer(WeightType type) { return type == WeightType::int8 || type == WeightType::int4; }

// Heads are small, and their error is the answer's error: they stay in float. Parts that the source has in groups of 4
// bits already are taken as they are.
Layout layout_of(const SlotSpec& spec, const Options& options, AttentionType attention, const WeightFile& weights,
                 std::span<const std::string> parts) {
  if (spec.role == Role::coded_rows) return coded_rows_layout(attention);
  const WeightType type =
      spec.role == Role::table ? table_type(options, spec.slot == Slot::embed_token) : options.weights;
  if (type == WeightType::source) return layout_as_stored(spec, weights, parts);
  if (type == WeightType::int4 && spec.scope != Scope::head) {
    if (const auto layout = int4_layout_as_stored(spec.role, options.group, weights, parts)) return *layout;
  }
  switch (spec.role) {
    case Role::vector:
    case Role::rows:
    case Role::coded_rows:
      return Layout::f32_rows;
    case Role::table:
      return table_layout(type);
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
  LabelTokens words;   // of a language model
  std::string output;  // its output matrix
};

Result<models::FoundClass> find_architecture(const HuggingFaceFolder& folder) {
  ONEPASS_TRY_ASSIGN(name, folder.architecture());
  const models::FoundClass found = models::find_class(name);
  if (found.family == nullptr) {
    std::string known;
    for (const Family* family : models::families()) known += std::string(" ") + family->name;
    return fail(Code::unsupported, "config.json: architectures",
                "%s is not supported; classes of these families are:%s", name.c_str(), known.c_str());
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

// Biases in these parts too: a sum of Part.
void add_biases(ArchSpec& arch, uint32_t parts) {
  arch.unbiased = (arch.biases != 0 ? arch.unbiased : all_parts) & ~parts;
  arch.biases = 1;
}

// Another rule than the source's for the token that is pooled.
Status set_pool(Pool pool, const JsonNode& json, Config& config) {
  if (!config.causal()) return fail(Code::invalid_argument, "--pool", "only a decoder has a choice");
  config.arch.pool = pool;
  config.pad_id = 0;
  if (pool == Pool::last) return {};
  ONEPASS_TRY_ASSIGN(pad, json.u64("pad_token_id", 0, config.vocab - 1));
  config.pad_id = static_cast<uint32_t>(pad);
  return {};
}

Result<TokenizerSpec> read_tokenizer_of(const Input& input, const Options& options) {
  if (!input.tokenizer || !options.tokenizer.empty()) return input.folder.tokenizer(options.tokenizer);
  ONEPASS_TRY(input.folder.check_tokenizer(*input.tokenizer));
  return *input.tokenizer;
}

// The whole prompt of a language model, where what is given is a message of a chat.
Result<LabelWords> words_of(const Input& input, const Options& options, std::vector<std::string>* notes) {
  LabelWords words = options.label_words;
  if (!options.chat) return words;
  chat::ChatSource source = input.chat;
  if (!fs::is_regular_file(options.source) || !options.tokenizer.empty()) {
    ONEPASS_TRY_ASSIGN(read, chat::read_chat_source(options.tokenizer.empty() ? options.source : options.tokenizer));
    source = std::move(read);
  }
  ONEPASS_TRY_ASSIGN(prompt, chat::render_chat(source, *options.chat, words.prompt));
  if (notes != nullptr) {
    notes->push_back("the prompt is " + Json(prompt).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  words.prompt = std::move(prompt);
  words.whole = true;
  return words;
}

// The one head of a language model: the labels, and how its words become their logits.
Status read_words(const Input& input, const Options& options, Source& source, std::vector<std::string>* notes) {
  const HuggingFaceFolder& folder = input.folder;
  if (folder.onepass_json()) {
    return fail(Code::unsupported, "onepass.json", "a language model's head is its labels: remove it");
  }
  Config& config = source.model.config;
  ONEPASS_TRY_ASSIGN(tokenizer, read_tokenizer_of(input, options));
  ONEPASS_TRY_ASSIGN(asked, words_of(input, options, notes));
  ONEPASS_TRY_ASSIGN(words, tokenize_labels(asked, tokenizer, config.vocab, notes));
  source.words = std::move(words);
  HeadSpec head;
  head.name = "label";
  for (const Label& label : options.label_words.labels) head.labels.push_back(label.name);
  source.heads.push_back(std::move(head));
  config.words = static_cast<uint32_t>(source.words.words);
  config.edges = static_cast<uint32_t>(source.words.edges.size());
  config.branches = static_cast<uint32_t>(source.words.paths.size());
  config.branch_tokens = static_cast<uint32_t>(source.words.longest_path());
  if (source.words.around.size() + config.branch_tokens >= config.max_tokens) {
    return fail(Code::invalid_argument, "--label", "prompt and words leave no room for a text in the model's %u tokens",
                config.max_tokens);
  }
  config.max_tokens -= config.branch_tokens;
  config.arch.pool = Pool::last;
  config.pad_id = 0;
  add_biases(config.arch, static_cast<uint32_t>(Part::heads));
  const JsonNode json = folder.config();
  if (json.has("final_logit_softcapping")) {
    ONEPASS_TRY_ASSIGN(cap, json.number("final_logit_softcapping"));
    config.logit_softcap = cap;
  }
  source.output = source.source_class->output;
  bool tied = source.source_class->tied;
  if (json.has("tie_word_embeddings")) {
    ONEPASS_TRY_ASSIGN(given, json.boolean("tie_word_embeddings"));
    tied = given;
  }
  if (source.family->tied_key != nullptr && json.has(source.family->tied_key)) {
    ONEPASS_TRY_ASSIGN(given, json.boolean(source.family->tied_key));
    tied = tied || given;
  }
  if (tied) source.output = std::string(source.source_class->prefix) + "embed_tokens.weight";
  return {};
}

Result<Source> read_source(const Input& input, const Options& options, std::vector<std::string>* notes) {
  const HuggingFaceFolder& folder = input.folder;
  Source source;
  ONEPASS_TRY_ASSIGN(found, find_architecture(folder));
  source.family = found.family;
  source.source_class = found.source;
  ONEPASS_TRY(read_config(folder.config(), *found.family, source.model.config));
  source.own = folder.onepass_json();
  if ((found.source->output != nullptr) != !options.label_words.labels.empty()) {
    return fail(Code::invalid_argument, "--label",
                found.source->output != nullptr ? "%s has no head: say with --label and --template which words it is "
                                                  "to tell apart"
                                                : "%s is no causal language model, whose words could be labels",
                found.source->name);
  }
  if (found.source->output != nullptr) {
    ONEPASS_TRY(found.family->refine(folder.config(), source.model));
    ONEPASS_TRY(read_words(input, options, source, notes));
    return source;
  }
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
  if (options.pool) ONEPASS_TRY(set_pool(*options.pool, folder.config(), source.model.config));
  if (source.own) {
    source.model.config.arch.pool = source.own->pooling;
    source.model.config.pad_id = 0;
    // Layers of ours have biases, whatever the architecture's have.
    add_biases(source.model.config.arch, static_cast<uint32_t>(Part::heads) | static_cast<uint32_t>(Part::pooler));
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
  if (!options.labels.empty() && heads.size() != 1) {
    return fail(Code::invalid_argument, "--labels", "labels can be given for a model of one head alone");
  }
  if (!options.labels.empty()) {
    if (options.labels.size() != heads[0].labels.size()) {
      return fail(Code::invalid_argument, "--labels", "%zu labels for %zu classes", options.labels.size(),
                  heads[0].labels.size());
    }
    heads[0].labels = options.labels;
  }
  if (!options.thresholds.empty()) {
    const auto has_thresholds = [](const HeadSpec& head) { return head.kind == HeadKind::multi_label; };
    if (std::count_if(heads.begin(), heads.end(), has_thresholds) != 1) {
      return fail(Code::invalid_argument, "--thresholds",
                  "thresholds belong to a multi_label head, and can be given where the model has one such head");
    }
    std::find_if(heads.begin(), heads.end(), has_thresholds)->thresholds = options.thresholds;
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
  Tensors(std::shared_ptr<const WeightFile> checkpoint, const Source& source)
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
    if (is_head && !source_.output.empty()) {
      ONEPASS_TRY(take(source_.output, false, source_.model.config.vocab, need.k));
      return parts;
    }
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
                         dim_value(row.n, source_.model.config, classes, no_layer),
                         dim_value(row.k, source_.model.config, classes, no_layer)));
      }
      return {};
    };
    ONEPASS_TRY(take_rows(source_.source_class->head, ""));
    if (parts.empty()) ONEPASS_TRY(take_rows(source_.family->tensors, source_.source_class->prefix));
    if (parts.empty()) ONEPASS_TRY(take_rows(source_.model.more_tensors, source_.source_class->prefix));
    if (parts.empty()) {
      return fail(Code::unsupported, need.name, "checkpoints of %s have no such tensor", source_.source_class->name);
    }
    return parts;
  }

  // Fails on a tensor that nothing used.
  Status check_leftover(std::vector<std::string>* notes) const {
    for (const std::string& name : checkpoint_->names()) {
      if (used_.contains(name)) continue;
      if (is_ignored(name) || checkpoint_->adds_nothing(name)) {
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
    if (checkpoint_->shape(name) != nullptr) return name;
    for (const models::NameAlias& alias : source_.family->aliases) {
      if (!name.ends_with(alias.suffix)) continue;
      std::string older = name.substr(0, name.size() - alias.suffix.size()) + std::string(alias.older);
      if (checkpoint_->shape(older) != nullptr) return older;
    }
    return name;
  }

  Status use(const std::string& name, const std::vector<uint64_t>& shape) {
    const std::vector<uint64_t>* given = checkpoint_->shape(name);
    if (given == nullptr) {
      return fail(Code::missing_tensor, checkpoint_->label(name),
                  "the checkpoint does not have this tensor, which %s needs", source_.source_class->name);
    }
    if (*given != shape) {
      const auto text = [](const std::vector<uint64_t>& dims) {
        std::string out = "[";
        for (const uint64_t d : dims) out += (out.size() > 1 ? "," : "") + std::to_string(d);
        return out + "]";
      };
      return fail(Code::bad_shape, checkpoint_->label(name), "the shape is %s, and config.json says %s",
                  text(*given).c_str(), text(shape).c_str());
    }
    used_.insert(name);
    return {};
  }

  // Whether the name is the pattern, "{i}" standing for a number.
  static bool matches(std::string_view name, std::string_view pattern) {
    const size_t hole = pattern.find("{i}");
    if (hole == std::string_view::npos) return name == pattern;
    const std::string_view after = pattern.substr(hole + 3);
    if (name.size() <= hole + after.size() || !name.starts_with(pattern.substr(0, hole)) || !name.ends_with(after)) {
      return false;
    }
    const std::string_view number = name.substr(hole, name.size() - hole - after.size());
    return number.find_first_not_of("0123456789") == std::string_view::npos;
  }

  // Known buffers, and a pooler that no head reads.
  bool is_ignored(std::string_view name) const {
    const std::string_view prefix = source_.source_class->prefix;
    // A copy of the embeddings.
    if (!source_.output.empty() && name == source_.source_class->output) return true;
    if (!name.starts_with(prefix)) return false;
    const std::string_view rest = name.substr(prefix.size());
    for (const std::string_view ignored : source_.family->ignored) {
      if (matches(rest, ignored)) return true;
    }
    for (const TensorSource& row : source_.family->tensors) {
      if (rest == row.source && (row.slot == Slot::pooler_w || row.slot == Slot::pooler_b)) return true;
    }
    return false;
  }

  std::shared_ptr<const WeightFile> checkpoint_;
  const Source& source_;
  std::set<std::string> used_;
};

// What a tensor is made of.
struct Recipe {
  std::shared_ptr<const WeightFile> checkpoint;
  const Family* family;
  models::SourceModel model;
  Slot slot;
  std::vector<std::string> parts;
  LabelTokens words;  // of a head of words
};

// Reads the parts and packs them, when the file is written.
Status fill_tensor(const Recipe& recipe, Layout layout, uint64_t n, uint64_t k, std::span<uint8_t> out) {
  const std::vector<std::string>& parts = recipe.parts;
  if (kernels::dtype_of(layout) == kernels::Dtype::i4 && fate_of(layout, *recipe.checkpoint, parts) != Fate::changed) {
    return pack_stored(layout, *recipe.checkpoint, parts, n, k, out);
  }
  std::vector<std::vector<float>> read;
  for (const std::string& part : parts) {
    ONEPASS_TRY_ASSIGN(one, recipe.checkpoint->read_f32(part));
    read.push_back(std::move(one));
  }
  std::vector<float> values;
  std::vector<size_t> part_ends;
  if (!recipe.words.empty()) {
    values = recipe.words.matrix(read[0], k);
    part_ends.push_back(values.size());
  } else if (recipe.family->compute != nullptr && recipe.family->compute(recipe.slot, recipe.model, read, values)) {
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

// A tensor that no part of the checkpoint makes; empty where it is another.
std::vector<float> computed_tensor(Slot slot, const Source& source) {
  const Config& config = source.model.config;
  if (slot == Slot::rotary_global) return source.model.rotary_global;
  if (slot == Slot::rotary_local) return source.model.rotary_local;
  if (slot == Slot::rotary_long) return source.model.rotary_long;
  std::vector<float> rows;
  if (slot == Slot::words_path) return source.words.path_rows();
  if (slot == Slot::words_edge) return source.words.edge_rows();
  if (slot == Slot::head_b && !source.words.empty()) {
    return source.words.bias(std::vector<float>(source.heads[0].labels.size()));
  }
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

bool has_blocks(const WeightFile& weights) {
  const std::vector<std::string> names = weights.names();
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    const auto type = weights.stored_type(name);
    return type && info_of(*type).block > 1;
  });
}

AttentionType attention_of(const Options& options, const Config& config, const WeightFile& weights) {
  // A decoder's keys reach further than 8 bits with one scale hold, and its attention is a small part of its work.
  const bool integers = !config.causal() &&
                        (is_integer(options.weights) || (options.weights == WeightType::source && has_blocks(weights)));
  return options.attention.value_or(integers ? AttentionType::i8 : AttentionType::f32);
}

// Matrices and tables that were stored in blocks, by what became of them.
using Fates = std::array<size_t, 3>;

std::string quantisation_record(const Options& options, const Config& config, const char* stored_by,
                                const Fates& fates) {
  const std::string weights = type_name(options.weights);
  const std::string tables = type_name(options.embeddings.value_or(options.weights));
  std::string record = "products " + weights;
  if (options.weights == WeightType::int4)
    record += " (one scale per output channel, one whole step and zero per group of " + std::to_string(options.group) +
              " inputs, least squared error, activations one scale per token)";
  if (options.weights == WeightType::int8)
    record += " (symmetric, one scale per output channel, activations one scale per token)";
  if (config.attention == AttentionType::i8) record += "; attention int8";
  record += "; embeddings " + tables;
  if (tables == "int8") record += " (one scale per row)";
  if (tables == "int4") record += " (one scale per 32 of a row)";
  if (options.positions && slot_present(Slot::embed_position, config, 0))
    record += std::string(", positions ") + type_name(*options.positions);
  if (options.weights != WeightType::source)
    record += std::string("; heads ") + (options.weights == WeightType::f16 ? "f16" : "f32");
  record += "; norms and biases f32";
  if (fates == Fates()) return record;
  record += std::string("; from ") + stored_by + ": " + std::to_string(fates[static_cast<size_t>(Fate::exact)]) +
            " matrices without loss";
  const size_t rounded = fates[static_cast<size_t>(Fate::rounded)], changed = fates[static_cast<size_t>(Fate::changed)];
  if (rounded != 0) record += ", " + std::to_string(rounded) + " with scales rounded to f16";
  if (changed != 0) record += ", " + std::to_string(changed) + " quantised again";
  return record;
}

Result<std::string> licence_text(const fs::path& folder, const Source& source) {
  if (source.own && !source.own->licence.empty()) return source.own->licence;
  if (!fs::is_directory(folder)) return std::string();
  for (const char* name : {"LICENSE", "LICENSE.txt", "LICENCE"}) {
    if (fs::exists(folder / name)) return read_text_file(folder / name, size_t{1} << 20);
  }
  return std::string();
}

// What `options` names, opened: a folder, or a GGUF file as the folder that it was made from.
Result<Input> open_input(const Options& options, std::vector<std::string>* notes) {
  if (options.source.extension() == ".gguf") {
    return import_gguf(options.source, options.head_from, !options.label_words.labels.empty(), notes);
  }
  if (!options.head_from.empty()) {
    return fail(Code::invalid_argument, "--head-from", "a folder has its own head; only a .gguf file can lack one");
  }
  if (!fs::is_directory(options.source)) {
    return fail(Code::io_error, options.source.string(),
                "not a folder: give a Hugging Face folder with config.json, or a .gguf file");
  }
  ONEPASS_TRY_ASSIGN(folder, HuggingFaceFolder::open(options.source));
  ONEPASS_TRY_ASSIGN(checkpoint, Checkpoint::open(options.source));
  auto file = std::make_shared<const Checkpoint>(std::move(checkpoint));
  ONEPASS_TRY_ASSIGN(packed, open_packed(folder.config(), file));
  if (packed.weights == nullptr) return Input{std::move(folder), std::move(file), {}, {}, {}};
  return Input{std::move(folder), std::move(packed.weights), {}, {}, {}, packed.method};
}

}  // namespace

WeightType table_type(const Options& options, bool of_tokens) noexcept {
  const WeightType embeddings = options.embeddings.value_or(options.weights);
  return of_tokens ? embeddings : options.positions.value_or(embeddings);
}

Result<ModelContent> convert_folder(const Options& options, std::vector<std::string>* notes) noexcept try {
  ONEPASS_TRY_ASSIGN(input, open_input(options, notes));
  ONEPASS_TRY_ASSIGN(source, read_source(input, options, notes));
  ONEPASS_TRY(apply_overrides(options, source.heads));
  ONEPASS_TRY_ASSIGN(tokenizer, read_tokenizer_of(input, options));
  const std::shared_ptr<const WeightFile> checkpoint = input.weights;
  ONEPASS_TRY_ASSIGN(hash, checkpoint->source_hash());
  ONEPASS_TRY_ASSIGN(licence, licence_text(options.source, source));
  if (licence.empty()) licence = input.licence;

  ModelContent content;
  content.config = source.model.config;
  content.config.attention = attention_of(options, content.config, *checkpoint);
  ONEPASS_TRY(validate(content.config));
  std::vector<uint32_t> classes;
  for (const HeadSpec& head : source.heads) {
    content.heads.push_back(head_content(head));
    classes.push_back(static_cast<uint32_t>(head.labels.size()));
  }
  if (!source.words.around.empty()) tokenizer.single_template = source.words.around;
  TrimmedVocabulary trimmed;
  if (options.trim.asked()) {
    ONEPASS_TRY_ASSIGN(result, trim_vocabulary(tokenizer, options.trim, content.config));
    trimmed = std::move(result);
    tokenizer = trimmed.tokenizer;
  }
  content.tokenizer = serialize_tokenizer(tokenizer);
  const auto or_else = [](const std::string& a, const std::string& b, const std::string& c) {
    return !a.empty() ? a : !b.empty() ? b : c;
  };
  content.metadata = {
      .family = source.family->name,
      .model_id = or_else(options.model_id, source.own ? source.own->model_id : "",
                          or_else(input.name, fs::weakly_canonical(options.source).filename().string(), "")),
      .model_version = or_else(options.model_version, source.own ? source.own->model_version : "", "1"),
      .licence = licence,
      .source_hash = hex(hash),
      .quantisation = {},  // when all tensors are known
      .converter = "onepass " ONEPASS_VERSION};
  Tensors tensors(checkpoint, source);
  Fates fates{};
  ONEPASS_TRY(for_each_tensor(content.config, classes, [&](const TensorNeed& need) -> Status {
    if (auto values = computed_tensor(need.spec->slot, source); !values.empty()) {
      content.tensors.push_back({.name = need.name,
                                 .layout = layout_of(*need.spec, options, content.config.attention, *checkpoint, {}),
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
    const Layout layout = layout_of(*need.spec, options, content.config.attention, *checkpoint, parts);
    std::string origin = input.stored_by != nullptr ? describe_fate(layout, *checkpoint, parts) : std::string();
    if (input.stored_by != nullptr && (need.spec->role == Role::matrix || need.spec->role == Role::table)) {
      ++fates[static_cast<size_t>(fate_of(layout, *checkpoint, parts))];
    }
    std::shared_ptr<const WeightFile> from = checkpoint;
    if (need.spec->slot == Slot::embed_token && !trimmed.kept.empty()) {
      from = select_rows(checkpoint, parts[0], trimmed.kept);
      const uint64_t rows = source.model.config.vocab;
      if (notes != nullptr)
        notes->push_back(describe_trim(trimmed, rows, kernels::packed_bytes(layout, rows, need.k),
                                       kernels::packed_bytes(layout, need.n, need.k)));
    }
    content.tensors.push_back(
        {.name = need.name,
         .layout = layout,
         .n = need.n,
         .k = need.k,
         .payload = {},
         .fill = [recipe = Recipe{from, source.family, source.model, need.spec->slot, std::move(parts),
                                  need.spec->slot == Slot::head_w ? source.words : LabelTokens()},
                  layout, n = need.n,
                  k = need.k](std::span<uint8_t> out) { return fill_tensor(recipe, layout, n, k, out); },
         .origin = std::move(origin)});
    return {};
  }));
  ONEPASS_TRY(tensors.check_leftover(notes));
  content.metadata.quantisation = quantisation_record(options, content.config, input.stored_by, fates);
  if (!trimmed.kept.empty()) {
    content.metadata.quantisation += "; vocabulary " + std::to_string(trimmed.kept.size()) + " of " +
                                     std::to_string(source.model.config.vocab) + " tokens";
  }
  if (options.adjust) ONEPASS_TRY(options.adjust(content));
  if (!options.label_words.content_free.empty()) ONEPASS_TRY(calibrate(options.label_words, source.words, content));
  if (options.store_prefix) ONEPASS_TRY(store_prefix(classes, content));
  return content;
} catch (const std::bad_alloc&) {
  return fail(Code::out_of_memory, options.source.string(), "no memory for the conversion");
} catch (const std::exception& error) {
  return fail(Code::io_error, options.source.string(), "%s", error.what());
}

}  // namespace onepass::convert
