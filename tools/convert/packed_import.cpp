#include "tools/convert/packed_import.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <map>
#include <new>

#include "formats/f16.h"
#include "formats/huggingface/tokenizer.h"
#include "kernels/pack/pack.h"

namespace onepass::convert {

namespace {

constexpr uint32_t kBlock = 32;  // inputs that share a scale in Int4Codes

struct Settings {
  bool awq = false;
  uint32_t bits = 4;
  uint32_t group = 0;                           // 0: all inputs are one
  uint32_t zero_added = 0;                      // to what is stored of a zero
  uint32_t codes() const { return 32 / bits; }  // in a word
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Error unsupported(const JsonNode& json, const char* key, const std::string& value, const char* supported) {
  return make_error(Code::unsupported, Error::no_offset, json.path_of(key), "%s is not supported, only %s",
                    value.c_str(), supported);
}

Result<Settings> read_settings(const JsonNode& json) {
  Settings out;
  ONEPASS_TRY_ASSIGN(method, json.string("quant_method"));
  out.awq = lower(method) == "awq";
  if (!out.awq && lower(method) != "gptq") {
    return unsupported(json, "quant_method", method, "gptq and awq: convert the checkpoint that was quantised");
  }
  ONEPASS_TRY_ASSIGN(bits, json.u64("bits", 0, 64));
  if (bits != 4 && (out.awq || bits != 8)) {
    return unsupported(json, "bits", std::to_string(bits), out.awq ? "4 of awq" : "4 and 8 of gptq");
  }
  out.bits = static_cast<uint32_t>(bits);
  ONEPASS_TRY_ASSIGN(group, json.number("group_size"));
  if (group != -1 && (group != std::floor(group) || group < 1 || group > 65536)) {
    return make_error(Code::bad_value, Error::no_offset, json.path_of("group_size"),
                      "%g is neither -1 nor a number of inputs", group);
  }
  out.group = group == -1 ? 0 : static_cast<uint32_t>(group);
  for (const char* key : {"checkpoint_format", "format", "version"}) {
    ONEPASS_TRY_ASSIGN(format, json.optional_string(key));
    if (!format) continue;
    const std::string name = lower(*format);
    if (out.awq ? name != "gemm" : name != "gptq" && name != "gptq_v2") {
      return unsupported(json, key, *format, out.awq ? "gemm of awq" : "gptq and gptq_v2");
    }
    if (name == "gptq_v2") out.zero_added = UINT32_MAX;
  }
  out.zero_added = out.awq || out.zero_added != 0 ? 0 : 1;
  ONEPASS_TRY_ASSIGN(marlin, json.optional_boolean("is_marlin_format"));
  if (marlin.value_or(false)) return unsupported(json, "is_marlin_format", "true", "false");
  ONEPASS_TRY_ASSIGN(zero_point, json.optional_boolean("zero_point"));
  if (out.awq && !zero_point.value_or(true)) return unsupported(json, "zero_point", "false", "true");
  return out;
}

// One product: what its tensors say of shape and groups.
struct Product {
  std::vector<uint64_t> shape;   // [N,K]
  std::vector<uint32_t> groups;  // of each input
  uint64_t group_count = 0;
  bool in_blocks = false;  // every block of inputs is of one group
};

class PackedCheckpoint : public WeightFile {
 public:
  PackedCheckpoint(std::shared_ptr<const Checkpoint> checkpoint, const Settings& settings)
      : checkpoint_(std::move(checkpoint)), settings_(settings) {}

