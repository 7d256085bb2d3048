// config.json, onepass.json and the heads that they describe.
#include "formats/huggingface/folder.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/mutations.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

using Strings = std::vector<std::string>;

Result<HeadSpec> head_of(std::string_view text, std::optional<HeadKind> kind = std::nullopt) {
  const auto json = parse_json(text, kMaxConfigBytes, "config.json");
  if (!json.ok()) return json.error();
  return read_classifier_head(JsonNode(*json, "config.json"), kind);
}

TEST(ClassifierHead, LabelsAreSortedByNumber) {
  std::string text = R"({"problem_type":"multi_label_classification","num_labels":12,"id2label":{)";
  for (int i = 11; i >= 0; --i) {
    const std::string number = std::to_string(i);
    text.append("\"").append(number).append("\":\"l").append(number).append(i == 0 ? "\"" : "\",");
  }
  const auto head = head_of(text + "}}");
  ASSERT_TRUE(head.ok()) << head.error().message;
  EXPECT_EQ(head->labels, (Strings{"l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8", "l9", "l10", "l11"}));
  EXPECT_EQ(head->name, "classifier");
  EXPECT_EQ(head->kind, HeadKind::multi_label);
  EXPECT_EQ(head->thresholds, std::vector<float>(12, 0.5f));
  EXPECT_EQ(head->temperature, 1.0f);
  EXPECT_FALSE(head->range.has_value());
}

TEST(ClassifierHead, Kinds) {
  const std::string two = R"("id2label":{"0":"no","1":"yes"}})";
  const auto single = head_of(R"({"problem_type":"single_label_classification",)" + two);
  ASSERT_TRUE(single.ok());
  EXPECT_EQ(single->kind, HeadKind::single_label);
  EXPECT_TRUE(single->thresholds.empty());
  EXPECT_EQ(head_of(R"({"problem_type":"regression","id2label":{"0":"x"}})")->kind, HeadKind::regression);
  EXPECT_EQ(head_of("{" + two, HeadKind::multi_label)->kind, HeadKind::multi_label);
  EXPECT_EQ(head_of(R"({"problem_type":"regression",)" + two, HeadKind::single_label)->kind, HeadKind::single_label);
  for (const char* absent : {"{", R"({"problem_type":null,)"}) {
    const auto head = head_of(absent + two);
    ASSERT_EQ(head.code(), Code::missing_key);
    EXPECT_STREQ(head.error().where, "config.json: problem_type");
    EXPECT_NE(std::string(head.error().message).find("--kind classifier="), std::string::npos);
  }
}

// transformers leaves id2label out where it has its default.
TEST(ClassifierHead, DefaultLabels) {
  EXPECT_EQ(head_of("{}", HeadKind::single_label)->labels, (Strings{"LABEL_0", "LABEL_1"}));
  EXPECT_EQ(head_of(R"({"num_labels":3})", HeadKind::single_label)->labels, (Strings{"LABEL_0", "LABEL_1", "LABEL_2"}));
}

struct BadConfig {
  const char* name;
  const char* text;
  Code code;
};
class BadClassifierHead : public testing::TestWithParam<BadConfig> {};

TEST_P(BadClassifierHead, IsRejected) {
  const auto head = head_of(GetParam().text, HeadKind::multi_label);
  EXPECT_STREQ(code_name(head.code()), code_name(GetParam().code));
  ASSERT_FALSE(head.ok());
  EXPECT_EQ(std::string(head.error().where).rfind("config.json: ", 0), 0u) << head.error().where;
}

