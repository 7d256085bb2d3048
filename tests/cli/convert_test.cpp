// onepass convert and onepass inspect: what is asked for is what the file holds, and a failure leaves no file.
#include <unistd.h>
#include <onepass/onepass.hpp>

#include <cmath>
#include <csignal>

#include "tests/cli/command.h"

namespace onepass::test {
namespace {

class Convert : public testing::Test {
 protected:
  std::string out() const { return folder_.path() / "out" / "m.onepass"; }
  std::vector<std::string> arguments(const std::string& name, const std::vector<std::string>& more) const {
    std::vector<std::string> all = {"convert", fixture_path("bert/" + name), "-o", out()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // Converts, and gives what inspect says of the file.
  Json convert(const std::string& name, const std::vector<std::string>& more) {
    report_ = run_ok(arguments(name, more));
    return Json::parse(run_ok({"inspect", out(), "--json"}));
  }
  // Fails, and leaves the folder as it was.
  std::string fail(const std::string& name, const std::vector<std::string>& more) {
    const std::string line = run_failing(arguments(name, more));
    expect_nothing_left();
    return line;
  }
  void expect_nothing_left() {
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path() / "out"))
        << std::filesystem::directory_iterator(folder_.path() / "out")->path();
  }
  std::string file(const std::string& name, const std::string& text) {
    folder_.write(name, text);
    return folder_.path() / name;
  }
  void SetUp() override { std::filesystem::create_directory(folder_.path() / "out"); }

