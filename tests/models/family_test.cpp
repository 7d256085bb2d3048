// Every family against the reference implementation: every fixture checkpoint, converted and run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>

#include "engine/core/sha256.h"
#include "engine/runtime/model.h"
#include "engine/runtime/session.h"
#include "models/family.h"
#include "tests/models/expected.h"
#include "tests/support/near.h"
#include "tests/support/together.h"
#include "tools/convert/convert.h"

namespace onepass::test {
namespace {

using convert::WeightType;
using kernels::Isa;

std::vector<std::string> folders(const std::filesystem::path& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A family's fixtures are a folder of checkpoints with their tokenizers (those of other tests share one).
std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const std::string& name : folders(fixtures())) {
    const auto inner = folders(fixtures() / name);
    if (inner.empty()) continue;
    const std::filesystem::path first = fixtures() / name / inner[0];
    if (std::filesystem::exists(first / "config.json") &&
        (std::filesystem::exists(first / "tokenizer.json") || std::filesystem::exists(first / "vocab.txt"))) {
      names.push_back(name);
    }
  }
  return names;
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const std::string& family : families()) {
    for (const std::string& name : folders(fixtures() / family)) names.push_back(family + "/" + name);
  }
  return names;
}

// Its place among the checkpoints of its family.
size_t number_in_family(const std::string& name) {
  const size_t slash = name.find('/');
  const std::vector<std::string> names = folders(fixtures() / name.substr(0, slash));
  return static_cast<size_t>(std::find(names.begin(), names.end(), name.substr(slash + 1)) - names.begin());
}

// Where a pass takes a hundred times as long as in an app (an emulator, a race detector), one checkpoint a family.
std::vector<std::string> affordable_cases() {
  std::vector<std::string> names = cases();
  const char* share = std::getenv("ONEPASS_FIXTURE_SHARE");
  if (share == nullptr) return names;
  if (std::string_view(share) != "first") throw std::runtime_error("ONEPASS_FIXTURE_SHARE is not \"first\"");
  std::erase_if(names, [](const std::string& name) { return number_in_family(name) != 0; });
  return names;
}

Model convert_case(const std::string& name, WeightType weights, std::optional<AttentionType> attention = {}) {
  auto content =
      convert::convert_folder({.source = fixtures() / name, .weights = weights, .attention = attention}, nullptr);
  if (!content.ok()) throw std::runtime_error(name + ": " + content.error().where + ": " + content.error().message);
  auto bytes = serialize_model(content.value());
  if (!bytes.ok()) throw std::runtime_error(name + ": " + bytes.error().message);
  auto model = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
  if (!model.ok()) throw std::runtime_error(name + ": " + model.error().where + ": " + model.error().message);
  return std::move(model).value();
}

Session open_session(const Model& model, Isa isa = kernels::best_isa(), Executor executor = {}) {
  auto session = Session::create(model, {.isa = isa, .executor = executor});
  if (!session.ok()) throw std::runtime_error(session.error().message);
  return std::move(session).value();
}

std::vector<float> run(Session& session, std::span<const uint32_t> ids, std::span<const uint32_t> starts,
                       const StageObserver& observer = {}) {
  const Model& model = session.model();
  std::vector<float> logits(model.config().logit_rows(ids.size(), starts.size() - 1) * model.total_classes());
  const Status status = session.run_ids(ids, starts, logits, observer);
  if (!status.ok()) throw std::runtime_error(status.error().message);
  return logits;
}

// Compares every stage with the reference and keeps the first that diverges.
struct FirstDivergence {
  const Expected& expected;
  double tolerance;
  std::string stage;
  double difference = 0;
  size_t layer = 0;

  static void call(void* context, const char* stage, const float* rows, size_t count, size_t width) {
    auto& self = *static_cast<FirstDivergence*>(context);
    const std::vector<float>& all = self.expected.hidden[self.layer++];
    std::vector<float> gold;
    if (count * width == all.size()) {
      gold = all;
    } else {  // the pooled rows alone
      for (size_t b = 0; b < count; ++b) {
        const float* row = all.data() + self.expected.pooled[b] * width;
        gold.insert(gold.end(), row, row + width);
      }
    }
    const double d = max_difference({rows, count * width}, gold);
    if (d > self.tolerance && self.stage.empty()) {
      self.stage = stage;
      self.difference = d;
    }
  }
};

class FixtureCheckpoint : public testing::TestWithParam<std::string> {
 protected:
  Expected expected_ = load_expected(fixtures() / GetParam());
};

