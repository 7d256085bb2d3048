#include "tools/quantise/gptq.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <numeric>
#include <vector>

namespace onepass::quantise {

namespace {

using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MapConst = Eigen::Map<const RowMatrix>;
using Eigen::Index;

Index to_index(size_t i) { return static_cast<Index>(i); }

// `group`: inputs that stay together.
std::vector<size_t> order_of_inputs(const Eigen::VectorXd& diagonal, size_t group, Order by) {
  const auto k = static_cast<size_t>(diagonal.size());
  std::vector<size_t> order(k);
  std::iota(order.begin(), order.end(), size_t{0});
  if (by == Order::as_they_are) return order;
  const auto at = [&](size_t i) { return diagonal[to_index(i)]; };
  std::vector<double> largest((k + group - 1) / group);
  for (size_t i = 0; i < k; ++i) largest[i / group] = std::max(largest[i / group], at(i));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (by == Order::by_input || a / group == b / group) return at(a) > at(b);
    return largest[a / group] != largest[b / group] ? largest[a / group] > largest[b / group] : a < b;
  });
  return order;
}

// The upper triangular U with U^T U = H^-1, rows and columns of H in `order`. With H's order reversed, H = L L^T gives
// H = A A^T of an upper A, and U is its inverse. Empty where H is not positive definite.
RowMatrix inverse_root(const Eigen::MatrixXd& h, const std::vector<size_t>& order) {
  const Index k = h.rows();
  Eigen::MatrixXd reversed(k, k);
  const auto source = [&](Index i) { return to_index(order[static_cast<size_t>(k - 1 - i)]); };
  for (Index j = 0; j < k; ++j) {
    for (Index i = 0; i < k; ++i) reversed(i, j) = h(source(i), source(j));
  }
  const Eigen::LLT<Eigen::MatrixXd> factor(reversed);
  if (factor.info() != Eigen::Success) return {};
  Eigen::MatrixXd inverse = Eigen::MatrixXd::Identity(k, k);
  factor.matrixL().solveInPlace(inverse);
  return inverse.reverse().cast<float>();
}

struct Factor {
  std::vector<size_t> order;
  RowMatrix root;
  Eigen::MatrixXd damped;
};

Result<Factor> factorise(std::span<const float> second, size_t k, size_t group, Order order, double least_damping) {
  Factor out;
  const Eigen::MatrixXd plain = MapConst(second.data(), to_index(k), to_index(k)).cast<double>();
  const double mean = plain.diagonal().mean();
  if (!plain.allFinite() || !(mean > 0)) {
    return make_error(Code::non_finite, Error::no_offset, "calibration",
                      mean == 0 ? "every input of this product is 0 in the calibration texts"
                                : "the inputs of this product are not finite numbers in the calibration texts");
  }
  out.order = order_of_inputs(plain.diagonal(), group, order);
  for (double damping = std::max(least_damping, 1e-9); damping < 100; damping *= 10) {
    out.damped = plain;
    out.damped.diagonal().array() += damping * mean;
    out.root = inverse_root(out.damped, out.order);
    if (out.root.size() != 0 && out.root.allFinite()) return out;
  }
  return make_error(Code::non_finite, Error::no_offset, "calibration", "the inputs' second moments have no factor");
}

// The pass of GPTQ: what codes lose is taken off the inputs to come. Groups that stay together are fitted when they are
// reached, others before.
void choose_codes(CodedMatrix& coded, const float* w, const Factor& factor, bool together) {
  const size_t n = coded.n(), k = coded.k();
  // [k,n], in order: an input's weights lie side by side.
  RowMatrix rest(to_index(k), to_index(n));
  std::vector<float> importance(k), cost(k);
  for (size_t at = 0; at < k; ++at) {
    for (size_t c = 0; c < n; ++c) rest(to_index(at), to_index(c)) = w[c * k + factor.order[at]];
    const float root = factor.root(to_index(at), to_index(at));
    cost[at] = importance[factor.order[at]] = 1.0f / (root * root);
  }
  coded.fit_channels(w, importance.data());
  if (!together) {
    for (size_t c = 0; c < n; ++c) {
      for (size_t g = 0; g < coded.groups(); ++g) {
        const size_t first = g * coded.group(), size = std::min(coded.group(), k - first);
        coded.fit_group(c, g, w + c * k + first, importance.data() + first, size);
      }
    }
  }
  const size_t block = together ? coded.group() : 64;
  std::vector<float> weights(block);
  for (size_t begin = 0; begin < k;) {
    // The last group may have fewer inputs, and come early.
    size_t end = begin + 1;
    while (end < k && end - begin < block && (!together || factor.order[end] / block == factor.order[begin] / block)) {
      ++end;
    }
    const size_t count = end - begin;
    for (size_t c = 0; c < n && together; ++c) {
      for (size_t i = 0; i < count; ++i) weights[i] = rest(to_index(begin + i), to_index(c));
      coded.fit_group(c, factor.order[begin] / block, weights.data(), cost.data() + begin, count);
    }
    RowMatrix lost(to_index(count), to_index(n));
    for (size_t i = 0; i < count; ++i) {
      const Index at = to_index(begin + i);
      const float inverse = 1.0f / factor.root(at, at);
      for (size_t c = 0; c < n; ++c) {
        const float before = rest(at, to_index(c));
        lost(to_index(i), to_index(c)) = (before - coded.assign(c, factor.order[begin + i], before)) * inverse;
      }
      for (size_t j = i + 1; j < count; ++j) {
        const Index later = to_index(begin + j);
        rest.row(later) -= factor.root(at, later) * lost.row(to_index(i));
      }
    }
    const Index after = to_index(k - end);
    rest.bottomRows(after).noalias() -=
        factor.root.block(to_index(begin), to_index(end), to_index(count), after).transpose() * lost;
    begin = end;
  }
}

