// onepass.hpp: owners, spans and values over the C API, with exceptions.
#include <onepass/onepass.hpp>

#include <cstring>
#include <type_traits>

#include "tests/api/handles.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

static_assert(std::is_copy_constructible_v<Model> && std::is_nothrow_move_constructible_v<Model>);
static_assert(!std::is_copy_constructible_v<Session> && std::is_move_constructible_v<Session>);
static_assert(std::is_copy_constructible_v<Classification>);

Model open_model(const std::string& name = "own_heads") {
  onepass_model_options options = ONEPASS_INIT(onepass_model_options);
  options.copy = 1;
  return Model::from_memory(std::as_bytes(std::span(bytes_of(name))), options).value();
}

TEST(Cpp, AModelDescribesItself) {
  const Model model = open_model();
  EXPECT_EQ(detail::view(model.info().model_id), "own_heads");
  ASSERT_EQ(model.heads().size(), 2u);
  const Head& mood = model.heads()[0];
  const Head& pad = model.heads()[1];
  EXPECT_EQ(mood.name, "mood");
  EXPECT_EQ(mood.kind, ONEPASS_MULTI_LABEL);
  EXPECT_EQ(mood.index, 0u);
  EXPECT_EQ(mood.first_class, 0u);
  ASSERT_EQ(mood.labels.size(), 9u);
  EXPECT_EQ(mood.labels[8], "mood 8");
  ASSERT_EQ(mood.thresholds.size(), 9u);
  EXPECT_FLOAT_EQ(mood.thresholds[8], 0.85f);
  EXPECT_EQ(mood.temperature, 1.25f);
  EXPECT_EQ(pad.name, "pad");
  EXPECT_EQ(pad.first_class, 9u);
  EXPECT_TRUE(pad.thresholds.empty());
  EXPECT_EQ(pad.range_low, -1.0f);
  EXPECT_EQ(pad.range_high, 1.0f);
  EXPECT_EQ(model.piece(2), "[CLS]");
  EXPECT_EQ(model.piece(104), "");
  EXPECT_FALSE(model.verify());
  const auto failure = model.verify("sse9");
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->status, kInvalidArgument);
}

TEST(Cpp, ClassifyEqualsTheCApi) {
  const ModelPtr c_model = open_fixture();
  const SessionPtr c_session = open_session(c_model);
  const Answer gold = classify(c_model, c_session, sample_texts());
  Session session = Session::open(open_model()).value();
  EXPECT_STREQ(session.isa(), onepass_best_isa());
  const std::vector<std::string_view> texts(sample_texts().begin(), sample_texts().end());
  const auto all = session.classify(texts).value();
  ASSERT_EQ(all.size(), texts.size());
  for (size_t b = 0; b < all.size(); ++b) {
    const Classification& c = all[b];
    EXPECT_EQ(c.tokens(), gold.results[b].tokens);
    EXPECT_EQ(c.truncated(), false);
    EXPECT_EQ(c.confidence(), gold.results[b].confidence);
    ASSERT_EQ(c.scores().size(), 12u);
    ASSERT_EQ(c.logits().size(), 12u);
    EXPECT_EQ(std::memcmp(c.scores().data(), gold.scores.data() + b * 12, 48), 0);
    EXPECT_EQ(std::memcmp(c.logits().data(), gold.logits.data() + b * 12, 48), 0);
    const Classification one = session.classify(texts[b]).value();
    EXPECT_EQ(std::memcmp(c.logits().data(), one.logits().data(), 48), 0);
  }
}

TEST(Cpp, LabelsAreTheOnesThatApply) {
  Session session = Session::open(open_model()).value();
  size_t applying = 0;
  for (const std::string& text : sample_texts()) {
    const Classification c = session.classify(text).value();
    const auto scores = c.scores("mood");
    ASSERT_EQ(scores.size(), 9u);
    std::vector<std::string_view> expected;
    for (size_t i = 0; i < 9; ++i) {
      EXPECT_EQ(scores[i].name, "mood " + std::to_string(i));
      EXPECT_EQ(scores[i].score, c.scores()[i]);
      EXPECT_EQ(scores[i].applies, scores[i].score >= c.model().heads()[0].thresholds[i]);
      if (scores[i].applies) expected.push_back(scores[i].name);
    }
    std::vector<std::string_view> labels;
    for (const Label& label : c.labels("mood")) labels.push_back(label.name);
    EXPECT_EQ(labels, expected);
    applying += labels.size();
    EXPECT_EQ(c.scores("pad").size(), 3u);
    EXPECT_EQ(c.scores("pad")[1].score, c.scores()[10]);
    EXPECT_TRUE(c.labels("pad").empty());
    EXPECT_TRUE(c.scores("no such head").empty());
  }
  EXPECT_GT(applying, 0u);
}

