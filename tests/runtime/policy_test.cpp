// Policies: every rule alone and together, the lists of words, and the distance between two answers.
#include "engine/runtime/policy.h"

#include <cmath>

#include "engine/runtime/divergence.h"
#include "tests/runtime/models.h"

namespace onepass::test {
namespace {

const std::vector<std::string_view> kLabels = {"joy", "grief", "fear"};
const std::vector<float> kThresholds = {0.5f, 0.5f, 0.5f};

HeadView multi_head() { return {"mood", HeadKind::multi_label, kLabels, kThresholds, 1, 0, 0}; }
HeadView single_head() { return {"topic", HeadKind::single_label, kLabels, {}, 1, 0, 0}; }
HeadView pad_head() { return {"pad", HeadKind::regression, kLabels, {}, 1, -1, 1}; }

Verdict verdict(const Policy& policy, const Reading& reading, const std::vector<HeadView>& heads = {}) {
  return decide(policy, heads, reading);
}

TEST(Policy, WithoutRulesEverythingStays) {
  const Verdict v = verdict({}, {"not good, yeah right", 100000, 0.0f});
  EXPECT_EQ(v.route, Route::local);
  EXPECT_EQ(v.reasons, 0u);
  EXPECT_FALSE(v.abstained);
}

TEST(Policy, LowConfidence) {
  const Policy policy{.min_confidence = 0.7f};
  EXPECT_EQ(verdict(policy, {"", 3, 0.7f}).route, Route::local) << "the threshold itself is enough";
  const Verdict v = verdict(policy, {"", 3, std::nextafter(0.7f, 0.0f)});
  EXPECT_EQ(v.route, Route::cloud);
  EXPECT_EQ(v.reasons, low_confidence);
}

TEST(Policy, TooLong) {
  const Policy policy{.max_tokens = 20};
  EXPECT_EQ(verdict(policy, {"", 20, 1}).route, Route::local);
  const Verdict v = verdict(policy, {"", 21, 1});
  EXPECT_EQ(v.route, Route::cloud);
  EXPECT_EQ(v.reasons, too_long);
}

TEST(Policy, NegationNeedsSarcasm) {
  const Policy policy{.negation_and_sarcasm = true};
  EXPECT_EQ(verdict(policy, {"this is not good", 3, 1}).reasons, 0u);
  EXPECT_EQ(verdict(policy, {"yeah right", 3, 1}).reasons, 0u);
  const Verdict v = verdict(policy, {"Yeah, right. It isn't broken at all.", 3, 1});
  EXPECT_EQ(v.route, Route::cloud);
  EXPECT_EQ(v.reasons, negation | sarcasm);
  EXPECT_EQ(verdict({}, {"Yeah, right. It isn't broken at all.", 3, 1}).reasons, 0u) << "the rule is off";
}

TEST(Policy, OfflineKeepsWhatWouldLeave) {
  const Policy policy{.min_confidence = 0.7f, .offline = true};
  const Verdict sure = verdict(policy, {"", 3, 0.9f});
  EXPECT_EQ(sure.route, Route::local);
  EXPECT_EQ(sure.reasons, 0u) << "offline alone is no reason";
  const Verdict v = verdict(policy, {"", 3, 0.2f});
  EXPECT_EQ(v.route, Route::local_uncertain);
  EXPECT_EQ(v.reasons, low_confidence | offline);
}

TEST(Policy, HighStakesAlwaysLeave) {
  EXPECT_EQ(verdict({.high_stakes = true}, {"", 3, 1}).route, Route::cloud);
  const Verdict v = verdict({.offline = true, .high_stakes = true}, {"", 3, 1});
  EXPECT_EQ(v.route, Route::cloud) << "offline, too";
  EXPECT_EQ(v.reasons, offline | high_stakes);
}

TEST(Policy, HighStakesByLabel) {
  const Policy policy{.high_stakes_labels = "grief\nfear"};
  const std::vector<HeadView> heads = {pad_head(), multi_head()};
  const std::vector<float> grief = {0, 1, 0, 0.9f, 0.5f, 0.1f}, joy = {0, 1, 0, 0.9f, 0.49f, 0.1f};
  EXPECT_EQ(verdict(policy, {"", 3, 1, grief}, heads).reasons, high_stakes);
  EXPECT_EQ(verdict(policy, {"", 3, 1, joy}, heads).reasons, 0u);
  EXPECT_EQ(verdict({.high_stakes_labels = "grie\nears"}, {"", 3, 1, grief}, heads).reasons, 0u) << "whole names";
  const std::vector<float> topic = {0.2f, 0.2f, 0.6f};
  EXPECT_EQ(verdict(policy, {"", 3, 1, topic}, {single_head()}).reasons, high_stakes);
}

TEST(Policy, Abstains) {
  const Policy policy{.abstain_below = 0.4f};
  EXPECT_FALSE(verdict(policy, {"", 3, 0.4f}).abstained);
  EXPECT_TRUE(verdict(policy, {"", 3, 0.39f}).abstained);
  EXPECT_EQ(verdict(policy, {"", 3, 0.39f}).route, Route::local) << "abstaining sends nothing";
}

TEST(Policy, AllReasonsAtOnce) {
  const Policy policy{
      .min_confidence = 0.9f, .max_tokens = 5, .negation_and_sarcasm = true, .offline = true, .high_stakes = true};
  const Verdict v = verdict(policy, {"oh great, it never works", 6, 0.5f});
  EXPECT_EQ(v.reasons, (1u << reason_count) - 1);
  EXPECT_EQ(v.route, Route::cloud);
}

TEST(Policy, Names) {
  const std::vector<std::string> reasons = {"low_confidence", "negation", "sarcasm",
                                            "too_long",       "offline",  "high_stakes"};
  for (uint32_t bit = 0; bit < reason_count; ++bit) EXPECT_EQ(reason_name(bit), reasons[bit]);
  EXPECT_STREQ(reason_name(reason_count), "");
  EXPECT_STREQ(reason_name(1000), "");
  EXPECT_STREQ(route_name(Route::local), "local");
  EXPECT_STREQ(route_name(Route::cloud), "cloud");
  EXPECT_STREQ(route_name(Route::local_uncertain), "local_uncertain");
}

TEST(Mentions, WholeWordsInEitherCase) {
  for (const char* text : {"not", "Not good", "is NOT", "(not)", "well,not!", "\xE2\x80\x9Cnot\xE2\x80\x9D",
                           "no\xF0\x9F\x99\x84 not\xF0\x9F\x99\x84", "not\xE2\x80\x94so", "not\nso"}) {
    EXPECT_TRUE(mentions(text, "not")) << text;
  }
  for (const char* text : {"", "knot", "nothing", "no", "not1", "n ot", "\xC3\xA9not", "not\xC3\xA9"}) {
    EXPECT_FALSE(mentions(text, "not")) << text;
  }
}

TEST(Mentions, Endings) {
  for (const char* text : {"can't", "CAN'T", "isn\xE2\x80\x99t so", "n't"}) EXPECT_TRUE(mentions(text, "*n't")) << text;
  for (const char* text : {"cant", "can'ts", "can't2", "n\xE2\x80t"}) EXPECT_FALSE(mentions(text, "*n't")) << text;
  EXPECT_FALSE(mentions("nothing", "*")) << "a star alone is a star";
  EXPECT_TRUE(mentions("2 * 3", "*"));
}

TEST(Mentions, Phrases) {
  for (const char* text :
       {"yeah right", "Yeah, right!", "yeah... right", "yeah\xE2\x80\xA6 right", "oh yeah \n right."}) {
    EXPECT_TRUE(mentions(text, "yeah right")) << text;
  }
  for (const char* text : {"yeahright", "yeah", "yeah all right", "yeah 'right'", "yeah righteous", "yeah, "}) {
    EXPECT_FALSE(mentions(text, "yeah right")) << text;
  }
  EXPECT_TRUE(mentions("so good /s", "/s"));
  EXPECT_FALSE(mentions("and/so on", "/s"));
  EXPECT_TRUE(mentions("fine \xF0\x9F\x99\x84", "x\n\xF0\x9F\x99\x84"));
}

TEST(Mentions, ListsOfAnyShape) {
  EXPECT_FALSE(mentions("anything", ""));
  EXPECT_FALSE(mentions("anything", "\n\n"));
  EXPECT_TRUE(mentions("b", "a\n\nb\n"));
  for (const std::string list : {english_negations, english_sarcasm_markers}) {
    EXPECT_EQ(list.find("\n\n"), std::string::npos);
    for (size_t begin = 0; begin < list.size();) {
      const size_t end = std::min(list.find('\n', begin), list.size());
      std::string entry = list.substr(begin, end - begin);
      if (entry[0] == '*') entry = "do" + entry.substr(1);
      EXPECT_TRUE(mentions("so " + entry + " so", list)) << entry;
      begin = end + 1;
    }
  }
}

// Bytes that are no UTF-8, cut everywhere.
TEST(Mentions, AnyBytes) {
  const std::string bytes =
      "not\xE2\x80\x99\xF0\x9F\x99\x84\xE2\xFF\xC3 don\xE2\x80\x99t \xF0\x9F yeah\xE2\x80 right \xE2";
  for (size_t begin = 0; begin <= bytes.size(); ++begin) {
    for (size_t end = begin; end <= bytes.size(); ++end) {
      const std::string part = bytes.substr(begin, end - begin);
      mentions(std::string_view(part), english_negations);
      mentions(std::string_view(part), english_sarcasm_markers);
    }
  }
}

TEST(Divergence, OfEveryKind) {
  const std::vector<float> a = {0.7f, 0.2f, 0.1f}, b = {0.1f, 0.3f, 0.6f};
  const Divergence single = divergence(single_head(), a, b);
  EXPECT_FLOAT_EQ(single.total_variation, 0.6f);
  EXPECT_EQ(single.label_flips, 1u);
  EXPECT_EQ(single.distance, 0.0f);
  const Divergence multi = divergence(multi_head(), a, b);
  EXPECT_FLOAT_EQ(multi.total_variation, 1.2f / 3);
  EXPECT_EQ(multi.label_flips, 2u);
  const Divergence pad = divergence(pad_head(), a, b);
  EXPECT_FLOAT_EQ(pad.distance, std::sqrt(0.36f + 0.01f + 0.25f));
  EXPECT_EQ(pad.label_flips, 0u);
  EXPECT_EQ(pad.total_variation, 0.0f);
  for (const HeadView& head : {single_head(), multi_head(), pad_head()}) {
    const Divergence same = divergence(head, a, a);
    EXPECT_EQ(same.total_variation, 0.0f);
    EXPECT_EQ(same.label_flips, 0u);
    EXPECT_EQ(same.distance, 0.0f);
  }
}

}  // namespace
}  // namespace onepass::test