// Tries each code of a channel one step up and down. gradient = (w - q) H; returns how many codes changed.
size_t sweep(CodedMatrix& coded, size_t channel, const RowMatrix& h, float* gradient) {
  size_t changes = 0;
  const size_t k = coded.k();
  for (size_t i = 0; i < k; ++i) {
    const float old = coded.value(channel, i), h_ii = h(to_index(i), to_index(i));
    float best = 0.0f, best_change = 0.0f;
    int best_direction = 0;
    for (const int direction : {-1, 1}) {
      const float d = coded.neighbour(channel, i, direction) - old;
      const float change = d * d * h_ii - 2.0f * d * gradient[i];
      // Less than this is rounding.
      if (change < best && -change > 1e-6f * d * d * h_ii) {
        best = change;
        best_change = d;
        best_direction = direction;
      }
    }
    if (best_direction == 0) continue;
    coded.step(channel, i, best_direction);
    const float* row = h.data() + i * k;
    for (size_t j = 0; j < k; ++j) gradient[j] -= best_change * row[j];
    ++changes;
  }
  return changes;
}

void refine(CodedMatrix& coded, const float* w, const RowMatrix& h, int sweeps) {
  const Index n = to_index(coded.n()), k = to_index(coded.k());
  const RowMatrix target = MapConst(w, n, k) * h;
  for (int round = 0; round < sweeps; ++round) {
    const std::vector<float> q = coded.values();
    const MapConst values(q.data(), n, k);
    RowMatrix product = values * h;
    if (coded.has_channel_scales()) {
      for (Index c = 0; c < n; ++c) {
        const double own = product.row(c).cast<double>().dot(values.row(c).cast<double>());
        const double with = target.row(c).cast<double>().dot(values.row(c).cast<double>());
        const auto factor = static_cast<float>(own > 0 ? with / own : 1.0);
        // What is far from 1 has other reasons than codes that are a little off.
        if (!(factor > 0.8f && factor < 1.25f)) continue;
        coded.scale_channel(static_cast<size_t>(c), factor);
        product.row(c) *= factor;
      }
    }
    RowMatrix gradient = target - product;
    size_t changes = 0;
    for (Index c = 0; c < n; ++c) changes += sweep(coded, static_cast<size_t>(c), h, gradient.data() + c * k);
    if (changes * 1000 < coded.n() * coded.k()) break;
  }
}

// (w - q) H (w - q)^T of each channel.
std::vector<double> losses_of(const CodedMatrix& coded, const float* w, const RowMatrix& h) {
  const std::vector<float> q = coded.values();
  const Index n = to_index(coded.n()), k = to_index(coded.k());
  const RowMatrix lost = MapConst(w, n, k) - MapConst(q.data(), n, k);
  const RowMatrix product = lost * h;
  std::vector<double> out(coded.n());
  for (Index c = 0; c < n; ++c) {
    out[static_cast<size_t>(c)] = product.row(c).cast<double>().dot(lost.row(c).cast<double>());
  }
  return out;
}

}  // namespace

Result<CodedMatrix> gptq(kernels::Layout layout, const float* w, size_t n, size_t k, std::span<const float> second,
                         const GptqOptions& options) {
  const auto in_order = [&](Order order, RowMatrix* damped) -> Result<CodedMatrix> {
    CodedMatrix coded(layout, n, k);
    ONEPASS_TRY_ASSIGN(factor, factorise(second, k, coded.group(), order, options.damping));
    // Int8 has one group.
    choose_codes(coded, w, factor, order != Order::by_input && coded.groups() > 1);
    *damped = factor.damped.cast<float>();
    if (options.sweeps > 0) refine(coded, w, *damped, options.sweeps);
    return coded;
  };
  RowMatrix damped;
  if (options.order != Order::best) return in_order(options.order, &damped);
  ONEPASS_TRY_ASSIGN(best, in_order(Order::by_input, &damped));
  if (best.groups() == 1) return std::move(best);
  ONEPASS_TRY_ASSIGN(other, in_order(Order::by_group, &damped));
  const std::vector<double> losses = losses_of(best, w, damped), others = losses_of(other, w, damped);
  for (size_t c = 0; c < n; ++c) {
    if (others[c] < losses[c]) best.take_channel(other, c);
  }
  return std::move(best);
}

double output_error(const float* w, const float* q, size_t n, size_t k, std::span<const float> second) {
  const RowMatrix lost = MapConst(w, to_index(n), to_index(k)) - MapConst(q, to_index(n), to_index(k));
  const RowMatrix product = lost * MapConst(second.data(), to_index(k), to_index(k));
  return product.cast<double>().cwiseProduct(lost.cast<double>()).sum() / static_cast<double>(n);
}

}  // namespace onepass::quantise