TEST(Cpp, OneLabelOfASingleLabelHead) {
  Session session = Session::open(open_model("own_heads_mean")).value();
  for (const std::string& text : sample_texts()) {
    const Classification c = session.classify(text).value();
    const auto labels = c.labels("b");
    ASSERT_EQ(labels.size(), 1u);
    for (const Label& label : c.scores("b")) EXPECT_LE(label.score, labels[0].score);
    EXPECT_EQ(labels[0].score, c.confidence());
  }
}

TEST(Cpp, NamesOutliveEverythingButTheClassification) {
  Classification kept = [] {
    const Model model = open_model();
    Session session = Session::open(model).value();
    return session.classify("good").value();
  }();
  const Classification copy = kept;
  EXPECT_EQ(copy.scores("mood")[3].name, "mood 3");
}

TEST(Cpp, HandlesMove) {
  Model model = open_model();
  Model copy = model;
  EXPECT_EQ(copy.get(), model.get());
  Session session = Session::open(model).value();
  Session moved = std::move(session);
  EXPECT_TRUE(moved.classify("good"));
  // The session that is replaced closes before its model does.
  moved = Session::open(open_model("own_heads_mean")).value();
  EXPECT_EQ(moved.model().info().class_count, 4u);
  EXPECT_EQ(moved.classify("good").value().scores().size(), 4u);
}

TEST(Cpp, RunIdsAndTokenize) {
  Session session = Session::open(open_model()).value();
  const auto tokens = session.tokenize("I love the dog").value();
  ASSERT_EQ(tokens.size(), 6u);
  EXPECT_EQ(session.model().piece(tokens[2].id), "love");
  EXPECT_EQ(tokens[2].begin, 2u);
  EXPECT_EQ(tokens[2].end, 6u);
  std::vector<uint32_t> ids;
  for (const onepass_token& token : tokens) ids.push_back(token.id);
  const std::vector<uint32_t> starts = {0, 6};
  const auto logits = session.run_ids(ids, starts).value();
  const auto c = session.classify("I love the dog").value();
  EXPECT_EQ(std::vector<float>(c.logits().begin(), c.logits().end()), logits);
  EXPECT_TRUE(session.run_ids({}, {}).value().empty());
  EXPECT_TRUE(session.classify(std::span<const std::string_view>()).value().empty());
}

TEST(Cpp, FailuresAreValues) {
  const auto missing = Model::open("/nowhere/m.onepass");
  ASSERT_FALSE(missing);
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().status, kIoError);
  EXPECT_EQ(missing.error().where, "/nowhere/m.onepass");
  EXPECT_EQ(missing.error().text().find("io_error: /nowhere/m.onepass: cannot open the file"), 0u);
  Session session = Session::open(open_model()).value();
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  options.on_long = ONEPASS_LONG_ERROR;
  const std::string long_text(400, '!');
  EXPECT_EQ(session.classify(long_text, options).error().status, kTextTooLong);
  EXPECT_EQ(session.tokenize(long_text, options).error().status, kTextTooLong);
  const std::vector<uint32_t> ids = {1000}, starts = {0, 1};
  EXPECT_EQ(session.run_ids(ids, starts).error().status, kInvalidArgument);
  onepass_session_options levels = ONEPASS_INIT(onepass_session_options);
  levels.isa = "sse9";
  EXPECT_EQ(Session::open(open_model(), levels).error().where, "sse9");
  EXPECT_EQ(Model::from_memory({}).error().status, kInvalidArgument);
}

TEST(Cpp, ValueOfAFailureThrows) {
  try {
    Model::open("/nowhere/m.onepass").value();
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::strstr(error.what(), "/nowhere/m.onepass"), nullptr);
  }
}

TEST(Cpp, ExpectedIsReadableWhereItIsConst) {
  const Expected<int> seven = 7;
  EXPECT_EQ(*seven, 7);
  EXPECT_EQ(seven.value(), 7);
  const Expected<std::string> text = std::string("abc");
  EXPECT_EQ(text->size(), 3u);
}

}  // namespace
}  // namespace onepass::test
