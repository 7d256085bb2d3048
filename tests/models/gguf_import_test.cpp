// A GGUF file is the same model as the checkpoint that it was made from (tools/dev/gguf_models.py): the same bytes when
// both are converted, tokenizer included. And what it says of itself is checked like any other checkpoint.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <map>

#include "formats/gguf/model.h"
#include "kernels/pack/pack.h"
#include "tests/models/expected.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/temp_folder.h"
#include "tools/convert/convert.h"

namespace onepass::test {
namespace {

namespace fs = std::filesystem;
using convert::Options;
using convert::WeightType;
using Bytes = std::vector<uint8_t>;

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fixtures() / "gguf/models")) {
    if (fs::exists(entry.path() / "model.gguf")) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Those that must be given it: what converters to GGUF leave out.
bool lacks_head(const std::string& name) {
  return name.starts_with("bert") || name.starts_with("nomic") || name.starts_with("modernbert");
}

// Mistral's window is in no key, and the file calls itself a Llama.
bool needs_folder(const std::string& name) { return lacks_head(name) || name.starts_with("mistral"); }

Options options_of(const std::string& name, WeightType weights) {
  Options options;
  options.source = fixtures() / "gguf/models" / name / "model.gguf";
  options.weights = weights;
  options.model_id = "same";
  if (needs_folder(name)) {
    options.head_from = fixtures() / "gguf/models" / name;
  } else {
    options.kinds = {{"classifier", HeadKind::single_label}};
  }
  return options;
}

Result<Bytes> bytes_of(const Options& options) {
  auto content = convert::convert_folder(options, nullptr);
  if (!content.ok()) return content.error();
  ModelContent same = std::move(content).value();
  same.metadata.source_hash = same.metadata.quantisation = same.metadata.licence = "";
  return serialize_model(same);
}

class GgufImport : public testing::TestWithParam<std::string> {};

TEST_P(GgufImport, IsTheCheckpointByteForByte) {
  Options folder;
  folder.source = fixtures() / "gguf/models" / GetParam();
  folder.model_id = "same";
  for (const WeightType weights : {WeightType::f32, WeightType::int8}) {
    folder.weights = weights;
    const auto expected = bytes_of(folder);
    ASSERT_TRUE(expected.ok()) << expected.error().where << ": " << expected.error().message;
    const auto imported = bytes_of(options_of(GetParam(), weights));
    ASSERT_TRUE(imported.ok()) << imported.error().where << ": " << imported.error().message;
    EXPECT_TRUE(imported.value() == expected.value());
  }
}

// A language model's output matrix is output.weight, or the embeddings; tokenizer, prompt and words are the file's.
TEST(GgufWords, AreThoseOfTheCheckpoint) {
  convert::LabelWords labels;
  labels.prompt = "say {text}\n";
  labels.labels = {{"good", {"good", "happy"}}, {"the cat", {"the cat is"}}, {"the dog", {"the dog was"}}};
  size_t found = 0;
  for (const auto& entry : fs::directory_iterator(fixtures() / "gguf/words")) {
    ++found;
    for (const WeightType weights : {WeightType::f32, WeightType::int8}) {
      Options folder{.source = entry.path(), .weights = weights, .label_words = labels, .model_id = "same"};
      const auto expected = bytes_of(folder);
      ASSERT_TRUE(expected.ok()) << expected.error().where << ": " << expected.error().message;
      Options file = folder;
      file.source = entry.path() / "model.gguf";
      const auto imported = bytes_of(file);
      ASSERT_TRUE(imported.ok()) << imported.error().where << ": " << imported.error().message;
      EXPECT_TRUE(imported.value() == expected.value()) << entry.path();
      // What no key says can come from the folder.
      file.head_from = entry.path();
      const auto with_folder = bytes_of(file);
      ASSERT_TRUE(with_folder.ok()) << with_folder.error().where << ": " << with_folder.error().message;
      EXPECT_TRUE(with_folder.value() == expected.value()) << entry.path();
    }
  }
  EXPECT_EQ(found, 4u);
  const auto code = [&](const char* source, bool with_labels) {
    Options options{.source = fixtures() / "gguf" / source / "model.gguf"};
    if (with_labels) options.label_words = labels;
    const auto content = convert::convert_folder(options, nullptr);
    return content.ok() ? Code::ok : content.error().code;
  };
  EXPECT_EQ(code("words/qwen2_yarn_q4_0", true), Code::ok);
  EXPECT_EQ(code("words/qwen2_yarn_q4_0", false), Code::missing_tensor);  // the head
  EXPECT_EQ(code("models/qwen2_f32", true), Code::invalid_argument);      // has one
  EXPECT_EQ(code("models/bert_f32", true), Code::invalid_argument);       // goes on with no word
}

std::vector<float> values_of(const TensorContent& t) {
  // Packed tensors are read in place, at an alignment.
  Bytes block(kernels::packed_bytes(t.layout, t.n, t.k) + 64);
  void* start = block.data();
  size_t space = block.size();
  const auto out = std::span(static_cast<uint8_t*>(std::align(64, space - 64, start, space)), block.size() - 64);
  EXPECT_TRUE(t.fill(out).ok()) << t.name;
  std::vector<float> values(t.n * t.k);
  EXPECT_TRUE(kernels::unpack(t.layout, out.data(), t.n, t.k, values.data()));
  return values;
}

size_t bits_that_differ(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return SIZE_MAX;
  size_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    // A zero has no sign where a scale is packed beside its codes.
    count += a[i] == b[i] ? 0 : 1;
  }
  return count;
}

