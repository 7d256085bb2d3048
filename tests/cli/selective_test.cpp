// onepass eval --policy and --reliability: the numbers, computed here from what `onepass classify` prints, and the
// SVGs.
#include "tools/eval/selective.h"

#include <cmath>
#include <random>

#include "tests/cli/command.h"

namespace onepass::test {
namespace {

using eval::Bin;
using eval::Judged;
using eval::Kept;

TEST(Selective, KeepsByConfidenceAndEligibility) {
  const std::vector<Judged> texts = {{0.9f, true, true, 1, 0, 0},
                                     {0.8f, false, true, 0, 1, 1},
                                     {0.5f, true, true, 1, 1, 0},
                                     {0.95f, true, false, 2, 0, 0}};
  const Kept all = eval::keep(texts, 0);
  EXPECT_DOUBLE_EQ(all.share, 0.75);
  EXPECT_DOUBLE_EQ(all.accuracy, 2.0 / 3);
  EXPECT_DOUBLE_EQ(all.micro_f1, 4.0 / 7);
  EXPECT_DOUBLE_EQ(all.accuracy_sent, 1);
  const Kept some = eval::keep(texts, static_cast<double>(0.8f));
  EXPECT_DOUBLE_EQ(some.share, 0.5);
  EXPECT_DOUBLE_EQ(some.accuracy, 0.5);
  EXPECT_DOUBLE_EQ(some.accuracy_sent, 1);
  EXPECT_TRUE(std::isnan(eval::keep(texts, 0.99).accuracy));
  EXPECT_TRUE(std::isnan(eval::keep({}, 0).share));
}

TEST(Selective, Bins) {
  const std::vector<float> scores = {0, 0.05f, 0.2f, 0.99f, 1};
  const std::vector<uint8_t> truth = {0, 1, 0, 1, 1};
  const auto bins = eval::reliability(scores, truth, 10);
  ASSERT_EQ(bins.size(), 10u);
  EXPECT_EQ(bins[0].count, 2u);
  EXPECT_NEAR(bins[0].mean_score, 0.025, 1e-7);
  EXPECT_DOUBLE_EQ(bins[0].share_true, 0.5);
  EXPECT_EQ(bins[9].count, 2u);
  EXPECT_EQ(bins[5].count, 0u);
  EXPECT_TRUE(std::isnan(bins[5].mean_score));
  EXPECT_NEAR(eval::calibration_error(bins), (2 * 0.475 + 0.2 + 2 * 0.005) / 5, 1e-6);
  EXPECT_TRUE(std::isnan(eval::calibration_error({})));
}

class EvalPolicyTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::vector<std::string> words = {"good", "bad", "sad", "happy", "dog", "cat", "love", "not", "yeah right"};
    std::mt19937 random(3);
    for (int i = 0; i < 60; ++i) {
      std::string text;
      for (unsigned w = 0, n = 1 + random() % 8; w < n; ++w)
        text += (w == 0 ? "" : " ") + words[random() % words.size()];
      const size_t label = random() % 9;
      texts_.push_back(text);
      gold_.push_back("mood " + std::to_string(label));
      tsv_ += text + "\tmood " + std::to_string(label) + "\n";
    }
    folder_.write("data.tsv", tsv_);
    folder_.write("policy.json", R"({"min_confidence":0.6,"negation_and_sarcasm":true,"max_tokens":9,"offline":true})");
  }
  std::vector<std::string> arguments(std::vector<std::string> more) {
    more.insert(more.begin(),
                {"eval", "-m", model_, folder_.path() / "data.tsv", "--policy", folder_.path() / "policy.json"});
    return more;
  }

  TempFolder folder_;
  std::string model_ = model_file("own_heads"), tsv_;
  std::vector<std::string> texts_, gold_;
};

TEST_F(EvalPolicyTest, NumbersAreThoseOfTheTexts) {
  const Json json = json_lines(run_ok(arguments({"--json"}))).at(0);
  EXPECT_EQ(keys_of(json), (std::vector<std::string>{"n", "head", "policy", "reasons", "curve"}));
  std::vector<std::string> command = {"classify", "-m", model_, "--json", "--policy", folder_.path() / "policy.json"};
  command.insert(command.end(), texts_.begin(), texts_.end());
  const auto lines = json_lines(run_ok(command));
  double kept = 0, right = 0, right_sent = 0, long_texts = 0;
  for (size_t b = 0; b < lines.size(); ++b) {
    std::string best;
    double score = -1;
    for (const auto& [label, s] : lines[b]["heads"]["mood"]["scores"].items()) {
      if (s.get<double>() > score) best = label, score = s.get<double>();
    }
    const bool local = lines[b]["route"] == "local";
    kept += local;
    (local ? right : right_sent) += best == gold_[b];
    for (const auto& reason : lines[b]["reasons"]) long_texts += reason == "too_long";
  }
  ASSERT_GT(kept, 0);
  ASSERT_LT(kept, 60);
  EXPECT_NEAR(json["policy"]["kept"].get<double>(), kept / 60, 1e-5);
  EXPECT_NEAR(json["policy"]["accuracy"].get<double>(), right / kept, 1e-5);
  EXPECT_NEAR(json["policy"]["accuracy_sent"].get<double>(), right_sent / (60 - kept), 1e-5);
  EXPECT_EQ(json["reasons"]["too_long"], long_texts);
  EXPECT_EQ(json["reasons"]["offline"], 0) << "the question is what would leave";
  EXPECT_EQ(json["curve"].size(), 20u);
  EXPECT_EQ(json["curve"][0]["min_confidence"], 0.0);
  double before = 1;
  for (const Json& point : json["curve"]) {
    EXPECT_LE(point["kept"].get<double>(), before);
    before = point["kept"].get<double>();
  }
  EXPECT_LT(json["curve"][0]["kept"].get<double>(), 1.0) << "other rules hold at every threshold";
}

TEST_F(EvalPolicyTest, TableAndPlots) {
  const std::string plot = folder_.path() / "curve.svg", diagram = folder_.path() / "reliability.svg";
  const std::string out = run_ok(arguments({"--plot", plot, "--reliability", diagram}));
  EXPECT_TRUE(contains(out, "the policy")) << out;
  EXPECT_TRUE(contains(out, "too_long")) << out;
  for (const std::string& path : {plot, diagram}) {
    const std::string svg = read_file(path);
    EXPECT_EQ(svg.find("<svg "), 0u);
    EXPECT_TRUE(contains(svg, "</svg>"));
    EXPECT_TRUE(contains(svg, "<circle"));
    EXPECT_FALSE(contains(svg, "nan"));
  }
  EXPECT_TRUE(contains(read_file(diagram), "ECE"));
  // The metrics stay as they are.
  const std::vector<std::string> plain = {"eval", "-m", model_, folder_.path() / "data.tsv", "--json"};
  auto with = plain;
  with.insert(with.end(), {"--reliability", diagram});
  EXPECT_EQ(run_ok(with), run_ok(plain));
}

TEST_F(EvalPolicyTest, WrongUse) {
  EXPECT_EQ(run({"eval", "-m", model_, folder_.path() / "data.tsv", "--plot", "x.svg"}).status, 2);
  EXPECT_TRUE(contains(run_failing(arguments({"--plot", "/nowhere/x.svg"})), "/nowhere/x.svg"));
  folder_.write("pad.tsv", "good\t0,0,0\n");
  EXPECT_TRUE(contains(run_failing({"eval", "-m", model_, folder_.path() / "pad.tsv", "--head", "pad", "--reliability",
                                    folder_.path() / "x.svg"}),
                       "regression"));
}

}  // namespace
}  // namespace onepass::test
