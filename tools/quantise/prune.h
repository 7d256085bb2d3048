// Structured pruning: heads of attention and columns of feed-forward blocks that calibration texts can spare.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/quantise/quantise.h"

namespace onepass::quantise {

struct PruneOptions {
  double heads = 0, ffn = 0;  // shares of all layers' heads and columns that go, at least; 0 to below 1
  std::vector<std::string> texts;
  size_t effect_texts = 128;
};

struct PrunedLayer {
  uint32_t heads = 0, of_heads = 0, ffn_width = 0, of_ffn_width = 0;
  double attention_lost = 0, ffn_lost = 0;  // of the outputs on the texts, as shares of their mean squares
};

struct PruneReport {
  std::vector<PrunedLayer> layers;      // stored ones
  std::vector<std::string> deviations;  // what was asked for and could not be done
};

// Takes them out of both contents: `f32` is the same model as `content` with f32 weights. Which ones go is decided in
// two steps. Within a layer those go first whose absence, made up for by the others, costs the output of attention or
// of the block least (elimination.h). Between layers the change of the logits decides that the texts show when a layer
// alone has so many less: the numbers of all layers are those whose changes add up to the least. A head goes with its
// queries, or, where heads share keys and values, a group with its queries, keys and values. What is left is fitted
// again, layer by layer, to the inputs that it then has.
Result<PruneReport> prune(const PruneOptions& options, ModelContent& f32, ModelContent& content,
                          const WorkDone& work_done);

}  // namespace onepass::quantise