INSTANTIATE_TEST_SUITE_P(
    Rules, BadClassifierHead,
    testing::Values(BadConfig{"array", R"({"id2label":["a","b"]})", Code::bad_type},
                    BadConfig{"empty", R"({"id2label":{}})", Code::bad_value},
                    BadConfig{"from_1", R"({"id2label":{"1":"a","2":"b"}})", Code::bad_value},
                    BadConfig{"gap", R"({"id2label":{"0":"a","2":"b"}})", Code::bad_value},
                    BadConfig{"leading_zero", R"({"id2label":{"0":"a","01":"b"}})", Code::bad_value},
                    BadConfig{"negative", R"({"id2label":{"0":"a","-1":"b"}})", Code::bad_value},
                    BadConfig{"plus", R"({"id2label":{"0":"a","+1":"b"}})", Code::bad_value},
                    BadConfig{"blank", R"({"id2label":{"0":"a"," 1":"b"}})", Code::bad_value},
                    BadConfig{"word", R"({"id2label":{"0":"a","one":"b"}})", Code::bad_value},
                    BadConfig{"empty_key", R"({"id2label":{"":"a"}})", Code::bad_value},
                    BadConfig{"huge", R"({"id2label":{"0":"a","18446744073709551617":"b"}})", Code::bad_value},
                    BadConfig{"label_number", R"({"id2label":{"0":"a","1":2}})", Code::bad_type},
                    BadConfig{"label_empty", R"({"id2label":{"0":"a","1":""}})", Code::bad_name},
                    BadConfig{"label_nul", R"({"id2label":{"0":"a","1":"b\u0000"}})", Code::bad_name},
                    BadConfig{"label_twice", R"({"id2label":{"0":"a","1":"a"}})", Code::duplicate_name},
                    BadConfig{"count_differs", R"({"num_labels":3,"id2label":{"0":"a","1":"b"}})", Code::bad_value},
                    BadConfig{"count_0", R"({"num_labels":0})", Code::bad_value},
                    BadConfig{"count_above_cap", R"({"num_labels":65537})", Code::bad_value}),
    [](const testing::TestParamInfo<BadConfig>& info) { return std::string(info.param.name); });

TEST(ClassifierHead, FurtherErrors) {
  EXPECT_EQ(head_of(R"({"problem_type":"ranking","id2label":{"0":"a"}})").code(), Code::unknown_value);
  EXPECT_EQ(head_of(R"({"problem_type":3,"id2label":{"0":"a"}})").code(), Code::bad_type);
  EXPECT_EQ(head_of(R"({"id2label":{"0":"a"}})", HeadKind::single_label).code(), Code::bad_value);
  std::string many = R"({"id2label":{"0":"x")";
  for (int i = 1; i <= 65'536; ++i) {
    const std::string number = std::to_string(i);
    many.append(",\"").append(number).append("\":\"").append(number).append("\"");
  }
  EXPECT_EQ(head_of(many + "}}", HeadKind::multi_label).code(), Code::limit_exceeded);
}

const char* const kOnepass =
    R"({"format_version":1,"model_id":"emotion-mini","model_version":"1.2","licence":"Apache-2.0",
  "pooling":"first_token","pooler":{"activation":"tanh"},"max_tokens":512,
  "heads":[{"name":"emotion","kind":"multi_label","labels":["joy","fear"],"thresholds":[0.25,0.75],"temperature":1.5},
           {"name":"pad","kind":"regression","labels":["p","a","d"],"range":[-1,1]},
           {"name":"topic_2","kind":"single_label","labels":["x","y"]}]})";

Result<OnepassJson> parse_ours(std::string_view text) {
  const auto json = parse_json(text, kMaxConfigBytes, "onepass.json");
  if (!json.ok()) return json.error();
  return parse_onepass_json(JsonNode(*json, "onepass.json"));
}

TEST(OnepassJson, GoodFile) {
  const auto ours = parse_ours(kOnepass);
  ASSERT_TRUE(ours.ok()) << ours.error().where << ours.error().message;
  EXPECT_EQ(ours->model_id, "emotion-mini");
  EXPECT_EQ(ours->model_version, "1.2");
  EXPECT_EQ(ours->licence, "Apache-2.0");
  EXPECT_EQ(ours->pooling, Pool::first_token);
  EXPECT_EQ(ours->pooler_activation, kernels::Act::tanh);
  EXPECT_EQ(ours->max_tokens, 512u);
  ASSERT_EQ(ours->heads.size(), 3u);
  const HeadSpec& emotion = ours->heads[0];
  EXPECT_EQ(emotion.name, "emotion");
  EXPECT_EQ(emotion.kind, HeadKind::multi_label);
  EXPECT_EQ(emotion.labels, (Strings{"joy", "fear"}));
  EXPECT_EQ(emotion.thresholds, (std::vector<float>{0.25f, 0.75f}));
  EXPECT_EQ(emotion.temperature, 1.5f);
  const HeadSpec& pad = ours->heads[1];
  EXPECT_EQ(pad.kind, HeadKind::regression);
  ASSERT_TRUE(pad.range.has_value());
  EXPECT_EQ(*pad.range, (std::array<float, 2>{-1, 1}));
  EXPECT_TRUE(pad.thresholds.empty());
  EXPECT_EQ(ours->heads[2].kind, HeadKind::single_label);
  EXPECT_EQ(ours->heads[2].temperature, 1.0f);
}

