// The command line: help, usage errors, and files that are not what they should be.
#include "tests/cli/command.h"

namespace onepass::test {
namespace {

TEST(Usage, HelpOfEveryCommand) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> commands = {
      {"convert",
       {"--output", "--weights", "--embeddings", "--kind", "--labels", "--thresholds", "--pad-range", "--tokenizer",
        "--name", "--model-version", "--verify", "--min-agreement"}},
      {"inspect", {"--json", "--verify"}},
      {"classify",
       {"--model", "--input", "--json", "--logits", "--ids", "--threads", "--isa", "--batch", "--max-tokens",
        "--on-long"}},
      {"tokenize", {"--model", "--input", "--json"}},
      {"eval", {"--model", "--format", "--head", "--json"}},
  };
  const std::string all = run_ok({"--help"});
  for (const auto& [command, options] : commands) {
    EXPECT_TRUE(contains(all, command)) << command;
    const std::string help = run_ok({command, "--help"});
    for (const std::string& option : options) EXPECT_TRUE(contains(help, option)) << command << " " << option;
    EXPECT_EQ(run_ok({command, "-h"}), help);
  }
  EXPECT_EQ(run_ok({"--version"}), "0.1.0\n");
}

TEST(Usage, ErrorsExitWithTwo) {
  const std::string model = model_file("own_heads");
  const std::string source = fixture_path("bert/own_heads");
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"frobnicate"},
      {"--frobnicate"},
      {"convert"},
      {"convert", source},
      {"convert", source, "-o", "/nowhere/x", "--weights", "q3"},
      {"convert", source, "-o", "/nowhere/x", "--embeddings", "q3"},
      {"convert", source, "-o", "/nowhere/x", "--kind", "mood"},
      {"convert", source, "-o", "/nowhere/x", "--kind", "mood=tree"},
      {"convert", source, "-o", "/nowhere/x", "--pad-range", "1"},
      {"convert", source, "-o", "/nowhere/x", "--pad-range", "low,high"},
      {"convert", source, "-o", "/nowhere/x", "--min-agreement", "0.9"},
      {"convert", source, "-o", "/nowhere/x", "--verify", "texts", "--min-agreement", "2"},
      {"inspect"},
      {"inspect", model, "--isa", "scalar"},
      {"classify", "good"},
      {"classify", "-m", model},
      {"classify", "-m", model, "good", "-i", "-"},
      {"classify", "-m", model, "good", "--threads", "0"},
      {"classify", "-m", model, "good", "--threads", "two"},
      {"classify", "-m", model, "good", "--threads", "1025"},
      {"classify", "-m", model, "good", "--batch", "0"},
      {"classify", "-m", model, "good", "--on-long", "guess"},
      {"classify", "-m", model, "good", "--logits"},
      {"classify", "-m", model, "good", "--max-tokens", "-1"},
      {"tokenize", "-m", model},
      {"tokenize", "-m", model, "good", "-i", "-"},
      {"eval", "-m", model},
      {"eval", "-m", model, "data", "--format", "pdf"},
  };
  for (const auto& arguments : wrong) {
    const Ran ran = run(arguments);
    std::string line;
    for (const std::string& argument : arguments) line += " " + argument;
    EXPECT_EQ(ran.status, 2) << line;
    EXPECT_EQ(ran.out, "") << line;
    EXPECT_NE(ran.err, "") << line;
  }
}

class Files : public testing::Test {
 protected:
  // Every command that opens a model.
  std::vector<std::vector<std::string>> readers(const std::string& model) {
    folder_.write("data.tsv", std::string("good\tmood 1\n"));
    return {{"classify", "-m", model, "good"},
            {"classify", "-m", model, "good", "--json", "--copy"},
            {"tokenize", "-m", model, "good"},
            {"eval", "-m", model, folder_.path() / "data.tsv"},
            {"inspect", model, "--verify"}};
  }
  TempFolder folder_;
};