  Status read_products() {
    for (const std::string& name : checkpoint_->names()) {
      constexpr std::string_view kSuffix = ".qweight";
      if (!name.ends_with(kSuffix)) continue;
      const std::string module = name.substr(0, name.size() - kSuffix.size());
      ONEPASS_TRY_ASSIGN(product, read_product(module));
      products_.emplace(module + ".weight", std::move(product));
    }
    if (products_.empty()) {
      return make_error(Code::missing_tensor, Error::no_offset, "config.json: quantization_config",
                        "the checkpoint has no tensor .qweight");
    }
    return {};
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    for (const std::string& name : checkpoint_->names()) {
      if (!is_part(name)) out.push_back(name);
    }
    for (const auto& [name, product] : products_) out.push_back(name);
    std::sort(out.begin(), out.end());
    return out;
  }
  const std::vector<uint64_t>* shape(std::string_view name) const noexcept override {
    const Product* product = find(name);
    return product != nullptr ? &product->shape : checkpoint_->shape(name);
  }
  std::optional<GgmlType> stored_type(std::string_view name) const noexcept override {
    const Product* product = find(name);
    if (product == nullptr) return checkpoint_->stored_type(name);
    if (settings_.bits != 4 || !product->in_blocks) return std::nullopt;
    return symmetric_ ? GgmlType::q4_0 : GgmlType::q4_k;
  }
  std::string stored_name(std::string_view name) const override {
    const Product* product = find(name);
    if (product == nullptr) return checkpoint_->stored_name(name);
    std::string text = std::string(settings_.awq ? "AWQ" : "GPTQ") + " of " + std::to_string(settings_.bits) + " bits";
    if (settings_.bits == 4 && !product->in_blocks) text += " in groups of scattered inputs";
    return text;
  }
  bool adds_nothing(std::string_view name) const override;
  Result<std::vector<float>> read_f32(std::string_view name) const noexcept override;
  Result<Int4Codes> read_int4(std::string_view name) const noexcept override;
  std::string label(std::string_view name) const override {
    return find(name) == nullptr ? std::string(name) : module_of(name) + ".qweight";
  }
  Result<std::array<uint8_t, 32>> source_hash() const noexcept override { return checkpoint_->source_hash(); }

 private:
  // The numbers of a product: codes [N,K], zeros and scales [groups,N].
  struct Numbers {
    std::vector<uint8_t> codes;
    std::vector<uint16_t> zeros;
    std::vector<float> scales;
  };

  static std::string module_of(std::string_view name) {
    return std::string(name.substr(0, name.size() - std::string_view(".weight").size()));
  }
  const Product* find(std::string_view name) const noexcept {
    const auto at = products_.find(name);
    return at == products_.end() ? nullptr : &at->second;
  }
  bool is_part(std::string_view name) const {
    for (const std::string_view suffix : {".qweight", ".qzeros", ".scales", ".g_idx"}) {
      if (name.ends_with(suffix) &&
          products_.contains(std::string(name.substr(0, name.size() - suffix.size())) + ".weight")) {
        return true;
      }
    }
    return false;
  }

