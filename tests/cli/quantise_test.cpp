// onepass convert with calibration: the file is what the report says, and texts or labels at fault are named.
#include <signal.h>

#include "tests/cli/command.h"

namespace onepass::test {
namespace {

class Quantise : public testing::Test {
 protected:
  std::string out() const { return folder_.path() / "out" / "m.onepass"; }
  std::vector<std::string> arguments(const std::vector<std::string>& more,
                                     const std::string& name = "own_heads") const {
    std::vector<std::string> all = {"convert", fixture_path("bert/" + name), "-o", out()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::string fail(const std::vector<std::string>& more) {
    const std::string line = run_failing(arguments(more));
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path() / "out")) << "a failure leaves no file";
    return line;
  }
  std::string fail_with_old(const std::vector<std::string>& more) {
    folder_.write("out/m.onepass", "old");
    const std::string line = run_failing(arguments(more));
    EXPECT_EQ(read_file(out()), "old");
    return line;
  }
  std::string misuse(const std::vector<std::string>& more) {
    const Ran ran = run(arguments(more));
    EXPECT_EQ(ran.status, 2) << ran.err;
    return ran.err;
  }
  std::string file(const std::string& name, const std::string& text) {
    folder_.write(name, text);
    return folder_.path() / name;
  }
  void SetUp() override {
    std::filesystem::create_directory(folder_.path() / "out");
    std::string lines;
    for (int i = 0; i < 40; ++i)
      lines += std::string(i % 3 == 0 ? "the cat" : "a dog") + " is good " + std::to_string(i) + "\n";
    texts_ = file("texts.txt", lines);
  }

