// Codes: what they mean is what the kernels compute with, and they are as good as other implementations' of the same
// layer (tools/dev/quantiser_fixtures.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <random>

#include "formats/safetensors/safetensors.h"
#include "kernels/pack/pack.h"
#include "tests/models/expected.h"
#include "tools/quantise/coded_matrix.h"
#include "tools/quantise/gptq.h"
#include "tools/quantise/product.h"

namespace onepass::test {
namespace {

using kernels::Layout;
using quantise::CodedMatrix;

constexpr Layout kLayouts[] = {Layout::i8_n32k4,     Layout::i8_rows,      Layout::i4g32_rows,
                               Layout::i4g32_n32k4,  Layout::i4g64_n32k4,  Layout::i4mg32_n32k4,
                               Layout::i4mg64_n32k4, Layout::i4zg32_n32k4, Layout::i4zg64_n32k4};

struct Layer {
  size_t n, k;
  std::vector<float> w, second, importance;
  std::map<std::string, std::vector<float>> others;
};

std::map<std::string, std::vector<float>> load(const char* name, std::map<std::string, std::vector<uint64_t>>* shapes) {
  std::ifstream file(fixtures() / "quantise" / name, std::ios::binary);
  const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  const auto header = parse_safetensors(bytes, name);
  if (!header.ok()) throw std::runtime_error(header.error().message);
  std::map<std::string, std::vector<float>> out;
  for (const SafetensorsEntry& e : header.value().entries) {
    std::vector<float>& values = out[e.name];
    values.resize((e.end - e.begin) / sizeof(float));
    std::memcpy(values.data(), bytes.data() + e.begin, e.end - e.begin);
    (*shapes)[e.name].assign(e.shape.begin(), e.shape.end());
  }
  return out;
}

const Layer& layer() {
  static const Layer loaded = [] {
    std::map<std::string, std::vector<uint64_t>> shapes;
    auto tensors = load("layer.safetensors", &shapes);
    Layer out{shapes.at("w").at(0), shapes.at("w").at(1),     tensors.at("w"),
              tensors.at("second"), tensors.at("importance"), {}};
    out.others = std::move(tensors);
    return out;
  }();
  return loaded;
}

std::vector<float> packed_values(const CodedMatrix& coded) {
  std::vector<uint8_t> bytes(kernels::packed_bytes(coded.layout(), coded.n(), coded.k()) + 64);
  auto* at = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(bytes.data()) + 63) / 64 * 64);
  std::vector<float> out(coded.n() * coded.k());
  EXPECT_TRUE(coded.pack({at, kernels::packed_bytes(coded.layout(), coded.n(), coded.k())}).ok());
  EXPECT_TRUE(kernels::unpack(coded.layout(), at, coded.n(), coded.k(), out.data()));
  return out;
}

TEST(Codes, PackedTheyHaveTheirValues) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 0.3f);
  for (const Layout layout : kLayouts) {
    for (const size_t n : std::initializer_list<size_t>{1, 31, 33}) {
      for (const size_t k : std::initializer_list<size_t>{1, 32, 63, 130}) {
        std::vector<float> w(n * k), importance(k);
        for (float& v : w) v = normal(random);
        for (float& v : importance) v = std::fabs(normal(random));
        for (size_t i = 0; i < k; ++i) w[(n - 1) * k + i] = n == 1 ? w[i] : 0.0f;
        const CodedMatrix coded = quantise::round_to_nearest(layout, w.data(), n, k, importance.data());
        const std::vector<float> values = coded.values(), packed = packed_values(coded);
        for (size_t i = 0; i < n * k; ++i) {
          // Kernels multiply code and step first, and add a minimum in one operation.
          ASSERT_NEAR(packed[i], values[i], 2e-7f * std::fabs(values[i]) + 1e-7f)
              << kernels::layout_name(layout) << " " << n << "x" << k << " element " << i;
        }
      }
    }
  }
}

// Without importance a code is that of pack().
TEST(Codes, NearestOfAllAlikeIsPack) {
  for (const Layout layout : {Layout::i8_n32k4, Layout::i8_rows, Layout::i4g32_rows, Layout::i4mg64_n32k4}) {
    const Layer& l = layer();
    std::vector<uint8_t> mine(kernels::packed_bytes(layout, l.n, l.k)), theirs(mine.size());
    ASSERT_TRUE(quantise::round_to_nearest(layout, l.w.data(), l.n, l.k, nullptr).pack(mine).ok());
    ASSERT_TRUE(kernels::pack(layout, l.w.data(), l.n, l.k, theirs.data()).ok());
    EXPECT_EQ(mine, theirs) << kernels::layout_name(layout);
  }
}

