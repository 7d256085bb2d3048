// onepass eval in every format, against metrics that are computed here from what `onepass classify` prints, by the
// textbook's definitions.
#include <cmath>
#include <random>
#include <set>

#include "tests/cli/command.h"

namespace onepass::test {
namespace {

// ---- The metrics, slowly ----

struct Gold {
  std::vector<std::string> texts;
  std::vector<std::set<size_t>> labels;
  std::vector<std::vector<double>> values;
};

double f1(size_t tp, size_t fp, size_t fn) {
  return tp + fp + fn == 0 ? 0 : 2.0 * static_cast<double>(tp) / static_cast<double>(2 * tp + fp + fn);
}

// The mean over thresholds: for each score, from the highest, the precision of "at least that score", weighted by the
// recall that it adds.
double average_precision(const std::vector<double>& scores, const std::vector<bool>& gold) {
  double positives = 0, sum = 0, recall = 0;
  for (const bool g : gold) positives += g;
  for (const double threshold : std::set<double, std::greater<>>(scores.begin(), scores.end())) {
    double found = 0, taken = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      if (scores[i] < threshold) continue;
      ++taken;
      found += gold[i];
    }
    sum += (found / positives - recall) * found / taken;
    recall = found / positives;
  }
  return sum;
}

Json label_metrics(const std::vector<std::vector<double>>& scores, const std::vector<std::set<size_t>>& said,
                   const std::vector<std::set<size_t>>& gold) {
  const size_t n = scores.size(), classes = scores[0].size();
  size_t tp_all = 0, fp_all = 0, fn_all = 0;
  double macro_f1 = 0, macro_ap = 0, occurring = 0, ece = 0;
  for (size_t c = 0; c < classes; ++c) {
    size_t tp = 0, fp = 0, fn = 0;
    std::vector<double> column;
    std::vector<bool> gold_column;
    for (size_t i = 0; i < n; ++i) {
      tp += said[i].contains(c) && gold[i].contains(c);
      fp += said[i].contains(c) && !gold[i].contains(c);
      fn += !said[i].contains(c) && gold[i].contains(c);
      column.push_back(scores[i][c]);
      gold_column.push_back(gold[i].contains(c));
    }
    macro_f1 += f1(tp, fp, fn) / static_cast<double>(classes);
    tp_all += tp;
    fp_all += fp;
    fn_all += fn;
    if (tp + fn == 0) continue;
    macro_ap += average_precision(column, gold_column);
    ++occurring;
  }
  for (int bin = 0; bin < 15; ++bin) {
    double confidence = 0, right = 0;
    for (size_t i = 0; i < n; ++i) {
      for (size_t c = 0; c < classes; ++c) {
        if (std::min(14, static_cast<int>(scores[i][c] * 15)) != bin) continue;
        confidence += scores[i][c];
        right += gold[i].contains(c);
      }
    }
    ece += std::fabs(confidence - right) / static_cast<double>(n * classes);
  }
  return {{"n", n},
          {"macro_f1", macro_f1},
          {"micro_f1", f1(tp_all, fp_all, fn_all)},
          {"macro_ap", macro_ap / occurring},
          {"ece", ece}};
}

struct Agreement {
  double pearson, ccc, mae;
};

Agreement agreement(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, absolute = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sa += a[i];
    sb += b[i];
    saa += a[i] * a[i];
    sbb += b[i] * b[i];
    sab += a[i] * b[i];
    absolute += std::fabs(a[i] - b[i]);
  }
  const double va = saa / n - sa * sa / n / n, vb = sbb / n - sb * sb / n / n, cov = sab / n - sa * sb / n / n;
  return {cov / std::sqrt(va * vb), 2 * cov / (va + vb + (sa - sb) * (sa - sb) / n / n), absolute / n};
}

// ---- The data ----