  TempFolder folder_;
  std::string texts_;
};

TEST_F(Quantise, CalibratedCodesAreOtherCodesOfTheSameTypes) {
  run_ok(arguments({"--weights", "int4"}));
  const std::string plain = read_file(out());
  std::vector<std::string> files = {plain};
  for (const char* quantiser : {"rtn", "gptq", "awq"}) {
    const std::string report =
        run_ok(arguments({"--weights", "int4", "--calibration", texts_, "--quantiser", quantiser}));
    EXPECT_TRUE(contains(report, "calibrated with 40 of 40 texts")) << report;
    EXPECT_TRUE(contains(report, "loses")) << report;
    const Json model = Json::parse(run_ok({"inspect", out(), "--json", "--verify"}));
    EXPECT_EQ(read_file(out()).size() / 4096, plain.size() / 4096);
    EXPECT_TRUE(contains(model["quantisation"].get<std::string>(), "40 texts")) << model["quantisation"];
    files.push_back(read_file(out()));
  }
  for (size_t i = 0; i < files.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(files[i], files[j]) << i << " " << j;
  }
  // GPTQ is what calibration means where nothing else is said.
  run_ok(arguments({"--weights", "int4", "--calibration", texts_}));
  EXPECT_EQ(read_file(out()), files[2]);
}

TEST_F(Quantise, TextsAreSpreadAndMayBeATable) {
  const std::string table = file("t.tsv", "a dog\t1\nthe cat\t2\n\t3\nis good\t0\n");
  EXPECT_TRUE(contains(run_ok(arguments({"--calibration", table, "--calibration-texts", "2"})),
                       "calibrated with 2 of 4 texts"));
  const std::string json = file("t.jsonl", "{\"text\":\"a dog\"}\n{\"text\":\"the cat\"}\n");
  EXPECT_TRUE(contains(run_ok(arguments({"--calibration", json})), "calibrated with 2 of 2 texts"));
}

TEST_F(Quantise, CalibrationAtFaultIsNamed) {
  EXPECT_TRUE(contains(fail({"--calibration", file("empty", "")}), "empty: the file has no texts"));
  EXPECT_TRUE(contains(fail({"--calibration", file("blank", " \n\t\n")}), "blank: the file has no texts"));
  EXPECT_TRUE(contains(fail({"--calibration", folder_.path() / "nowhere"}), "nowhere"));
  EXPECT_TRUE(
      contains(fail({"--calibration", file("bad.jsonl", "{\"text\":\"a\"}\n{\"txt\":1}\n")}), "bad.jsonl line 2"));
  EXPECT_TRUE(
      contains(fail({"--calibration", texts_, "--max-drop", "0.1", "--eval-data", file("gold.tsv", "no labels\n")}),
               "gold.tsv"));
  EXPECT_TRUE(
      contains(fail({"--calibration", texts_, "--max-drop", "0.1", "--eval-data", file("other.tsv", "a\tnonsense\n")}),
               "line 1: a label that the head does not have"));
  EXPECT_TRUE(contains(fail({"--calibration", texts_, "--max-drop", "0.1", "--eval-data", folder_.path() / "nowhere"}),
                       "nowhere"));
  EXPECT_TRUE(
      contains(fail({"--calibration", texts_, "--max-drop", "0.1", "--eval-data", file("none.tsv", "")}), "none.tsv"));
}

TEST_F(Quantise, LabelledTextsAtFaultAreNamedByLine) {
  const auto fault = [&](const std::string& argument) {
    return fail({"--calibration", texts_, "--max-drop", "0.1", "--eval-data", argument});
  };
  EXPECT_TRUE(contains(fault(file("one.tsv", "a dog\t\nno labels\n")), "one.tsv: line 2: not text TAB labels"));
  EXPECT_TRUE(contains(fault("goemotions:" + file("g", "a dog\t0\nthe cat\tone\n")), "g: line 2: a label number"));
  EXPECT_TRUE(contains(fault("goemotions:" + file("h", "a dog\t0\nthe cat\t99\n")), "h: line 2: a label that"));
  EXPECT_TRUE(contains(fault(file("j.jsonl", "{\"text\":\"a\",\"labels\":[]}\n{\"text\":\n")), "j.jsonl line 2"));
  const std::string columns = "id,split,V,A,D,text\n";
  EXPECT_TRUE(contains(fault(file("c.csv", "id,text\n")), "c.csv: line 1: "));
  EXPECT_TRUE(contains(fault(file("n.csv", columns + "1,dev,3,nan,3,a dog\n")), "n.csv: line 2: a value"));
  EXPECT_TRUE(contains(fault(file("s.csv", columns + "1,dev,3,3,a dog\n")), "s.csv: line 2: not six columns"));
}

// Whenever it ends, the old file is there or the whole new one, and nothing else that could be taken for a model.
TEST_F(Quantise, AnInterruptedConversionLeavesNoHalfWrittenFile) {
  const std::filesystem::path temporary = folder_.path() / "tmp";
  std::filesystem::create_directory(temporary);
  const auto all = arguments({"--weights", "int4", "--calibration", texts_, "--prune-ffn", "0.2"});
  const auto begin = std::chrono::steady_clock::now();
  run_ok(all, {.temporary = temporary});
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  const std::string finished = read_file(out());
  const int signals[] = {SIGKILL, SIGTERM, SIGINT};
  size_t interrupted = 0;
  for (int i = 0; i < 24; ++i) {
    folder_.write("out/m.onepass", "old");
    const Ran ran = run(all, {.temporary = temporary, .signal = signals[i % 3], .patience = whole * i / 21});
    interrupted += ran.status >= 128 ? 1 : 0;
    const std::string now = read_file(out());
    EXPECT_TRUE(now == finished || (now == "old" && ran.status >= 128)) << ran.status << " after " << now.size();
    for (const auto& place : {folder_.path() / "out", temporary}) {
      for (const auto& entry : std::filesystem::directory_iterator(place)) {
        EXPECT_TRUE(entry.path() == out() || entry.path().extension() == ".tmp") << entry.path();
      }
    }
  }
  EXPECT_GE(interrupted, 8u);
}

TEST_F(Quantise, AFullDiskLeavesTheOldFile) {
  const std::filesystem::path temporary = folder_.path() / "tmp";
  std::filesystem::create_directory(temporary);
  const auto all = arguments({"--weights", "int4", "--calibration", texts_});
  run_ok(all);
  const std::string finished = read_file(out());
  // The f32 version that is calibrated does not fit; nor the file itself.
  for (const uint64_t largest : {uint64_t{8192}, uint64_t{finished.size() - 1}}) {
    folder_.write("out/m.onepass", "old");
    const std::string line = run_failing(arguments({"--weights", "int4", "--calibration", texts_}),
                                         {.largest_file = largest, .survive_limit = true, .temporary = temporary});
    EXPECT_TRUE(contains(line, "cannot write the file")) << line;
    EXPECT_EQ(read_file(out()), "old");
    EXPECT_TRUE(std::filesystem::is_empty(temporary));
  }
}

TEST_F(Quantise, PrunedModels) {
  const std::string report = run_ok(arguments({"--weights", "int4", "--calibration", texts_, "--prune-heads", "0.25",
                                               "--prune-ffn", "0.3", "--verify", texts_}));
  EXPECT_TRUE(contains(report, "pruned to 6 of 8 heads and ")) << report;
  EXPECT_TRUE(contains(report, "of 120 ffn columns by 40 texts")) << report;
  const Json model = Json::parse(run_ok({"inspect", out(), "--json", "--verify"}));
  EXPECT_TRUE(contains(model["quantisation"].get<std::string>(), "; pruned to 6 of 8 heads"));
  const std::string text = run_ok({"inspect", out()});
  EXPECT_TRUE(contains(text, " layers.")) << text;
  run_ok({"classify", "-m", out(), "the cat is good"});
  run_ok(arguments({"--weights", "f32", "--calibration", texts_, "--prune-ffn", "0.3"}));
  EXPECT_TRUE(contains(fail_with_old({"--calibration", texts_, "--prune-heads", "0.9"}), "--prune-heads: at most 0."));
  EXPECT_TRUE(contains(misuse({"--prune-ffn", "0.3"}), "--calibration"));
  EXPECT_TRUE(contains(misuse({"--calibration", texts_, "--prune-ffn", "0.3", "--max-drop", "0.1", "--eval-data", "f"}),
                       "--max-drop counts"));
  misuse({"--calibration", texts_, "--prune-ffn", "1"});
  misuse({"--calibration", texts_, "--prune-heads", "-0.1"});
  misuse({"--calibration", texts_, "--prune-heads", "nan"});
}

TEST_F(Quantise, OptionsThatNeedEachOther) {
  EXPECT_TRUE(contains(misuse({"--quantiser", "gptq"}), "--calibration"));
  EXPECT_TRUE(contains(misuse({"--smooth"}), "--calibration"));
  EXPECT_TRUE(contains(misuse({"--sensitivity", "s"}), "--calibration"));
  EXPECT_TRUE(contains(misuse({"--calibration", texts_, "--max-drop", "0.1"}), "--eval-data"));
  EXPECT_TRUE(contains(misuse({"--calibration", texts_, "--eval-data", "f"}), "--max-drop"));
  EXPECT_TRUE(contains(misuse({"--calibration", texts_, "--max-drop", "0.1", "--eval-data", "f", "--weights", "int8"}),
                       "leave out --weights"));
  EXPECT_TRUE(
      contains(misuse({"--calibration", texts_, "--max-drop", "0.1", "--eval-data", "f", "--positions", "int8"}),
               "and --positions"));
  EXPECT_TRUE(contains(misuse({"--calibration", texts_, "--weights", "f32"}), "float weights"));
  misuse({"--calibration", texts_, "--quantiser", "magic"});
  EXPECT_TRUE(contains(misuse({"--calibration", texts_, "--max-drop", "nan", "--eval-data", "f"}), "take a number"));
}

TEST_F(Quantise, Sensitivity) {
  EXPECT_TRUE(contains(fail({"--calibration", texts_, "--sensitivity", folder_.path() / "no" / "folder"}), "folder"));
  const std::string prefix = folder_.path() / "effects";
  const std::string report = run_ok(arguments({"--calibration", texts_, "--sensitivity", prefix}));
  const Json effects = Json::parse(read_file(prefix + ".json"));
  EXPECT_GT(effects.size(), 20u);
  for (const Json& e : effects) EXPECT_TRUE(contains(report, e["tensor"])) << e;
  EXPECT_TRUE(contains(read_file(prefix + ".svg"), "</svg>"));
}

TEST_F(Quantise, TheSmallestFileThatKeepsAMetric) {
  const Json labels = Json::parse(run_ok({"inspect", model_file("own_heads"), "--json"}))["heads"][0]["labels"];
  std::string gold;
  for (int i = 0; i < 40; ++i) {
    gold += (i % 2 == 0 ? "the cat is good\t" : "a very sad dog\t") +
            labels[static_cast<size_t>(i) % labels.size()].get<std::string>() + "\n";
  }
  const std::string report =
      run_ok(arguments({"--calibration", texts_, "--max-drop", "1", "--eval-data", file("gold.tsv", gold)}));
  EXPECT_TRUE(contains(report, "macro_f1")) << report;
  EXPECT_TRUE(contains(report, "the smallest of")) << report;
  const Json model = Json::parse(run_ok({"inspect", out(), "--json", "--verify"}));
  EXPECT_LT(read_file(out()).size(), read_file(model_file("own_heads")).size()) << "nothing has to be kept";
  EXPECT_TRUE(contains(model["quantisation"].get<std::string>(), "lose at most 1 of mood macro_f1"));
}

TEST_F(Quantise, PositionsHaveATypeOfTheirOwn) {
  run_ok(arguments({"--weights", "int4", "--positions", "int8", "--verify", texts_}));
  const Json model = Json::parse(run_ok({"inspect", out(), "--json", "--verify"}));
  EXPECT_TRUE(contains(model["quantisation"].get<std::string>(),
                       "embeddings int4 (one scale per 32 of a row), positions "
                       "int8"))
      << model["quantisation"];
  misuse({"--positions", "int3"});
}

TEST_F(Quantise, StrictTakesNothingElse) {
  run_ok(arguments({"--weights", "int8", "--strict"}));
  std::filesystem::remove(out());
  EXPECT_TRUE(contains(fail({"--weights", "int4", "--strict"}), "no whole pairs of groups of 32"));
  EXPECT_TRUE(contains(fail({"--strict", "--calibration", texts_, "--quantiser", "awq"}), "not scaled"));
  EXPECT_TRUE(contains(run_ok(arguments({"--weights", "int4"})), "note: layers.0.attn.qkv.w is i4zg32_n32k4"));
}

}  // namespace
}  // namespace onepass::test