  TempFolder folder_;
  std::string report_;
};

// dtype by what a tensor is for.
std::string dtype_of(const Json& model, const std::string& part) {
  std::string found;
  for (const Json& tensor : model["tensors"]) {
    const std::string name = tensor["name"];
    if (!contains(name, part)) continue;
    if (!found.empty() && found != tensor["dtype"]) return "several";
    found = tensor["dtype"];
  }
  return found;
}

TEST_F(Convert, Weights) {
  struct Case {
    std::vector<std::string> arguments;
    std::string products, tables;
  };
  std::vector<double> sizes;
  for (const Case& c : std::vector<Case>{{{"--weights", "f32"}, "f32", "f32"},
                                         {{"--weights", "f16"}, "f16", "f16"},
                                         {{"--weights", "int8"}, "i8", "i8"},
                                         {{}, "i8", "i8"},
                                         {{"--weights", "int8", "--embeddings", "f16"}, "i8", "f16"},
                                         {{"--weights", "f32", "--embeddings", "int8"}, "f32", "i8"}}) {
    const Json model = convert("own_heads", c.arguments);
    EXPECT_EQ(dtype_of(model, "qkv.w"), c.products);
    EXPECT_EQ(dtype_of(model, "ffn.up.w"), c.products);
    EXPECT_EQ(dtype_of(model, "embed.token"), c.tables);
    EXPECT_EQ(dtype_of(model, "norm"), "f32");
    double bits = 0, parameters = 0;
    for (const Json& tensor : model["tensors"]) {
      double count = 1;
      for (const Json& dimension : tensor["shape"]) count *= dimension.get<double>();
      parameters += count;
      bits += 8 * tensor["bytes"].get<double>();
    }
    EXPECT_NEAR(model["bits_per_weight"].get<double>(), bits / parameters, 1e-4 * bits / parameters);
    EXPECT_EQ(model["file_size"], std::filesystem::file_size(out()));
    EXPECT_TRUE(contains(report_, std::to_string(std::filesystem::file_size(out())) + " bytes")) << report_;
    EXPECT_TRUE(contains(report_, "bits per weight")) << report_;
    for (const Json& tensor : model["tensors"]) EXPECT_TRUE(contains(report_, tensor["name"])) << tensor["name"];
    sizes.push_back(bits);
  }
  EXPECT_LT(sizes[2], sizes[1]);
  EXPECT_LT(sizes[1], sizes[0]);
}

TEST_F(Convert, IsTheSameEveryTime) {
  run_ok(arguments("own_heads", {}));
  const std::string first = read_file(out());
  run_ok(arguments("own_heads", {}));
  EXPECT_EQ(read_file(out()), first) << "and replaces the file that was there";
  EXPECT_EQ(read_file(model_file("own_heads")), first);
}

TEST_F(Convert, Kind) {
  Json model = convert("two_classes", {});
  EXPECT_EQ(model["heads"][0]["kind"], "single_label");
  EXPECT_FALSE(model["heads"][0].contains("thresholds"));
  model = convert("two_classes", {"--kind", "classifier=multi_label"});
  EXPECT_EQ(model["heads"][0]["kind"], "multi_label");
  EXPECT_EQ(model["heads"][0]["thresholds"], (Json{0.5, 0.5}));
  model = convert("two_classes", {"--kind", "classifier=regression"});
  EXPECT_EQ(model["heads"][0]["kind"], "regression");
  model = convert("own_heads", {"--kind", "mood=single_label", "--kind", "pad=multi_label"});
  EXPECT_EQ(model["heads"][0]["kind"], "single_label");
  EXPECT_EQ(model["heads"][1]["kind"], "multi_label");
  std::filesystem::remove(out());
  EXPECT_TRUE(contains(fail("two_classes", {"--kind", "mood=multi_label"}), "no head \"mood\""));
}

TEST_F(Convert, Labels) {
  const Json model = convert("two_classes", {"--labels", file("labels", "calm\r\nst\xC3\xBCrmisch\n")});
  EXPECT_EQ(model["heads"][0]["labels"], (Json{"calm", "st\xC3\xBCrmisch"}));
  std::filesystem::remove(out());
  EXPECT_TRUE(contains(fail("two_classes", {"--labels", file("one", "calm\n")}), "1 labels for 2 classes"));
  EXPECT_TRUE(contains(fail("two_classes", {"--labels", file("twice", "calm\ncalm\n")}),
                       "twice: line 2: the label 'calm' occurs twice"));
  EXPECT_TRUE(contains(fail("two_classes", {"--labels", file("gap", "calm\n\nwild\n")}), "gap: line 2: a label is"));
  EXPECT_TRUE(contains(fail("two_classes", {"--labels", file("bytes", "calm\nwi\xFFld\n")}), "bytes: line 2: a label"));
  EXPECT_TRUE(contains(fail("two_classes", {"--labels", file("long", std::string(256, 'x') + "\nwild\n")}), "line 1"));
  EXPECT_TRUE(contains(fail("two_classes", {"--labels", file("empty", "")}), "no lines"));
  EXPECT_TRUE(contains(fail("two_classes", {"--labels", "/nowhere/labels"}), "/nowhere/labels"));
  EXPECT_TRUE(contains(fail("own_heads", {"--labels", file("labels", "calm\nwild\n")}), "one head"));
  fail("two_classes", {"--labels", folder_.path()});
}

TEST_F(Convert, Thresholds) {
  const Json model = convert("multi_label", {"--thresholds", file("t", "0.1\n0.2\n0.3\n0.4\n0.5\n")});
  ASSERT_EQ(model["heads"][0]["thresholds"].size(), 5u);
  EXPECT_NEAR(model["heads"][0]["thresholds"][1].get<double>(), 0.2, 1e-7);
  std::filesystem::remove(out());
  EXPECT_TRUE(contains(fail("multi_label", {"--thresholds", file("four", "0.1\n0.2\n0.3\n0.4\n")}), "4 thresholds"));
  EXPECT_TRUE(contains(fail("multi_label", {"--thresholds", file("high", "0.1\n2\n0.3\n0.4\n0.5\n")}),
                       "high: line 2: a threshold"));
  EXPECT_TRUE(
      contains(fail("multi_label", {"--thresholds", file("gap", "0.1\n\n0.3\n0.4\n0.5\n")}), "gap: line 2: ''"));
  EXPECT_TRUE(contains(fail("multi_label", {"--thresholds", file("word", "half\n")}), "not a number"));
  EXPECT_TRUE(
      contains(fail("multi_label", {"--thresholds", file("nan", "0.5\nnan\n")}), "line 2: 'nan' is not a number"));
  // Beside a head of values it is still clear whose they are.
  const Json heads =
      convert("own_heads", {"--thresholds", file("nine", "0.1\n0.2\n0.3\n0.4\n0.5\n0.6\n0.7\n0.8\n0.9\n")});
  EXPECT_NEAR(heads["heads"][0]["thresholds"][8].get<double>(), 0.9, 1e-7);
  std::filesystem::remove(out());
  EXPECT_TRUE(contains(fail("two_classes", {"--thresholds", file("two", "0.1\n0.2\n")}), "multi_label"))
      << "a single_label head has none, and says so";
}

TEST_F(Convert, PadRange) {
  Json model = convert("own_heads", {});
  EXPECT_EQ(model["heads"][1]["range"], (Json{-1, 1}));
  EXPECT_FALSE(model["heads"][0].contains("range"));
  model = convert("own_heads", {"--pad-range", "-2.5,4"});
  EXPECT_EQ(model["heads"][1]["range"], (Json{-2.5, 4}));
  std::filesystem::remove(out());
  EXPECT_TRUE(contains(fail("own_heads", {"--pad-range", "1,-1"}), "ascending"));
  EXPECT_TRUE(contains(fail("own_heads", {"--pad-range", "1,1"}), "ascending"));
  EXPECT_TRUE(contains(fail("two_classes", {"--pad-range", "-1,1"}), "no regression head"));
}

TEST_F(Convert, NameVersionAndLicence) {
  Json model = convert("own_heads", {});
  EXPECT_EQ(model["model_id"], "own_heads");
  EXPECT_EQ(model["model_version"], "7");
  EXPECT_EQ(model["licence"], "none");
  EXPECT_EQ(model["converter"], "onepass 0.1.0");
  model = convert("own_heads", {"--name", "acme/mood", "--model-version", "2026-01"});
  EXPECT_EQ(model["model_id"], "acme/mood");
  EXPECT_EQ(model["model_version"], "2026-01");
  // Without a name in the source: the folder's, however it is written.
  report_ = run_ok({"convert", fixture_path("bert/two_classes").string() + "/", "-o", out()});
  EXPECT_EQ(Json::parse(run_ok({"inspect", out(), "--json"}))["model_id"], "two_classes");
}

TEST_F(Convert, Tokenizer) {
  const Json model = convert("two_classes", {"--tokenizer", fixture_path("bert/odd_width_relu")});
  const std::string own = run_ok({"tokenize", "-m", model_file("two_classes"), "Good"});
  const std::string other = run_ok({"tokenize", "-m", out(), "Good"});
  const std::string source = run_ok({"tokenize", "-m", model_file("odd_width_relu"), "Good"});
  EXPECT_EQ(other, source);
  std::filesystem::remove(out());
  fail("two_classes", {"--tokenizer", "/nowhere"});
  (void)own;
}

TEST_F(Convert, Verify) {
  const std::string texts = file("texts", "good dog\nbad cat\n\nI love you\n");
  convert("own_heads", {"--weights", "int8", "--verify", texts});
  EXPECT_TRUE(contains(report_, "against f32 on 4 texts")) << report_;
  EXPECT_TRUE(contains(report_, "head mood: the same labels on")) << report_;
  EXPECT_TRUE(contains(report_, "head pad: values differ by")) << report_;
  EXPECT_TRUE(contains(report_, "\n    embed  ")) << report_;
  EXPECT_TRUE(contains(report_, "\n    layers.1  ")) << report_;
  EXPECT_TRUE(contains(report_, "texts that differ most, counted from 0: ")) << report_;
  convert("own_heads", {"--weights", "f32", "--verify", texts, "--min-agreement", "1"});
  EXPECT_TRUE(contains(report_, "logits differ by 0.000000 at most")) << report_;
  EXPECT_TRUE(contains(report_, "same labels on 100.000 %")) << report_;
  std::filesystem::remove(out());
  EXPECT_TRUE(contains(fail("own_heads", {"--verify", file("none", "")}), "no texts"));
  EXPECT_TRUE(contains(fail("own_heads", {"--verify", "/nowhere/texts"}), "/nowhere/texts"));
}

TEST_F(Convert, MinAgreement) {
  // A threshold between what f32 and int8 say of a text: their labels differ.
  const std::string text = "I love the happy dog";
  const auto score = [&](const std::string& weights) {
    const Json line = Json::parse(run_ok({"classify", "-m", model_file("multi_label", weights), "--json", text}));
    return line["heads"]["classifier"]["scores"]["label 0"].get<double>();
  };
  const double f32 = score("f32"), int8 = score("int8");
  ASSERT_NE(f32, int8);
  char thresholds[128];
  std::snprintf(thresholds, sizeof(thresholds), "%.9g\n0\n0\n0\n0\n", (f32 + int8) / 2);
  const std::string texts = file("texts", text + "\n");
  std::vector<std::string> with = {"--thresholds", file("t", thresholds), "--verify", texts, "--min-agreement", "0.5"};
  const Ran ran = run(arguments("multi_label", with));
  EXPECT_EQ(ran.status, 1);
  EXPECT_TRUE(contains(ran.err, "onepass: the conversion is not good enough: classifier")) << ran.err;
  EXPECT_TRUE(contains(ran.err, "where --min-agreement asks for 50.000")) << ran.err;
  EXPECT_EQ(lines_of(ran.err).size(), 1u);
  expect_nothing_left();
  with.back() = "0";
  run_ok(arguments("multi_label", with));
  EXPECT_TRUE(std::filesystem::exists(out()));
}

TEST_F(Convert, TrimVocabulary) {
  const std::string texts = file("texts", "good dog\nI love you\n"), ids = folder_.path() / "kept.ids";
  const Json model = convert("own_heads", {"--trim-vocabulary", texts, "--save-vocabulary", ids, "--verify",
                                           file("others", "good dog\nthe happy cat\n")});
  EXPECT_LT(model["vocabulary"], 104);
  const std::string kept = std::to_string(model["vocabulary"].get<int>());
  EXPECT_TRUE(contains(report_, "note: vocabulary: " + kept + " of 104 tokens stay")) << report_;
  EXPECT_TRUE(contains(report_, "other tokens than before in 1 texts (50.00 %)")) << report_;
  EXPECT_EQ(std::to_string(lines_of(read_file(ids)).size()), kept);
  const std::string first = read_file(out());
  convert("own_heads", {"--trim-vocabulary", ids});
  EXPECT_EQ(read_file(out()), first);
  const Json whole =
      json_lines(run_ok({"classify", "-m", model_file("own_heads"), "--json", "--logits", "I love you"}))[0];
  const Json small = json_lines(run_ok({"classify", "-m", out(), "--json", "--logits", "I love you"}))[0];
  EXPECT_EQ(whole, small);
  const Json by_effect =
      convert("own_heads", {"--trim-vocabulary", texts, "--max-vocabulary", kept, "--trim-by", "effect"});
  EXPECT_EQ(by_effect["vocabulary"], model["vocabulary"]);
  EXPECT_EQ(read_file(out()), first) << "there is room for all";
  std::filesystem::remove(out());
  EXPECT_TRUE(contains(fail("own_heads", {"--trim-vocabulary", file("none", "")}), "no texts"));
  EXPECT_TRUE(contains(fail("own_heads", {"--trim-vocabulary", "/nowhere/texts"}), "/nowhere/texts"));
  EXPECT_TRUE(contains(fail("own_heads", {"--trim-vocabulary", file("bad.ids", "1\nx\n")}), "line 2"));
  EXPECT_TRUE(contains(fail("own_heads", {"--trim-vocabulary", file("big.ids", "104\n")}), "token 104 of 104"));
  EXPECT_TRUE(
      contains(fail("own_heads", {"--trim-vocabulary", texts, "--max-vocabulary", "5"}), "5 tokens are too few"));
  EXPECT_EQ(run(arguments("own_heads", {"--max-vocabulary", "90"})).status, 2);
  EXPECT_EQ(run(arguments("own_heads", {"--trim-vocabulary", texts, "--trim-by", "effect"})).status, 2);
  EXPECT_TRUE(contains(fail("tokens", {"--trim-vocabulary", texts, "--max-vocabulary", "95", "--trim-by", "effect"}),
                       "use frequency"));
  expect_nothing_left();
}

TEST_F(Convert, PackedCheckpointsStayAsTheyAre) {
  const std::string tokenizer = fixture_path("packed/tokenizer");
  const std::string report =
      run_ok({"convert", fixture_path("packed/gptq_sym_32"), "--tokenizer", tokenizer, "-o", out()});
  EXPECT_TRUE(contains(report, "from GPTQ of 4 bits, without loss")) << report;
  EXPECT_EQ(dtype_of(Json::parse(run_ok({"inspect", out(), "--json", "--verify"})), "qkv.w"), "i4");
  const std::string asked = run_ok(
      {"convert", fixture_path("packed/gptq_sym_32"), "--tokenizer", tokenizer, "-o", out(), "--weights", "int8"});
  EXPECT_TRUE(contains(asked, "from GPTQ of 4 bits, quantised again")) << asked;
}

TEST_F(Convert, SourcesThatAreNone) {
  EXPECT_TRUE(contains(fail("no_such_model", {}), "not a folder"));
  const auto broken = folder_.path() / "broken";
  const auto copy = [&] {
    std::filesystem::remove_all(broken);
    std::filesystem::copy(fixture_path("bert/two_classes"), broken);
  };
  const auto convert_broken = [&] {
    const std::string line = run_failing({"convert", broken, "-o", out()});
    expect_nothing_left();
    return line;
  };
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    copy();
    std::filesystem::remove(broken / name);
    convert_broken();
    copy();
    std::filesystem::resize_file(broken / name, std::filesystem::file_size(broken / name) / 2);
    EXPECT_TRUE(contains(convert_broken(), std::string(name).substr(0, 5))) << name;
  }
  copy();
  std::string config = read_file(broken / "config.json");
  config.replace(config.find("\"hidden_size\": 24"), 17, "\"hidden_size\": 48");
  folder_.write("broken/config.json", config);
  EXPECT_TRUE(contains(convert_broken(), "bad_shape"));
}

TEST_F(Convert, TargetsThatCannotBeWritten) {
  EXPECT_TRUE(contains(run_failing({"convert", fixture_path("bert/two_classes"), "-o", "/nowhere/m.onepass"}),
                       "/nowhere/m.onepass"));
  EXPECT_TRUE(contains(run_failing({"convert", fixture_path("bert/two_classes"), "-o", folder_.path() / "out"}),
                       "not a regular file"));
  expect_nothing_left();
}

// A disk quota in the middle of the file: as an error of write, and as a signal that ends the process.
TEST_F(Convert, InterruptedInTheMiddle) {
  run_failing(arguments("own_heads", {}), {.largest_file = 20000, .survive_limit = true});
  expect_nothing_left();
  const Ran killed = run(arguments("own_heads", {}), {.largest_file = 20000});
  EXPECT_EQ(killed.status, 128 + SIGXFSZ);
  expect_nothing_left();
  // A file that is there stays what it is.
  run_ok(arguments("two_classes", {}));
  const std::string before = read_file(out());
  run_failing(arguments("own_heads", {}), {.largest_file = 20000, .survive_limit = true});
  EXPECT_EQ(read_file(out()), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path() / "out"), {}), 1);
}

