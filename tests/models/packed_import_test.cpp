// Checkpoints of GPTQ and AWQ: the weights are those of the reference, bit for bit, and what is not read is refused by
// name (tools/dev/packed_fixtures.py).
#include "tools/convert/packed_import.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>

#include "engine/core/sha256.h"
#include "engine/runtime/model.h"
#include "engine/runtime/session.h"
#include "kernels/pack/pack.h"
#include "tests/models/expected.h"
#include "tests/support/near.h"
#include "tests/support/safetensors_writer.h"
#include "tests/support/temp_folder.h"
#include "tools/convert/convert.h"

namespace onepass::test {
namespace {

using convert::Options;
using convert::WeightType;

const char* const kCases[] = {"gptq_sym_32", "gptq_64", "gptq_act_order_32", "gptq_v2_128", "gptq_8_bits",
                              "awq_32",      "awq_64"};

std::filesystem::path folder_of(const std::string& name) { return fixtures() / "packed" / name; }

std::vector<uint8_t> read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Json read_json(const std::filesystem::path& path) {
  const auto bytes = read_bytes(path);
  return Json::parse(bytes.begin(), bytes.end());
}

std::string hex_of(std::span<const uint8_t> bytes) {
  std::string out;
  for (const uint8_t b : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", b);
    out += digits;
  }
  return out;
}

Options options_of(const std::filesystem::path& folder, WeightType weights) {
  Options options{.source = folder, .weights = weights};
  options.tokenizer = fixtures() / "packed/tokenizer";
  return options;
}

ModelContent content_of(const std::string& name, WeightType weights, std::vector<std::string>* notes = nullptr) {
  auto content = convert::convert_folder(options_of(folder_of(name), weights), notes);
  if (!content.ok()) throw std::runtime_error(std::string(content.error().where) + ": " + content.error().message);
  return std::move(content).value();
}

std::vector<float> values_of(const TensorContent& t) {
  std::vector<uint8_t> block(kernels::packed_bytes(t.layout, t.n, t.k) + 64);
  void* start = block.data();
  size_t space = block.size();
  const auto out = std::span(static_cast<uint8_t*>(std::align(64, space - 64, start, space)), block.size() - 64);
  EXPECT_TRUE(t.fill(out).ok()) << t.name;
  std::vector<float> values(t.n * t.k);
  EXPECT_TRUE(kernels::unpack(t.layout, out.data(), t.n, t.k, values.data()));
  return values;
}

TEST(PackedImport, EveryWeightIsTheReferencesBitForBit) {
  for (const char* name : kCases) {
    const Json config = read_json(folder_of(name) / "config.json");
    auto checkpoint = Checkpoint::open(folder_of(name));
    ASSERT_TRUE(checkpoint.ok());
    const auto packed = convert::open_packed(JsonNode(config, "config.json"),
                                             std::make_shared<const Checkpoint>(std::move(checkpoint).value()));
    ASSERT_TRUE(packed.ok()) << packed.error().where << ": " << packed.error().message;
    const Json hashes = read_json(folder_of(name) / "weights.json");
    ASSERT_EQ(hashes.size(), 7u);
    for (const auto& [tensor, hash] : hashes.items()) {
      const auto values = packed->weights->read_f32(tensor);
      ASSERT_TRUE(values.ok()) << values.error().message;
      Sha256 sha;
      sha.update({reinterpret_cast<const uint8_t*>(values->data()), values->size() * sizeof(float)});
      EXPECT_EQ(hex_of(sha.finish()), hash.get<std::string>()) << name << " " << tensor;
    }
  }
}

TEST(PackedImport, LogitsAreTheReferences) {
  for (const char* name : kCases) {
    const Expected expected = load_expected(folder_of(name));
    const auto bytes = serialize_model(content_of(name, WeightType::f32));
    ASSERT_TRUE(bytes.ok()) << bytes.error().message;
    const auto model = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
    auto session = Session::create(model.value(), {});
    std::vector<float> logits(expected.logits.size());
    ASSERT_TRUE(session.value().run_ids(expected.ids, expected.starts, logits).ok());
    EXPECT_LE(max_difference(logits, expected.logits), 2e-5) << name;
  }
}

// What becomes of a product where weights stay as they are stored.
TEST(PackedImport, CodesStayWhereALayoutHoldsThem) {
  struct Case {
    const char *name, *origin, *layout;
    double error;  // of a value, against the largest of its tensor
  };
  for (const Case& c :
       {Case{"gptq_sym_32", "GPTQ of 4 bits, without loss", "i4g32_n32k4", 0},
        {"gptq_64", "GPTQ of 4 bits, codes without loss, scales rounded to f16", "i4mg32_n32k4", 1e-3},
        {"gptq_v2_128", "GPTQ of 4 bits, codes without loss, scales rounded to f16", "i4mg32_n32k4", 1e-3},
        {"awq_32", "AWQ of 4 bits, codes without loss, scales rounded to f16", "i4mg32_n32k4", 1e-3},
        {"awq_64", "AWQ of 4 bits, codes without loss, scales rounded to f16", "i4mg32_n32k4", 1e-3},
        {"gptq_act_order_32", "GPTQ of 4 bits in groups of scattered inputs, quantised again", "i8_n32k4", 0.01},
        {"gptq_8_bits", "GPTQ of 8 bits, quantised again", "i8_n32k4", 0.01}}) {
    for (const WeightType weights : {WeightType::source, WeightType::int4}) {
      const ModelContent stored = content_of(c.name, weights), f32 = content_of(c.name, WeightType::f32);
      const bool again = std::string(c.origin).ends_with("again");
      for (size_t i = 0; i < stored.tensors.size(); ++i) {
        const TensorContent& t = stored.tensors[i];
        if (t.name.find("qkv.w") == t.name.npos && t.name.find("ffn") == t.name.npos) continue;
        if (t.n == 1) continue;
        EXPECT_EQ(t.origin, c.origin) << c.name << " " << t.name;
        if (weights == WeightType::int4 && again) continue;
        EXPECT_STREQ(kernels::layout_name(t.layout), c.layout) << c.name << " " << t.name;
        const auto a = values_of(t), b = values_of(f32.tensors[i]);
        double largest = 0, off = 0;
        for (size_t at = 0; at < a.size(); ++at) {
          largest = std::max(largest, std::fabs(static_cast<double>(b[at])));
          off = std::max(off, std::fabs(static_cast<double>(a[at]) - static_cast<double>(b[at])));
        }
        EXPECT_LE(off, c.error * largest) << c.name << " " << t.name;
        EXPECT_EQ(off == 0, c.error == 0) << c.name << " " << t.name;
      }
      const std::string& record = stored.metadata.quantisation;
      EXPECT_NE(record.find(std::string("; from ") + (c.name[0] == 'a' ? "AWQ: " : "GPTQ: ")), record.npos) << record;
    }
  }
}

// A fixture with changes.
class Changed {
 public:
  explicit Changed(const std::string& name) : config(read_json(folder_of(name) / "config.json")) {
    const auto bytes = read_bytes(folder_of(name) / "model.safetensors");
    const auto header = parse_safetensors(bytes, "fixture");
    for (const SafetensorsEntry& e : header.value().entries) {
      tensors.push_back(
          {e.name,
           name_of(e.dtype),
           e.shape,
           {bytes.begin() + static_cast<std::ptrdiff_t>(e.begin), bytes.begin() + static_cast<std::ptrdiff_t>(e.end)}});
    }
  }
  SafetensorsTensor& tensor(const std::string& part) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name.ends_with(part); });
  }
  Json& quantisation() { return config["quantization_config"]; }
  Error convert() {
    folder_.write("config.json", config.dump());
    folder_.write("model.safetensors", std::span<const uint8_t>(write_safetensors(tensors)));
    const auto content = convert::convert_folder(options_of(folder_.path(), WeightType::f32), &notes);
    if (!content.ok()) return content.error();
    // Weights are read while the file is serialised.
    const auto bytes = serialize_model(content.value());
    return bytes.ok() ? Error{} : bytes.error();
  }

  Json config;
  std::vector<SafetensorsTensor> tensors;
  std::vector<std::string> notes;

 private:
  TempFolder folder_;
};

