// Conversion refuses what it does not fully understand, and says which tensor or key.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <tuple>

#include "formats/json/json.h"
#include "models/family.h"
#include "tests/models/expected.h"
#include "tests/support/safetensors_writer.h"
#include "tests/support/temp_folder.h"
#include "tools/convert/convert.h"

namespace onepass::test {
namespace {

std::vector<uint8_t> read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A copy of a fixture checkpoint, to be damaged.
class Damaged {
 public:
  explicit Damaged(const std::string& name)
      : source_(fixtures() / (name.find('/') == name.npos ? "bert/" + name : name)) {
    for (const char* file : {"config.json", "tokenizer.json", "onepass.json"}) {
      if (std::filesystem::exists(source_ / file)) {
        const auto bytes = read_bytes(source_ / file);
        folder_.write(file, std::span<const uint8_t>(bytes));
      }
    }
    const auto bytes = read_bytes(source_ / "model.safetensors");
    const auto header = parse_safetensors(bytes, "fixture");
    for (const SafetensorsEntry& e : header.value().entries) {
      tensors_.push_back(
          {e.name,
           name_of(e.dtype),
           e.shape,
           {bytes.begin() + static_cast<std::ptrdiff_t>(e.begin), bytes.begin() + static_cast<std::ptrdiff_t>(e.end)}});
    }
  }

  SafetensorsTensor& tensor(const std::string& name) {
    return *std::find_if(tensors_.begin(), tensors_.end(), [&](const auto& t) { return t.name == name; });
  }
  std::vector<SafetensorsTensor>& tensors() { return tensors_; }
  void edit(const char* file, const std::function<void(Json&)>& change) {
    const auto bytes = read_bytes(folder_.path() / file);
    Json json = Json::parse(bytes.begin(), bytes.end());
    change(json);
    folder_.write(file, json.dump());
  }

  Error convert(convert::Options options = {}) {
    folder_.write("model.safetensors", std::span<const uint8_t>(write_safetensors(tensors_)));
    options.source = folder_.path();
    const auto content = convert::convert_folder(options, &notes);
    if (!content.ok()) return content.error();
    // Weights are read while the file is serialised.
    const auto bytes = serialize_model(content.value());
    return bytes.ok() ? Error{} : bytes.error();
  }

  // The .onepass file of a fixture, or of this checkpoint.
  std::vector<uint8_t> bytes(const std::string& fixture) {
    folder_.write("model.safetensors", std::span<const uint8_t>(write_safetensors(tensors_)));
    const auto content = convert::convert_folder({.source = fixture.empty() ? folder_.path() : fixtures() / fixture,
                                                  .weights = convert::WeightType::f32,
                                                  .model_id = "same"},
                                                 nullptr);
    if (!content.ok()) return {};
    ModelContent same = content.value();
    same.metadata.source_hash = "";
    const auto file = serialize_model(same);
    return file.ok() ? file.value() : std::vector<uint8_t>();
  }

  std::vector<std::string> notes;

