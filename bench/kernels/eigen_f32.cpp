// Compiled once for each level, with Eigen's own namespace renamed by the build (-DEigen=...): a template that is
// compiled for AVX-512 must not be the one that the linker keeps for another machine.
#include <Eigen/Core>

namespace onepass::bench {

void ONEPASS_EIGEN_PRODUCT(const float* a, const float* w, float* c, size_t m, size_t n, size_t k);

void ONEPASS_EIGEN_PRODUCT(const float* a, const float* w, float* c, size_t m, size_t n, size_t k) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto rows = static_cast<Eigen::Index>(m), columns = static_cast<Eigen::Index>(n);
  const auto inner = static_cast<Eigen::Index>(k);
  const Eigen::Map<const Matrix> am(a, rows, inner), wm(w, columns, inner);
  Eigen::Map<Matrix> cm(c, rows, columns);
  cm.noalias() = am * wm.transpose();
}

}  // namespace onepass::bench
