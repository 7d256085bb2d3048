#include "tools/quantise/elimination.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>

namespace onepass::quantise {

namespace {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Eigen::Index;

constexpr double kDamping = 0.01;  // of the mean of the diagonal, as GPTQ has it
constexpr size_t kRounds = 192;    // that all units would take at least

Index to_index(size_t i) { return static_cast<Index>(i); }

}  // namespace

struct Elimination::State {
  Product product;
  std::vector<double> mean;
  size_t unit = 1;
  RowMatrix w;              // [n,k]
  RowMatrix inverse;        // [k,k], of the moments of the inputs that stay; 0 elsewhere
  std::vector<bool> stays;  // [units]
  size_t left = 0;
  double lost = 0, whole = 0;

  size_t units() const { return stays.size(); }

  // tr(W_u (H^-1_uu)^-1 W_u^T); negative where that block has no inverse.
  double cost(size_t u) const {
    const Index s = to_index(unit), at = to_index(u * unit);
    if (s == 1) return inverse(at, at) > 0 ? w.col(at).squaredNorm() / inverse(at, at) : -1;
    const Eigen::LLT<RowMatrix> factor(inverse.block(at, at, s, s));
    if (factor.info() != Eigen::Success) return -1;
    const RowMatrix columns = w.middleCols(at, s).transpose();
    return columns.cwiseProduct(factor.solve(columns)).sum();
  }

  Status take_out(const std::vector<size_t>& gone) {
    const Index k = inverse.rows(), count = to_index(gone.size() * unit);
    RowMatrix rows(count, k), block(count, count), columns(w.rows(), count);
    const auto source = [&](Index i) {
      return to_index(gone[static_cast<size_t>(i) / unit] * unit + static_cast<size_t>(i) % unit);
    };
    for (Index i = 0; i < count; ++i) {
      rows.row(i) = inverse.row(source(i));
      columns.col(i) = w.col(source(i));
    }
    for (Index i = 0; i < count; ++i) {
      for (Index j = 0; j < count; ++j) block(i, j) = rows(i, source(j));
    }
    const Eigen::LLT<RowMatrix> factor(block);
    if (factor.info() != Eigen::Success) {
      return make_error(Code::non_finite, Error::no_offset, product.name, "the inputs' second moments have no inverse");
    }
    const RowMatrix solved = factor.solve(rows);
    lost += columns.transpose().cwiseProduct(factor.solve(columns.transpose())).sum();
    w.noalias() -= columns * solved;
    inverse.noalias() -= rows.transpose() * solved;
    // Rounding leaves nothing behind.
    for (Index i = 0; i < count; ++i) {
      w.col(source(i)).setZero();
      inverse.row(source(i)).setZero();
      inverse.col(source(i)).setZero();
    }
    for (const size_t u : gone) stays[u] = false;
    left -= gone.size();
    return {};
  }
};

Elimination::Elimination(std::unique_ptr<State> state) : state_(std::move(state)) {}
Elimination::Elimination(Elimination&&) noexcept = default;
Elimination::~Elimination() = default;

Result<Elimination> Elimination::begin(const Product& product, const Moments& moments, size_t unit) {
  auto state = std::make_unique<State>();
  State& s = *state;
  const size_t n = product.n, k = product.k;
  s.product = product;
  s.mean = moments.mean;
  s.unit = unit;
  s.left = k / unit;
  s.stays.assign(s.left, true);
  using FloatMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  s.w = Eigen::Map<const FloatMatrix>(product.w.data(), to_index(n), to_index(k)).cast<double>();
  RowMatrix second = Eigen::Map<const FloatMatrix>(moments.second.data(), to_index(k), to_index(k)).cast<double>();
  if (!product.bias.empty()) {
    // The mean's share is the bias's.
    const Eigen::Map<const Eigen::VectorXd> mean(s.mean.data(), to_index(k));
    second.noalias() -= mean * mean.transpose();
  }
  const double diagonal = second.diagonal().mean();
  if (!second.allFinite() || !s.w.allFinite() || !(diagonal > 0)) {
    return make_error(Code::non_finite, Error::no_offset, product.name,
                      "the inputs of this product are all 0, or no finite numbers, in the calibration texts");
  }
  s.whole = (s.w * second).cwiseProduct(s.w).sum();
  for (double damping = kDamping; damping < 100; damping *= 10) {
    RowMatrix damped = second;
    damped.diagonal().array() += damping * diagonal;
    const Eigen::LLT<RowMatrix> factor(damped);
    if (factor.info() != Eigen::Success) continue;
    s.inverse = factor.solve(RowMatrix::Identity(to_index(k), to_index(k)));
    if (s.inverse.allFinite()) return Elimination(std::move(state));
  }
  return make_error(Code::non_finite, Error::no_offset, product.name, "the inputs' second moments have no inverse");
}

Status Elimination::remove(size_t count) {
  State& s = *state_;
  const size_t at_once = std::max<size_t>(1, s.units() / kRounds);
  while (count > 0) {
    std::vector<std::pair<double, size_t>> costs;
    for (size_t u = 0; u < s.units(); ++u) {
      if (!s.stays[u]) continue;
      const double cost = s.cost(u);
      if (!(cost >= 0)) {
        return make_error(Code::non_finite, Error::no_offset, s.product.name,
                          "the inputs' second moments have no inverse");
      }
      costs.emplace_back(cost, u);
    }
    const size_t now = std::min(count, at_once);
    std::partial_sort(costs.begin(), costs.begin() + static_cast<std::ptrdiff_t>(now), costs.end());
    std::vector<size_t> gone;
    for (size_t i = 0; i < now; ++i) gone.push_back(costs[i].second);
    ONEPASS_TRY(s.take_out(gone));
    count -= now;
  }
  return {};
}

std::vector<size_t> Elimination::kept() const {
  std::vector<size_t> out;
  for (size_t u = 0; u < state_->units(); ++u) {
    if (state_->stays[u]) out.push_back(u);
  }
  return out;
}

std::vector<float> Elimination::weights() const {
  const State& s = *state_;
  std::vector<float> out(s.product.w.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(s.w.data()[i]);
  return out;
}

std::vector<float> Elimination::bias() const {
  const State& s = *state_;
  std::vector<float> out = s.product.bias;
  for (size_t c = 0; c < out.size(); ++c) {
    double missing = 0;
    for (size_t i = 0; i < s.product.k; ++i) {
      missing += (static_cast<double>(s.product.w[c * s.product.k + i]) - s.w(to_index(c), to_index(i))) * s.mean[i];
    }
    out[c] = static_cast<float>(static_cast<double>(out[c]) + missing);
  }
  return out;
}

double Elimination::lost() const { return state_->whole > 0 ? state_->lost / state_->whole : 0; }

}  // namespace onepass::quantise