TEST(PackedImport, BiasesOfZerosAreLeftOutAndOthersAreNot) {
  Changed checkpoint("gptq_sym_32");
  EXPECT_EQ(checkpoint.convert().code, Code::ok);
  EXPECT_EQ(std::count_if(checkpoint.notes.begin(), checkpoint.notes.end(),
                          [](const std::string& note) { return note.find(".bias is not needed") != note.npos; }),
            7);
  checkpoint.tensor("up_proj.bias").bytes[1] = 0x3C;
  const Error error = checkpoint.convert();
  EXPECT_EQ(error.code, Code::extra_tensor);
  EXPECT_NE(std::string(error.where).find("up_proj.bias"), std::string::npos);
}

TEST(PackedImport, WhatIsNotReadIsRefusedByName) {
  struct Case {
    const char* fixture;
    std::function<void(Json&)> change;
    Code code;
    const char* where;
    const char* message;
  };
  const Case cases[] = {
      {"gptq_64", [](Json& q) { q["bits"] = 3; }, Code::unsupported, "bits",
       "3 is not supported, only 4 and 8 of gptq"},
      {"gptq_64", [](Json& q) { q["bits"] = 2; }, Code::unsupported, "bits", "2 is not supported"},
      {"awq_32", [](Json& q) { q["bits"] = 8; }, Code::unsupported, "bits", "only 4 of awq"},
      {"gptq_64", [](Json& q) { q.erase("bits"); }, Code::missing_key, "bits", ""},
      {"gptq_64", [](Json& q) { q["quant_method"] = "bitsandbytes"; }, Code::unsupported, "quant_method",
       "bitsandbytes is not supported, only gptq and awq"},
      {"gptq_64", [](Json& q) { q.erase("quant_method"); }, Code::missing_key, "quant_method", ""},
      {"gptq_64", [](Json& q) { q["checkpoint_format"] = "marlin"; }, Code::unsupported, "checkpoint_format", "marlin"},
      {"gptq_64", [](Json& q) { q["is_marlin_format"] = true; }, Code::unsupported, "is_marlin_format", ""},
      {"awq_32", [](Json& q) { q["version"] = "gemv"; }, Code::unsupported, "version", "gemv is not supported"},
      {"awq_32", [](Json& q) { q["zero_point"] = false; }, Code::unsupported, "zero_point", ""},
      {"gptq_64", [](Json& q) { q["group_size"] = 0; }, Code::bad_value, "group_size", ""},
      {"gptq_64", [](Json& q) { q["group_size"] = 2.5; }, Code::bad_value, "group_size", ""},
      {"gptq_64", [](Json& q) { q["group_size"] = 32; }, Code::bad_shape, "scales", "group_size"},
      {"gptq_64", [](Json& q) { q["bits"] = 8; }, Code::bad_shape, "", ""},
  };
  for (const Case& c : cases) {
    Changed checkpoint(c.fixture);
    c.change(checkpoint.quantisation());
    const Error error = checkpoint.convert();
    EXPECT_EQ(error.code, c.code) << c.where << ": " << error.where << ": " << error.message;
    EXPECT_NE(std::string(error.where).find(c.where), std::string::npos) << error.where;
    EXPECT_NE(std::string(error.message).find(c.message), std::string::npos) << error.message;
  }
}