TEST(OnepassJson, Options) {
  const auto patched = [](const char* patch) {
    return parse_ours(Json::parse(kOnepass).patch(Json::parse(patch)).dump());
  };
  EXPECT_FALSE(patched(R"([{"op":"replace","path":"/pooler","value":null}])")->pooler_activation.has_value());
  EXPECT_EQ(patched(R"([{"op":"replace","path":"/pooling","value":"mean"}])")->pooling, Pool::mean);
  EXPECT_EQ(patched(R"([{"op":"replace","path":"/pooler/activation","value":"gelu"}])")->pooler_activation,
            kernels::Act::gelu_erf);
  EXPECT_EQ(patched(R"([{"op":"remove","path":"/heads/0/thresholds"}])")->heads[0].thresholds,
            (std::vector<float>{0.5f, 0.5f}));
}

struct BadOurs {
  const char* name;
  const char* patch;
  Code code;
  const char* where;  // after "onepass.json: "
};
class BadOnepassJson : public testing::TestWithParam<BadOurs> {};

TEST_P(BadOnepassJson, IsRejected) {
  const auto ours = parse_ours(Json::parse(kOnepass).patch(Json::parse(GetParam().patch)).dump());
  EXPECT_STREQ(code_name(ours.code()), code_name(GetParam().code));
  ASSERT_FALSE(ours.ok());
  EXPECT_EQ(std::string(ours.error().where), std::string("onepass.json: ") + GetParam().where) << ours.error().message;
}

#define ADD(path, value) R"([{"op":"add","path":")" path R"(","value":)" value "}]"
#define REPLACE(path, value) R"([{"op":"replace","path":")" path R"(","value":)" value "}]"
#define REMOVE(path) R"([{"op":"remove","path":")" path R"("}])"