  Result<Product> read_product(const std::string& module);
  Result<std::vector<uint16_t>> read_zeros(const std::string& module, const Product& product) const;
  Result<std::vector<uint8_t>> read_codes(const std::string& module, const Product& product) const;
  // Where in a word the code of output n (AWQ), or of the i-th of its codes (GPTQ), lies.
  uint32_t shift(size_t i) const {
    static constexpr uint32_t kAwqPlace[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return settings_.bits * (settings_.awq ? kAwqPlace[i % 8] : static_cast<uint32_t>(i % settings_.codes()));
  }
  Status expect_shape(const std::string& name, uint64_t rows, uint64_t columns) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  Settings settings_;
  std::map<std::string, Product, std::less<>> products_;
  bool symmetric_ = true;  // every zero is the middle of the codes, and every scale an f16
};

Status PackedCheckpoint::expect_shape(const std::string& name, uint64_t rows, uint64_t columns) const {
  const std::vector<uint64_t>* shape = checkpoint_->shape(name);
  if (shape == nullptr) {
    return make_error(Code::missing_tensor, Error::no_offset, name, "it belongs to the .qweight beside it");
  }
  if (*shape == std::vector<uint64_t>{rows, columns}) return {};
  return make_error(Code::bad_shape, Error::no_offset, name, "the shape is not [%llu,%llu], as .qweight and %s say",
                    static_cast<unsigned long long>(rows), static_cast<unsigned long long>(columns),
                    "config.json: quantization_config.group_size");
}

Result<Product> PackedCheckpoint::read_product(const std::string& module) {
  Product product;
  const std::string qweight = module + ".qweight";
  const std::vector<uint64_t>& packed = *checkpoint_->shape(qweight);
  if (packed.size() != 2 || packed[0] == 0 || packed[1] == 0) {
    return make_error(Code::bad_shape, Error::no_offset, qweight, "it is no matrix");
  }
  const uint64_t k = settings_.awq ? packed[0] : packed[0] * settings_.codes();
  const uint64_t n = settings_.awq ? packed[1] * settings_.codes() : packed[1];
  if (n % settings_.codes() != 0) {
    return make_error(Code::bad_shape, Error::no_offset, qweight, "%llu outputs do not fill whole words of zeros",
                      static_cast<unsigned long long>(n));
  }
  product.shape = {n, k};
  const uint64_t group = settings_.group == 0 ? k : settings_.group;
  product.group_count = (k + group - 1) / group;
  ONEPASS_TRY(expect_shape(module + ".scales", product.group_count, n));
  ONEPASS_TRY(expect_shape(module + ".qzeros", product.group_count, n / settings_.codes()));
  product.groups.resize(k);
  for (uint64_t i = 0; i < k; ++i) product.groups[i] = static_cast<uint32_t>(i / group);
  const std::string index = module + ".g_idx";
  if (!settings_.awq && checkpoint_->find(index) != nullptr) {
    ONEPASS_TRY_ASSIGN(groups, checkpoint_->read_i32(index));
    if (groups.size() != k) {
      return make_error(Code::bad_shape, Error::no_offset, index, "%zu elements for %llu inputs", groups.size(),
                        static_cast<unsigned long long>(k));
    }
    for (size_t i = 0; i < groups.size(); ++i) {
      if (groups[i] < product.group_count) continue;
      return make_error(Code::bad_value, Error::no_offset, index, "element %zu is group %d of %llu", i,
                        static_cast<int32_t>(groups[i]), static_cast<unsigned long long>(product.group_count));
    }
    product.groups = std::move(groups);
  }
  product.in_blocks = k % kBlock == 0;
  for (uint64_t i = 0; i < k; ++i) {
    product.in_blocks = product.in_blocks && product.groups[i] == product.groups[i / kBlock * kBlock];
  }
  ONEPASS_TRY_ASSIGN(zeros, read_zeros(module, product));
  const uint16_t middle = static_cast<uint16_t>(1u << (settings_.bits - 1));
  symmetric_ = symmetric_ && checkpoint_->stored_type(module + ".scales") == GgmlType::f16 &&
               std::all_of(zeros.begin(), zeros.end(), [&](uint16_t zero) { return zero == middle; });
  return product;
}

Result<std::vector<uint16_t>> PackedCheckpoint::read_zeros(const std::string& module, const Product& product) const {
  ONEPASS_TRY_ASSIGN(words, checkpoint_->read_i32(module + ".qzeros"));
  const uint64_t n = product.shape[0];
  std::vector<uint16_t> zeros(product.group_count * n);
  for (size_t i = 0; i < zeros.size(); ++i) {
    const uint32_t stored = words[i / settings_.codes()] >> shift(i % n) & ((1u << settings_.bits) - 1);
    zeros[i] = static_cast<uint16_t>(stored + settings_.zero_added);
  }
  return zeros;
}

Result<std::vector<uint8_t>> PackedCheckpoint::read_codes(const std::string& module, const Product& product) const {
  ONEPASS_TRY_ASSIGN(words, checkpoint_->read_i32(module + ".qweight"));
  const uint64_t n = product.shape[0], k = product.shape[1];
  const uint32_t mask = (1u << settings_.bits) - 1, codes = settings_.codes();
  std::vector<uint8_t> out(n * k);
  for (uint64_t i = 0; i < k; ++i) {
    for (uint64_t c = 0; c < n; ++c) {
      const uint32_t word = settings_.awq ? words[(i * n + c) / codes] : words[i / codes * n + c];
      out[c * k + i] = static_cast<uint8_t>(word >> shift(settings_.awq ? c : i) & mask);
    }
  }
  return out;
}

// Linear layers get a bias when they are quantised, of zeros where the model has none.
bool PackedCheckpoint::adds_nothing(std::string_view name) const {
  constexpr std::string_view kSuffix = ".bias";
  if (!name.ends_with(kSuffix)) return false;
  if (find(std::string(name.substr(0, name.size() - kSuffix.size())) + ".weight") == nullptr) return false;
  const auto values = checkpoint_->read_f32(name);
  return values.ok() && std::all_of(values->begin(), values->end(), [](float value) { return value == 0; });
}

Result<std::vector<float>> PackedCheckpoint::read_f32(std::string_view name) const noexcept try {
  const Product* product = find(name);
  if (product == nullptr) return checkpoint_->read_f32(name);
  const std::string module = module_of(name);
  ONEPASS_TRY_ASSIGN(codes, read_codes(module, *product));
  ONEPASS_TRY_ASSIGN(zeros, read_zeros(module, *product));
  ONEPASS_TRY_ASSIGN(scales, checkpoint_->read_f32(module + ".scales"));
  const uint64_t n = product->shape[0], k = product->shape[1];
  std::vector<float> values(n * k);
  for (uint64_t c = 0; c < n; ++c) {
    for (uint64_t i = 0; i < k; ++i) {
      const uint64_t at = product->groups[i] * n + c;
      values[c * k + i] = static_cast<float>(int{codes[c * k + i]} - int{zeros[at]}) * scales[at];
    }
  }
  return values;
} catch (const std::bad_alloc&) {
  return make_error(Code::out_of_memory, Error::no_offset, name, "no memory for the values of a tensor");
}

Result<Int4Codes> PackedCheckpoint::read_int4(std::string_view name) const noexcept try {
  if (find(name) == nullptr || !stored_type(name)) return WeightFile::read_int4(name);
  const Product& product = *find(name);
  const std::string module = module_of(name);
  Int4Codes out;
  ONEPASS_TRY_ASSIGN(codes, read_codes(module, product));
  ONEPASS_TRY_ASSIGN(zeros, read_zeros(module, product));
  ONEPASS_TRY_ASSIGN(scales, checkpoint_->read_f32(module + ".scales"));
  out.nibbles = std::move(codes);
  const uint64_t n = product.shape[0], k = product.shape[1];
  for (uint64_t c = 0; c < n; ++c) {
    for (uint64_t i = 0; i < k; i += kBlock) {
      const uint64_t at = product.groups[i] * n + c;
      const float minimum = static_cast<float>(-int{zeros[at]}) * scales[at];
      const uint16_t half_scale = kernels::f16_from_f32(scales[at]), half = kernels::f16_from_f32(minimum);
      if ((half_scale & 0x7C00u) == 0x7C00u || (half & 0x7C00u) == 0x7C00u) {
        return make_error(Code::bad_value, Error::no_offset, module + ".scales",
                          "a scale that f16 cannot hold: use --weights int8 or f32");
      }
      out.scales.push_back(half_scale);
      if (!symmetric_) out.minima.push_back(half);
      out.exact = out.exact && f16_to_f32(half_scale) == scales[at] && (symmetric_ || f16_to_f32(half) == minimum);
    }
  }
  return out;
} catch (const std::bad_alloc&) {
  return make_error(Code::out_of_memory, Error::no_offset, name, "no memory for the codes of a tensor");
}

}  // namespace

Result<PackedWeights> open_packed(const JsonNode& config, std::shared_ptr<const Checkpoint> checkpoint) {
  ONEPASS_TRY_ASSIGN(json, config.optional_object("quantization_config"));
  if (!json) {
    const std::vector<std::string> names = checkpoint->names();
    if (std::none_of(names.begin(), names.end(), [](const std::string& n) { return n.ends_with(".qweight"); })) {
      return PackedWeights();
    }
    return make_error(
        Code::missing_key, Error::no_offset, config.path_of("quantization_config"),
        "the checkpoint is quantised, and nothing says how: add what quantize_config.json beside it says, "
        "and \"quant_method\"");
  }
  ONEPASS_TRY_ASSIGN(settings, read_settings(*json));
  const auto packed = std::make_shared<PackedCheckpoint>(std::move(checkpoint), settings);
  ONEPASS_TRY(packed->read_products());
  return PackedWeights{packed, settings.awq ? "AWQ" : "GPTQ"};
}

bool is_packed(const std::filesystem::path& folder) {
  const auto json = read_json_file(folder / "config.json", kMaxConfigBytes);
  return json.ok() && json->is_object() && json->contains("quantization_config");
}

}  // namespace onepass::convert