TEST_F(Convert, Inspect) {
  const Json model = convert("own_heads", {});
  EXPECT_EQ(keys_of(model),
            (std::vector<std::string>{"format_version", "file_size", "root_hash", "model_id", "model_version", "family",
                                      "licence", "source_hash", "quantisation", "converter", "bits_per_weight",
                                      "config", "heads", "tensors", "vocabulary", "self_tests", "verified"}));
  const std::string bytes = read_file(out());
  std::string root;
  for (size_t i = 32; i < 64; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned>(static_cast<unsigned char>(bytes[i])));
    root += digits;
  }
  EXPECT_EQ(model["root_hash"], root);
  EXPECT_EQ(model["family"], "bert");
  EXPECT_EQ(model["config"]["layers"], 2);
  EXPECT_EQ(model["config"]["width"], 32);
  EXPECT_EQ(model["vocabulary"], 104);
  EXPECT_GE(model["self_tests"].get<int>(), 4);
  EXPECT_EQ(model["verified"], false);
  EXPECT_EQ(keys_of(model["heads"][0]),
            (std::vector<std::string>{"name", "kind", "temperature", "labels", "thresholds"}));
  EXPECT_EQ(keys_of(model["heads"][1]), (std::vector<std::string>{"name", "kind", "temperature", "range", "labels"}));
  uint64_t end = 0;
  for (const Json& tensor : model["tensors"]) {
    EXPECT_EQ(keys_of(tensor),
              (std::vector<std::string>{"name", "dtype", "layout", "shape", "offset", "bytes", "sha256"}));
    EXPECT_GE(tensor["offset"].get<uint64_t>(), end);
    end = tensor["offset"].get<uint64_t>() + tensor["bytes"].get<uint64_t>();
    EXPECT_EQ(tensor["sha256"].get<std::string>().size(), 64u);
  }
  EXPECT_EQ(end, bytes.size());
  EXPECT_EQ(Json::parse(run_ok({"inspect", out(), "--json", "--verify"}))["verified"], true);
  const std::string text = run_ok({"inspect", out(), "--verify"});
  for (const char* part :
       {"own_heads", "head mood: multi_label", "head pad: regression", "mood 8", "verified", "qkv"}) {
    EXPECT_TRUE(contains(text, part)) << part;
  }
  EXPECT_FALSE(contains(run_ok({"inspect", out()}), "verified"));
}

TEST_F(Convert, VerifySeesAWrongSelfTest) {
  folder_.write("wrong.onepass", fixture_model_with_wrong_self_test("bert/own_heads"));
  const std::string line = run_failing({"inspect", folder_.path() / "wrong.onepass", "--verify"});
  EXPECT_TRUE(contains(line, "self_test_failed")) << line;
  run_ok({"inspect", folder_.path() / "wrong.onepass"});
}

}  // namespace
}  // namespace onepass::test