TEST_P(FixtureCheckpoint, TokenIdsEqualTheReference) {
  const Model model = convert_case(GetParam(), WeightType::f32);
  Session session = open_session(model);
  for (size_t b = 0; b < expected_.texts.size(); ++b) {
    const auto tokens = session.tokenize(expected_.texts[b], {});
    ASSERT_TRUE(tokens.ok());
    const std::vector<uint32_t> ours(tokens.value().ids.begin(), tokens.value().ids.end());
    const std::vector<uint32_t> gold(expected_.ids.begin() + expected_.starts[b],
                                     expected_.ids.begin() + expected_.starts[b + 1]);
    EXPECT_EQ(ours, gold) << expected_.texts[b];
  }
}

// For tools/dev/family_table.py: how far the logits are apart, and on how many of the rows that have more than one
// label the greatest logit is the same one's.
void record_closeness(const std::vector<float>& ours, const std::vector<float>& gold, size_t classes) {
  if (ours.size() != gold.size()) return;
  size_t same = 0, rows = 0;
  double sum = 0;
  for (size_t i = 0; i < gold.size(); ++i) sum += std::fabs(ours[i] - gold[i]);
  for (size_t at = 0; classes > 1 && at < gold.size(); at += classes, ++rows) {
    const auto best = [&](const std::vector<float>& v) {
      const auto row = v.begin() + static_cast<std::ptrdiff_t>(at);
      return std::max_element(row, row + static_cast<std::ptrdiff_t>(classes)) - row;
    };
    same += best(ours) == best(gold);
  }
  testing::Test::RecordProperty("max_difference", std::to_string(max_difference(ours, gold) * 1e6));
  testing::Test::RecordProperty("mean_difference", std::to_string(sum / static_cast<double>(gold.size()) * 1e6));
  testing::Test::RecordProperty("rows", std::to_string(rows));
  testing::Test::RecordProperty("same", std::to_string(same));
}

// The heads of the fixtures that label tokens are scaled, so that every label is some token's.
double steepness(const Model& model) { return model.labels_tokens() ? 4 : 1; }

TEST_P(FixtureCheckpoint, F32LogitsEqualTheReference) {
  const Model model = convert_case(GetParam(), WeightType::f32);
  Session session = open_session(model);
  FirstDivergence first{expected_, 2e-5, {}};
  const auto logits = run(session, expected_.ids, expected_.starts, {FirstDivergence::call, &first});
  EXPECT_EQ(first.stage, "") << "first diverging stage, by " << first.difference;
  EXPECT_EQ(first.layer, expected_.hidden.size());
  EXPECT_LE(max_difference(logits, expected_.logits), 1e-5 * steepness(model));
  record_closeness(logits, expected_.logits, model.total_classes());
}

TEST_P(FixtureCheckpoint, F16WeightsStayNear) {
  const Model model = convert_case(GetParam(), WeightType::f16);
  Session session = open_session(model);
  const auto logits = run(session, expected_.ids, expected_.starts);
  EXPECT_LE(max_difference(logits, expected_.logits), 0.02 * steepness(model));
  record_closeness(logits, expected_.logits, model.total_classes());
}

TEST_P(FixtureCheckpoint, Int8WeightsStayNear) {
  const Model model = convert_case(GetParam(), WeightType::int8);
  Session session = open_session(model);
  const auto logits = run(session, expected_.ids, expected_.starts);
  // Random weights of a tiny width are the worst case for 8 bits; what matters here is that nothing is scaled wrongly.
  EXPECT_LE(max_difference(logits, expected_.logits), 0.35 * steepness(model));
  EXPECT_GT(max_difference(logits, expected_.logits), 0);
  record_closeness(logits, expected_.logits, model.total_classes());
}

// Whatever a family adds to scores, a window, a cap or terms by distance, it adds in codes as well.
TEST_P(FixtureCheckpoint, AttentionInInt8StaysNear) {
  const Model model = convert_case(GetParam(), WeightType::f32, AttentionType::i8);
  Session session = open_session(model);
  const auto logits = run(session, expected_.ids, expected_.starts);
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) sum += std::fabs(logits[i] - expected_.logits[i]);
  EXPECT_LE(sum / static_cast<double>(logits.size()), 0.04 * steepness(model));
  EXPECT_GT(sum, 0);
}

TEST_P(FixtureCheckpoint, Int4WeightsStayNear) {
  const Model model = convert_case(GetParam(), WeightType::int4);
  Session session = open_session(model);
  const auto logits = run(session, expected_.ids, expected_.starts);
  // A weight's fourth bit is worth more here than in a model of any use: the average stays near.
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) sum += std::fabs(logits[i] - expected_.logits[i]);
  EXPECT_LE(sum / static_cast<double>(logits.size()), 0.65 * steepness(model));
  EXPECT_GT(max_difference(logits, expected_.logits), 0);
  record_closeness(logits, expected_.logits, model.total_classes());
}