// What "without loss" means: as stored, every value is the one of the f32 conversion.
TEST_P(GgufImport, WhatIsStoredWithoutLossIsEqual) {
  const auto f32 = convert::convert_folder(options_of(GetParam(), WeightType::f32), nullptr);
  const auto stored = convert::convert_folder(options_of(GetParam(), WeightType::source), nullptr);
  ASSERT_TRUE(stored.ok()) << stored.error().where << ": " << stored.error().message;
  const std::string type = GetParam().substr(GetParam().find_last_of("fbq"));
  size_t exact = 0, changed = 0;
  for (size_t i = 0; i < stored.value().tensors.size(); ++i) {
    const TensorContent& t = stored.value().tensors[i];
    if (t.origin.empty()) continue;  // computed
    const bool without_loss = t.origin.ends_with("without loss");
    const size_t differ = bits_that_differ(values_of(t), values_of(f32.value().tensors[i]));
    (without_loss ? exact : changed) += 1;
    EXPECT_EQ(differ == 0, without_loss) << t.name << ": " << t.origin << " in " << kernels::layout_name(t.layout);
  }
  EXPECT_GT(exact, 8u);
  EXPECT_EQ(changed != 0, type == "q8_0" || type == "q4_1") << type;
}

// A head of the folder in place of the file's, which is the same.
TEST_P(GgufImport, ItsHeadCanComeFromTheFolder) {
  Options folder;
  folder.source = fixtures() / "gguf/models" / GetParam();
  folder.model_id = "same";
  folder.weights = WeightType::f32;
  Options options = options_of(GetParam(), WeightType::f32);
  options.head_from = folder.source;
  options.kinds.clear();
  const auto expected = bytes_of(folder), imported = bytes_of(options);
  ASSERT_TRUE(imported.ok()) << imported.error().where << ": " << imported.error().message;
  EXPECT_TRUE(imported.value() == expected.value());
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GgufImport, testing::ValuesIn(cases()), [](const auto& info) { return info.param; });

TEST(GgufImport, EveryFamilyIsThere) { EXPECT_GE(cases().size(), 24u); }

// ---- A DistilBERT made here: every tensor can be another type, be missing, or be misshapen. ----

struct Tensor {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type = 0;
  Bytes data;
};

constexpr uint32_t kWidth = 256, kVocabulary = 8;