TEST_F(Files, AMissingModel) {
  for (auto arguments : readers("/nowhere/m.onepass")) {
    const std::string line = run_failing(arguments);
    EXPECT_TRUE(contains(line, "/nowhere/m.onepass") && contains(line, "No such file")) << line;
  }
  EXPECT_TRUE(contains(run_failing({"inspect", "/nowhere/m.onepass"}), "No such file"));
}

TEST_F(Files, WhatIsNoModel) {
  folder_.write("empty", std::string());
  folder_.write("text", std::string(10000, 'x'));
  for (const char* name : {"empty", "text", "."}) {
    for (const auto& arguments : readers(folder_.path() / name)) run_failing(arguments);
    run_failing({"inspect", folder_.path() / name, "--json"});
  }
}

TEST_F(Files, ADamagedModel) {
  std::string bytes = read_file(model_file("own_heads"));
  folder_.write("short.onepass", bytes.substr(0, bytes.size() - 1));
  for (const auto& arguments : readers(folder_.path() / "short.onepass")) run_failing(arguments);
  run_failing({"inspect", folder_.path() / "short.onepass"});
  // A weight: only hashes see it, and inspect can still show the rest.
  bytes[bytes.size() - 70] ^= 4;
  folder_.write("flipped.onepass", bytes);
  const std::string flipped = folder_.path() / "flipped.onepass";
  for (const auto& arguments : readers(flipped)) {
    const std::string line = run_failing(arguments);
    EXPECT_TRUE(contains(line, "flipped.onepass") && contains(line, "hash_mismatch") && contains(line, "head")) << line;
  }
  EXPECT_TRUE(contains(run_ok({"inspect", flipped}), "own_heads"));
  run_ok({"classify", "-m", flipped, "good", "--skip-verify"});
}

TEST_F(Files, OneLineWhateverTheName) {
  for (const std::string name : {"/nowhere/a\nb", "/nowhere/\x1B[31mred", "/nowhere/\xFF\xFE"}) {
    for (const auto& arguments : readers(name)) {
      const std::string line = run_failing(arguments);
      EXPECT_FALSE(contains(line, "\x1B")) << "it steers the terminal";
    }
  }
}

TEST_F(Files, TextsThatCannotBeRead) {
  const std::string model = model_file("own_heads");
  for (const std::string& input : {std::string("/nowhere/texts.txt"), std::string(folder_.path())}) {
    for (const std::string command : {"classify", "tokenize"}) {
      EXPECT_TRUE(contains(run_failing({command, "-m", model, "-i", input}), input));
    }
  }
  EXPECT_TRUE(contains(run_failing({"eval", "-m", model, "/nowhere/data.tsv"}), "data.tsv"));
}

TEST_F(Files, AFullDiskIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  std::string many;
  for (int i = 0; i < 300; ++i) many += "good dog\n";
  for (const std::string& input : {std::string("good\n"), many}) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"classify", "-m", model_file("own_heads"), "-i", "-", "--json"},
          std::vector<std::string>{"tokenize", "-m", model_file("own_heads"), "-i", "-"}}) {
      const std::string line = run_failing(arguments, {.input = input, .out = "/dev/full"});
      EXPECT_TRUE(contains(line, "No space left")) << line;
    }
  }
}

TEST_F(Files, LevelsThatAreNotThere) {
  const std::string model = model_file("own_heads");
#if defined(__x86_64__)
  const std::string missing = "neon", level = "scalar";
#else
  const std::string missing = "avx2", level = "scalar";
#endif
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"classify", "-m", model, "good"}, {"inspect", model, "--verify"}}) {
    auto with = [&](const std::string& isa) {
      auto arguments = command;
      arguments.insert(arguments.end(), {"--isa", isa});
      return arguments;
    };
    EXPECT_TRUE(contains(run_failing(with(missing)), "isa_unavailable"));
    EXPECT_TRUE(contains(run_failing(with("sse9")), "levels are scalar"));
    run_ok(with(level));
  }
}

}  // namespace
}  // namespace onepass::test