INSTANTIATE_TEST_SUITE_P(
    Rules, BadOnepassJson,
    testing::Values(
        BadOurs{"unknown_key", ADD("/extra", "1"), Code::unknown_key, "extra"},
        BadOurs{"no_format_version", REMOVE("/format_version"), Code::missing_key, "format_version"},
        BadOurs{"format_version_2", REPLACE("/format_version", "2"), Code::bad_version, "format_version"},
        BadOurs{"format_version_text", REPLACE("/format_version", "\"1\""), Code::bad_type, "format_version"},
        BadOurs{"no_model_id", REMOVE("/model_id"), Code::missing_key, "model_id"},
        BadOurs{"empty_model_id", REPLACE("/model_id", "\"\""), Code::bad_value, "model_id"},
        BadOurs{"version_number", REPLACE("/model_version", "1.2"), Code::bad_type, "model_version"},
        BadOurs{"no_licence", REMOVE("/licence"), Code::missing_key, "licence"},
        BadOurs{"no_pooling", REMOVE("/pooling"), Code::missing_key, "pooling"},
        BadOurs{"pooling_max", REPLACE("/pooling", "\"max\""), Code::unknown_value, "pooling"},
        BadOurs{"no_pooler", REMOVE("/pooler"), Code::missing_key, "pooler"},
        BadOurs{"pooler_text", REPLACE("/pooler", "\"tanh\""), Code::bad_type, "pooler"},
        BadOurs{"pooler_key", ADD("/pooler/x", "1"), Code::unknown_key, "pooler.x"},
        BadOurs{"pooler_activation", REPLACE("/pooler/activation", "\"quick_gelu\""), Code::unknown_value,
                "pooler.activation"},
        BadOurs{"max_tokens_0", REPLACE("/max_tokens", "0"), Code::bad_value, "max_tokens"},
        BadOurs{"max_tokens_fraction", REPLACE("/max_tokens", "512.0"), Code::bad_type, "max_tokens"},
        BadOurs{"no_heads", REMOVE("/heads"), Code::missing_key, "heads"},
        BadOurs{"empty_heads", REPLACE("/heads", "[]"), Code::bad_value, "heads"},
        BadOurs{"head_key", ADD("/heads/1/x", "1"), Code::unknown_key, "heads[1].x"},
        BadOurs{"head_twice", REPLACE("/heads/2/name", "\"pad\""), Code::duplicate_name, "heads[2].name"},
        BadOurs{"no_name", REMOVE("/heads/1/name"), Code::missing_key, "heads[1].name"},
        BadOurs{"empty_name", REPLACE("/heads/1/name", "\"\""), Code::bad_name, "heads[1]"},
        BadOurs{"name_with_dot", REPLACE("/heads/1/name", "\"a.b\""), Code::bad_name, "heads[1]"},
        BadOurs{"name_with_sign", REPLACE("/heads/1/name", "\"a=b\""), Code::bad_name, "heads[1]"},
        BadOurs{"long_name",
                REPLACE("/heads/1/name", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""),
                Code::bad_name, "heads[1]"},
        BadOurs{"no_kind", REMOVE("/heads/1/kind"), Code::missing_key, "heads[1].kind"},
        BadOurs{"unknown_kind", REPLACE("/heads/1/kind", "\"ranking\""), Code::unknown_value, "heads[1].kind"},
        BadOurs{"no_labels", REMOVE("/heads/1/labels"), Code::missing_key, "heads[1].labels"},
        BadOurs{"empty_labels", REPLACE("/heads/1/labels", "[]"), Code::bad_value, "heads[1]"},
        BadOurs{"label_number", REPLACE("/heads/1/labels/1", "1"), Code::bad_type, "heads[1].labels[1]"},
        BadOurs{"label_twice", REPLACE("/heads/1/labels/1", "\"p\""), Code::duplicate_name, "heads[1]"},
        BadOurs{"label_empty", REPLACE("/heads/1/labels/1", "\"\""), Code::bad_name, "heads[1]"},
        BadOurs{"one_of_one", REPLACE("/heads/2/labels", "[\"x\"]"), Code::bad_value, "heads[2]"},
        BadOurs{"one_threshold", REPLACE("/heads/0/thresholds", "[0.5]"), Code::bad_value, "heads[0]"},
        BadOurs{"threshold_above_1", REPLACE("/heads/0/thresholds/0", "1.5"), Code::bad_value, "heads[0]"},
        BadOurs{"threshold_below_0", REPLACE("/heads/0/thresholds/0", "-0.1"), Code::bad_value, "heads[0]"},
        BadOurs{"threshold_text", REPLACE("/heads/0/thresholds/0", "\"0.5\""), Code::bad_type,
                "heads[0].thresholds[0]"},
        BadOurs{"thresholds_of_regression", ADD("/heads/1/thresholds", "[0,0,0]"), Code::bad_value, "heads[1]"},
        BadOurs{"temperature_0", REPLACE("/heads/0/temperature", "0"), Code::bad_value, "heads[0]"},
        BadOurs{"temperature_negative", REPLACE("/heads/0/temperature", "-1"), Code::bad_value, "heads[0]"},
        BadOurs{"temperature_below_float", REPLACE("/heads/0/temperature", "1e-60"), Code::bad_value, "heads[0]"},
        BadOurs{"temperature_above_float", REPLACE("/heads/0/temperature", "1e39"), Code::bad_value,
                "heads[0].temperature"},
        BadOurs{"range_of_labels", ADD("/heads/0/range", "[0,1]"), Code::bad_value, "heads[0]"},
        BadOurs{"range_reversed", REPLACE("/heads/1/range", "[1,-1]"), Code::bad_value, "heads[1]"},
        BadOurs{"range_empty", REPLACE("/heads/1/range", "[1,1]"), Code::bad_value, "heads[1]"},
        BadOurs{"range_of_one", REPLACE("/heads/1/range", "[1]"), Code::bad_value, "heads[1].range"},
        BadOurs{"range_number", REPLACE("/heads/1/range", "1"), Code::bad_type, "heads[1].range"}),
    [](const testing::TestParamInfo<BadOurs>& info) { return std::string(info.param.name); });

TEST(OnepassJson, MutationsGiveAnErrorOrWellFormedHeads) {
  const std::string text = Json::parse(kOnepass).dump();
  const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  const size_t count = for_each_mutation(bytes, [&](std::span<const uint8_t> damaged, size_t) {
    const auto ours = parse_ours({reinterpret_cast<const char*>(damaged.data()), damaged.size()});
    if (!ours.ok()) return;
    ASSERT_EQ(damaged.size(), text.size()) << "a truncated file must not load";
    for (const HeadSpec& head : ours->heads) ASSERT_TRUE(check_head(head, "head").ok());
  });
  EXPECT_GT(count, 4000u);
}