// Weighted squared error of each group, or of each channel.
std::vector<double> errors(const std::vector<float>& q, size_t group) {
  const Layer& l = layer();
  std::vector<double> out;
  for (size_t c = 0; c < l.n; ++c) {
    for (size_t begin = 0; begin < l.k; begin += group) {
      double sum = 0;
      for (size_t i = begin; i < std::min(l.k, begin + group); ++i) {
        const double off = static_cast<double>(q[c * l.k + i]) - static_cast<double>(l.w[c * l.k + i]);
        sum += off * off * static_cast<double>(l.importance[i]);
      }
      out.push_back(sum);
    }
  }
  return out;
}

// The search is coarser than the reference's, but not by much: in all, and in every group.
TEST(Codes, WeightedFitsAreNearTheBestThereAre) {
  const Layer& l = layer();
  struct Case {
    Layout layout;
    const char* name;
    size_t group;
    double all, each;
  };
  for (const Case& c :
       {Case{Layout::i4g32_n32k4, "i4g32", 32, 1.01, 1.15}, Case{Layout::i4g32_rows, "i4g32", 32, 1.01, 1.15},
        Case{Layout::i4mg32_n32k4, "i4mg32", 32, 1.08, 4}, Case{Layout::i4zg32_n32k4, "i4zg32", l.k, 1.02, 1.15},
        Case{Layout::i8_n32k4, "i8", l.k, 1.03, 1.2}}) {
    const std::vector<float>& best = l.others.at(std::string("nearest.") + c.name);
    const auto coded = quantise::round_to_nearest(c.layout, l.w.data(), l.n, l.k, l.importance.data());
    const std::vector<double> mine = errors(packed_values(coded), c.group);
    const auto plain = quantise::round_to_nearest(c.layout, l.w.data(), l.n, l.k, nullptr);
    const std::vector<double> unweighted = errors(packed_values(plain), c.group);
    ASSERT_EQ(mine.size(), best.size());
    double sum = 0, best_sum = 0, plain_sum = 0;
    for (size_t i = 0; i < mine.size(); ++i) {
      EXPECT_LE(mine[i], c.each * static_cast<double>(best[i]) + 1e-9) << c.name << " group " << i;
      sum += mine[i];
      best_sum += static_cast<double>(best[i]);
      plain_sum += unweighted[i];
    }
    EXPECT_LE(sum, c.all * best_sum) << c.name;
    EXPECT_LT(sum, plain_sum) << c.name << ": weighing has an effect";
  }
}

double output_error_of(const CodedMatrix& coded, const Layer& l = layer()) {
  return quantise::output_error(l.w.data(), packed_values(coded).data(), l.n, l.k, l.second);
}

// Packages that others wrote, each with the best of its variants (tools/dev/gptq_fixtures.py): a made-up layer, and two
// of the emotion model with its inputs.
TEST(Gptq, IsNoWorseThanOtherPackages) {
  std::map<std::string, std::vector<uint64_t>> shapes;
  const auto tensors = load("others.safetensors", &shapes);
  struct Case {
    Layout layout;
    const char* form;
  };
  // Whole steps stand against scales of any size with a zero.
  const Case cases[] = {{Layout::i8_n32k4, "i8"},         {Layout::i4g32_n32k4, "i4g32"},
                        {Layout::i4g64_n32k4, "i4g64"},   {Layout::i4mg32_n32k4, "i4mg32"},
                        {Layout::i4mg64_n32k4, "i4mg64"}, {Layout::i4zg32_n32k4, "i4mg32"},
                        {Layout::i4zg64_n32k4, "i4mg64"}};
  size_t compared = 0;
  for (const char* name : {"made_up", "up", "down"}) {
    Layer own{};
    if (tensors.count(std::string(name) + ".w") != 0) {
      const auto& shape = shapes.at(std::string(name) + ".w");
      own = {shape.at(0), shape.at(1), tensors.at(std::string(name) + ".w"), tensors.at(std::string(name) + ".second"),
             {},          {}};
    }
    const Layer& l = own.n == 0 ? layer() : own;
    for (const Case& c : cases) {
      const auto coded = quantise::gptq(c.layout, l.w.data(), l.n, l.k, l.second, {});
      ASSERT_TRUE(coded.ok()) << coded.error().message;
      const double mine = output_error_of(coded.value(), l);
      double best = INFINITY;
      for (const char* package : {"auto_gptq", "neural_compressor", "llm_compressor"}) {
        const auto theirs = tensors.find(std::string(name) + "." + package + "." + c.form);
        if (theirs == tensors.end()) continue;
        ++compared;
        best = std::min(best, static_cast<double>(theirs->second.at(0)));
      }
      EXPECT_LE(mine, best) << name << " " << kernels::layout_name(c.layout);
      EXPECT_GT(mine, 0.1 * best) << name << " " << kernels::layout_name(c.layout) << ": too good to be true";
      RecordProperty(std::string(name) + "_" + kernels::layout_name(c.layout), std::to_string(mine / best));
    }
  }
  // Not all of them take a last group that is smaller.
  EXPECT_GE(compared, 55u);
}

