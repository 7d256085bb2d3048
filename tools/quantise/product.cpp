#include "tools/quantise/product.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/math_constants.h"

namespace onepass::quantise {

using kernels::Layout;

namespace {

using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MapConst = Eigen::Map<const RowMatrix>;
using Eigen::Index;

MapConst as_matrix(std::span<const float> values, size_t rows, size_t columns) {
  return {values.data(), static_cast<Index>(rows), static_cast<Index>(columns)};
}

std::vector<float> importance_of(const std::vector<float>& second, size_t k) {
  std::vector<float> diagonal(k);
  double sum = 0;
  for (size_t i = 0; i < k; ++i) sum += static_cast<double>(diagonal[i] = second[i * k + i]);
  // An input that calibration never saw is not worth nothing.
  const auto least = static_cast<float>(0.01 * sum / static_cast<double>(k));
  for (float& d : diagonal) d += least;
  return diagonal;
}

// As the runtime does before an integer product: one scale a row.
RowMatrix rounded_rows(const RowMatrix& x) {
  RowMatrix out = x;
  for (Index r = 0; r < x.rows(); ++r) {
    const float largest = x.row(r).cwiseAbs().maxCoeff();
    if (!(largest > 0)) continue;
    const float scale = largest / 127.0f;
    out.row(r) = x.row(r).unaryExpr(
        [scale](float v) { return ((v / scale + kernels::round_magic) - kernels::round_magic) * scale; });
  }
  return out;
}

}  // namespace

Result<Packed> quantise_product(const Product& product, Layout layout, const Moments* moments,
                                const GptqOptions* gptq_options) {
  const size_t n = product.n, k = product.k;
  Packed out{layout, std::vector<uint8_t>(kernels::packed_bytes(layout, n, k)), product.bias, 0};
  for (size_t i = 0; i < n * k; ++i) {
    if (std::isfinite(product.w[i])) continue;
    return make_error(Code::non_finite, Error::no_offset, product.name, "element %zu is not a finite number", i);
  }
  std::vector<float> second;
  if (moments != nullptr) {
    second = moments->second;
    // The mean's share is the bias's.
    for (size_t i = 0; i < k && !product.bias.empty(); ++i) {
      for (size_t j = 0; j < k; ++j) {
        second[i * k + j] -= static_cast<float>(moments->mean[i] * moments->mean[j]);
      }
    }
  }
  std::optional<CodedMatrix> coded;
  if (moments != nullptr && gptq_options != nullptr) {
    auto chosen = gptq(layout, product.w.data(), n, k, second, *gptq_options);
    if (!chosen.ok()) return make_error(chosen.code(), Error::no_offset, product.name, "%s", chosen.error().message);
    coded = std::move(chosen).value();
  } else {
    const std::vector<float> importance = moments != nullptr ? importance_of(second, k) : std::vector<float>();
    coded = round_to_nearest(layout, product.w.data(), n, k, importance.empty() ? nullptr : importance.data());
  }
  if (moments != nullptr) {
    const std::vector<float> q = coded->values();
    for (size_t c = 0; c < out.bias.size(); ++c) {
      double lost = 0;
      for (size_t i = 0; i < k; ++i)
        lost += static_cast<double>(product.w[c * k + i] - q[c * k + i]) * moments->mean[i];
      out.bias[c] = static_cast<float>(static_cast<double>(out.bias[c]) + lost);
    }
    const double whole = output_error(product.w.data(), std::vector<float>(n * k).data(), n, k, second);
    out.error = whole > 0 ? output_error(product.w.data(), q.data(), n, k, second) / whole : 0;
  }
  ONEPASS_TRY(coded->pack(out.bytes));
  return out;
}

std::vector<float> choose_scales(const Product& product, Layout layout, const Moments& moments) {
  const size_t k = product.k, rows = std::min<size_t>(moments.sample_rows(), 128);
  if (rows == 0) return {};
  // Some channels speak for all.
  const size_t every = std::max<size_t>(1, product.n / 384), n = (product.n + every - 1) / every;
  std::vector<float> w(n * k), peak(k, 0.0f), mean(k, 0.0f);
  for (size_t c = 0; c < n; ++c) {
    std::copy_n(product.w.begin() + static_cast<std::ptrdiff_t>(c * every * k), k,
                w.begin() + static_cast<std::ptrdiff_t>(c * k));
  }
  for (size_t c = 0; c < product.n; ++c) {
    for (size_t i = 0; i < k; ++i) peak[i] = std::max(peak[i], std::fabs(product.w[c * k + i]));
  }
  const RowMatrix x = as_matrix(moments.sample, moments.sample_rows(), k).topRows(static_cast<Index>(rows));
  for (size_t i = 0; i < k; ++i) mean[i] = x.col(static_cast<Index>(i)).cwiseAbs().mean();
  const std::vector<float> importance = importance_of(moments.second, k);
  const RowMatrix wanted = x * as_matrix(w, n, k).transpose();

  const auto loss_of = [&](const std::vector<float>& scales) {
    RowMatrix inputs = x;
    std::vector<float> scaled = w, weights = importance;
    for (size_t i = 0; i < k; ++i) {
      inputs.col(static_cast<Index>(i)) /= scales[i];
      weights[i] /= scales[i] * scales[i];
      for (size_t c = 0; c < n; ++c) scaled[c * k + i] *= scales[i];
    }
    const std::vector<float> q = round_to_nearest(layout, scaled.data(), n, k, weights.data()).values();
    return (rounded_rows(inputs) * as_matrix(q, n, k).transpose() - wanted).squaredNorm();
  };

  std::vector<float> best;
  float least = loss_of(std::vector<float>(k, 1.0f));
  for (const bool smooth : {false, true}) {
    for (int tenths = 1; tenths <= 9; ++tenths) {
      const float alpha = static_cast<float>(tenths) / 10.0f;
      std::vector<float> scales(k);
      double log_sum = 0;
      for (size_t i = 0; i < k; ++i) {
        const float inputs = std::max(smooth ? moments.peak[i] : mean[i], 1e-6f);
        const float s = std::pow(inputs, alpha) / (smooth ? std::pow(std::max(peak[i], 1e-6f), 1.0f - alpha) : 1.0f);
        log_sum += std::log(static_cast<double>(s));
        scales[i] = s;
      }
      const auto middle = static_cast<float>(std::exp(log_sum / static_cast<double>(k)));
      for (float& s : scales) s = std::clamp(s / middle, 1e-2f, 1e2f);
      const float loss = loss_of(scales);
      if (!(loss < least)) continue;
      least = loss;
      best = scales;
    }
  }
  return best;
}

void scale_inputs(std::span<const float> scales, Product& product, Moments& moments) {
  const size_t k = product.k;
  for (size_t i = 0; i < k; ++i) {
    for (size_t c = 0; c < product.n; ++c) product.w[c * k + i] *= scales[i];
    for (size_t j = 0; j < k; ++j) {
      moments.second[i * k + j] /= scales[i];
      moments.second[j * k + i] /= scales[i];
    }
    moments.mean[i] /= static_cast<double>(scales[i]);
    moments.peak[i] /= scales[i];
    for (size_t r = 0; r < moments.sample_rows(); ++r) moments.sample[r * k + i] /= scales[i];
  }
}

}  // namespace onepass::quantise
