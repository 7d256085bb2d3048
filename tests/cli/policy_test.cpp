// onepass classify --policy: routes and reasons in JSON, and files that are no policy.
#include "tests/cli/command.h"

namespace onepass::test {
namespace {

class PolicyTest : public testing::Test {
 protected:
  std::string policy(const std::string& json) {
    folder_.write("policy.json", json);
    return folder_.path() / "policy.json";
  }
  std::vector<std::string> arguments(const std::string& json, std::vector<std::string> more) {
    more.insert(more.begin(), {"classify", "-m", model_, "--json", "--policy", policy(json)});
    return more;
  }
  Json verdict(const std::string& json, const std::string& text) {
    return json_lines(run_ok(arguments(json, {text}))).at(0);
  }

  TempFolder folder_;
  std::string model_ = model_file("own_heads");
};

TEST_F(PolicyTest, EveryRule) {
  struct Case {
    const char *json, *text, *route;
    std::vector<std::string> reasons;
  };
  const std::vector<Case> cases = {
      {"{}", "not bad, yeah right", "local", {}},
      {R"({"min_confidence":1})", "good", "cloud", {"low_confidence"}},
      {R"({"min_confidence":1,"offline":true})", "good", "local_uncertain", {"low_confidence", "offline"}},
      {R"({"offline":true})", "good", "local", {}},
      {R"({"max_tokens":3})", "good", "local", {}},
      {R"({"max_tokens":3})", "good dog", "cloud", {"too_long"}},
      {R"({"negation_and_sarcasm":true})", "not bad, yeah right", "cloud", {"negation", "sarcasm"}},
      {R"({"negation_and_sarcasm":true,"negations":["bad"],"sarcasm_markers":["dog"]})",
       "bad dog",
       "cloud",
       {"negation", "sarcasm"}},
      {R"({"negation_and_sarcasm":true,"negations":[]})", "not bad, yeah right", "local", {}},
      {R"({"high_stakes":true,"offline":true})", "good", "cloud", {"offline", "high_stakes"}},
  };
  for (const Case& c : cases) {
    const Json line = verdict(c.json, c.text);
    EXPECT_EQ(line["route"], c.route) << c.json;
    EXPECT_EQ(line["reasons"].get<std::vector<std::string>>(), c.reasons) << c.json;
    EXPECT_EQ(keys_of(line).back(), "reasons");
  }
}

TEST_F(PolicyTest, HighStakesLabels) {
  const Json plain = json_lines(run_ok({"classify", "-m", model_, "--json", "good dog"})).at(0);
  const auto applying = plain["heads"]["mood"]["labels"].get<std::vector<std::string>>();
  for (int c = 0; c < 9; ++c) {
    const std::string label = "mood " + std::to_string(c);
    const bool applies = std::find(applying.begin(), applying.end(), label) != applying.end();
    EXPECT_EQ(verdict(R"({"high_stakes_labels":[")" + label + R"("]})", "good dog")["route"],
              applies ? "cloud" : "local")
        << label;
  }
}

TEST_F(PolicyTest, Abstains) {
  EXPECT_EQ(verdict(R"({"abstain_below":1})", "good")["abstained"], true);
  EXPECT_EQ(verdict(R"({"abstain_below":0.0001})", "good")["abstained"], false);
}

TEST_F(PolicyTest, ChangesNothingElse) {
  const std::string plain = run_ok({"classify", "-m", model_, "--json", "--logits", "good", "x", ""});
  EXPECT_EQ(run_ok(arguments("{}", {"--logits", "good", "x", ""})), plain);
}

TEST_F(PolicyTest, OfIds) {
  folder_.write("ids.txt", "2 30 31 3\n");
  const Json line =
      json_lines(run_ok(arguments(R"({"max_tokens":3})", {"--ids", "-i", folder_.path() / "ids.txt"}))).at(0);
  EXPECT_EQ(line["reasons"], Json({"too_long"}));
}

TEST_F(PolicyTest, ForPeople) {
  const std::string out =
      run_ok({"classify", "-m", model_, "--policy", policy(R"({"min_confidence":1,"abstain_below":1})"), "good"});
  EXPECT_TRUE(contains(out, "route cloud: low_confidence (no answer")) << out;
}

TEST_F(PolicyTest, FilesThatAreNoPolicy) {
  for (const char* json : {"", "[]", "{", R"({"min_confidence":1.5})", R"({"min_confidence":"0.7"})",
                           R"({"min_confidance":0.7})", R"({"offline":1})", R"({"max_tokens":-1})",
                           R"({"negations":"not"})", R"({"negations":[""]})", R"({"negations":["a\nb"]})",
                           R"({"high_stakes_labels":["no such label"]})", R"({"high_stakes_labels":["pad 0"]})"}) {
    EXPECT_TRUE(contains(run_failing(arguments(json, {"good"})), "cannot read the policy")) << json;
  }
  EXPECT_TRUE(contains(run_failing({"classify", "-m", model_, "--policy", "/nowhere.json", "good"}), "/nowhere.json"));
}

}  // namespace
}  // namespace onepass::test