Gold make_gold(size_t n, size_t classes, size_t dimensions) {
  const std::vector<std::string> words = {"good", "bad", "sad", "happy", "dog", "cat", "love", "hate", "very", "not"};
  std::mt19937 random(5);
  Gold gold;
  for (size_t i = 0; i < n; ++i) {
    std::string text;
    for (size_t w = random() % 7; w-- > 0;) text += (text.empty() ? "" : " ") + words[random() % words.size()];
    gold.texts.push_back(text);
    std::set<size_t> labels = {random() % classes};
    // The last label never occurs.
    if (random() % 3 == 0) labels.insert(random() % classes);
    labels.erase(classes - 1);
    if (labels.empty()) labels.insert(0);
    gold.labels.push_back(labels);
    std::vector<double> values;
    for (size_t d = 0; d < dimensions; ++d) values.push_back(static_cast<double>(random() % 401) / 200 - 1);
    gold.values.push_back(values);
  }
  return gold;
}

std::string joined(const std::set<size_t>& labels, const std::string& prefix) {
  std::string out;
  for (const size_t c : labels) out += (out.empty() ? "" : ",") + prefix + std::to_string(c);
  return out;
}

class Eval : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    folder_.write(name, text);
    return folder_.path() / name;
  }
  std::string eval(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"eval", "-m", model_});
    return run_ok(arguments);
  }
  std::string eval_failing(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"eval", "-m", model_});
    return run_failing(arguments);
  }
  // What classify says, head by head.
  std::vector<Json> classified(const std::string& head) {
    std::string input;
    for (const std::string& text : gold_.texts) input += text + "\n";
    std::vector<Json> out;
    for (const Json& line : json_lines(run_ok({"classify", "-m", model_, "--json", "-i", "-"}, {.input = input}))) {
      out.push_back(line["heads"][head]);
    }
    return out;
  }
  void expect_label_metrics(const Json& found) {
    EXPECT_EQ(keys_of(found), (std::vector<std::string>{"n", "head", "macro_f1", "micro_f1", "macro_ap", "ece"}));
    EXPECT_EQ(found["head"], "mood");
    std::vector<std::vector<double>> scores;
    std::vector<std::set<size_t>> said;
    for (const Json& head : classified("mood")) {
      scores.emplace_back();
      said.emplace_back();
      for (const auto& [label, score] : head["scores"].items()) scores.back().push_back(score.get<double>());
      for (const Json& label : head["labels"])
        said.back().insert(static_cast<size_t>(label.get<std::string>().back() - '0'));
    }
    const Json expected = label_metrics(scores, said, gold_.labels);
    EXPECT_EQ(found["n"], expected["n"]);
    for (const char* key : {"macro_f1", "micro_f1", "macro_ap", "ece"}) {
      const double value = expected[key].get<double>();
      EXPECT_NEAR(found[key].get<double>(), value, 1e-5 * value) << key;
      EXPECT_GT(value, 0.01) << key << " shows little";
      EXPECT_LT(value, 0.99) << key << " shows little";
    }
  }
  void expect_value_metrics(const Json& found) {
    EXPECT_EQ(keys_of(found), (std::vector<std::string>{"n", "head", "pearson", "ccc", "mae"}));
    EXPECT_EQ(found["head"], "pad");
    EXPECT_EQ(found["n"], gold_.texts.size());
    const auto heads = classified("pad");
    for (size_t d = 0; d < 3; ++d) {
      const std::string name = "pad " + std::to_string(d);
      std::vector<double> predicted, values;
      for (size_t i = 0; i < heads.size(); ++i) {
        predicted.push_back(heads[i]["values"][name].get<double>());
        values.push_back(gold_.values[i][d]);
      }
      const Agreement expected = agreement(predicted, values);
      EXPECT_NEAR(found["pearson"][name].get<double>(), expected.pearson, 1e-5);
      EXPECT_NEAR(found["ccc"][name].get<double>(), expected.ccc, 1e-5);
      EXPECT_NEAR(found["mae"][name].get<double>(), expected.mae, 1e-5);
      EXPECT_GT(expected.mae, 0.1);
    }
  }

  TempFolder folder_;
  std::string model_ = model_file("own_heads");
  Gold gold_ = make_gold(150, 9, 3);  // more than two batches
};