 private:
  std::filesystem::path source_;
  TempFolder folder_;
  std::vector<SafetensorsTensor> tensors_;
};

TEST(Convert, TheUndamagedCheckpointConverts) { EXPECT_EQ(Damaged("two_classes").convert().code, Code::ok); }

TEST(Convert, EveryMissingTensorIsNamed) {
  const size_t count = Damaged("two_classes").tensors().size();
  ASSERT_GT(count, 30u);
  for (size_t i = 0; i < count; ++i) {
    Damaged checkpoint("two_classes");
    const std::string name = checkpoint.tensors()[i].name;
    checkpoint.tensors().erase(checkpoint.tensors().begin() + static_cast<std::ptrdiff_t>(i));
    const Error error = checkpoint.convert();
    EXPECT_EQ(error.code, Code::missing_tensor) << name;
    EXPECT_EQ(error.where, name);
  }
}

TEST(Convert, EveryMisshapenTensorIsNamed) {
  const size_t count = Damaged("two_classes").tensors().size();
  for (size_t i = 0; i < count; ++i) {
    Damaged checkpoint("two_classes");
    SafetensorsTensor& tensor = checkpoint.tensors()[i];
    tensor.shape.push_back(1);  // the same bytes, one dimension more
    const std::string name = tensor.name;
    const Error error = checkpoint.convert();
    EXPECT_EQ(error.code, Code::bad_shape) << name;
    EXPECT_EQ(error.where, name);
  }
  Damaged transposed("two_classes");
  SafetensorsTensor& up = transposed.tensor("bert.encoder.layer.0.intermediate.dense.weight");
  std::swap(up.shape[0], up.shape[1]);
  EXPECT_EQ(transposed.convert().code, Code::bad_shape);
}

TEST(Convert, AnExtraTensorIsNamed) {
  Damaged checkpoint("two_classes");
  const std::vector<float> values(4, 1.0f);
  checkpoint.tensors().push_back(f32_tensor("bert.encoder.layer.2.attention.self.query.weight", {2, 2}, values));
  const Error error = checkpoint.convert();
  EXPECT_EQ(error.code, Code::extra_tensor);
  EXPECT_STREQ(error.where, "bert.encoder.layer.2.attention.self.query.weight");
}

TEST(Convert, AKnownBufferIsLeftOutAndToldOf) {
  Damaged checkpoint("two_classes");
  const std::vector<float> values(64, 0.0f);
  checkpoint.tensors().push_back(f32_tensor("bert.embeddings.position_ids", {1, 64}, values));
  EXPECT_EQ(checkpoint.convert().code, Code::ok);
  ASSERT_EQ(checkpoint.notes.size(), 1u);
  EXPECT_NE(checkpoint.notes[0].find("bert.embeddings.position_ids"), std::string::npos);
}

TEST(Convert, APoolerThatNoHeadReadsIsLeftOut) {
  Damaged checkpoint("own_heads");
  checkpoint.edit("onepass.json", [](Json& json) { json["pooler"] = nullptr; });
  EXPECT_EQ(checkpoint.convert().code, Code::ok);
  EXPECT_EQ(checkpoint.notes.size(), 2u);
}

TEST(Convert, AWeightThatIsNotFiniteIsNamed) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Damaged checkpoint("two_classes");
    const char* name = "bert.encoder.layer.1.output.dense.weight";
    std::memcpy(checkpoint.tensor(name).bytes.data() + 4 * 17, &bad, 4);
    const Error error = checkpoint.convert();
    EXPECT_EQ(error.code, Code::non_finite);
    EXPECT_NE(std::string(error.where).find(name), std::string::npos) << error.where;
    EXPECT_NE(std::string(error.message).find("17"), std::string::npos) << error.message;
  }
}

TEST(Convert, AWeightBeyondF16IsNamedAndOtherTypesHoldIt) {
  Damaged checkpoint("two_classes");
  const char* name = "bert.encoder.layer.0.attention.self.key.weight";
  const float large = 70000;
  std::memcpy(checkpoint.tensor(name).bytes.data() + 4 * 5, &large, 4);
  const Error error = checkpoint.convert({.weights = convert::WeightType::f16});
  EXPECT_EQ(error.code, Code::bad_value);
  EXPECT_STREQ(error.where, name);
  EXPECT_EQ(checkpoint.convert({.weights = convert::WeightType::f32}).code, Code::ok);
  EXPECT_EQ(checkpoint.convert({.weights = convert::WeightType::int8}).code, Code::ok);
}

struct ConfigCase {
  const char* name;
  const char* value;  // JSON; null: the key is removed
  Code code;
};

TEST(Convert, ConfigThatMeansAnotherModelIsRefused) {
  const ConfigCase cases[] = {
      {"architectures", "[\"T5Model\"]", Code::unsupported},
      {"architectures", "[\"MobileBertForSequenceClassification\"]", Code::unsupported},
      {"architectures", "[]", Code::bad_value},
      {"architectures", nullptr, Code::missing_key},
      {"hidden_act", "\"mish\"", Code::unsupported},
      {"hidden_act", "7", Code::bad_type},
      {"position_embedding_type", "\"relative_key\"", Code::unsupported},
      {"is_decoder", "true", Code::unsupported},
      {"add_cross_attention", "true", Code::unsupported},
      {"hidden_size", "25", Code::bad_value},
      {"hidden_size", "0", Code::bad_value},
      {"hidden_size", "-24", Code::bad_value},
      {"hidden_size", "24.5", Code::bad_type},
      {"hidden_size", nullptr, Code::missing_key},
      {"num_attention_heads", "0", Code::bad_value},
      {"num_hidden_layers", "257", Code::bad_value},
      {"num_hidden_layers", "1", Code::extra_tensor},
      {"num_hidden_layers", "3", Code::missing_tensor},
      {"intermediate_size", "41", Code::bad_shape},
      {"vocab_size", "50", Code::bad_vocabulary},
      {"vocab_size", "200", Code::bad_shape},
      {"max_position_embeddings", "63", Code::bad_shape},
      {"type_vocab_size", "3", Code::bad_shape},
      {"layer_norm_eps", "0", Code::bad_value},
      {"layer_norm_eps", "\"small\"", Code::bad_type},
      {"problem_type", nullptr, Code::missing_key},
      {"problem_type", "\"ranking\"", Code::unknown_value},
  };
  for (const ConfigCase& c : cases) {
    Damaged checkpoint("two_classes");
    checkpoint.edit("config.json", [&](Json& json) {
      if (c.value == nullptr) {
        json.erase(c.name);
      } else {
        json[c.name] = Json::parse(c.value);
      }
    });
    const Error error = checkpoint.convert();
    EXPECT_EQ(code_name(error.code), std::string(code_name(c.code)))
        << c.name << " = " << (c.value == nullptr ? "absent" : c.value) << ": " << error.where << ": " << error.message;
  }
}

