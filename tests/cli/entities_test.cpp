// onepass classify of a model that labels tokens, against the library on the same model.
#include <onepass/onepass.hpp>

#include "tests/cli/command.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

const std::vector<std::string> kTexts = {"The cat is happy.", "", "caf\xC3\xA9 \xE4\xB8\xAD, hating loved sadly",
                                         "broken \xFF bytes"};

const std::pair<const char*, onepass_aggregation> kAggregations[] = {
    {"simple", ONEPASS_AGGREGATE_SIMPLE}, {"first", ONEPASS_AGGREGATE_FIRST}, {"average", ONEPASS_AGGREGATE_AVERAGE},
    {"max", ONEPASS_AGGREGATE_MAX},       {"none", ONEPASS_AGGREGATE_NONE},
};

class EntitiesCommand : public testing::Test {
 protected:
  std::string model_ = model_file("tokens");
};

TEST_F(EntitiesCommand, JsonIsWhatTheLibraryFinds) {
  Session session = Session::open(Model::open(model_).value()).value();
  size_t entities = 0;
  for (const auto& [name, aggregation] : kAggregations) {
    std::vector<std::string> arguments = {"classify", "-m", model_, "--json", "--aggregation", name};
    arguments.insert(arguments.end(), kTexts.begin(), kTexts.end());
    const auto lines = json_lines(run_ok(arguments));
    ASSERT_EQ(lines.size(), kTexts.size());
    onepass_entity_options options = ONEPASS_INIT(onepass_entity_options);
    options.aggregation = aggregation;
    for (size_t i = 0; i < lines.size(); ++i) {
      const auto found = session.find_entities(kTexts[i], options).value();
      const Json& line = lines[i];
      EXPECT_EQ(line["i"], i);
      EXPECT_EQ(line["tokens"], found.tokens());
      EXPECT_EQ(line["truncated"], false);
      EXPECT_EQ(line["confidence"].get<float>(), found.confidence());
      const Json& head = line["heads"]["classifier"];
      EXPECT_EQ(keys_of(head), (std::vector<std::string>{"kind", "entities"}));
      EXPECT_EQ(head["kind"], "token_label");
      ASSERT_EQ(head["entities"].size(), found.all().size());
      for (size_t e = 0; e < found.all().size(); ++e, ++entities) {
        const Json& entity = head["entities"][e];
        const Entity& wanted = found.all()[e];
        EXPECT_EQ(keys_of(entity), (std::vector<std::string>{"entity", "score", "begin", "end", "text"}));
        EXPECT_EQ(entity["entity"], std::string(wanted.group));
        EXPECT_EQ(entity["score"].get<float>(), wanted.score);
        EXPECT_EQ(entity["begin"], wanted.begin);
        EXPECT_EQ(entity["end"], wanted.end);
        if (i == 3) continue;  // is not UTF-8 as it is
        EXPECT_EQ(entity["text"], kTexts[i].substr(wanted.begin, wanted.end - wanted.begin));
      }
    }
  }
  EXPECT_GT(entities, 10u);
}

TEST_F(EntitiesCommand, LogitsAreOfEveryToken) {
  Session session = Session::open(Model::open(model_).value()).value();
  const auto lines = json_lines(run_ok({"classify", "-m", model_, "--json", "--logits", kTexts[0]}));
  ASSERT_EQ(lines.size(), 1u);
  const auto labels = session.label_tokens(kTexts[0]).value();
  const Json& head = lines[0]["heads"]["classifier"];
  EXPECT_EQ(keys_of(head), (std::vector<std::string>{"kind", "entities", "offsets", "logits"}));
  ASSERT_EQ(head["logits"].size(), labels.tokens.size());
  ASSERT_EQ(head["offsets"].size(), labels.tokens.size());
  for (size_t t = 0; t < labels.tokens.size(); ++t) {
    EXPECT_EQ(head["offsets"][t][0], labels.tokens[t].begin);
    EXPECT_EQ(head["offsets"][t][1], labels.tokens[t].end);
    ASSERT_EQ(head["logits"][t].size(), 4u);
    for (size_t c = 0; c < 4; ++c) EXPECT_EQ(head["logits"][t][c].get<float>(), labels.logits[4 * t + c]);
  }
}