TEST_F(Eval, GoEmotions) {
  std::string data;
  for (size_t i = 0; i < gold_.texts.size(); ++i) {
    data += gold_.texts[i] + "\t" + joined(gold_.labels[i], "") + "\tid" + std::to_string(i) + "\n";
  }
  expect_label_metrics(Json::parse(eval({write("d.tsv", data), "--format", "goemotions", "--json"})));
}

TEST_F(Eval, TsvOfLabels) {
  std::string data;
  for (size_t i = 0; i < gold_.texts.size(); ++i)
    data += gold_.texts[i] + "\t" + joined(gold_.labels[i], "mood ") + "\r\n";
  const std::string path = write("d.tsv", data);
  const std::string out = eval({path, "--json"});
  expect_label_metrics(Json::parse(out));
  EXPECT_EQ(eval({path, "--json", "--format", "tsv", "--head", "mood", "--threads", "2"}), out);
  const std::string people = eval({path});
  for (const char* part : {"150 texts", "mood", "macro-F1", "micro-F1", "ECE"}) EXPECT_TRUE(contains(people, part));
}

TEST_F(Eval, TsvOfValues) {
  std::string data;
  for (size_t i = 0; i < gold_.texts.size(); ++i) {
    data += gold_.texts[i] + "\t";
    for (size_t d = 0; d < 3; ++d) data += (d == 0 ? "" : ",") + std::to_string(gold_.values[i][d]);
    data += "\n";
  }
  const std::string path = write("d.tsv", data);
  expect_value_metrics(Json::parse(eval({path, "--head", "pad", "--json"})));
  const std::string people = eval({path, "--head", "pad"});
  for (const char* part : {"150 texts", "pad 2", "Pearson", "CCC", "MAE"}) EXPECT_TRUE(contains(people, part));
}

TEST_F(Eval, JsonLines) {
  std::string labels, values;
  for (size_t i = 0; i < gold_.texts.size(); ++i) {
    Json names = Json::array(), numbers = Json::object();
    for (const size_t c : gold_.labels[i]) names.push_back("mood " + std::to_string(c));
    for (size_t d = 0; d < 3; ++d) numbers["pad " + std::to_string(d)] = gold_.values[i][d];
    labels += Json{{"text", gold_.texts[i]}, {"labels", names}}.dump() + "\n";
    values += Json{{"values", numbers}, {"text", gold_.texts[i]}}.dump() + "\n";
  }
  expect_label_metrics(Json::parse(eval({write("labels.jsonl", labels), "--json"})));
  expect_value_metrics(Json::parse(eval({write("values.jsonl", values), "--head", "pad", "--json"})));
}

TEST_F(Eval, EmoBank) {
  // V, A, D of 1 to 5; a text in quotes with all that CSV allows; rows of another split between.
  gold_.texts[3] = "good, \"very\" good, bad";
  std::string data = "id,split,V,A,D,text\n";
  for (size_t i = 0; i < gold_.texts.size(); ++i) {
    std::string text;
    for (const char c : gold_.texts[i]) text += c == '"' ? "\"\"" : std::string(1, c);
    data += "id" + std::to_string(i) + ",test";
    for (const double value : gold_.values[i]) data += "," + std::to_string(value * 2 + 3);
    data += ",\"" + text + "\"\n" + "x,train,1,5,1,ignored\n";
  }
  const std::string path = write("d.csv", data);
  const std::string out = eval({path, "--json"});
  expect_value_metrics(Json::parse(out));
  EXPECT_EQ(eval({path, "--json", "--format", "emobank", "--split", "test", "--head", "pad"}), out);
  EXPECT_EQ(Json::parse(eval({path, "--json", "--split", "train"}))["n"], gold_.texts.size());
  EXPECT_TRUE(contains(eval_failing({path, "--split", "dev"}), "dev"));
}