Bytes blocks(uint32_t type, uint64_t elements, uint32_t seed) {
  const GgmlTypeInfo& info = *find_ggml_type(type);
  Bytes data(elements / info.block * info.bytes);
  for (uint8_t& byte : data) {
    seed = seed * 1664525u + 1013904223u;
    byte = static_cast<uint8_t>(seed >> 24);
  }
  // Scales of about 1/64, where the type has them; floats of about 1/16.
  std::vector<size_t> scales;
  switch (info.type) {
    case GgmlType::f32:
      for (size_t i = 0; i + 3 < data.size(); i += 4) data[i + 3] = (data[i + 3] & 0x80) | 0x3D;
      return data;
    case GgmlType::f16:
    case GgmlType::bf16:
      for (size_t i = 0; i + 1 < data.size(); i += 2) {
        data[i + 1] = static_cast<uint8_t>((data[i + 1] & 0x83) | (info.type == GgmlType::f16 ? 0x28 : 0x3C));
      }
      return data;
    case GgmlType::q4_1:
    case GgmlType::q5_1:
    case GgmlType::q4_k:
    case GgmlType::q5_k:
      scales = {0, 2};
      break;
    case GgmlType::q2_k:
      scales = {80, 82};
      break;
    case GgmlType::q3_k:
      scales = {108};
      break;
    case GgmlType::q6_k:
      scales = {208};
      break;
    default:
      scales = {0};
  }
  for (size_t at = 0; at < data.size(); at += info.bytes) {
    for (const size_t s : scales) data[at + s + 1] = static_cast<uint8_t>((data[at + s + 1] & 0x83) | 0x20);
  }
  return data;
}

struct Parts {
  std::map<std::string, std::function<void(GgufFile&)>> keys;
  std::vector<Tensor> tensors;

  Bytes file() const {
    GgufFile out;
    for (const auto& [name, write] : keys) write(out);
    for (const Tensor& t : tensors) out.tensor(t.name, t.dims, t.type, t.data);
    return out.file();
  }
  Tensor& tensor(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.name == name; });
  }
};

Parts distilbert(uint32_t type = 0) {
  Parts p;
  const auto u32 = [&](const char* key, uint32_t v) { p.keys[key] = [=](GgufFile& f) { f.key_u32(key, v); }; };
  p.keys["general.architecture"] = [](GgufFile& f) { f.key_text("general.architecture", "bert"); };
  u32("bert.embedding_length", kWidth);
  u32("bert.block_count", 1);
  u32("bert.attention.head_count", 4);
  u32("bert.feed_forward_length", kWidth);
  u32("bert.context_length", 16);
  p.keys["eps"] = [](GgufFile& f) { f.key_f32("bert.attention.layer_norm_epsilon", 1e-12f); };
  p.keys["causal"] = [](GgufFile& f) { f.key_bool("bert.attention.causal", 0); };
  p.keys["labels"] = [](GgufFile& f) { f.key_texts("bert.classifier.output_labels", {"sad", "happy", "neither"}); };
  p.keys["tokenizer"] = [](GgufFile& f) { f.key_text("tokenizer.ggml.model", "bert"); };
  p.keys["tokens"] = [](GgufFile& f) {
    f.key_texts("tokenizer.ggml.tokens", {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\xE2\x96\x81the",
                                          "\xE2\x96\x81"
                                          "a",
                                          "ing", "\xE2\x96\x81!"});
  };
  p.keys["types"] = [](GgufFile& f) { f.key_i32s("tokenizer.ggml.token_type", {3, 3, 3, 3, 1, 1, 1, 1}); };
  u32("tokenizer.ggml.unknown_token_id", 1);
  u32("tokenizer.ggml.cls_token_id", 2);
  u32("tokenizer.ggml.seperator_token_id", 3);

  uint32_t seed = 1;
  const auto add = [&](const std::string& name, std::vector<uint64_t> dims, uint32_t t) {
    uint64_t elements = 1;
    for (const uint64_t d : dims) elements *= d;
    p.tensors.push_back({name, dims, t, blocks(t, elements, seed++)});
  };
  const auto dense = [&](const std::string& name, uint32_t t) {
    add(name + ".weight", {kWidth, kWidth}, t);
    add(name + ".bias", {kWidth}, 0);
  };
  const auto norm = [&](const std::string& name) {
    add(name + ".weight", {kWidth}, 0);
    add(name + ".bias", {kWidth}, 0);
  };
  add("token_embd.weight", {kWidth, kVocabulary}, type);
  add("position_embd.weight", {kWidth, 16}, 0);
  norm("token_embd_norm");
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"}) {
    dense(std::string("blk.0.") + name, type);
  }
  norm("blk.0.attn_output_norm");
  norm("blk.0.layer_output_norm");
  dense("cls", 0);
  add("cls.output.weight", {kWidth, 3}, 0);
  add("cls.output.bias", {3}, 0);
  return p;
}

