// onepass classify --on-long chunk: chunks in JSON, and options that need it.
#include "tests/cli/command.h"

namespace onepass::test {
namespace {

class LongTexts : public testing::Test {
 protected:
  Json classify(std::vector<std::string> more) {
    more.insert(more.begin(), {"classify", "-m", model_, "--json"});
    return json_lines(run_ok(more)).at(0);
  }

  std::string model_ = model_file("own_heads");
  std::string text_ = [] {
    std::string text;
    for (int i = 0; i < 30; ++i) text += "I love the happy dog. What a bad cat! ";
    return text;
  }();
};

TEST_F(LongTexts, ChunksInPlaceOfACut) {
  const Json cut = classify({text_});
  EXPECT_EQ(cut["truncated"], true);
  EXPECT_EQ(cut["tokens"], 48);
  const Json line = classify({"--on-long", "chunk", text_});
  EXPECT_EQ(keys_of(line), keys_of(cut));
  EXPECT_EQ(line["truncated"], false);
  EXPECT_GT(line["chunks"], 3);
  EXPECT_GT(line["tokens"], 300);
  EXPECT_EQ(classify({"--on-long", "chunk", "good"}), classify({"good"}));
}

TEST_F(LongTexts, ScoresOfChunks) {
  const Json line = classify({"--on-long", "chunk", "--chunk-scores", "--overlap", "0", text_});
  const Json& chunks = line["chunk_scores"];
  ASSERT_EQ(chunks.size(), line["chunks"]);
  EXPECT_EQ(line["bytes_read"], text_.size());
  EXPECT_EQ(line["text_tokens"], 30 * 11 + 2);
  for (size_t i = 0; i < chunks.size(); ++i) {
    const size_t begin = chunks[i]["begin"], end = chunks[i]["end"];
    const Json alone = classify({text_.substr(begin, end - begin)});
    EXPECT_EQ(alone["heads"], chunks[i]["heads"]) << i;
    EXPECT_EQ(alone["tokens"], chunks[i]["tokens"]);
    EXPECT_TRUE(text_[end - 1] == '.' || text_[end - 1] == '!' || end == text_.size());
  }
  const Json largest = classify({"--on-long", "chunk", "--chunk-aggregate", "max", text_});
  for (const auto& [label, score] : line["heads"]["mood"]["scores"].items()) {
    EXPECT_GE(largest["heads"]["mood"]["scores"][label].get<double>() + 1e-6, score.get<double>());
  }
  EXPECT_GT(classify({"--on-long", "chunk", "--max-tokens", "12", text_})["chunks"], line["chunks"]);
}

// Many batches through several sessions: the order of the input, and the same bytes; a line at fault ends it in its
// place.
TEST_F(LongTexts, WorkersKeepTheOrder) {
  TempFolder folder;
  std::string lines, ids;
  for (int i = 0; i < 500; ++i) {
    lines += std::string(i % 7 == 0 ? text_ : "good dog") + " " + std::to_string(i) + "\n";
    ids += i == 400 ? "2 30 999999 3\n" : "2 30 3\n";
  }
  folder.write("texts.txt", lines);
  folder.write("ids.txt", ids);
  const std::vector<std::string> serial = {"classify", "-m", model_, "--json", "-i", folder.path() / "texts.txt"};
  auto parallel = serial;
  parallel.insert(parallel.end(), {"--workers", "4", "--batch", "3"});
  EXPECT_EQ(run_ok(parallel), run_ok(serial));
  const Ran failed = run(
      {"classify", "-m", model_, "--json", "--ids", "-i", folder.path() / "ids.txt", "--workers", "4", "--batch", "3"});
  EXPECT_EQ(failed.status, 1);
  EXPECT_TRUE(contains(failed.err, "ids.txt line 401")) << failed.err;
  EXPECT_EQ(lines_of(failed.out).size(), 399u) << "the whole batches before it";
  EXPECT_EQ(run({"classify", "-m", model_, "--workers", "0", "good"}).status, 2);
}

TEST_F(LongTexts, OptionsThatNeedChunks) {
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{"--json", "--chunk-scores"},
                                             {"--overlap", "3"},
                                             {"--on-long", "error", "--overlap", "3"},
                                             {"--on-long", "chunky"}}) {
    std::vector<std::string> arguments = {"classify", "-m", model_, "good"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(run(arguments).status, 2) << more[0];
  }
  EXPECT_TRUE(
      contains(run_failing({"classify", "-m", model_, "--on-long", "chunk", "--overlap", "13", "good"}), "overlap"));
}

}  // namespace
}  // namespace onepass::test
