#include "tools/convert/gguf_import.h"

#include <algorithm>
#include <cinttypes>
#include <map>
#include <set>

#include "engine/core/sha256.h"
#include "formats/gguf/tokenizer.h"
#include "formats/safetensors/checkpoint.h"
#include "models/family.h"
#include "tools/convert/gguf_tables.h"

namespace onepass::convert {

namespace {

namespace fs = std::filesystem;

// A tensor of the checkpoint: rows of one of the file.
struct Entry {
  const GgufTensor* tensor = nullptr;
  Edit edit = Edit::none;
  uint64_t begin = 0, end = 0;  // rows; of a vector, which is one row, 0 and 1
  std::vector<uint64_t> shape;  // of the result
  uint64_t group = 0;           // Edit::heads: rows of a head
  uint64_t before = 0;          // Edit::after_pad: rows of zeros
};

bool is_vector_name(std::string_view name) {
  if (name.ends_with(".bias")) return true;
  std::string lower(name.substr(0, name.size() - std::min(name.size(), std::string_view(".weight").size())));
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return lower.ends_with("norm");
}

// The row of the file that holds row `r` of the result.
uint64_t paired_row(uint64_t r, uint64_t head_rows) {
  const uint64_t in_head = r % head_rows, half = head_rows / 2;
  return r - in_head + in_head % half * 2 + in_head / half;
}

template <class T>
std::vector<T> unpaired(const std::vector<T>& rows, size_t width, uint64_t head_rows) {
  std::vector<T> out;
  out.reserve(rows.size());
  for (uint64_t r = 0; r < rows.size() / width; ++r) {
    const auto from = rows.begin() + static_cast<std::ptrdiff_t>(paired_row(r, head_rows) * width);
    out.insert(out.end(), from, from + static_cast<std::ptrdiff_t>(width));
  }
  return out;
}

class GgufWeights : public WeightFile {
 public:
  GgufWeights(std::shared_ptr<const GgufModel> model, std::shared_ptr<const Checkpoint> head,
              std::set<std::string, std::less<>> head_names)
      : model_(std::move(model)), head_(std::move(head)), head_names_(std::move(head_names)) {}

  void add(std::string name, Entry entry) { entries_.emplace(std::move(name), std::move(entry)); }