class Made {
 public:
  explicit Made(const Parts& parts) {
    const Bytes bytes = parts.file();
    folder_.write("model.gguf", std::span<const uint8_t>(bytes));
  }
  fs::path path() const { return folder_.path() / "model.gguf"; }
  Result<ModelContent> convert(WeightType weights = WeightType::source) {
    Options options;
    options.source = path();
    options.weights = weights;
    options.kinds = {{"classifier", HeadKind::single_label}};
    return convert::convert_folder(options, &notes);
  }
  Error error(WeightType weights = WeightType::f32) {
    const auto content = convert(weights);
    if (!content.ok()) return content.error();
    const auto bytes = serialize_model(content.value());
    return bytes.ok() ? Error{} : bytes.error();
  }
  std::vector<std::string> notes;

 private:
  TempFolder folder_;
};

// ---- Decoders: what their keys must say, before any tensor is looked at. ----

GgufFile decoder_keys(const std::string& arch, const std::function<void(GgufFile&, const std::string&)>& more) {
  GgufFile f;
  f.key_text("general.architecture", arch);
  const auto key = [&](const char* name) { return arch + "." + name; };
  f.key_u32(key("embedding_length"), 32).key_u32(key("block_count"), 1).key_u32(key("attention.head_count"), 4);
  f.key_u32(key("feed_forward_length"), 32).key_u32(key("context_length"), 64);
  f.key_f32(key("attention.layer_norm_rms_epsilon"), 1e-5f);
  more(f, arch + ".");
  f.tensor("token_embd.weight", {32, 8}, 0, Bytes(32 * 8 * 4)).tensor("cls.output.weight", {32, 2}, 0, Bytes(256));
  return f;
}

TEST(GgufDecoders, KeysThatMeanAnotherModelAreRefused) {
  using More = std::function<void(GgufFile&, const std::string&)>;
  struct Case {
    const char* arch;
    const char* what;
    More more;
    Code code;
  };
  const Case all[] = {
      {"llama", "a scaling of another kind",
       [](GgufFile& f, const std::string& a) { f.key_text(a + "rope.scaling.type", "dynamic"); }, Code::unsupported},
      {"llama", "linear without a factor",
       [](GgufFile& f, const std::string& a) { f.key_text(a + "rope.scaling.type", "linear"); }, Code::missing_key},
      {"llama", "heads by layer",
       [](GgufFile& f, const std::string& a) { f.key_i32s(a + "attention.head_count_kv", {1}); }, Code::bad_type},
      {"llama", "values of another width",
       [](GgufFile& f, const std::string& a) {
         f.key_u32(a + "attention.key_length", 8).key_u32(a + "attention.value_length", 6);
       },
       Code::unsupported},
      {"llama", "not causal", [](GgufFile& f, const std::string& a) { f.key_bool(a + "attention.causal", 0); },
       Code::unsupported},
      {"llama", "divisors that are no vector",
       [](GgufFile& f, const std::string&) {
         f.tensor("rope_freqs.weight", {2, 2}, 0, Bytes(16));
       },
       Code::bad_shape},
      {"llama", "divisors that are not finite",
       [](GgufFile& f, const std::string&) { f.tensor("rope_freqs.weight", {4}, 0, Bytes(16, 0xFF)); },
       Code::non_finite},
      {"gemma2", "no width of a head", [](GgufFile&, const std::string&) {}, Code::missing_key},
      {"gemma2", "no window",
       [](GgufFile& f, const std::string& a) {
         f.key_u32(a + "attention.key_length", 8).key_u32(a + "attention.value_length", 8);
       },
       Code::missing_key},
      {"phi3", "no width that turns", [](GgufFile&, const std::string&) {}, Code::missing_key},
      {"phi3", "factors of long texts alone",
       [](GgufFile& f, const std::string& a) {
         f.key_u32(a + "rope.dimension_count", 8);
         f.tensor("rope_factors_long.weight", {4}, 0, Bytes(16));
       },
       Code::missing_tensor},
      {"qwen3", "no tokenizer", [](GgufFile&, const std::string&) {}, Code::missing_key},
  };
  for (const Case& c : all) {
    TempFolder folder;
    const Bytes bytes = decoder_keys(c.arch, c.more).file();
    folder.write("model.gguf", std::span<const uint8_t>(bytes));
    Options options;
    options.source = folder.path() / "model.gguf";
    options.kinds = {{"classifier", HeadKind::single_label}};
    const auto content = convert::convert_folder(options, nullptr);
    EXPECT_EQ(code_name(content.code()), std::string(code_name(c.code)))
        << c.arch << ", " << c.what << ": " << (content.ok() ? "" : content.error().message);
  }
}

