// Entities against TokenClassificationPipeline of transformers, through the C API: labels and bytes equal, scores
// within 1e-5. And what the API does with models and buffers that do not fit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <onepass/onepass.hpp>

#include "formats/json/json.h"
#include "tests/models/expected.h"
#include "tests/support/fixture_model.h"

namespace onepass::test {
namespace {

struct GoldEntity {
  std::string group;
  double score;
  uint32_t begin, end;
};
using GoldTexts = std::vector<std::vector<GoldEntity>>;

std::map<std::string, GoldTexts> load_entities(const std::filesystem::path& path) {
  std::ifstream file(path);
  const Json json = Json::parse(file);
  std::map<std::string, GoldTexts> out;
  for (const auto& [aggregation, texts] : json.items()) {
    for (const auto& text : texts) {
      auto& entities = out[aggregation].emplace_back();
      for (const auto& e : text) entities.push_back({e[0], e[1], e[2], e[3]});
    }
  }
  return out;
}

const std::pair<const char*, onepass_aggregation> kAggregations[] = {
    {"none", ONEPASS_AGGREGATE_NONE},       {"simple", ONEPASS_AGGREGATE_SIMPLE}, {"first", ONEPASS_AGGREGATE_FIRST},
    {"average", ONEPASS_AGGREGATE_AVERAGE}, {"max", ONEPASS_AGGREGATE_MAX},
};

std::vector<std::string> checkpoints() {
  std::vector<std::string> names;
  for (const auto& family : std::filesystem::directory_iterator(fixtures())) {
    if (std::filesystem::exists(family.path() / "tokens")) names.push_back(family.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

cpp::Model open_fixture(const AlignedCopy& bytes) {
  return cpp::Model::from_memory(std::as_bytes(bytes.span())).value();
}

class TokenCheckpoint : public testing::TestWithParam<std::string> {
 protected:
  const std::string name_ = GetParam() + "/tokens";
  const Expected expected_ = load_expected(fixtures() / name_);
  const AlignedCopy bytes_{fixture_model(name_, "f32")};
  const cpp::Model model_ = open_fixture(bytes_);
  cpp::Session session_ = cpp::Session::open(model_).value();
};

TEST_P(TokenCheckpoint, EntitiesEqualThePipeline) {
  const auto gold = load_entities(fixtures() / name_ / "entities.json");
  ASSERT_EQ(gold.size(), std::size(kAggregations));
  const std::vector<std::string_view> texts(expected_.texts.begin(), expected_.texts.end());
  for (const auto& [name, aggregation] : kAggregations) {
    onepass_entity_options options = ONEPASS_INIT(onepass_entity_options);
    options.aggregation = aggregation;
    const auto found = session_.find_entities(texts, options);
    ASSERT_TRUE(found) << found.error().text();
    size_t entities = 0;
    for (size_t b = 0; b < texts.size(); ++b) {
      const std::vector<GoldEntity>& wanted = gold.at(name)[b];
      const auto got = (*found)[b].all();
      ASSERT_EQ(got.size(), wanted.size()) << name << ": " << texts[b];
      for (size_t i = 0; i < wanted.size(); ++i, ++entities) {
        EXPECT_EQ(got[i].group, wanted[i].group) << name << ": " << texts[b] << ": " << i;
        EXPECT_EQ(got[i].begin, wanted[i].begin) << name << ": " << texts[b] << ": " << i;
        EXPECT_EQ(got[i].end, wanted[i].end) << name << ": " << texts[b] << ": " << i;
        EXPECT_LE(std::fabs(static_cast<double>(got[i].score) - wanted[i].score), 1e-5);
        EXPECT_FALSE(std::isnan(got[i].score));
      }
    }
    EXPECT_GT(entities, 20u) << name;
  }
}

TEST_P(TokenCheckpoint, LabelsOfTokensAreTheModelsLogits) {
  const size_t classes = model_.info().class_count;
  for (size_t b = 0; b < expected_.texts.size(); ++b) {
    const auto labels = session_.label_tokens(expected_.texts[b]);
    ASSERT_TRUE(labels) << labels.error().text();
    const size_t first = expected_.starts[b], count = expected_.starts[b + 1] - first;
    ASSERT_EQ(labels->tokens.size(), count);
    ASSERT_EQ(labels->logits.size(), count * classes);
    EXPECT_EQ(labels->result.tokens, count);
    const auto tokens = session_.tokenize(expected_.texts[b]).value();
    float least = 1;
    for (size_t t = 0; t < count; ++t) {
      EXPECT_EQ(labels->tokens[t].id, expected_.ids[first + t]);
      EXPECT_EQ(labels->tokens[t].begin, tokens[t].begin);
      EXPECT_EQ(labels->tokens[t].end, tokens[t].end);
      float sum = 0;
      uint32_t best = 0, applying = 0;
      const float* scores = labels->scores.data() + t * classes;
      for (uint32_t c = 0; c < classes; ++c) {
        const double gold = static_cast<double>(expected_.logits[(first + t) * classes + c]);
        EXPECT_LE(std::fabs(static_cast<double>(labels->logits[t * classes + c]) - gold), 2e-5);
        sum += scores[c];
        if (scores[c] > scores[best]) best = c;
        applying += static_cast<uint32_t>(onepass_label_applies(model_.get(), 0, c, scores));
      }
      EXPECT_NEAR(sum, 1, 1e-6);
      EXPECT_EQ(applying, 1u);
      EXPECT_EQ(onepass_label_applies(model_.get(), 0, best, scores), 1);
      if (t != 0 && t + 1 != count) least = std::min(least, scores[best]);
    }
    EXPECT_EQ(labels->result.confidence, least);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TokenCheckpoint, testing::ValuesIn(checkpoints()),
                         [](const auto& info) { return info.param; });

TEST(TokenCheckpoints, EveryFamilyHasOne) { EXPECT_GE(checkpoints().size(), 11u); }

class TokenApi : public testing::Test {
 protected:
  const AlignedCopy bytes_{fixture_model("bert/tokens", "int8")};
  const cpp::Model model_ = open_fixture(bytes_);
  cpp::Session session_ = cpp::Session::open(model_).value();
  onepass_session* raw() {
    // The C session lives as long as session_.
    if (raw_ == nullptr) onepass_session_open(model_.get(), nullptr, &raw_, nullptr);
    return raw_;
  }
  ~TokenApi() override { onepass_session_close(raw_); }
  onepass_session* raw_ = nullptr;
  onepass_error error_ = ONEPASS_INIT(onepass_error);
  const onepass_string texts_[2] = {{"The cat is happy.", 17}, {"hating loved sadly", 18}};
};

std::string status(onepass_status s) { return onepass_status_name(s); }

TEST_F(TokenApi, TheHeadSaysWhatItIs) {
  ASSERT_EQ(model_.heads().size(), 1u);
  EXPECT_EQ(model_.heads()[0].kind, ONEPASS_TOKEN_LABEL);
  EXPECT_EQ(model_.heads()[0].labels[1], "B-PER");
}

TEST_F(TokenApi, TooFewEntitiesFitAndTheRestIsCounted) {
  onepass_entity all[64], some[64];
  size_t starts[3], again[3];
  onepass_result results[2];
  ASSERT_EQ(onepass_find_entities(raw(), texts_, 2, nullptr, results, all, 64, starts, &error_), ONEPASS_OK);
  EXPECT_EQ(starts[0], 0u);
  ASSERT_GT(starts[2], 2u);
  EXPECT_GT(results[0].tokens, 4u);
  for (size_t capacity = 0; capacity < starts[2]; ++capacity) {
    std::memset(some, 0x55, sizeof(some));
    EXPECT_EQ(status(onepass_find_entities(raw(), texts_, 2, nullptr, nullptr, capacity == 0 ? nullptr : some, capacity,
                                           again, &error_)),
              "buffer_too_small");
    EXPECT_TRUE(std::equal(starts, starts + 3, again));
    for (size_t i = 0; i < capacity; ++i) {
      EXPECT_EQ(some[i].group.data, all[i].group.data);
      EXPECT_EQ(some[i].score, all[i].score);
      EXPECT_EQ(some[i].begin, all[i].begin);
      EXPECT_EQ(some[i].end, all[i].end);
    }
    onepass_entity untouched;
    std::memset(&untouched, 0x55, sizeof(untouched));
    EXPECT_EQ(std::memcmp(&some[capacity], &untouched, sizeof(untouched)), 0);
  }
  EXPECT_EQ(onepass_find_entities(raw(), texts_, 2, nullptr, nullptr, some, starts[2], again, &error_), ONEPASS_OK);
}

TEST_F(TokenApi, ATokenBufferThatIsTooSmallIsLeftAlone) {
  size_t count = 0;
  EXPECT_EQ(onepass_label_tokens(raw(), texts_[0], nullptr, nullptr, nullptr, nullptr, nullptr, 64, &count, &error_),
            ONEPASS_OK);
  ASSERT_GT(count, 4u);
  std::vector<onepass_token> tokens(count, {7, 7, 7});
  std::vector<float> scores(count * 4, 7), logits(count * 4, 7);
  const size_t wanted = count;
  EXPECT_EQ(status(onepass_label_tokens(raw(), texts_[0], nullptr, nullptr, tokens.data(), scores.data(), logits.data(),
                                        wanted - 1, &count, &error_)),
            "buffer_too_small");
  EXPECT_EQ(count, wanted);
  EXPECT_EQ(tokens[0].id, 7u);
  EXPECT_TRUE(std::all_of(scores.begin(), scores.end(), [](float x) { return x == 7; }));
  EXPECT_EQ(onepass_label_tokens(raw(), texts_[0], nullptr, nullptr, tokens.data(), scores.data(), logits.data(),
                                 wanted, &count, &error_),
            ONEPASS_OK);
  EXPECT_NE(scores[0], 7);
}

// Each kind of model refuses what belongs to the other, and says what to call.
TEST_F(TokenApi, TheWrongKindOfHeadIsNamed) {
  onepass_result result;
  float numbers[64];
  EXPECT_EQ(status(onepass_classify(raw(), texts_, 1, nullptr, &result, numbers, nullptr, &error_)),
            "invalid_argument");
  EXPECT_NE(std::string(error_.message).find("labels tokens"), std::string::npos) << error_.message;
  const uint32_t ids[] = {2, 3}, starts[] = {0, 2};
  EXPECT_EQ(status(onepass_run_ids(raw(), ids, starts, 1, numbers, &error_)), "invalid_argument");
  EXPECT_NE(std::string(error_.message).find("onepass_label_tokens"), std::string::npos) << error_.message;

  const AlignedCopy other(fixture_model("bert/two_classes", "int8"));
  const cpp::Model model = open_fixture(other);
  cpp::Session session = cpp::Session::open(model).value();
  const auto entities = session.find_entities("text");
  ASSERT_FALSE(entities);
  EXPECT_EQ(status(entities.error().status), "invalid_argument");
  EXPECT_NE(entities.error().message.find("labels texts"), std::string::npos) << entities.error().message;
  const auto labels = session.label_tokens("text");
  ASSERT_FALSE(labels);
  EXPECT_NE(labels.error().message.find("labels texts"), std::string::npos);
}

TEST_F(TokenApi, ArgumentsAreChecked) {
  size_t starts[3] = {9, 9, 9}, count = 9;
  onepass_entity entities[4];
  const auto find = [&](onepass_session* session, const onepass_string* texts, const onepass_entity_options* options,
                        onepass_entity* out, size_t* where) {
    return status(onepass_find_entities(session, texts, 1, options, nullptr, out, 4, where, &error_));
  };
  EXPECT_EQ(find(raw(), texts_, nullptr, entities, nullptr), "invalid_argument");
  EXPECT_EQ(find(nullptr, texts_, nullptr, entities, starts), "invalid_argument");
  EXPECT_EQ(find(raw(), nullptr, nullptr, entities, starts), "invalid_argument");
  EXPECT_EQ(find(raw(), texts_, nullptr, nullptr, starts), "invalid_argument");
  EXPECT_EQ(starts[0], 0u);
  const onepass_string bad = {nullptr, 3};
  EXPECT_EQ(find(raw(), &bad, nullptr, entities, starts), "invalid_argument");
  onepass_entity_options options{};
  EXPECT_EQ(find(raw(), texts_, &options, entities, starts), "invalid_argument");
  options = ONEPASS_INIT(onepass_entity_options);
  options.head = 1;
  EXPECT_EQ(find(raw(), texts_, &options, entities, starts), "invalid_argument");
  options = ONEPASS_INIT(onepass_entity_options);
  const uint32_t beyond = 5;
  std::memcpy(&options.aggregation, &beyond, sizeof(beyond));
  EXPECT_EQ(find(raw(), texts_, &options, entities, starts), "invalid_argument");
  options = ONEPASS_INIT(onepass_entity_options);
  options.on_long = ONEPASS_LONG_ERROR;
  options.max_tokens = 3;
  EXPECT_EQ(find(raw(), texts_, &options, entities, starts), "text_too_long");
  EXPECT_EQ(
      status(onepass_label_tokens(raw(), texts_[0], nullptr, nullptr, nullptr, nullptr, nullptr, 0, nullptr, &error_)),
      "invalid_argument");
  EXPECT_EQ(
      status(onepass_label_tokens(nullptr, texts_[0], nullptr, nullptr, nullptr, nullptr, nullptr, 0, &count, &error_)),
      "invalid_argument");
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(onepass_find_entities(raw(), nullptr, 0, nullptr, nullptr, nullptr, 0, starts, &error_), ONEPASS_OK);
}

// Any bytes are a text, and what is found lies in it.
TEST_F(TokenApi, AnyBytesAreAText) {
  std::string bytes;
  for (int i = 0; i < 2000; ++i) bytes += static_cast<char>(i * 37 % 251);
  for (const auto& [name, aggregation] : kAggregations) {
    onepass_entity_options options = ONEPASS_INIT(onepass_entity_options);
    options.aggregation = aggregation;
    const auto found = session_.find_entities(bytes, options);
    ASSERT_TRUE(found) << found.error().text();
    uint32_t before = 0;
    for (const Entity& e : *found) {
      EXPECT_LE(before, e.begin);
      EXPECT_LE(e.begin, e.end);
      EXPECT_LE(e.end, bytes.size());
      before = e.begin;
    }
  }
}

// The same entities for every batch and instruction-set level.
TEST_F(TokenApi, EntitiesDependOnTheTextAlone) {
  const Expected expected = load_expected(fixtures() / "bert/tokens");
  std::vector<std::string_view> texts;
  for (int i = 0; i < 5; ++i) texts.insert(texts.end(), expected.texts.begin(), expected.texts.end());
  std::vector<Entities> alone;
  for (const std::string_view text : texts) alone.push_back(session_.find_entities(text).value());
  for (const char* isa : {"scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "dotprod", "i8mm"}) {
    if (!onepass_isa_available(isa)) continue;
    onepass_session_options options = ONEPASS_INIT(onepass_session_options);
    options.isa = isa;
    options.threads = 2;
    options.tokens_per_pass = 100;
    cpp::Session session = cpp::Session::open(model_, options).value();
    const auto together = session.find_entities(texts).value();
    for (size_t b = 0; b < texts.size(); ++b) {
      ASSERT_EQ(together[b].all().size(), alone[b].all().size());
      EXPECT_EQ(together[b].confidence(), alone[b].confidence());
      for (size_t i = 0; i < alone[b].all().size(); ++i) {
        EXPECT_EQ(together[b].all()[i].score, alone[b].all()[i].score) << isa;
        EXPECT_EQ(together[b].all()[i].begin, alone[b].all()[i].begin) << isa;
        EXPECT_EQ(together[b].all()[i].group, alone[b].all()[i].group) << isa;
      }
    }
  }
}

}  // namespace
}  // namespace onepass::test
