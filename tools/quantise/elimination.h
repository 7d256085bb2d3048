// Which inputs a product can spare, and what the others make up for: structured optimal brain surgery (Kurtic, Frantar,
// Alistarh 2023, arXiv:2302.04089; Hassibi and Stork 1993) on the second moments of its inputs.
#pragma once

#include <memory>
#include <vector>

#include "engine/core/result.h"
#include "tools/quantise/product.h"

namespace onepass::quantise {

class Elimination {
 public:
  // Inputs go in units of `unit` neighbours, which divides the product's inputs. non_finite where the moments have no
  // inverse.
  static Result<Elimination> begin(const Product& product, const Moments& moments, size_t unit);
  Elimination(Elimination&&) noexcept;
  ~Elimination();

  // Takes out the `count` units that cost least, each followed by what the inputs that stay can make up for; where
  // there are many, some at a time. Requires count < units that stay.
  Status remove(size_t count);

  // Units that stay, rising.
  std::vector<size_t> kept() const;
  // [n,k], 0 where an input went; and [n], or empty: biases take up what is lost on average.
  std::vector<float> weights() const;
  std::vector<float> bias() const;
  // Of the outputs, as a share of their mean square.
  double lost() const;

 private:
  struct State;
  explicit Elimination(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace onepass::quantise
