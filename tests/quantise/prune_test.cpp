// Pruning: layers of several widths compute what the whole model does without what is missing, and what goes is what
// is missed least.
#include "tools/quantise/prune.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <cmath>

#include "kernels/pack/pack.h"
#include "tests/quantise/models.h"
#include "tests/support/together.h"
#include "tools/quantise/elimination.h"

namespace onepass::test {
namespace {

using convert::WeightType;
using quantise::Elimination;
using quantise::Moments;
using quantise::PruneOptions;

const auto kNobody = [](size_t, size_t) {};

// Groups of heads, and columns, that a layer keeps.
struct Left {
  std::vector<size_t> groups, columns;
};

std::vector<float> values_of(const TensorContent& t) {
  std::vector<uint8_t> bytes = t.payload;
  if (t.fill) {
    bytes.resize(kernels::packed_bytes(t.layout, t.n, t.k));
    if (!t.fill(bytes).ok()) throw std::runtime_error(t.name);
  }
  std::vector<float> out(t.n * t.k);
  if (!kernels::unpack(t.layout, bytes.data(), t.n, t.k, out.data())) throw std::runtime_error(t.name);
  return out;
}

void set_values(TensorContent& t, uint64_t n, uint64_t k, const std::vector<float>& values) {
  t.n = n, t.k = k;
  t.fill = {};
  t.payload.resize(kernels::packed_bytes(t.layout, n, k));
  if (!kernels::pack(t.layout, values.data(), n, k, t.payload.data()).ok()) throw std::runtime_error(t.name);
}

// An f32 model in which everything else is 0 (in the products that read it), or gone.
ModelContent without(ModelContent m, const std::vector<Left>& left, bool gone) {
  const Config whole = m.config;
  const size_t width = whole.head_width, group = whole.heads / whole.kv_heads * width;
  for (size_t l = 0; l < left.size(); ++l) {
    const std::string layer = "layers." + std::to_string(l) + ".";
    const auto has = [](const std::vector<size_t>& all, size_t x) {
      return std::find(all.begin(), all.end(), x) != all.end();
    };
    const auto reads = [&](size_t i, bool heads) {
      return has(heads ? left[l].groups : left[l].columns, heads ? i / group : i);
    };
    for (TensorContent& t : m.tensors) {
      if (!t.name.starts_with(layer)) continue;
      const std::string part = t.name.substr(layer.size());
      const bool out = part == "attn.out.w", relative = part.starts_with("attn.relative."), down = part == "ffn.down.w";
      const bool qkv = part.starts_with("attn.qkv."), up = part.starts_with("ffn.up.");
      if (!out && !relative && !down && !(gone && (qkv || up))) continue;
      if (relative && !gone) continue;
      const std::vector<float> before = values_of(t);
      std::vector<float> after;
      if (out || down || relative) {
        size_t columns = 0;
        for (size_t i = 0; i < t.k; ++i) columns += reads(i, !down) ? 1 : 0;
        for (size_t i = 0; i < before.size(); ++i) {
          const bool stays = reads(i % t.k, !down);
          if (stays || !gone) after.push_back(stays ? before[i] : 0.0f);
        }
        set_values(t, t.n, gone ? columns : t.k, after);
        continue;
      }
      // Rows, or elements of a bias.
      const size_t q = group * whole.kv_heads, kv = width * whole.kv_heads, rows = t.n == 1 ? t.k : t.n;
      const size_t k = t.n == 1 ? 1 : t.k;
      size_t kept = 0;
      for (size_t r = 0; r < rows; ++r) {
        const bool stays = up      ? has(left[l].columns, r % whole.ffn_width)
                           : r < q ? has(left[l].groups, r / group)
                                   : has(left[l].groups, (r - q) % kv / width);
        if (!stays) continue;
        ++kept;
        after.insert(after.end(), before.begin() + static_cast<std::ptrdiff_t>(r * k),
                     before.begin() + static_cast<std::ptrdiff_t>((r + 1) * k));
      }
      set_values(t, t.n == 1 ? 1 : kept, t.n == 1 ? kept : t.k, after);
    }
    if (!gone) continue;
    m.config.layer_kv_heads[l] = static_cast<uint16_t>(left[l].groups.size() % whole.kv_heads);
    m.config.layer_ffn_width[l] = static_cast<uint16_t>(left[l].columns.size() % whole.ffn_width);
  }
  return m;
}

// Some of all, others in each layer; the last layer keeps everything.
std::vector<Left> some_of(const Config& c) {
  std::vector<Left> left(c.layer_copies());
  for (size_t l = 0; l < left.size(); ++l) {
    const bool all = l + 1 == left.size() && l != 0;
    for (size_t g = 0; g < c.kv_heads; ++g) {
      if (all || c.kv_heads == 1 || c.arch.relative == Relative::bias || g % 2 == l % 2) left[l].groups.push_back(g);
    }
    for (size_t f = 0; f < c.ffn_width; ++f) {
      if (all || f % 3 != l % 3) left[l].columns.push_back(f);
    }
  }
  return left;
}

// Families and cases that differ in attention, feed-forward block or pooling; none is of one layer.
const char* const kModels[] = {"albert/two_groups", "bert/own_heads",     "deberta_v2/v3",     "gemma3/seven_layers",
                               "mistral/window_5",  "modernbert/tokens",  "mpnet/two_classes", "phi3/partial_longrope",
                               "qwen2/f32",         "roberta/two_classes"};

std::vector<float> batch_logits(const Model& model, const std::vector<std::string>& texts, unsigned threads) {
  auto session = Session::create(model, {.executor = threads == 1 ? Executor{} : together(threads)});
  if (!session.ok()) throw std::runtime_error(session.error().message);
  std::vector<uint32_t> ids, starts{0};
  for (const std::string& text : texts) {
    const auto tokens = session.value().tokenize(text, {});
    if (!tokens.ok()) throw std::runtime_error(tokens.error().message);
    ids.insert(ids.end(), tokens.value().ids.begin(), tokens.value().ids.end());
    starts.push_back(static_cast<uint32_t>(ids.size()));
  }
  std::vector<float> logits(model.config().logit_rows(ids.size(), texts.size()) * model.total_classes());
  const Status status = session.value().run_ids(ids, starts, logits);
  if (!status.ok()) throw std::runtime_error(status.error().message);
  return logits;
}

TEST(Pruning, LayersOfSeveralWidthsComputeWhatTheWholeModelDoes) {
  for (const char* name : kModels) {
    const ModelContent f32 = converted(in_f32({.source = fixtures() / name}));
    const std::vector<Left> left = some_of(f32.config);
    const ModelContent narrow = without(f32, left, true);
    ASSERT_TRUE(validate(narrow.config).ok()) << name << ": " << validate(narrow.config).error().message;
    const Model whole = opened(without(f32, left, false)), model = opened(narrow);
    const std::vector<std::string> texts = made_up_texts(9, 11);
    const std::vector<float> wanted = batch_logits(whole, texts, 1);
    for (const unsigned threads : {1u, 2u, 3u}) {
      // Adding nothing changes no bit.
      EXPECT_EQ(batch_logits(model, texts, threads), wanted) << name << ", " << threads << " threads";
    }
    EXPECT_EQ(logits_of(model, texts), logits_of(whole, texts)) << name;
    EXPECT_NE(wanted, batch_logits(opened(f32), texts, 1)) << name;
  }
}

// Every removal is the least-squares fit of what stays, and the first one the cheapest of all.
TEST(Pruning, WhatStaysIsTheLeastSquaresFit) {
  constexpr size_t kRows = 7, kInputs = 24, kSamples = 200;
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (const bool biased : {false, true}) {
    for (const size_t unit : {size_t{1}, size_t{4}}) {
      Eigen::MatrixXd x(kSamples, kInputs), mix(kInputs, kInputs), w(kRows, kInputs);
      for (auto* m : {&x, &mix, &w}) {
        for (double& v : m->reshaped()) v = static_cast<double>(normal(random));
      }
      x = (x * mix).array() + 0.7;
      quantise::Product product{"p", std::vector<float>(kRows * kInputs), {}, kRows, kInputs};
      if (biased) product.bias.assign(kRows, 0.5f);
      Moments moments;
      moments.k = kInputs, moments.rows = kSamples;
      const Eigen::MatrixXd second = x.transpose() * x / double{kSamples};
      const Eigen::VectorXd mean = x.colwise().mean();
      for (size_t i = 0; i < kInputs; ++i) {
        moments.mean.push_back(mean[static_cast<Eigen::Index>(i)]);
        for (size_t j = 0; j < kInputs; ++j) {
          moments.second.push_back(
              static_cast<float>(second(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j))));
        }
        for (size_t c = 0; c < kRows; ++c) {
          product.w[c * kInputs + i] =
              static_cast<float>(w(static_cast<Eigen::Index>(c), static_cast<Eigen::Index>(i)));
        }
      }
      Eigen::MatrixXd h = second;
      if (biased) h -= mean * mean.transpose();
      h.diagonal().array() += 0.01 * h.diagonal().mean();
      const auto fit = [&](const std::vector<size_t>& units) {
        std::vector<Eigen::Index> stay;
        for (const size_t u : units) {
          for (size_t i = 0; i < unit; ++i) stay.push_back(static_cast<Eigen::Index>(u * unit + i));
        }
        Eigen::MatrixXd q = Eigen::MatrixXd::Zero(kRows, kInputs);
        q(Eigen::all, stay) = (w * h(Eigen::all, stay)) * h(stay, stay).inverse();
        return q;
      };
      const auto loss = [&](const Eigen::MatrixXd& q) { return ((w - q) * h * (w - q).transpose()).trace(); };
      auto elimination = Elimination::begin(product, moments, unit);
      ASSERT_TRUE(elimination.ok());
      for (size_t gone = 1; gone * unit < kInputs; ++gone) {
        const std::vector<size_t> before = elimination->kept();
        ASSERT_TRUE(elimination->remove(1).ok());
        const std::vector<size_t> kept = elimination->kept();
        ASSERT_EQ(kept.size() + 1, before.size());
        const Eigen::MatrixXd best = fit(kept);
        const std::vector<float> weights = elimination->weights();
        for (size_t i = 0; i < weights.size(); ++i) {
          const auto c = static_cast<Eigen::Index>(i / kInputs), in = static_cast<Eigen::Index>(i % kInputs);
          ASSERT_NEAR(static_cast<double>(weights[i]), best(c, in), 2e-4) << gone << " gone";
        }
        for (size_t without_it = 0; without_it < before.size(); ++without_it) {
          std::vector<size_t> others = before;
          others.erase(others.begin() + static_cast<std::ptrdiff_t>(without_it));
          EXPECT_GE(loss(fit(others)), loss(best) * (1 - 1e-4)) << gone << " gone";
        }
        const std::vector<float> bias = elimination->bias();
        ASSERT_EQ(bias.size(), biased ? kRows : 0);
        for (size_t c = 0; c < bias.size(); ++c) {
          const auto row = static_cast<Eigen::Index>(c);
          EXPECT_NEAR(static_cast<double>(bias[c]), 0.5 + (w - best).row(row).dot(mean), 1e-3);
        }
        EXPECT_GT(elimination->lost(), 0);
        EXPECT_LT(elimination->lost(), 1.05);
      }
    }
  }
}

TEST(Pruning, EveryFamilyMissesWhatIsChosenLess) {
  const std::vector<std::string> calibration = made_up_texts(150, 4), texts = made_up_texts(60, 5);
  double logarithms = 0;
  for (const char* name : kModels) {
    const ModelContent f32 = converted(in_f32({.source = fixtures() / name}));
    ModelContent pruned = f32, same = f32;
    const bool has_heads = f32.config.kv_heads > 1 && f32.config.arch.relative != Relative::bias;
    const PruneOptions options{.heads = has_heads ? 0.25 : 0, .ffn = 0.3, .texts = calibration};
    size_t last = 0, total = 0;
    const auto report = quantise::prune(options, pruned, same, [&](size_t a, size_t b) {
      EXPECT_GE(a, last) << name;
      last = a, total = b;
    });
    ASSERT_TRUE(report.ok()) << name << ": " << report.error().where << ": " << report.error().message;
    EXPECT_EQ(last, total) << name;
    EXPECT_EQ(serialize_model(pruned).value(), serialize_model(same).value()) << name;
    size_t heads = 0, of_heads = 0, columns = 0, of_columns = 0;
    std::vector<Left> first(report->layers.size());
    for (size_t l = 0; l < report->layers.size(); ++l) {
      const quantise::PrunedLayer& p = report->layers[l];
      EXPECT_EQ(pruned.config.heads_of(l), p.heads) << name;
      EXPECT_EQ(pruned.config.ffn_width_of(l), p.ffn_width) << name;
      EXPECT_EQ(p.attention_lost > 0, p.heads < p.of_heads) << name;
      EXPECT_EQ(p.ffn_lost > 0, p.ffn_width < p.of_ffn_width) << name;
      heads += p.heads, of_heads += p.of_heads, columns += p.ffn_width, of_columns += p.of_ffn_width;
      for (size_t g = 0; g < p.heads / (f32.config.heads / f32.config.kv_heads); ++g) first[l].groups.push_back(g);
      for (size_t f = 0; f < p.ffn_width; ++f) first[l].columns.push_back(f);
    }
    EXPECT_LE(static_cast<double>(heads), (has_heads ? 0.75 : 1.0) * static_cast<double>(of_heads)) << name;
    EXPECT_LE(static_cast<double>(columns), 0.7 * static_cast<double>(of_columns)) << name;
    EXPECT_GE(static_cast<double>(columns), 0.5 * static_cast<double>(of_columns)) << name;
    const std::vector<float> wanted = logits_of(opened(f32), texts);
    const double mine = mean_square(logits_of(opened(pruned), texts), wanted);
    const double others = mean_square(logits_of(opened(without(f32, first, false)), texts), wanted);
    ASSERT_TRUE(std::isfinite(mine) && mine > 0) << name;
    logarithms += std::log(mine / others);
  }
  const double ratio = std::exp(logarithms / static_cast<double>(std::size(kModels)));
  EXPECT_LT(ratio, 0.5) << "against as many heads and columns, the first ones kept and nothing made up for";
  RecordProperty("ratio", std::to_string(ratio));
}

TEST(Pruning, TheCodesOfWhatIsLeftAreChosenLikeAnyOther) {
  const convert::Options options{.source = fixtures() / "bert/own_heads", .weights = WeightType::int4};
  const std::vector<std::string> calibration = made_up_texts(60, 6);
  std::vector<std::vector<uint8_t>> files;
  for (int i = 0; i < 2; ++i) {
    ModelContent f32 = converted(in_f32(options)), content = converted(options);
    const auto pruned = quantise::prune({.heads = 0.3, .ffn = 0.3, .texts = calibration}, f32, content, kNobody);
    ASSERT_TRUE(pruned.ok()) << pruned.error().message;
    const auto done = quantise::quantise(f32, {.texts = calibration}, content, kNobody);
    ASSERT_TRUE(done.ok()) << done.error().message;
    files.push_back(serialize_model(content).value());
    ASSERT_TRUE(convert::add_self_tests(content).ok());
    const Model model = opened(content);
    const std::vector<float> alone = batch_logits(model, calibration, 1);
    for (const unsigned threads : {2u, 3u}) EXPECT_EQ(batch_logits(model, calibration, threads), alone);
    EXPECT_LT(mean_square(logits_of(opened(content), calibration), logits_of(opened(f32), calibration)), 0.1);
  }
  EXPECT_EQ(files[0], files[1]);
}

TEST(Pruning, WhatCannotBeTakenOutIsSaid) {
  const auto error = [](const char* name, double heads, double ffn) {
    ModelContent f32 = converted(in_f32({.source = fixtures() / name})), content = f32;
    const auto done =
        quantise::prune({.heads = heads, .ffn = ffn, .texts = made_up_texts(20, 1)}, f32, content, kNobody);
    return done.ok() ? std::string("done") : std::string(done.error().where) + ": " + done.error().message;
  };
  EXPECT_TRUE(error("mpnet/two_classes", 0.25, 0).starts_with("--prune-heads: the layers of this model share a table"));
  EXPECT_TRUE(error("bert/own_heads", 0.94, 0).starts_with("--prune-heads: at most 0."))
      << error("bert/own_heads", 0.94, 0);
  EXPECT_TRUE(error("bert/own_heads", 0, 0.95).starts_with("--prune-ffn: at most 0."));
  EXPECT_EQ(error("bert/own_heads", 0, 0.5), "done");
}

}  // namespace
}  // namespace onepass::test