struct TypeCase {
  uint32_t type;
  kernels::Layout matrix, table;
  const char* matrix_origin;
};

class GgufTypes : public testing::TestWithParam<TypeCase> {};

// Every type in a whole model: where it goes, what is said of it, and that this is true.
TEST_P(GgufTypes, GoWhereTheReportSays) {
  const TypeCase& c = GetParam();
  Made made(distilbert(c.type));
  const auto stored = made.convert(), f32 = made.convert(WeightType::f32);
  ASSERT_TRUE(stored.ok()) << stored.error().where << ": " << stored.error().message;
  ASSERT_TRUE(f32.ok());
  const auto model = GgufModel::open(made.path());
  ASSERT_TRUE(model.ok());
  size_t matrices = 0;
  for (size_t i = 0; i < stored.value().tensors.size(); ++i) {
    const TensorContent& t = stored.value().tensors[i];
    const std::vector<float> expected = values_of(f32.value().tensors[i]), values = values_of(t);
    if (t.name == "embed.token.w") {
      EXPECT_EQ(t.layout, c.table);
      const GgufTensor& table = *model.value().find("token_embd.weight");
      EXPECT_EQ(bits_that_differ(model.value().read_f32(table, 0, kVocabulary).value(), expected), 0u);
    }
    if (t.name != "layers.0.attn.qkv.w" && t.name != "layers.0.ffn.up.w") continue;
    ++matrices;
    EXPECT_EQ(t.layout, c.matrix) << kernels::layout_name(t.layout);
    EXPECT_EQ(t.origin, std::string(info_of(static_cast<GgmlType>(c.type)).name) + ", " + c.matrix_origin);
    if (std::string_view(c.matrix_origin) == "without loss") {
      EXPECT_EQ(bits_that_differ(expected, values), 0u);
      continue;
    }
    EXPECT_NE(bits_that_differ(expected, values), 0u);
    float largest = 0, error = 0;
    for (size_t e = 0; e < values.size(); ++e) {
      ASSERT_TRUE(std::isfinite(values[e]));
      largest = std::max(largest, std::fabs(expected[e]));
      error = std::max(error, std::fabs(expected[e] - values[e]));
    }
    // Half a step of int8; half a unit of f16 in scale and minimum, which are at most 63 times the largest value.
    EXPECT_LT(error, largest / (c.matrix == kernels::Layout::i8_n32k4 ? 250 : 1000)) << t.name;
  }
  EXPECT_EQ(matrices, 2u);
}

