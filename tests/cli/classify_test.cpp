// onepass classify and onepass tokenize against the library on the same model.
#include <onepass/onepass.hpp>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "tests/cli/command.h"

namespace onepass::test {
namespace {

const std::vector<std::string> kTexts = {
    "I love the happy dog!",
    "",
    "what a bad, sad cat",
    "caf\xC3\xA9 \xE4\xB8\xAD \"quoted\" \\ back",
    "broken \xFF\xC3 bytes",
    "thank you very very very much",
    "x",
};

std::string joined(const std::vector<std::string>& lines, const std::string& end = "\n") {
  std::string out;
  for (const std::string& line : lines) out += line + end;
  return out;
}

class CommandTest : public testing::Test {
 protected:
  std::vector<std::string> classify(std::vector<std::string> more) {
    more.insert(more.begin(), {"classify", "-m", model_, "--json"});
    return more;
  }
  std::vector<Classification> library(const std::vector<std::string>& texts) {
    Session session = Session::open(Model::open(model_).value()).value();
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    return session.classify(views).value();
  }

  TempFolder folder_;
  std::string model_ = model_file("own_heads");
};

TEST_F(CommandTest, JsonHasTheseKeysAndNoOther) {
  const std::vector<std::string> all = {"i",     "tokens",     "truncated", "chunks",
                                        "heads", "confidence", "route",     "reasons"};
  for (const bool logits : {false, true}) {
    auto arguments = classify({"good", "bad"});
    if (logits) arguments.push_back("--logits");
    const auto lines = json_lines(run_ok(arguments));
    ASSERT_EQ(lines.size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
      const Json& line = lines[i];
      EXPECT_EQ(keys_of(line), all);
      EXPECT_EQ(line["i"], i);
      EXPECT_EQ(line["tokens"], 3);
      EXPECT_EQ(line["truncated"], false);
      EXPECT_EQ(line["chunks"], 1);
      EXPECT_EQ(line["route"], "local");
      EXPECT_EQ(line["reasons"], Json::array());
      EXPECT_EQ(keys_of(line["heads"]), (std::vector<std::string>{"mood", "pad"}));
      const Json& mood = line["heads"]["mood"];
      const Json& pad = line["heads"]["pad"];
      EXPECT_EQ(keys_of(mood), logits ? (std::vector<std::string>{"kind", "scores", "labels", "logits"})
                                      : (std::vector<std::string>{"kind", "scores", "labels"}));
      EXPECT_EQ(keys_of(pad), logits ? (std::vector<std::string>{"kind", "values", "logits"})
                                     : (std::vector<std::string>{"kind", "values"}));
      EXPECT_EQ(mood["kind"], "multi_label");
      EXPECT_EQ(pad["kind"], "regression");
      EXPECT_EQ(mood["scores"].size(), 9u);
      EXPECT_EQ(keys_of(mood["scores"])[8], "mood 8");
      EXPECT_EQ(keys_of(pad["values"]), (std::vector<std::string>{"pad 0", "pad 1", "pad 2"}));
    }
  }
}

TEST_F(CommandTest, SingleLabelHasOneLabel) {
  model_ = model_file("own_heads_mean");
  const auto gold = library({"good dog"});
  const Json line = json_lines(run_ok(classify({"good dog"}))).at(0);
  const Json& head = line["heads"]["b"];
  EXPECT_EQ(keys_of(head), (std::vector<std::string>{"kind", "scores", "label"}));
  EXPECT_EQ(head["kind"], "single_label");
  EXPECT_EQ(head["label"].get<std::string>(), gold[0].labels("b").at(0).name);
}

TEST_F(CommandTest, NumbersAreTheLibrarysToTheBit) {
  folder_.write("texts.txt", joined(kTexts));
  const auto gold = library(kTexts);
  const std::string out = run_ok(classify({"-i", folder_.path() / "texts.txt", "--logits"}));
  const auto lines = json_lines(out);
  ASSERT_EQ(lines.size(), kTexts.size());
  const auto same = [](const Json& number, float expected) {
    const float value = std::strtof(number.dump().c_str(), nullptr);
    return std::memcmp(&value, &expected, sizeof(value)) == 0;
  };
  for (size_t b = 0; b < lines.size(); ++b) {
    const Json& heads = lines[b]["heads"];
    EXPECT_EQ(lines[b]["i"], b);
    EXPECT_EQ(lines[b]["tokens"], gold[b].tokens());
    EXPECT_TRUE(same(lines[b]["confidence"], gold[b].confidence()));
    std::vector<std::string> labels;
    for (size_t c = 0; c < 9; ++c) {
      EXPECT_TRUE(same(heads["mood"]["scores"]["mood " + std::to_string(c)], gold[b].scores()[c]));
      EXPECT_TRUE(same(heads["mood"]["logits"][c], gold[b].logits()[c]));
    }
    for (const Label& label : gold[b].labels("mood")) labels.emplace_back(label.name);
    EXPECT_EQ(heads["mood"]["labels"].get<std::vector<std::string>>(), labels);
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_TRUE(same(heads["pad"]["values"]["pad " + std::to_string(c)], gold[b].scores()[9 + c]));
      EXPECT_TRUE(same(heads["pad"]["logits"][c], gold[b].logits()[9 + c]));
    }
  }
  // As printed: %.9g, so that equal text means equal bits.
  char text[32];
  std::snprintf(text, sizeof(text), "\"logits\":[%.9g,", static_cast<double>(gold[0].logits()[0]));
  EXPECT_TRUE(contains(out, text)) << text;
}

TEST_F(CommandTest, NothingButTheTextChangesTheBytes) {
  folder_.write("texts.txt", joined(kTexts));
  const std::string input = folder_.path() / "texts.txt";
  const std::string gold = run_ok(classify({"-i", input, "--logits"}));
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{{"--batch", "1"},
                                                                                    {"--batch", "3"},
                                                                                    {"--batch", "64"},
                                                                                    {"--threads", "2"},
                                                                                    {"--threads", "3", "--batch", "2"},
                                                                                    {"--isa", "scalar"},
                                                                                    {"--workers", "3", "--batch", "1"},
                                                                                    {"--isa", onepass_best_isa()},
                                                                                    {"--copy"},
                                                                                    {"--skip-verify"}}) {
    auto arguments = classify({"-i", input, "--logits"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(run_ok(arguments), gold) << more[0];
  }
}

TEST_F(CommandTest, EveryWayIn) {
  folder_.write("texts.txt", joined(kTexts));
  const std::string gold = run_ok(classify({"-i", folder_.path() / "texts.txt"}));
  EXPECT_EQ(run_ok(classify({"-i", "-"}), {.input = joined(kTexts)}), gold) << "standard input";
  EXPECT_EQ(run_ok(classify({"-i", "-"}), {.input = joined(kTexts, "\r\n")}), gold) << "CR LF";
  const std::string without_end = joined(kTexts).substr(0, joined(kTexts).size() - 1);
  EXPECT_EQ(run_ok(classify({"-i", "-"}), {.input = without_end}), gold) << "no line end at the end";
  std::vector<std::string> arguments = kTexts;
  arguments.insert(arguments.begin(), "--");
  EXPECT_EQ(run_ok(classify(arguments)), gold) << "arguments";
  EXPECT_EQ(run_ok(classify({"-i", "-"}), {.input = ""}), "") << "no text is no result";
  EXPECT_EQ(lines_of(run_ok(classify({"-i", "-"}), {.input = "\n\n"})).size(), 2u) << "empty lines are texts";
}

TEST_F(CommandTest, JsonLines) {
  // As the texts, but for the one that is no UTF-8.
  std::string jsonl;
  std::vector<std::string> texts;
  for (const std::string& text : kTexts) {
    if (contains(text, "\xFF")) continue;
    texts.push_back(text);
    jsonl += Json{{"id", 7}, {"text", text}}.dump() + "\n";
  }
  folder_.write("texts.txt", joined(texts));
  folder_.write("texts.jsonl", jsonl);
  EXPECT_EQ(run_ok(classify({"-i", folder_.path() / "texts.jsonl"})),
            run_ok(classify({"-i", folder_.path() / "texts.txt"})));
  // Line breaks and NUL inside a text.
  folder_.write("breaks.jsonl", std::string("{\"text\":\"good\\nbad\\u0000\"}\n"));
  EXPECT_EQ(run_ok(classify({"-i", folder_.path() / "breaks.jsonl"})), run_ok(classify({"good\tbad"})));
  const std::vector<std::string> malformed = {"{\"text\":\"private words\"",
                                              "[1]",
                                              "{\"txt\":\"private words\"}",
                                              "{\"text\":7}",
                                              "",
                                              "{\"text\":\"private words\",\"text\":\"b\"}"};
  for (const std::string& bad : malformed) {
    folder_.write("bad.jsonl", "{\"text\":\"good\"}\n" + bad + "\n");
    const std::string line = run_failing(classify({"-i", folder_.path() / "bad.jsonl"}));
    EXPECT_TRUE(contains(line, "bad.jsonl line 2")) << line;
    EXPECT_FALSE(contains(line, "private words")) << "texts are never logged: " << line;
  }
}

TEST_F(CommandTest, IdsGiveWhatTheTextGives) {
  const std::string gold = run_ok(classify({"-i", "-", "--logits"}), {.input = joined(kTexts)});
  const std::string ids = run_ok({"tokenize", "-m", model_, "-i", "-"}, {.input = joined(kTexts)});
  EXPECT_EQ(run_ok(classify({"-i", "-", "--logits", "--ids"}), {.input = ids}), gold);
  EXPECT_EQ(run_ok(classify({"-i", "-", "--logits", "--ids", "--batch", "2"}), {.input = ids}), gold);
  EXPECT_EQ(run_ok(classify({"--ids", "2  30 3 "})), run_ok(classify({"--ids", "2 30 3"})));
}

TEST_F(CommandTest, IdsThatAreNone) {
  for (const std::string bad : {"my private words", "2 -3", "2 3.5", "2,3", "4294967296", "2 104", "", " ", "2\t3"}) {
    for (const std::string batch : {"1", "64"}) {
      const Ran ran = run(classify({"-i", "-", "--ids", "--batch", batch}), {.input = "2 3\n2 3\n" + bad + "\n2 3\n"});
      EXPECT_EQ(ran.status, 1) << bad;
      EXPECT_EQ(ran.err.find("onepass: cannot classify: - line 3"), 0u) << ran.err;
      EXPECT_FALSE(contains(ran.err, "private")) << "texts are never logged: " << ran.err;
    }
  }
}

TEST_F(CommandTest, LongTexts) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += "good ";
  const Json line = json_lines(run_ok(classify({words}))).at(0);
  EXPECT_EQ(line["tokens"], 48);
  EXPECT_EQ(line["truncated"], true);
  const Json four = json_lines(run_ok(classify({"good bad sad dog", "--max-tokens", "4"}))).at(0);
  EXPECT_EQ(four["tokens"], 4);
  EXPECT_EQ(four["truncated"], true);
  EXPECT_EQ(four["heads"].dump(), json_lines(run_ok(classify({"good bad"}))).at(0)["heads"].dump());
  const Ran ran = run(classify({"-i", "-", "--on-long", "error"}), {.input = "good\nbad\n" + words + "\n"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_TRUE(contains(ran.err, "onepass: cannot classify: - line 3 at byte 229: 62 tokens, and the limit is 48"))
      << ran.err;
  EXPECT_TRUE(contains(run_failing(classify({words, "--on-long", "error"})), "text argument 1"));
}

TEST_F(CommandTest, ForPeople) {
  const std::string out = run_ok({"classify", "-m", model_, "I love the dog", ""});
  EXPECT_TRUE(contains(out, "I love the dog"));
  EXPECT_TRUE(contains(out, "mood"));
  EXPECT_TRUE(contains(out, "pad 2"));
  EXPECT_TRUE(contains(out, "confidence"));
  EXPECT_TRUE(contains(out, "one pass over the first text"));
  EXPECT_FALSE(contains(out, "\x1B")) << "no colours where nobody sees them";
  // Without a range there is no scale to draw on.
  const std::string plain = run_ok({"classify", "-m", model_file("one_class_regression"), "good"});
  EXPECT_TRUE(contains(plain, "label 0"));
  EXPECT_FALSE(contains(plain, "\xE2\x97\x86"));
  EXPECT_TRUE(contains(out, "\xE2\x97\x86"));
}

TEST_F(CommandTest, Tokenize) {
  const std::string text = "Thank y\xC3\xB3u, xylophone";
  Session session = Session::open(Model::open(model_).value()).value();
  const auto tokens = session.tokenize(text).value();
  const Json line = json_lines(run_ok({"tokenize", "-m", model_, "--json", text})).at(0);
  EXPECT_EQ(keys_of(line), (std::vector<std::string>{"i", "ids", "pieces", "offsets"}));
  EXPECT_EQ(line["i"], 0);
  ASSERT_EQ(line["ids"].size(), tokens.size());
  std::string plain;
  for (size_t t = 0; t < tokens.size(); ++t) {
    EXPECT_EQ(line["ids"][t], tokens[t].id);
    EXPECT_EQ(line["pieces"][t].get<std::string>(), session.model().piece(tokens[t].id));
    EXPECT_EQ(line["offsets"][t], (Json{tokens[t].begin, tokens[t].end}));
    plain += (t == 0 ? "" : " ") + std::to_string(tokens[t].id);
  }
  EXPECT_EQ(run_ok({"tokenize", "-m", model_, text}), plain + "\n");
  EXPECT_EQ(line["pieces"][2], "you");
  EXPECT_EQ(line["offsets"][2], (Json{6, 10}));
  // As lines, from every source, numbered on.
  const auto lines = json_lines(run_ok({"tokenize", "-m", model_, "--json", "-i", "-"}, {.input = "good\n\nbad"}));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[2]["i"], 2);
  EXPECT_EQ(lines[1]["pieces"], (Json{"[CLS]", "[SEP]"}));
  folder_.write("t.jsonl", std::string("{\"text\":\"good\"}\n"));
  EXPECT_EQ(json_lines(run_ok({"tokenize", "-m", model_, "--json", "-i", folder_.path() / "t.jsonl"})).at(0), lines[0]);
}

}  // namespace
}  // namespace onepass::test