// An architecture that no family has is refused by its name.
TEST(Convert, UnknownArchitecturesAreNamed) {
  for (const std::string name : {"MobileBertForSequenceClassification", "T5Model", "BertForMaskedLM"}) {
    Damaged checkpoint("two_classes");
    checkpoint.edit("config.json", [&](Json& json) { json["architectures"] = Json::parse("[\"" + name + "\"]"); });
    const Error error = checkpoint.convert();
    EXPECT_EQ(error.code, Code::unsupported) << name;
    EXPECT_NE(std::string(error.message).find(name), std::string::npos) << error.message;
  }
}

struct FamilyCase {
  const char* checkpoint;
  const char* key;
  const char* value;  // JSON; null: the key is removed
  Code code;
};

TEST(Convert, EveryFamilyRefusesWhatItsBlocksDoNotDo) {
  const FamilyCase cases[] = {
      {"distilbert/two_classes", "activation", "\"mish\"", Code::unsupported},
      {"distilbert/two_classes", "n_heads", "5", Code::bad_value},
      {"distilbert/two_classes", "n_layers", "1", Code::extra_tensor},
      {"roberta/two_classes", "is_decoder", "true", Code::unsupported},
      {"roberta/two_classes", "add_cross_attention", "true", Code::unsupported},
      {"roberta/two_classes", "position_embedding_type", "\"relative_key_query\"", Code::unsupported},
      {"roberta/two_classes", "pad_token_id", "null", Code::bad_type},
      {"roberta/two_classes", "pad_token_id", nullptr, Code::missing_key},
      {"roberta/two_classes", "pad_token_id", "39", Code::bad_value},
      {"electra/narrow_embeddings", "embedding_size", "24", Code::bad_shape},
      {"electra/narrow_embeddings", "embedding_size", nullptr, Code::missing_key},
      {"electra/narrow_embeddings", "is_decoder", "true", Code::unsupported},
      {"albert/one_group", "inner_group_num", "2", Code::unsupported},
      {"albert/one_group", "num_hidden_groups", "2", Code::bad_value},
      {"albert/two_groups", "num_hidden_groups", "1", Code::extra_tensor},
      {"albert/two_groups", "num_hidden_groups", "4", Code::missing_tensor},
      {"albert/two_groups", "num_hidden_groups", "8", Code::bad_value},
      {"mpnet/two_classes", "relative_attention_num_buckets", "16", Code::unsupported},
      {"mpnet/two_classes", "relative_attention_num_buckets", nullptr, Code::unsupported},
      {"mpnet/two_classes", "max_position_embeddings", "2", Code::bad_value},
      {"modernbert/window_3", "layer_types", "[\"sliding_attention\", \"full_attention\"]", Code::unsupported},
      {"modernbert/window_3", "layer_types", "[\"full_attention\"]", Code::unsupported},
      {"modernbert/window_3", "layer_types", nullptr, Code::missing_key},
      {"modernbert/window_3", "local_attention", nullptr, Code::missing_key},
      {"modernbert/window_3", "classifier_pooling", "\"max\"", Code::unsupported},
      {"modernbert/window_3", "classifier_activation", "\"mish\"", Code::unsupported},
      {"modernbert/window_3", "norm_bias", "true", Code::missing_tensor},
      {"modernbert/window_3", "rope_parameters",
       R"({"full_attention": {"rope_type": "yarn", "rope_theta": 1000}, "sliding_attention": {"rope_type": "default"}})",
       Code::unsupported},
      {"modernbert/biases", "mlp_bias", "false", Code::extra_tensor},
      {"nomic_bert/two_classes", "rope_parameters", nullptr, Code::missing_key},
      {"nomic_bert/two_classes", "rope_parameters", R"({"rope_type": "linear", "rope_theta": 1000})",
       Code::unsupported},
      {"nomic_bert/two_classes", "rope_parameters", R"({"rope_type": "default", "rope_theta": 0})", Code::bad_value},
      {"nomic_bert/wide_heads", "head_dim", "9", Code::bad_value},
      {"nomic_bert/wide_heads", "head_dim", "8", Code::bad_shape},
      {"deberta_v2/v3", "relative_attention", "false", Code::unsupported},
      {"deberta_v2/v3", "relative_attention", nullptr, Code::unsupported},
      {"deberta_v2/v3", "conv_kernel_size", "3", Code::unsupported},
      {"deberta_v2/v3", "pos_att_type", "[\"c2p\", \"p2p\"]", Code::unsupported},
      {"deberta_v2/v3", "pos_att_type", "[]", Code::unsupported},
      {"deberta_v2/v3", "pos_att_type", nullptr, Code::missing_key},
      {"deberta_v2/v3", "pos_att_type", "\"p2c|c2p\"", Code::ok},
      {"deberta_v2/v3", "pooler_hidden_size", "23", Code::unsupported},
      {"deberta_v2/v3", "embedding_size", "23", Code::unsupported},
      {"deberta_v2/v3", "share_att_key", "false", Code::missing_tensor},
      {"deberta_v2/v3", "norm_rel_ebd", "\"none\"", Code::extra_tensor},
      {"deberta_v2/v3", "norm_rel_ebd", "\"batch_norm\"", Code::unsupported},
      {"deberta_v2/v3", "position_buckets", "8", Code::bad_shape},
      {"deberta_v2/v3", "position_biased_input", nullptr, Code::missing_tensor},
      {"deberta_v2/own_products", "share_att_key", "true", Code::extra_tensor},
  };
  for (const FamilyCase& c : cases) {
    Damaged checkpoint(c.checkpoint);
    EXPECT_EQ(checkpoint.convert().code, Code::ok) << c.checkpoint;
    checkpoint.edit("config.json", [&](Json& json) {
      if (c.value == nullptr) {
        json.erase(c.key);
      } else {
        json[c.key] = Json::parse(c.value);
      }
    });
    const Error error = checkpoint.convert();
    EXPECT_EQ(code_name(error.code), std::string(code_name(c.code)))
        << c.checkpoint << ": " << c.key << " = " << (c.value == nullptr ? "absent" : c.value) << ": " << error.where
        << ": " << error.message;
  }
}