TEST(HuggingFaceFolder, ConfigHeadAndTokenizer) {
  const TempFolder temp;
  EXPECT_EQ(HuggingFaceFolder::open(temp.path()).code(), Code::io_error);
  temp.write("config.json", "[]");
  EXPECT_EQ(HuggingFaceFolder::open(temp.path()).code(), Code::bad_type);
  temp.write("config.json", R"({"model_type":"bert","architectures":["BertForSequenceClassification"],"vocab_size":6,
                                "id2label":{"0":"no","1":"yes"}})");
  auto folder = HuggingFaceFolder::open(temp.path());
  ASSERT_TRUE(folder.ok());
  EXPECT_EQ(*folder->model_type(), "bert");
  EXPECT_EQ(*folder->architecture(), "BertForSequenceClassification");
  EXPECT_FALSE(folder->onepass_json().has_value());
  EXPECT_EQ(folder->heads().code(), Code::missing_key);
  const auto heads = folder->heads({{"classifier", HeadKind::single_label}});
  ASSERT_TRUE(heads.ok());
  EXPECT_EQ(heads->size(), 1u);
  EXPECT_EQ(folder->heads({{"emotion", HeadKind::single_label}}).code(), Code::bad_name);

  EXPECT_EQ(folder->tokenizer().code(), Code::io_error);
  temp.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n");
  EXPECT_EQ(folder->tokenizer()->pieces.size(), 6u);
  temp.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n");
  EXPECT_EQ(folder->tokenizer().code(), Code::bad_vocabulary);
  const TempFolder other;
  other.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
  EXPECT_EQ(folder->tokenizer(other.path())->pieces.size(), 5u);

  // A moved folder still answers.
  const HuggingFaceFolder moved = std::move(folder).value();
  EXPECT_EQ(*moved.model_type(), "bert");
}

TEST(HuggingFaceFolder, OurHeads) {
  const TempFolder temp;
  temp.write("config.json", R"({"model_type":"bert","architectures":["BertModel","Other"],"vocab_size":6})");
  temp.write("onepass.json", kOnepass);
  const auto folder = HuggingFaceFolder::open(temp.path());
  ASSERT_TRUE(folder.ok());
  EXPECT_EQ(folder->architecture().code(), Code::bad_value);
  ASSERT_TRUE(folder->onepass_json().has_value());
  EXPECT_EQ(folder->heads()->size(), 3u);
  const auto changed = folder->heads({{"emotion", HeadKind::single_label}, {"topic_2", HeadKind::multi_label}});
  ASSERT_TRUE(changed.ok());
  EXPECT_EQ((*changed)[0].kind, HeadKind::single_label);
  EXPECT_TRUE((*changed)[0].thresholds.empty());
  EXPECT_EQ((*changed)[2].thresholds.size(), 2u);
  EXPECT_EQ(folder->heads({{"classifier", HeadKind::single_label}}).code(), Code::bad_name);
  temp.write("onepass.json", "{}");
  EXPECT_EQ(HuggingFaceFolder::open(temp.path()).code(), Code::missing_key);
}

TEST(HeadKinds, NamesAndBack) {
  for (const HeadKind kind :
       {HeadKind::single_label, HeadKind::multi_label, HeadKind::regression, HeadKind::token_label}) {
    EXPECT_EQ(find_head_kind(name_of(kind)), kind);
  }
  EXPECT_FALSE(find_head_kind("ranking").has_value());
  EXPECT_EQ(find_activation("gelu_new"), kernels::Act::gelu_tanh);
  for (const char* tanh : {"gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", "gelu_python_tanh"}) {
    EXPECT_EQ(find_activation(tanh), kernels::Act::gelu_tanh) << tanh;
  }
  EXPECT_EQ(find_activation("gelu_python"), kernels::Act::gelu_erf);
  EXPECT_EQ(find_activation("swish"), kernels::Act::silu);
  EXPECT_EQ(find_activation("sigmoid"), kernels::Act::sigmoid);
  for (const char* other : {"quick_gelu", "gelu_10", "mish", "linear", "GELU", ""}) {
    EXPECT_EQ(find_activation(other), std::nullopt) << other;
  }
}

}  // namespace
}  // namespace onepass::test