TEST_F(Eval, SeriesWithoutVarianceHaveNoCorrelation) {
  const Json found =
      Json::parse(eval({write("d.tsv", "good\t0.1,0,1\nbad\t0.1,1,0\nsad\t0.1,1,1\n"), "--head", "pad", "--json"}));
  EXPECT_TRUE(found["pearson"]["pad 0"].is_null());
  EXPECT_TRUE(found["pearson"]["pad 1"].is_number());
  const std::string people = eval({folder_.path() / "d.tsv", "--head", "pad"});
  EXPECT_TRUE(contains(people, "n/a") && !contains(people, "nan")) << people;
}

TEST_F(Eval, WhatIsWrongIsNamed) {
  const auto fails = [&](const std::string& data, std::vector<std::string> more, const std::string& part,
                         const std::string& name = "d.tsv") {
    more.insert(more.begin(), write(name, data));
    const std::string line = eval_failing(more);
    EXPECT_TRUE(contains(line, part)) << line;
    EXPECT_TRUE(contains(line, name)) << line;
    EXPECT_FALSE(contains(line, "private words")) << "texts are never logged: " << line;
  };
  fails("good\tmood 1\nprivate words\tnonsense\n", {}, "line 2");
  fails("good\tmood 1\nprivate words\n", {}, "line 2");
  fails("good\t1\nprivate words\t9\n", {"--format", "goemotions"}, "line 2");
  fails("good\t1\nprivate words\t-1\n", {"--format", "goemotions"}, "line 2");
  fails("good\t1\nprivate words\tone\n", {"--format", "goemotions"}, "line 2");
  fails("good\t0,0,0\nprivate words\t0,0\n", {"--head", "pad"}, "line 2");
  fails("good\t0,0,0\nprivate words\t0,zero,0\n", {"--head", "pad"}, "line 2");
  fails("good\t0,0,nan\n", {"--head", "pad"}, "line 1");
  fails("{\"text\":\"private words\",\"labels\":[\"x\"]}\n", {}, "line 1", "d.jsonl");
  fails("{\"text\":\"private words\"}\n", {}, "line 1", "d.jsonl");
  fails("{\"text\":\"private words\",\"values\":{\"pad 0\":1}}\n", {"--head", "pad"}, "line 1", "d.jsonl");
  fails("private words\n", {}, "line 1", "d.jsonl");
  fails("id,text\n1,private words\n", {}, "id,split,V,A,D,text", "d.csv");
  fails("id,split,V,A,D,text\n1,test,3,3,private words\n", {}, "line 2", "d.csv");
  fails("id,split,V,A,D,text\n1,test,3,3,x,private words\n", {}, "line 2", "d.csv");
  fails("id,split,V,A,D,text\n1,test,3,3,3,\"private words\n", {}, "quoted", "d.csv");
  for (const char* format : {"tsv", "jsonl", "goemotions"}) fails("", {"--format", format}, "no labelled texts");
}

TEST_F(Eval, HeadsThatDoNotFit) {
  const std::string path = write("d.tsv", "good\t1\n");
  EXPECT_TRUE(contains(eval_failing({path, "--head", "anger"}), "the heads are mood pad"));
  EXPECT_TRUE(contains(eval_failing({path, "--format", "goemotions", "--head", "pad"}), "does not fit the head pad"));
  EXPECT_TRUE(contains(eval_failing({path, "--format", "emobank", "--head", "mood"}), "does not fit the head mood"));
  model_ = model_file("two_classes");
  EXPECT_TRUE(contains(eval_failing({path, "--format", "emobank"}), "no head fits"));
}

}  // namespace
}  // namespace onepass::test