// ModernBERT's older spelling of windows and frequencies, and DeBERTa's of its terms, are the same model.
TEST(Convert, OlderKeysMeanTheSame) {
  Damaged checkpoint("modernbert/window_3");
  checkpoint.edit("config.json", [](Json& json) {
    json.erase("layer_types");
    json.erase("rope_parameters");
    json["global_attn_every_n_layers"] = 3;
    json["global_rope_theta"] = 160000.0;
  });
  const auto before = checkpoint.bytes("modernbert/window_3");
  EXPECT_FALSE(before.empty());
  EXPECT_EQ(before, checkpoint.bytes(""));
}

TEST(Convert, RelativeTablesAreCodedForAttentionInInt8) {
  using convert::WeightType;
  const auto converted = [](WeightType weights, std::optional<AttentionType> attention) {
    auto content = convert::convert_folder(
        {.source = fixtures() / "deberta_v2/v3", .weights = weights, .attention = attention}, nullptr);
    EXPECT_TRUE(content.ok());
    return std::move(content.value());
  };
  for (const auto& [weights, asked, attention] :
       {std::tuple{WeightType::int8, std::optional<AttentionType>(), AttentionType::i8},
        {WeightType::int4, std::optional<AttentionType>(), AttentionType::i8},
        {WeightType::f32, std::optional<AttentionType>(), AttentionType::f32},
        {WeightType::int8, std::optional(AttentionType::f32), AttentionType::f32},
        {WeightType::f32, std::optional(AttentionType::i8), AttentionType::i8}}) {
    ModelContent content = converted(weights, asked);
    EXPECT_EQ(content.config.attention, attention);
    size_t tables = 0;
    for (const TensorContent& tensor : content.tensors) {
      if (tensor.name.find("attn.relative") == std::string::npos) continue;
      ++tables;
      EXPECT_EQ(tensor.layout, coded_rows_layout(attention)) << tensor.name;
    }
    EXPECT_EQ(tables, 2 * content.config.layers);
    EXPECT_TRUE(serialize_model(content).ok());
    // A file whose tables are of the other kind is none.
    content.config.attention = attention == AttentionType::i8 ? AttentionType::f32 : AttentionType::i8;
    const auto other = serialize_model(content);
    ASSERT_FALSE(other.ok());
    EXPECT_EQ(other.error().code, Code::bad_dtype);
  }
}