using kernels::Layout;
INSTANTIATE_TEST_SUITE_P(
    All, GgufTypes,
    testing::Values(TypeCase{0, Layout::f32_n16, Layout::f32_rows, "without loss"},
                    TypeCase{1, Layout::f16_n16, Layout::f16_rows, "without loss"},
                    TypeCase{30, Layout::bf16_n16, Layout::bf16_rows, "without loss"},
                    TypeCase{2, Layout::i4g32_n32k4, Layout::i4g32_rows, "without loss"},
                    TypeCase{3, Layout::i4mg32_n32k4, Layout::i8_rows, "without loss"},
                    TypeCase{12, Layout::i4mg32_n32k4, Layout::i8_rows, "codes without loss, scales rounded to f16"},
                    TypeCase{6, Layout::i8_n32k4, Layout::i8_rows, "quantised again"},
                    TypeCase{7, Layout::i8_n32k4, Layout::i8_rows, "quantised again"},
                    TypeCase{8, Layout::i8_n32k4, Layout::i8_rows, "quantised again"},
                    TypeCase{10, Layout::i8_n32k4, Layout::i8_rows, "quantised again"},
                    TypeCase{11, Layout::i8_n32k4, Layout::i8_rows, "quantised again"},
                    TypeCase{13, Layout::i8_n32k4, Layout::i8_rows, "quantised again"},
                    TypeCase{14, Layout::i8_n32k4, Layout::i8_rows, "quantised again"},
                    TypeCase{20, Layout::i8_n32k4, Layout::i8_rows, "quantised again"},
                    TypeCase{23, Layout::i8_n32k4, Layout::i8_rows, "quantised again"}),
    [](const auto& info) { return std::string(info_of(static_cast<GgmlType>(info.param.type)).name); });

TEST(GgufStored, PartsOfDifferentTypesAreQuantisedAgain) {
  Parts parts = distilbert(2);
  parts.tensor("blk.0.attn_v.weight").type = 14;
  parts.tensor("blk.0.attn_v.weight").data = blocks(14, kWidth * kWidth, 99);
  Made made(parts);
  const auto stored = made.convert();
  ASSERT_TRUE(stored.ok()) << stored.error().message;
  for (const TensorContent& t : stored.value().tensors) {
    if (t.name != "layers.0.attn.qkv.w") continue;
    EXPECT_EQ(t.layout, Layout::i8_n32k4);
    EXPECT_EQ(t.origin, "Q4_0 and Q6_K, quantised again");
  }
  EXPECT_EQ(stored.value().config.attention, AttentionType::i8);
  EXPECT_NE(stored.value().metadata.quantisation.find("quantised again"), std::string::npos);
}

TEST(GgufStored, Int4TakesWhatIsInGroupsOf32) {
  Made made(distilbert(3));
  const auto int4 = made.convert(WeightType::int4);
  ASSERT_TRUE(int4.ok());
  for (const TensorContent& t : int4.value().tensors) {
    if (t.name == "layers.0.ffn.up.w") {
      EXPECT_EQ(t.origin, "Q4_1, without loss");
    }
  }
}

TEST(GgufStored, AScaleBeyondF16IsNamed) {
  Parts parts = distilbert(12);
  Tensor& t = parts.tensor("blk.0.ffn_up.weight");
  t.data[1] = 0x7B;  // 57,344 and more, times a scale of up to 63
  t.data[4] = 63;
  const Error error = Made(parts).error(WeightType::source);
  EXPECT_EQ(code_name(error.code), std::string("bad_value")) << error.message;
  EXPECT_NE(std::string(error.where).find("blk.0.ffn_up.weight"), std::string::npos);
  EXPECT_EQ(Made(parts).error(WeightType::int8).code, Code::ok);
}

TEST(GgufChecks, TheUndamagedFileConverts) {
  Made made(distilbert());
  EXPECT_EQ(made.error().code, Code::ok) << made.error().where << made.error().message;
  ASSERT_FALSE(made.notes.empty());
  EXPECT_NE(made.notes[0].find("gelu"), std::string::npos);
}

TEST(GgufChecks, EveryMissingTensorIsNamed) {
  const size_t count = distilbert().tensors.size();
  for (size_t i = 0; i < count; ++i) {
    Parts parts = distilbert();
    const std::string name = parts.tensors[i].name;
    parts.tensors.erase(parts.tensors.begin() + static_cast<std::ptrdiff_t>(i));
    const Error error = Made(parts).error();
    EXPECT_EQ(code_name(error.code), std::string("missing_tensor")) << name << ": " << error.message;
  }
}

TEST(GgufChecks, EveryMisshapenTensorIsNamed) {
  const size_t count = distilbert().tensors.size();
  for (size_t i = 0; i < count; ++i) {
    Parts parts = distilbert();
    Tensor& t = parts.tensors[i];
    t.dims.back() += 1;
    uint64_t elements = 1;
    for (const uint64_t d : t.dims) elements *= d;
    t.data.resize(elements * 4);
    const Error error = Made(parts).error();
    const bool table = t.name == "token_embd.weight";  // its rows are the vocabulary
    if (table) continue;
    EXPECT_EQ(code_name(error.code), std::string("bad_shape")) << t.name << ": " << error.message;
    EXPECT_NE(std::string(error.where).find(t.name), std::string::npos) << error.where;
  }
}

