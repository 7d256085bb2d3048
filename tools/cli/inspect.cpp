// onepass inspect: what a model file holds, and whether it still holds it.
#include <bit>
#include <cstdio>

#include "engine/arch/arch.h"
#include "formats/onepass/model_file.h"
#include "tools/cli/commands.h"
#include "tools/cli/common.h"

namespace onepass::cli {

namespace {

const char* dtype_name(kernels::Layout layout) {
  switch (kernels::dtype_of(layout)) {
    case kernels::Dtype::f32:
      return "f32";
    case kernels::Dtype::f16:
      return "f16";
    case kernels::Dtype::i8:
      return "i8";
    case kernels::Dtype::i4:
      return "i4";
    case kernels::Dtype::bf16:
      return "bf16";
    case kernels::Dtype::none:
      break;
  }
  return "none";
}

const char* kind_name(HeadKind kind) {
  switch (kind) {
    case HeadKind::single_label:
      return "single_label";
    case HeadKind::multi_label:
      return "multi_label";
    case HeadKind::regression:
      return "regression";
    case HeadKind::token_label:
      return "token_label";
  }
  return "unknown";
}

std::string hex(std::span<const uint8_t> bytes) {
  std::string out;
  for (const uint8_t b : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", b);
    out += digits;
  }
  return out;
}

std::string shape(const TensorView& t) {
  const bool vector = slot_specs()[static_cast<size_t>(t.slot)].role == Role::vector;
  return vector ? "[" + std::to_string(t.k) + "]" : "[" + std::to_string(t.n) + "," + std::to_string(t.k) + "]";
}

// Stored bits per parameter, scales and padding included.
double bits_per_weight(const ModelFile& file) {
  double bits = 0, parameters = 0;
  for (const TensorView& t : file.tensors()) {
    bits += 8 * static_cast<double>(t.bytes);
    parameters += static_cast<double>(t.n) * static_cast<double>(t.k);
  }
  return bits / parameters;
}

struct NamedText {
  const char* name;
  std::string_view text;
};

std::vector<NamedText> metadata_rows(const Metadata& m) {
  return {{"model_id", m.model_id},  {"model_version", m.model_version}, {"family", m.family},
          {"licence", m.licence},    {"source_hash", m.source_hash},     {"quantisation", m.quantisation},
          {"converter", m.converter}};
}

// f(name, value, whether it is 0) of every field, and of those of layers that are narrower than the others.
template <class F>
void each_field(const Config& config, F&& f) {
  for (const ConfigField& field : config_fields()) {
    for (uint32_t i = 0; i < field.copies; ++i) {
      const uint64_t bits = field.get(config, i);
      if (bits == 0 && field.copies > 1) continue;
      char name[max_tensor_name];
      write_tensor_name(field.name, i, name);
      f(name, field.real ? json_double(std::bit_cast<double>(bits)) : std::to_string(bits), bits == 0);
    }
  }
}

void print_json(const ModelFile& file, bool verified) {
  std::string out = "{\"format_version\":1,\"file_size\":" + std::to_string(file.file_size()) + ",\"root_hash\":\"" +
                    hex(file.root_hash()) + "\"";
  for (const auto& [name, text] : metadata_rows(file.metadata()))
    out += std::string(",\"") + name + "\":" + json_string(text);
  out += ",\"bits_per_weight\":" + json_double(bits_per_weight(file)) + ",\"config\":{";
  const char* comma = "";
  each_field(file.config(), [&](const char* name, const std::string& value, bool) {
    out += std::string(std::exchange(comma, ",")) + '"' + name + "\":" + value;
  });
  out += "},\"heads\":[";
  comma = "";
  for (const HeadView& h : file.heads()) {
    out += std::string(std::exchange(comma, ",")) + "{\"name\":" + json_string(h.name) + ",\"kind\":\"" +
           kind_name(h.kind) + "\",\"temperature\":" + json_float(h.temperature);
    if (h.kind == HeadKind::regression) {
      out += ",\"range\":[" + json_float(h.range_low) + ',' + json_float(h.range_high) + ']';
    }
    out += ",\"labels\":[";
    for (size_t c = 0; c < h.labels.size(); ++c) out += (c == 0 ? "" : ",") + json_string(h.labels[c]);
    out += ']';
    if (!h.thresholds.empty()) {
      out += ",\"thresholds\":[";
      for (size_t c = 0; c < h.thresholds.size(); ++c) out += (c == 0 ? "" : ",") + json_float(h.thresholds[c]);
      out += ']';
    }
    out += '}';
  }
  out += "],\"tensors\":[";
  comma = "";
  for (const TensorView& t : file.tensors()) {
    out += std::string(std::exchange(comma, ",")) + "{\"name\":" + json_string(t.name) + ",\"dtype\":\"" +
           dtype_name(t.layout) + "\",\"layout\":\"" + kernels::layout_name(t.layout) + "\",\"shape\":" + shape(t) +
           ",\"offset\":" + std::to_string(t.offset) + ",\"bytes\":" + std::to_string(t.bytes) + ",\"sha256\":\"" +
           hex(t.hash) + "\"}";
  }
  out += "],\"vocabulary\":" + std::to_string(file.config().vocab) +
         ",\"self_tests\":" + std::to_string(file.self_tests().size()) +
         ",\"verified\":" + (verified ? "true" : "false") + "}\n";
  std::fwrite(out.data(), 1, out.size(), stdout);
}

void print_text(const ModelFile& file, bool verified) {
  const auto row = [](const char* name, std::string_view value) {
    if (!value.empty()) std::printf("%-15s %.*s\n", name, static_cast<int>(value.size()), value.data());
  };
  for (const auto& [name, text] : metadata_rows(file.metadata())) row(name, text);
  row("root_hash", hex(file.root_hash()));
  std::printf("%-15s %llu bytes, %.3f bits per weight as stored\n", "size",
              static_cast<unsigned long long>(file.file_size()), bits_per_weight(file));
  std::printf("%-15s", "architecture");
  each_field(file.config(), [](const char* name, const std::string& value, bool zero) {
    if (!zero) std::printf(" %s=%s", name, value.c_str());
  });
  std::printf("\n\n");
  for (const HeadView& h : file.heads()) {
    std::printf("head %.*s: %s, %zu classes, temperature %g\n ", static_cast<int>(h.name.size()), h.name.data(),
                kind_name(h.kind), h.labels.size(), static_cast<double>(h.temperature));
    for (size_t c = 0; c < h.labels.size(); ++c) {
      std::printf(" %.*s", static_cast<int>(h.labels[c].size()), h.labels[c].data());
      if (!h.thresholds.empty()) std::printf(" (>= %.3g)", static_cast<double>(h.thresholds[c]));
    }
    std::printf("\n");
  }
  std::printf("\n%-24s %-5s %-10s %-14s %12s %10s  %s\n", "tensor", "dtype", "layout", "shape", "offset", "bytes",
              "sha256");
  for (const TensorView& t : file.tensors()) {
    std::printf("%-24.*s %-5s %-10s %-14s %12llu %10llu  %.16s...\n", static_cast<int>(t.name.size()), t.name.data(),
                dtype_name(t.layout), kernels::layout_name(t.layout), shape(t).c_str(),
                static_cast<unsigned long long>(t.offset), static_cast<unsigned long long>(t.bytes),
                hex(t.hash).c_str());
  }
  if (verified) {
    std::printf("\nverified: every hash matches, and %zu self-test lines give the stored logits to the bit\n",
                file.self_tests().size());
  }
}

}  // namespace

void run_inspect(const InspectOptions& options) {
  // Opened without verification, so that a damaged file can still be looked at; --verify does all of it.
  const ModelFile file = take(ModelFile::open(options.model.c_str(), {.mode = LoadMode::map, .verify = false}),
                              "cannot open the model " + options.model);
  onepass_model_options model_options = ONEPASS_INIT(onepass_model_options);
  model_options.skip_verify = 1;
  const Model model = take(Model::open(options.model, model_options), "cannot open the model " + options.model);
  if (options.verify) {
    if (const auto failure = model.verify(options.isa.empty() ? nullptr : options.isa.c_str())) {
      fail("the model " + options.model + " is damaged", *failure);
    }
  }
  options.json ? print_json(file, options.verify) : print_text(file, options.verify);
}

}  // namespace onepass::cli