// What the policy says of each text, where the label of high stakes is one of some token.
TEST_F(EntitiesCommand, Policy) {
  TempFolder folder;
  const auto ask = [&](const std::string& json, const std::string& text) {
    folder.write("policy.json", json);
    const std::string path = folder.path() / "policy.json";
    return json_lines(run_ok({"classify", "-m", model_, "--json", "--policy", path, text})).at(0);
  };
  const Json plain = json_lines(run_ok({"classify", "-m", model_, "--json", kTexts[0]})).at(0);
  EXPECT_EQ(plain["route"], "local");
  EXPECT_EQ(plain["reasons"].size(), 0u);
  const Json unsure = ask(R"({"min_confidence":1,"abstain_below":1})", kTexts[0]);
  EXPECT_EQ(unsure["route"], "cloud");
  EXPECT_EQ(unsure["reasons"], Json::parse(R"(["low_confidence"])"));
  EXPECT_EQ(unsure["abstained"], true);
  EXPECT_EQ(unsure["heads"], plain["heads"]);
  EXPECT_EQ(ask(R"({"max_tokens":3,"offline":true})", kTexts[0])["route"], "local_uncertain");
  EXPECT_EQ(ask(R"({"max_tokens":100})", kTexts[0])["route"], "local");

  const Model model = Model::open(model_).value();
  Session session = Session::open(model).value();
  const auto labels = session.label_tokens(kTexts[0]).value();
  const Head head = model.heads()[0];
  size_t applying = 0;
  for (uint32_t c = 0; c < head.labels.size(); ++c) {
    bool applies = false;
    for (size_t t = 0; t < labels.tokens.size(); ++t) {
      applies = applies || (labels.tokens[t].end != 0 &&
                            onepass_label_applies(model.get(), 0, c, labels.scores.data() + t * head.labels.size()));
    }
    applying += applies;
    const Json line = ask(R"({"high_stakes_labels":[")" + std::string(head.labels[c]) + R"("]})", kTexts[0]);
    EXPECT_EQ(line["route"], applies ? "cloud" : "local") << head.labels[c];
  }
  EXPECT_GT(applying, 0u);
  EXPECT_LT(applying, head.labels.size());

  folder.write("policy.json", R"({"high_stakes_labels":["nobody"]})");
  EXPECT_EQ(run({"classify", "-m", model_, "--policy", folder.path() / "policy.json", kTexts[0]}).status, 1);
  folder.write("policy.json", R"({"min_confidence":1})");
  const std::string out = run_ok({"classify", "-m", model_, "--policy", folder.path() / "policy.json", kTexts[0]});
  EXPECT_NE(out.find("route cloud: low_confidence"), std::string::npos) << out;
}

TEST_F(EntitiesCommand, ForPeople) {
  const std::string out = run_ok({"classify", "-m", model_, kTexts[0]});
  EXPECT_NE(out.find("entities"), std::string::npos);
  EXPECT_NE(out.find("confidence"), std::string::npos);
}

TEST_F(EntitiesCommand, WhatDoesNotFitIsRefused) {
  EXPECT_EQ(run({"classify", "-m", model_, "--aggregation", "all", "text"}).status, 2);
  EXPECT_EQ(run({"classify", "-m", model_, "--ids", "2 3"}).status, 2);
  const auto in_chunks = run({"classify", "-m", model_, "--on-long", "chunk", kTexts[0]});
  EXPECT_EQ(in_chunks.status, 2);
  EXPECT_NE(in_chunks.err.find("--on-long chunk"), std::string::npos) << in_chunks.err;
  const auto long_text = run({"classify", "-m", model_, "--on-long", "error", "--max-tokens", "3", kTexts[0]});
  EXPECT_EQ(long_text.status, 1);
  EXPECT_NE(long_text.err.find("text_too_long"), std::string::npos) << long_text.err;
}

}  // namespace
}  // namespace onepass::test