TEST(GgufChecks, AnExtraTensorIsNamed) {
  Parts parts = distilbert();
  parts.tensors.push_back({"blk.1.attn_q.weight", {4}, 0, Bytes(16)});
  const Error error = Made(parts).error();
  EXPECT_EQ(error.code, Code::extra_tensor);
  EXPECT_STREQ(error.where, "blk.1.attn_q.weight");
}

struct KeyCase {
  const char* key;
  std::function<void(GgufFile&)> write;  // null: the key is removed
  Code code;
};

TEST(GgufChecks, KeysThatMeanAnotherModelAreRefused) {
  const auto u32 = [](const char* key, uint32_t v) { return [=](GgufFile& f) { f.key_u32(key, v); }; };
  const auto text = [](const char* key, const char* v) { return [=](GgufFile& f) { f.key_text(key, v); }; };
  const std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "a", "ing", "!"};
  const KeyCase all[] = {
      {"general.architecture", nullptr, Code::missing_key},
      {"general.architecture", u32("general.architecture", 1), Code::bad_type},
      {"general.architecture", text("general.architecture", "mamba"), Code::unsupported},
      {"general.architecture", text("general.architecture", "nomic-bert"), Code::missing_key},
      {"bert.embedding_length", nullptr, Code::missing_key},
      {"bert.embedding_length", text("bert.embedding_length", "256"), Code::bad_type},
      {"bert.embedding_length", u32("bert.embedding_length", 0), Code::bad_value},
      {"bert.embedding_length", u32("bert.embedding_length", 255), Code::bad_value},
      {"bert.embedding_length", u32("bert.embedding_length", 128), Code::bad_shape},
      {"bert.block_count", u32("bert.block_count", 2), Code::missing_tensor},
      {"bert.block_count", u32("bert.block_count", UINT32_MAX), Code::bad_value},
      {"bert.attention.head_count", u32("bert.attention.head_count", 0), Code::bad_value},
      {"bert.attention.head_count", u32("bert.attention.head_count", 3), Code::bad_value},
      {"bert.feed_forward_length", u32("bert.feed_forward_length", 255), Code::bad_shape},
      {"bert.context_length", u32("bert.context_length", 17), Code::bad_shape},
      {"eps", [](GgufFile& f) { f.key_f32("bert.attention.layer_norm_epsilon", 1e-5f); }, Code::unsupported},
      {"eps", [](GgufFile& f) { f.key_f32("bert.attention.layer_norm_epsilon", NAN); }, Code::non_finite},
      {"causal", [](GgufFile& f) { f.key_bool("bert.attention.causal", 1); }, Code::unsupported},
      {"labels",
       [](GgufFile& f) {
         f.key_texts("bert.classifier.output_labels", {"a", "b"});
       },
       Code::bad_shape},
      {"labels",
       [](GgufFile& f) {
         f.key_texts("bert.classifier.output_labels", {"a", "b", "a"});
       },
       Code::duplicate_name},
      {"labels",
       [](GgufFile& f) {
         f.key_texts("bert.classifier.output_labels", {"a", "", "b"});
       },
       Code::bad_name},
      {"labels", u32("bert.classifier.output_labels", 3), Code::bad_type},
      {"labels", nullptr, Code::ok},  // LABEL_0, LABEL_1, LABEL_2
      {"tokenizer", nullptr, Code::unsupported},
      {"tokenizer", text("tokenizer.ggml.model", "rwkv"), Code::unsupported},
      {"tokens", nullptr, Code::missing_key},
      {"tokens",
       [](GgufFile& f) {
         f.key_texts("tokenizer.ggml.tokens", {"[PAD]", "[UNK]"});
       },
       Code::bad_vocabulary},
      {"tokens", [](GgufFile& f) { f.key_texts("tokenizer.ggml.tokens", {}); }, Code::bad_vocabulary},
      {"tokens",
       [](GgufFile& f) {
         f.key_texts("tokenizer.ggml.tokens", {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "a", "b", "c"});
       },
       Code::duplicate_name},
      {"tokens",
       [](GgufFile& f) {
         f.key_texts("tokenizer.ggml.tokens", {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\xE2\x96\x81The", "a", "b", "c"});
       },
       Code::unsupported},
      {"types", nullptr, Code::missing_key},
      {"types",
       [](GgufFile& f) {
         f.key_i32s("tokenizer.ggml.token_type", {3, 3, 3});
       },
       Code::bad_vocabulary},
      {"types",
       [](GgufFile& f) {
         f.key_i32s("tokenizer.ggml.token_type", {3, 3, 3, 3, 1, 1, 1, 7});
       },
       Code::unknown_value},
      {"types",
       [](GgufFile& f) {
         f.key_f32s("tokenizer.ggml.token_type", {3, 3, 3, 3, 1, 1, 1, 1});
       },
       Code::bad_type},
      {"tokenizer.ggml.unknown_token_id", nullptr, Code::missing_key},
      {"tokenizer.ggml.unknown_token_id", u32("tokenizer.ggml.unknown_token_id", 8), Code::bad_vocabulary},
      {"tokenizer.ggml.cls_token_id", nullptr, Code::missing_key},
      {"tokenizer.ggml.cls_token_id", u32("tokenizer.ggml.bos_token_id", 2), Code::ok},
      {"tokenizer.ggml.seperator_token_id", nullptr, Code::missing_key},
      {"scores",
       [](GgufFile& f) {
         f.key_f32s("tokenizer.ggml.scores", {1, 2});
       },
       Code::bad_vocabulary},
      {"split", [](GgufFile& f) { f.key("split.count", 2, GgufBytes().u8(2).u8(0)); }, Code::unsupported},
      {"json", text("tokenizer.huggingface.json", "{}"), Code::missing_key},
  };
  for (const KeyCase& c : all) {
    Parts parts = distilbert();
    if (c.write) {
      parts.keys[c.key] = c.write;
    } else {
      parts.keys.erase(c.key);
    }
    const Error error = Made(parts).error();
    EXPECT_EQ(code_name(error.code), std::string(code_name(c.code)))
        << c.key << (c.write ? "" : " (absent)") << ": " << error.where << ": " << error.message;
  }
}

Error convert_error(const Options& options) {
  const auto content = convert::convert_folder(options, nullptr);
  return content.ok() ? Error{} : content.error();
}

TEST(GgufHead, WhatAFileLacksIsOfferedToBeAdded) {
  for (const std::string& name : cases()) {
    if (!lacks_head(name)) continue;
    Options options = options_of(name, WeightType::f32);
    options.head_from.clear();
    const Error error = convert_error(options);
    EXPECT_TRUE(error.code == Code::missing_tensor || error.code == Code::missing_key) << name;
    EXPECT_NE(std::string(error.message).find("--head-from"), std::string::npos) << error.message;
  }
}

TEST(GgufHead, AFolderOfAnotherModelIsRefused) {
  Options options = options_of("bert_f32", WeightType::f32);
  options.head_from = fixtures() / "gguf/models/bert_f16";  // other sizes
  EXPECT_EQ(convert_error(options).code, Code::bad_value);
  options.head_from = fixtures() / "gguf/models/distilbert_f32";  // another family
  EXPECT_EQ(convert_error(options).code, Code::bad_value);
  options.head_from = fixtures() / "gguf/models";  // no folder of a model
  EXPECT_EQ(convert_error(options).code, Code::io_error);
}

TEST(GgufHead, AFolderHasNoUseForAnother) {
  Options options;
  options.source = options.head_from = fixtures() / "gguf/models/bert_f32";
  EXPECT_EQ(convert_error(options).code, Code::invalid_argument);
}

TEST(GgufHead, WithoutAKindNothingIsGuessed) {
  Options options = options_of("distilbert_f32", WeightType::f32);
  options.kinds.clear();
  EXPECT_EQ(convert_error(options).code, Code::missing_key);
}

}  // namespace
}  // namespace onepass::test