TEST(PackedImport, DamagedTensorsAreNamed) {
  for (const char* part : {"qzeros", "scales"}) {
    Changed checkpoint("gptq_64");
    const std::string name = checkpoint.tensor(part).name;
    std::erase_if(checkpoint.tensors, [&](const auto& t) { return t.name == name; });
    const Error error = checkpoint.convert();
    EXPECT_EQ(error.code, Code::missing_tensor);
    EXPECT_EQ(error.where, name);
  }
  for (const char* part : {"qzeros", "scales", "qweight", "g_idx"}) {
    Changed checkpoint("gptq_64");
    checkpoint.tensor(part).shape.push_back(1);
    const Error error = checkpoint.convert();
    EXPECT_EQ(error.code, std::string(part) == "g_idx" ? Code::ok : Code::bad_shape) << part;
  }
  for (const char* part : {"qzeros", "qweight", "g_idx"}) {
    Changed checkpoint("gptq_64");
    checkpoint.tensor(part).dtype = "F32";
    EXPECT_EQ(checkpoint.convert().code, Code::bad_dtype) << part;
  }
  Changed beyond("gptq_64");
  beyond.tensor("g_idx").bytes[4] = 7;
  EXPECT_EQ(beyond.convert().code, Code::bad_value);
  Changed negative("gptq_64");
  negative.tensor("g_idx").bytes[3] = 0x80;
  EXPECT_EQ(negative.convert().code, Code::bad_value);
  Changed silent("gptq_64");
  silent.config.erase("quantization_config");
  const Error error = silent.convert();
  EXPECT_EQ(error.code, Code::missing_key);
  EXPECT_NE(std::string(error.where).find("quantization_config"), std::string::npos);
  Changed plain("gptq_64");
  std::erase_if(plain.tensors, [](const auto& t) { return t.name.find("_proj.") != t.name.npos; });
  EXPECT_EQ(plain.convert().code, Code::missing_tensor);
}

}  // namespace
}  // namespace onepass::test