  std::vector<std::string> names() const override {
    std::vector<std::string> all(head_names_.begin(), head_names_.end());
    for (const auto& [name, entry] : entries_) {
      if (!head_names_.contains(name)) all.push_back(name);
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  const std::vector<uint64_t>* shape(std::string_view name) const noexcept override {
    if (head_names_.contains(name)) return head_->shape(name);
    const auto at = entries_.find(name);
    return at == entries_.end() ? nullptr : &at->second.shape;
  }

  std::optional<GgmlType> stored_type(std::string_view name) const noexcept override {
    if (head_names_.contains(name)) return head_->stored_type(name);
    const auto at = entries_.find(name);
    if (at == entries_.end()) return std::nullopt;
    const GgmlType type = at->second.tensor->type;
    // Rows of zeros have no blocks.
    return at->second.edit == Edit::after_pad && info_of(type).block > 1 ? std::nullopt : std::optional(type);
  }

  std::string label(std::string_view name) const override {
    const auto at = entries_.find(name);
    if (at == entries_.end() || head_names_.contains(name) || at->first == at->second.tensor->name) {
      return std::string(name);
    }
    return std::string(name) + " (" + at->second.tensor->name + ")";
  }

  Result<std::vector<float>> read_f32(std::string_view name) const noexcept override try {
    if (head_names_.contains(name)) return head_->read_f32(name);
    const auto at = entries_.find(name);
    if (at == entries_.end()) {
      return make_error(Code::missing_tensor, Error::no_offset, name, "the file has no such tensor");
    }
    const Entry& entry = at->second;
    ONEPASS_TRY_ASSIGN(values, model_->read_f32(*entry.tensor, entry.begin, entry.end));
    const size_t width = static_cast<size_t>(entry.shape.size() == 1 ? 1 : entry.shape.back());
    if (entry.group != 0) return unpaired(values, width, entry.group);
    if (entry.edit == Edit::less_one) {
      for (float& value : values) value -= 1.0f;  // exact where the file's value is a rounded 1 + w
    }
    values.insert(values.begin(), static_cast<size_t>(entry.before) * width, 0.0f);
    return std::move(values);
  } catch (const std::exception&) {
    return no_memory(name);
  }

  Result<Int4Codes> read_int4(std::string_view name) const noexcept override try {
    const auto at = entries_.find(name);
    if (head_names_.contains(name) || at == entries_.end() || at->second.before != 0)
      return WeightFile::read_int4(name);
    const Entry& entry = at->second;
    ONEPASS_TRY_ASSIGN(codes, model_->read_int4(*entry.tensor, entry.begin, entry.end));
    if (entry.group != 0) {
      const auto width = static_cast<size_t>(entry.shape.back());
      codes.nibbles = unpaired(codes.nibbles, width, entry.group);
      codes.scales = unpaired(codes.scales, width / 32, entry.group);
      if (!codes.minima.empty()) codes.minima = unpaired(codes.minima, width / 32, entry.group);
    }
    return std::move(codes);
  } catch (const std::exception&) {
    return no_memory(name);
  }

  Result<std::array<uint8_t, 32>> source_hash() const noexcept override {
    Sha256 hash;
    hash.update(model_->file());
    if (head_ != nullptr) {
      ONEPASS_TRY_ASSIGN(of_head, head_->source_hash());
      hash.update(of_head);
    }
    return hash.finish();
  }

 private:
  static Error no_memory(std::string_view name) {
    return make_error(Code::out_of_memory, Error::no_offset, name, "out of memory while reading a tensor");
  }

  std::shared_ptr<const GgufModel> model_;
  std::shared_ptr<const Checkpoint> head_;
  std::set<std::string, std::less<>> head_names_;
  std::map<std::string, Entry, std::less<>> entries_;
};

std::string with_number(std::string_view pattern, uint32_t number) {
  std::string text(pattern);
  const size_t hole = text.find("{i}");
  if (hole != text.npos) text.replace(hole, 3, std::to_string(number));
  return text;
}

Result<const GgufArchitecture*> find_architecture(const GgufModel& model) {
  const GgufMetadata& metadata = model.metadata();
  ONEPASS_TRY_ASSIGN(name, metadata.text("general.architecture"));
  ONEPASS_TRY_ASSIGN(tokenizer, metadata.optional_text("tokenizer.ggml.model"));
  bool known = false;
  std::string all;
  std::vector<const GgufArchitecture*> rows;
  for (const auto list : {gguf_encoders(), gguf_decoders()}) {
    for (const GgufArchitecture& a : list) rows.push_back(&a);
  }
  for (const GgufArchitecture* row : rows) {
    const GgufArchitecture& a = *row;
    if (all.find(std::string(" ") + a.name + ",") == all.npos) all += std::string(" ") + a.name + ",";
    if (name != a.name) continue;
    known = true;
    if (a.tokenizer != nullptr && tokenizer.value_or("") != a.tokenizer) continue;
    if (a.is == nullptr || a.is(model)) return &a;
  }
  if (known) {
    return make_error(Code::unsupported, Error::no_offset, metadata.path_of("tokenizer.ggml.model"),
                      "\"%.40s\" is not the tokenizer of a model of the architecture %s",
                      tokenizer.value_or("").c_str(), name.c_str());
  }
  all.pop_back();
  return make_error(Code::unsupported, metadata.find("general.architecture")->offset,
                    metadata.path_of("general.architecture"), "%.60s is not supported; supported are%s", name.c_str(),
                    all.c_str());
}

// Sizes and what follows from them, as config.json has them.
Result<Json> read_config(const GgufModel& model, const GgufArchitecture& architecture,
                         std::vector<std::string>* notes) {
  const GgufMetadata& metadata = model.metadata();
  Json config = {{"architectures", {architecture.class_name}}};
  for (const KeyRow& row : architecture.keys) {
    const std::string key = arch_key(model, row.key);
    if (row.real) {
      ONEPASS_TRY_ASSIGN(value, metadata.f32(key));
      config[row.name] = shortest(value);
    } else {
      ONEPASS_TRY_ASSIGN(value, metadata.u32(key));
      config[row.name] = value;
    }
  }
  const GgufTensor* table = model.find("token_embd.weight");
  if (table == nullptr || table->shape.size() != 2) {
    return make_error(Code::missing_tensor, Error::no_offset, metadata.path_of("token_embd.weight"),
                      "the table of embeddings is missing; a file of a vocabulary alone cannot be converted");
  }
  config["vocab_size"] = table->shape[0];
  ONEPASS_TRY(architecture.complete(model, config, notes));
  return config;
}

// What --head-from must be told of: everything that the file cannot say of its head.
Status check_has_head(const GgufModel& model, const GgufArchitecture& architecture) {
  for (const TensorRow& row : architecture.head) {
    if (model.find(row.source) != nullptr) continue;
    return make_error(Code::missing_tensor, Error::no_offset, model.metadata().path_of(row.name),
                      "the file lacks this part of its head, which converters to GGUF leave out; add it with "
                      "--head-from FOLDER, the Hugging Face folder that the file was made from");
  }
  if (architecture.head_needs == nullptr) return {};
  return make_error(Code::missing_key, Error::no_offset, model.metadata().path_of("general.architecture"),
                    "the file does not say %s; add it with --head-from FOLDER, the Hugging Face folder that the file "
                    "was made from",
                    architecture.head_needs);
}

Status read_labels(const GgufModel& model, Json& config) {
  const std::string key = arch_key(model, "classifier.output_labels");
  if (!model.metadata().has(key)) {
    const GgufTensor* head = model.find("cls.output.weight");
    if (head != nullptr) config["num_labels"] = head->shape.size() == 2 ? head->shape[0] : 1;
    return {};
  }
  ONEPASS_TRY_ASSIGN(labels, model.metadata().texts(key));
  config["id2label"] = Json::object();
  for (size_t i = 0; i < labels.size(); ++i) config["id2label"][std::to_string(i)] = labels[i];
  return {};
}

// The folder's config.json, which must agree with the file in every size.
Result<Json> join_configs(const GgufModel& model, const GgufArchitecture& architecture, const Json& of_file,
                          const JsonNode& of_folder) {
  std::vector<std::string> keys = {"vocab_size"};
  for (const KeyRow& row : architecture.keys) keys.push_back(row.name);
  for (const std::string& key : keys) {
    const Json& value = of_file[key];
    if (!of_folder.has(key)) continue;
    // Gemma 3's table is cut to the tokens that there are.
    const bool cut = key == "vocab_size" && std::string_view(architecture.name) == "gemma3";
    const Json& other = of_folder.value()[key];
    const bool same =
        other.is_number() && static_cast<float>(value.get<double>()) == static_cast<float>(other.get<double>());
    if (same || (cut && other.is_number() && other.get<double>() > value.get<double>())) continue;
    return make_error(Code::bad_value, Error::no_offset, of_folder.path_of(key),
                      "%s in the folder and %s in %s: they are not the same model", other.dump().c_str(),
                      value.dump().c_str(), model.name().c_str());
  }
  Json joined = of_folder.value();
  joined["vocab_size"] = of_file["vocab_size"];
  return joined;
}

// The tensors of the folder that make its heads.
std::set<std::string, std::less<>> head_names_of(const Checkpoint& checkpoint, const models::SourceClass& source) {
  std::set<std::string, std::less<>> names;
  const std::string pooler = std::string(source.prefix) + "pooler.";
  for (const std::string& name : checkpoint.names()) {
    const bool of_class = std::any_of(source.head.begin(), source.head.end(),
                                      [&](const models::TensorSource& row) { return name == row.source; });
    if (of_class || (source.head.empty() && (name.starts_with("heads.") || name.starts_with(pooler)))) {
      names.insert(name);
    }
  }
  return names;
}

Status add_tensor(const GgufModel& model, const TensorRow& row, uint32_t layer, std::string name, const Json& config,
                  std::set<std::string_view>& used, GgufWeights& weights) {
  const GgufTensor* tensor = model.find(with_number(row.source, layer));
  if (tensor == nullptr) return {};
  used.insert(tensor->name);
  Entry entry;
  entry.tensor = tensor;
  entry.edit = row.edit;
  entry.shape = tensor->shape;
  if (entry.shape.size() == 1 && !is_vector_name(name)) entry.shape.insert(entry.shape.begin(), 1);
  const bool vector = entry.shape.size() == 1;
  entry.end = tensor->elements / tensor->shape.back();
  const auto refuse = [&](const char* why) {
    return make_error(Code::bad_shape, Error::no_offset, model.metadata().path_of(tensor->name), "%s", why);
  };
  switch (row.edit) {
    case Edit::first_third:
    case Edit::second_third:
    case Edit::last_third: {
      if (vector || entry.shape[0] % 3 != 0) return refuse("its rows are not three equal parts");
      const uint64_t part = entry.shape[0] / 3;
      entry.begin = part * (row.edit == Edit::first_third ? 0 : row.edit == Edit::second_third ? 1 : 2);
      entry.end = entry.begin + part;
      entry.shape[0] = part;
      break;
    }
    case Edit::heads:
    case Edit::kv_heads: {
      const char* key = row.edit == Edit::kv_heads && config.contains("num_key_value_heads") ? "num_key_value_heads"
                                                                                             : "num_attention_heads";
      const auto heads = config[key].get<uint64_t>();
      if (heads == 0 || entry.shape[0] % (2 * heads) != 0) return refuse("its rows are not pairs of rows of each head");
      entry.group = entry.shape[0] / heads;
      break;
    }
    case Edit::after_pad:
      entry.before = config["pad_token_id"].get<uint64_t>() + 1;
      entry.shape[0] += entry.before;
      break;
    case Edit::none:
    case Edit::less_one:
      break;
  }
  weights.add(std::move(name), std::move(entry));
  return {};
}

constexpr const char* kOutputMatrix = "output.weight";

// The class of a family's language models.
Result<const models::SourceClass*> language_model_of(const GgufModel& model, const models::Family& family) {
  for (const models::SourceClass& source : family.classes) {
    if (source.output != nullptr) return &source;
  }
  return make_error(Code::invalid_argument, Error::no_offset, "--label",
                    "%s is a %s, which is no language model whose words could be labels", model.name().c_str(),
                    family.name);
}

// Makes `told` the config.json of a language model, and `found` its class.
Status become_language_model(const GgufModel& model, const GgufArchitecture& architecture, Json& told,
                             models::FoundClass& found) {
  ONEPASS_TRY_ASSIGN(source, language_model_of(model, *found.family));
  for (const TensorRow& row : architecture.head) {
    if (model.find(row.source) == nullptr) continue;
    return make_error(Code::invalid_argument, Error::no_offset, "--label",
                      "%s has a head of its own (%s): convert it without labels", model.name().c_str(), row.source);
  }
  found.source = source;
  told["architectures"] = {source->name};
  told["tie_word_embeddings"] = model.find(kOutputMatrix) == nullptr;
  return {};
}

}  // namespace

Result<Input> import_gguf(const fs::path& path, const fs::path& head_from, bool for_words,
                          std::vector<std::string>* notes) {
  ONEPASS_TRY_ASSIGN(opened, GgufModel::open(path));
  const auto model = std::make_shared<const GgufModel>(std::move(opened));
  const GgufMetadata& metadata = model->metadata();
  ONEPASS_TRY_ASSIGN(architecture, find_architecture(*model));
  ONEPASS_TRY_ASSIGN(config, read_config(*model, *architecture, head_from.empty() ? notes : nullptr));
  models::FoundClass found = models::find_class(architecture->class_name);
  Json told = config;  // what the model is converted by

  std::shared_ptr<const Checkpoint> head;
  std::set<std::string, std::less<>> head_names;
  std::optional<OnepassJson> own;
  if (head_from.empty() && !for_words) {
    ONEPASS_TRY(check_has_head(*model, *architecture));
    ONEPASS_TRY(read_labels(*model, told));
  } else if (!head_from.empty()) {
    ONEPASS_TRY_ASSIGN(folder, HuggingFaceFolder::open(head_from));
    ONEPASS_TRY_ASSIGN(class_name, folder.architecture());
    const models::FoundClass given = models::find_class(class_name);
    const bool other = architecture->also != nullptr && given.family == models::find_class(architecture->also).family;
    if (given.family == nullptr || (given.family != found.family && !other)) {
      return make_error(Code::bad_value, Error::no_offset, "--head-from",
                        "the folder has a %.60s, and %s is a %s: they are not the same model", class_name.c_str(),
                        model->name().c_str(), architecture->class_name);
    }
    found = given;
    ONEPASS_TRY_ASSIGN(joined, join_configs(*model, *architecture, config, folder.config()));
    told = std::move(joined);
    own = folder.onepass_json();
    ONEPASS_TRY_ASSIGN(checkpoint, Checkpoint::open(head_from));
    head = std::make_shared<const Checkpoint>(std::move(checkpoint));
    head_names = head_names_of(*head, *found.source);
  }
  if (for_words) {
    ONEPASS_TRY(become_language_model(*model, *architecture, told, found));
    head = nullptr;
    head_names.clear();
  }

  const auto weights = std::make_shared<GgufWeights>(model, head, head_names);
  std::set<std::string_view> used;
  const auto layers = metadata.u32(arch_key(*model, "block_count")).value();
  for (const TensorRow& row : architecture->tensors) {
    const bool of_layer = std::string_view(row.source).find("{i}") != std::string_view::npos;
    for (uint32_t i = 0; i < (of_layer ? std::min(layers, max_layers) : 1); ++i) {
      ONEPASS_TRY(add_tensor(*model, row, i, found.source->prefix + with_number(row.name, i), config, used, *weights));
    }
  }
  if (for_words) {
    ONEPASS_TRY(add_tensor(*model, {kOutputMatrix, ""}, 0, found.source->output, config, used, *weights));
  }
  for (const TensorRow& row : architecture->head) {
    if (head == nullptr) {
      ONEPASS_TRY(add_tensor(*model, row, 0, row.name, config, used, *weights));
    } else if (const GgufTensor* tensor = model->find(row.source)) {
      used.insert(tensor->name);  // the folder's counts
    }
  }
  const auto lists = [](std::span<const char* const> names, const std::string& name) {
    return std::any_of(names.begin(), names.end(), [&](const char* listed) { return name == listed; });
  };
  for (const GgufTensor& tensor : model->tensors()) {
    if (used.contains(tensor.name) || lists(architecture->rotary, tensor.name)) continue;
    if (lists(architecture->ignored, tensor.name)) {
      if (notes != nullptr) notes->push_back("tensor " + tensor.name + " is not needed and left out");
      continue;
    }
    Entry entry;
    entry.tensor = &tensor;
    entry.shape = tensor.shape;
    entry.end = tensor.elements / tensor.shape.back();
    weights->add(tensor.name, std::move(entry));  // under its own name, which no class knows
  }

  Input input{HuggingFaceFolder::from_parts(std::move(told), std::move(own), path, model->name()), weights, {}, {}, {}};
  ONEPASS_TRY_ASSIGN(tokenizer, read_gguf_tokenizer(metadata, architecture->name));
  input.tokenizer = std::move(tokenizer);
  if (for_words) {
    ONEPASS_TRY_ASSIGN(chat, chat::read_chat_source(metadata));
    input.chat = std::move(chat);
  }
  ONEPASS_TRY_ASSIGN(name, metadata.optional_text("general.name"));
  ONEPASS_TRY_ASSIGN(licence, metadata.optional_text("general.license"));
  input.stored_by = "GGUF";
  input.name = name.value_or("");
  input.licence = licence.value_or("");
  return input;
}

}  // namespace onepass::convert