// The logits' bits are those that were written down, on whichever architecture this runs. The file of hashes is
// written by a run with ONEPASS_WRITE_FIXTURES=1.
class FixtureFamily : public testing::TestWithParam<std::string> {};

// Int4 came after the encoders, whose fixtures stay as they were.
std::vector<WeightType> hashed_types(const std::string& name) {
  std::vector<WeightType> types = {WeightType::f32, WeightType::f16, WeightType::int8};
  if (convert_case(name, WeightType::f32).config().causal()) types.push_back(WeightType::int4);
  return types;
}

TEST_P(FixtureFamily, LogitsAreTheSameOnEveryArchitecture) {
  const auto path = fixtures() / GetParam() / "logits.sha256";
  std::string now;
  for (const std::string& name : folders(fixtures() / GetParam())) {
    const Expected expected = load_expected(fixtures() / GetParam() / name);
    for (const WeightType weights : hashed_types(GetParam() + "/" + name)) {
      const Model model = convert_case(GetParam() + "/" + name, weights);
      Session session = open_session(model);
      const auto logits = run(session, expected.ids, expected.starts);
      const auto digest = sha256({reinterpret_cast<const uint8_t*>(logits.data()), logits.size() * sizeof(float)});
      now += name + ' ' + std::to_string(static_cast<int>(weights)) + ' ';
      for (const uint8_t byte : digest) {
        char hex[3];
        std::snprintf(hex, sizeof(hex), "%02x", byte);
        now += hex;
      }
      now += '\n';
    }
  }
  if (std::getenv("ONEPASS_WRITE_FIXTURES") != nullptr) std::ofstream(path) << now;
  std::ifstream file(path);
  EXPECT_EQ(now, std::string(std::istreambuf_iterator<char>(file), {}));
}

// The types of weights that a fixture's bits are compared in: all of them in the first of a family, and one in each
// other, in turn, since what they share is compared once.
std::vector<WeightType> compared_weights(const std::string& fixture) {
  const std::vector<WeightType> all = {WeightType::f32, WeightType::f16, WeightType::int8, WeightType::int4};
  const size_t number = number_in_family(fixture);
  if (number == 0) return all;
  return {all[number % all.size()]};
}

// The same bits for any batch, order, thread count and level.
TEST_P(FixtureCheckpoint, LogitsDependOnTheTextAlone) {
  for (const WeightType weights : compared_weights(GetParam())) {
    const Model model = convert_case(GetParam(), weights);
    std::vector<std::vector<float>> alone;
    Session one = open_session(model, Isa::scalar);
    for (size_t b = 0; b < expected_.texts.size(); ++b) {
      const uint32_t n = expected_.starts[b + 1] - expected_.starts[b];
      const uint32_t starts[] = {0, n};
      alone.push_back(run(one, std::span(expected_.ids).subspan(expected_.starts[b], n), starts));
    }
    std::vector<float> one_by_one;
    for (const auto& logits : alone) one_by_one.insert(one_by_one.end(), logits.begin(), logits.end());
    // 24 texts: each of the 8 three times, in an order that mixes lengths.
    std::vector<size_t> order(24);
    for (size_t i = 0; i < order.size(); ++i) order[i] = (i * 29 + i / 8) % expected_.texts.size();
    std::vector<uint32_t> ids, starts{0};
    std::vector<float> gold;
    for (const size_t b : order) {
      ids.insert(ids.end(), expected_.ids.begin() + expected_.starts[b],
                 expected_.ids.begin() + expected_.starts[b + 1]);
      starts.push_back(static_cast<uint32_t>(ids.size()));
      gold.insert(gold.end(), alone[b].begin(), alone[b].end());
    }
    for (unsigned level = 0; level < kernels::isa_count; ++level) {
      const auto isa = static_cast<Isa>(level);
      if (!kernels::isa_available(isa)) continue;
      for (const unsigned threads : {1u, 2u, 5u}) {
        // Numbers of slots other than 5 on the best level alone: emulated, this test is the longest.
        if (threads != 5 && isa != kernels::best_isa()) continue;
        // An executor that runs the slots in an order of its own.
        const Executor backwards{[](void*, size_t count, void (*task)(void*, size_t), void* argument) {
                                   for (size_t i = count; i-- > 0;) task(argument, i);
                                 },
                                 nullptr, threads};
        Session session = open_session(model, isa, backwards);
        EXPECT_EQ(session.isa(), isa);
        EXPECT_TRUE(same_bits(run(session, ids, starts), gold))
            << kernels::isa_name(isa) << ", " << threads << " slots, weights " << static_cast<int>(weights);
      }
    }
    // Threads that share the channels of short texts, alone and a few at a time: how they share does not depend on the
    // level, and little on the checkpoint.
    const bool first = number_in_family(GetParam()) == 0;
    for (unsigned level = 0; level < kernels::isa_count; ++level) {
      const auto isa = static_cast<Isa>(level);
      if (!kernels::isa_available(isa)) continue;
      for (const unsigned threads : {2u, 3u, 7u}) {
        if (isa != kernels::best_isa() ? threads != 3 || !first : threads != 3 && !first) continue;
        Session crew = open_session(model, isa, together(threads));
        std::vector<float> logits;
        for (size_t b = 0; b < expected_.texts.size();) {
          const size_t count = std::min<size_t>(1 + b % 3, expected_.texts.size() - b);
          const uint32_t first = expected_.starts[b];
          std::vector<uint32_t> few;
          for (size_t i = 0; i <= count; ++i) few.push_back(expected_.starts[b + i] - first);
          const auto part = run(crew, std::span(expected_.ids).subspan(first, few.back()), few);
          logits.insert(logits.end(), part.begin(), part.end());
          b += count;
        }
        EXPECT_TRUE(same_bits(logits, one_by_one))
            << kernels::isa_name(isa) << ", a crew of " << threads << ", weights " << static_cast<int>(weights);
        EXPECT_TRUE(same_bits(run(crew, ids, starts), gold)) << kernels::isa_name(isa) << ", " << threads << " threads";
      }
    }
    Session parallel = open_session(model, kernels::best_isa(), openmp_executor(2));
    EXPECT_TRUE(same_bits(run(parallel, ids, starts), gold)) << "two threads";
  }
}

