// Workbench: the f32 version of a model, in which single tensors can be exchanged for quantised ones, run on texts.
// What flows into its products is taken at the kernels' table, so that the runtime needs no hook.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/runtime/control.h"
#include "engine/runtime/model.h"
#include "engine/runtime/position_tables.h"
#include "formats/onepass/writer.h"
#include "kernels/table.h"

namespace onepass::quantise {

// Texts as ids: text b is ids[starts[b] .. starts[b+1]).
struct Texts {
  std::vector<uint32_t> ids, starts{0};
  size_t size() const { return starts.size() - 1; }
};

// What is known of the inputs of one product.
struct Moments {
  size_t k = 0, rows = 0;
  std::vector<float> second;  // [k,k], the mean of x x^T
  std::vector<double> mean;   // [k]
  std::vector<float> peak;    // [k], the largest |x|
  std::vector<float> sample;  // [sample_rows(), k], spread evenly over all of them
  size_t sample_rows() const { return k == 0 ? 0 : sample.size() / k; }
};

using Progress = std::function<void(size_t texts_done)>;

class Workbench {
 public:
  // A tensor of the model, in file order.
  struct Tensor {
    std::string name;
    Slot slot{};
    Role role{};
    Scope scope{};
    uint32_t index = 0;  // layer or head
    size_t n = 0, k = 0;
  };

  // The weights go to a temporary file and are mapped, so that memory holds what a pass is reading. `attention` is that
  // of the file to be written.
  static Result<std::unique_ptr<Workbench>> open(const ModelContent& f32, AttentionType attention);
  Workbench(const Workbench&) = delete;
  Workbench& operator=(const Workbench&) = delete;

  const Model& model() const { return model_; }
  const Config& config() const { return config_; }
  // With the tables of its terms as such a file has them.
  Status set_attention(AttentionType attention);
  std::span<const Tensor> tensors() const { return tensors_; }
  // The tensor of a slot; tensors().size() where the model has none.
  size_t find(Slot slot, uint32_t index) const;

  // As the model would read them, too long ones cut.
  Result<Texts> tokenize(std::span<const std::string> texts) const;

  // The values, with what write() changed.
  std::vector<float> read(size_t tensor) const;
  Status write(size_t tensor, std::span<const float> values);
  // From here on the passes use this; the bytes are packed_bytes of the layout.
  Status exchange(size_t tensor, kernels::Layout layout, std::span<const uint8_t> packed);
  // The values of read() again.
  Status restore(size_t tensor);
  // The values that the model came with.
  Status revert(size_t tensor);

  // [texts, total_classes], or [tokens, total_classes] of a model that labels tokens.
  Result<std::vector<float>> logits(const Texts& texts, const Progress& progress);

  // Moments of the inputs of products, which are in f32 at this moment.
  struct Wanted {
    size_t tensor;
    Moments* moments;
  };
  Status collect(const Texts& texts, std::span<const Wanted> wanted, const Progress& progress);

 private:
  struct Exchanged {
    Array<uint8_t> bytes;
    kernels::Layout layout{};
  };

  Workbench(Model model, Weights weights);
  Status bind(size_t tensor, const void* data, kernels::Layout layout);
  Status run(const Texts& texts, const kernels::KernelTable& kernels, const PassControl& control,
             std::span<float> logits, const Progress& progress, const std::function<void()>& after_pass);

  Model model_;
  Config config_;
  Weights weights_;
  std::vector<Tensor> tensors_;
  std::vector<Exchanged> written_, exchanged_;
  std::vector<Exchanged> coded_;  // of tensors of Role::coded_rows, once they were asked for
  Array<uint8_t> arena_;
  PositionTables tables_;
};

}  // namespace onepass::quantise