TEST(Convert, APoolerThatTheClassDoesNotUseIsLeftOut) {
  Damaged checkpoint("roberta/two_classes");
  const std::vector<float> values(24 * 24, 1.0f);
  checkpoint.tensors().push_back(f32_tensor("roberta.pooler.dense.weight", {24, 24}, values));
  EXPECT_EQ(checkpoint.convert().code, Code::ok);
  EXPECT_EQ(checkpoint.notes.size(), 1u);
}

TEST(Convert, OwnHeadsAndTheirCheckpointMustAgree) {
  {
    Damaged checkpoint("own_heads");
    checkpoint.edit("onepass.json", [](Json& json) { json["heads"][0]["name"] = "other"; });
    const Error error = checkpoint.convert();
    EXPECT_EQ(error.code, Code::missing_tensor);
    EXPECT_STREQ(error.where, "heads.other.weight");
  }
  {
    Damaged checkpoint("own_heads");
    checkpoint.edit("onepass.json", [](Json& json) { json["heads"].erase(0); });
    EXPECT_EQ(checkpoint.convert().code, Code::extra_tensor);
  }
  {
    Damaged checkpoint("own_heads");
    checkpoint.edit("config.json", [](Json& json) { json["architectures"] = {"BertForSequenceClassification"}; });
    EXPECT_EQ(checkpoint.convert().code, Code::unsupported);
  }
}

TEST(Convert, OverridesAreStoredAndChecked) {
  Damaged checkpoint("two_classes");
  EXPECT_EQ(checkpoint.convert().code, Code::ok);
  EXPECT_EQ(checkpoint.convert({.labels = {"yes", "no"}}).code, Code::ok);
  EXPECT_EQ(checkpoint.convert({.labels = {"yes"}}).code, Code::invalid_argument);
  EXPECT_NE(checkpoint.convert({.labels = {"yes", "yes"}}).code, Code::ok);
  EXPECT_NE(checkpoint.convert({.kinds = {{"nobody", HeadKind::regression}}}).code, Code::ok);
  EXPECT_EQ(checkpoint.convert({.kinds = {{"classifier", HeadKind::multi_label}}, .thresholds = {0.2f, 0.7f}}).code,
            Code::ok);
  EXPECT_NE(checkpoint.convert({.kinds = {{"classifier", HeadKind::multi_label}}, .thresholds = {0.2f}}).code,
            Code::ok);
  EXPECT_NE(checkpoint.convert({.kinds = {{"classifier", HeadKind::regression}}, .range = {{1, -1}}}).code, Code::ok);
}

// A family's table and the engine's agree: every tensor of ours has a source, and its parts add up to its shape.
TEST(Family, EveryTensorHasItsSources) {
  for (const models::Family* family : models::families()) {
    for (const models::SourceClass& source : family->classes) {
      Config config;
      config.arch = family->arch;
      config.arch.pooler = source.head.empty() || source.pooler;
      config.layers = 2;
      config.heads = config.kv_heads = 3;
      config.head_width = 5;
      config.width = 15;
      config.embed_width = family->embed_width_key != nullptr ? 10 : 0;
      config.ffn_width = 7;
      config.vocab = 11;
      config.positions = 13;
      config.max_tokens = 6;
      config.relative_rows = 8;
      config.rotary_width = 4;
      const uint32_t classes[] = {4};
      const Status status = for_each_tensor(config, classes, [&](const TensorNeed& need) -> Status {
        if (need.spec->scope == Scope::head && source.head.empty()) return {};
        switch (need.spec->slot) {  // computed
          case Slot::rotary_global:
          case Slot::rotary_local:
          case Slot::rotary_long:
          case Slot::attn_prefix:
          case Slot::relative_index:
            return {};
          default:
            break;
        }
        const auto elements = [&](std::span<const models::TensorSource> rows) {
          uint64_t sum = 0;
          for (const models::TensorSource& row : rows) {
            if (row.slot == need.spec->slot)
              sum += dim_value(row.n, config, 4, no_layer) * dim_value(row.k, config, 4, no_layer);
          }
          return sum;
        };
        const uint64_t own = elements(source.head);
        EXPECT_EQ(own != 0 ? own : elements(family->tensors), need.n * need.k) << source.name << " " << need.name;
        return {};
      });
      EXPECT_TRUE(status.ok());
    }
  }
}

}  // namespace
}  // namespace onepass::test