TEST_P(FixtureCheckpoint, SelfTestsPassOnEveryLevel) {
  auto content = convert::convert_folder({.source = fixtures() / GetParam()}, nullptr);
  ASSERT_TRUE(content.ok()) << content.error().message;
  ASSERT_TRUE(convert::add_self_tests(content.value()).ok());
  EXPECT_GE(content.value().self_tests.size(), 3u);  // where no token is added, the empty text has none
  const auto bytes = serialize_model(content.value());
  ASSERT_TRUE(bytes.ok()) << bytes.error().message;
  const auto model = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
  ASSERT_TRUE(model.ok()) << model.error().message;
  for (unsigned level = 0; level < kernels::isa_count; ++level) {
    const auto isa = static_cast<Isa>(level);
    if (!kernels::isa_available(isa)) continue;
    const Status status = run_self_tests(model.value(), isa);
    EXPECT_TRUE(status.ok()) << kernels::isa_name(isa) << ": " << status.error().message;
  }
  content.value().self_tests[1].logits[0] += 1e-3f;
  const auto wrong = serialize_model(content.value());
  ASSERT_TRUE(wrong.ok());
  const auto damaged = Model::from_memory(wrong.value(), {.mode = LoadMode::copy});
  ASSERT_TRUE(damaged.ok());
  EXPECT_EQ(run_self_tests(damaged.value(), kernels::best_isa()).code(), Code::self_test_failed);
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Fixtures, FixtureCheckpoint, testing::ValuesIn(affordable_cases()), test_name);
INSTANTIATE_TEST_SUITE_P(Fixtures, FixtureFamily, testing::ValuesIn(families()), test_name);

// Every family of the converter has checkpoints here; relatives that share one's file may have fewer.
TEST(Fixtures, ThereAreEnough) {
  std::map<std::string, size_t> count;
  for (const std::string& name : cases()) ++count[name.substr(0, name.find('/'))];
  for (const models::Family* family : models::families()) {
    std::string folder = family->name;
    std::replace(folder.begin(), folder.end(), '-', '_');
    const bool relative = folder == "xlm_roberta" || folder == "camembert";
    EXPECT_GE(count[folder], relative ? 1u : 5u) << folder;
  }
}

TEST(Near, RejectsNanSignFlipAndSmallScaleError) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> a = {1, -2, 3};
  EXPECT_EQ(max_difference(a, a), 0);
  EXPECT_GT(max_difference(a, std::vector<float>{1, -2, nan}), 1e30);
  EXPECT_GT(max_difference(std::vector<float>{nan, -2, 3}, std::vector<float>{nan, -2, 3}), 1e30);
  EXPECT_GT(max_difference(a, std::vector<float>{1, 2, 3}), 1);
  EXPECT_GT(max_difference(a, std::vector<float>{1, -2, 3.003f}), 1e-3);
  EXPECT_GT(max_difference(a, std::vector<float>{1, -2}), 1e30);
  EXPECT_FALSE(same_bits(a, std::vector<float>{1, -2, std::nextafter(3.0f, 4.0f)}));
}

}  // namespace
}  // namespace onepass::test