TEST(Gptq, IsNoWorseThanTheReference) {
  const Layer& l = layer();
  struct Case {
    Layout layout;
    const char* reference;
  };
  // Whole steps stand against scales of any size with a zero.
  for (const Case& c : {Case{Layout::i4g32_n32k4, "gptq.i4g32"}, Case{Layout::i4mg32_n32k4, "gptq.i4mg32"},
                        Case{Layout::i4zg32_n32k4, "gptq.i4mg32"}, Case{Layout::i8_n32k4, "gptq.i8"}}) {
    const auto coded = quantise::gptq(c.layout, l.w.data(), l.n, l.k, l.second, {});
    ASSERT_TRUE(coded.ok()) << coded.error().message;
    EXPECT_LE(output_error_of(coded.value()), static_cast<double>(l.others.at(c.reference).at(0)))
        << kernels::layout_name(c.layout);
  }
}

TEST(Gptq, IsBetterThanRoundingToNearest) {
  const Layer& l = layer();
  for (const Layout layout : kLayouts) {
    const auto nearest = quantise::round_to_nearest(layout, l.w.data(), l.n, l.k, l.importance.data());
    for (const auto order : {quantise::Order::as_they_are, quantise::Order::by_group, quantise::Order::by_input}) {
      for (const int sweeps : {0, 4}) {
        const auto coded = quantise::gptq(layout, l.w.data(), l.n, l.k, l.second, {.order = order, .sweeps = sweeps});
        ASSERT_TRUE(coded.ok());
        EXPECT_LT(output_error_of(coded.value()), 0.9 * output_error_of(nearest))
            << kernels::layout_name(layout) << " order " << static_cast<int>(order) << " sweeps " << sweeps;
      }
    }
  }
}

TEST(Gptq, SweepsNeverLoseAnything) {
  const Layer& l = layer();
  for (const Layout layout : kLayouts) {
    double before = INFINITY;
    for (const int sweeps : {0, 1, 4}) {
      const auto coded = quantise::gptq(layout, l.w.data(), l.n, l.k, l.second, {.damping = 1e-6, .sweeps = sweeps});
      ASSERT_TRUE(coded.ok());
      const double after = output_error_of(coded.value());
      EXPECT_LE(after, before * 1.0001) << kernels::layout_name(layout);
      before = after;
    }
  }
}

TEST(Gptq, InputsWithoutAnyValueAreAnError) {
  const Layer& l = layer();
  const std::vector<float> nothing(l.second.size(), 0.0f);
  std::vector<float> nan = l.second;
  nan[5] = NAN;
  for (const auto& second : {nothing, nan}) {
    const auto coded = quantise::gptq(Layout::i8_n32k4, l.w.data(), l.n, l.k, second, {});
    ASSERT_FALSE(coded.ok());
    EXPECT_EQ(coded.error().code, Code::non_finite);
  }
}

// Fewer texts than inputs, inputs that are always 0, inputs that are always the same: the factor exists.
TEST(Gptq, SingularMomentsAreDamped) {
  const Layer& l = layer();
  std::vector<float> second(l.k * l.k, 0.0f);
  for (size_t i = 0; i < l.k / 2; ++i) {
    for (size_t j = 0; j < l.k / 2; ++j) second[i * l.k + j] = 1.0f;
  }
  const auto coded = quantise::gptq(Layout::i4zg32_n32k4, l.w.data(), l.n, l.k, second, {});
  ASSERT_TRUE(coded.ok());
  for (const float v : coded.value().values()) ASSERT_TRUE(std::isfinite(v));
}

TEST(Product, AMeanErrorGoesIntoTheBias) {
  const Layer& l = layer();
  quantise::Product product{"p", l.w, std::vector<float>(l.n, 0.25f), l.n, l.k};
  quantise::Moments moments;
  moments.k = l.k;
  moments.second = l.second;
  for (size_t i = 0; i < l.k; ++i) moments.mean.push_back(0.3 * std::sqrt(static_cast<double>(l.importance[i])));
  const quantise::GptqOptions options;
  const auto packed = quantise::quantise_product(product, Layout::i4zg64_n32k4, &moments, &options);
  ASSERT_TRUE(packed.ok()) << packed.error().message;
  std::vector<float> q(l.n * l.k);
  ASSERT_TRUE(kernels::unpack(packed.value().layout, packed.value().bytes.data(), l.n, l.k, q.data()));
  for (size_t c = 0; c < l.n; ++c) {
    double before = 0.25, after = static_cast<double>(packed.value().bias[c]);
    for (size_t i = 0; i < l.k; ++i) {
      before += static_cast<double>(l.w[c * l.k + i]) * moments.mean[i];
      after += static_cast<double>(q[c * l.k + i]) * moments.mean[i];
    }
    EXPECT_NEAR(after, before, 1e-5 * (1 + std::fabs(before))) << c;
  }
  product.w[17] = INFINITY;
  EXPECT_EQ(quantise::quantise_product(product, Layout::i4zg64_n32k4, &moments, &options).error().code,
            Code::non_finite);
}

}  // namespace
}  // namespace onepass::test
