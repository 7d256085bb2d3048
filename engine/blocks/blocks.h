// Blocks: the pieces of a transformer, each written once, on a range of rows (tokens) or of (text, head) pairs.
// They switch on the enums of ArchSpec and neither allocate nor know about threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/arch/arch.h"
#include "engine/runtime/weights.h"
#include "kernels/table.h"

namespace onepass {

// Rows that a chain handles at a time: a multiple of every matmul tile's height, small enough for the
// intermediate rows of a feed-forward block (chunk_rows x F floats) to stay in the L2 cache.
constexpr size_t chunk_rows = 96;

// Buffers of one thread slot.
struct RowScratch {
  float* wide;       // [chunk_rows, max(U, B, D)]
  float* narrow;     // [chunk_rows, D]
  float* normed;     // [chunk_rows, D], where NormPlace::pre
  int8_t* codes;     // [chunk_rows, codes_stride]
  float* scales;     // [chunk_rows]
  int32_t* peaks;    // [chunk_rows, 16]
  uint32_t* ids;     // [chunk_rows]
  float* attention;  // attention_floats(config, longest)
};

struct Matrix {
  float* data;
  size_t stride;
  float* row(size_t r) const noexcept { return data + r * stride; }
};

struct ConstMatrix {
  const float* data;
  size_t stride;
  ConstMatrix(const float* d, size_t s) noexcept : data(d), stride(s) {}
  ConstMatrix(const Matrix& m) noexcept : data(m.data), stride(m.stride) {}
  const float* row(size_t r) const noexcept { return data + r * stride; }
};

// The input rows of a product, in the form that its weights need.
struct LinearInput {
  ConstMatrix x;
  size_t rows;
  const int8_t* codes;  // null for float weights
  size_t codes_stride;
  const float* scales;
};

// Codes a K-wide row takes in RowScratch::codes.
size_t codes_stride(size_t k) noexcept;

// Quantises the rows once, for every product that reads them. rows <= chunk_rows. `peaks` [rows,16]: the greatest
// magnitudes in each row, where linear_act_rows gathered them.
LinearInput prepare_input(const kernels::KernelTable& kernels, const Linear& linear, ConstMatrix x, size_t rows,
                          const RowScratch& scratch, const int32_t* peaks = nullptr) noexcept;
// out = act(x W^T + bias) for the channels [n_begin, n_end); n_begin is a multiple of 32.
void linear_channels(const kernels::KernelTable& kernels, const Linear& linear, const LinearInput& input, Matrix out,
                     size_t n_begin, size_t n_end, Act act = Act::none) noexcept;
// hidden = act(x up^T + bias); out = hidden down^T + bias. The activation and the greatest magnitude of each row, which
// the second product needs, are taken while a tile of the first lies in the first-level cache. rows <= chunk_rows.
void linear_act_linear_rows(const kernels::KernelTable& kernels, const Linear& up, Act act, const Linear& down,
                            ConstMatrix x, size_t rows, Matrix hidden, Matrix out, const RowScratch& scratch) noexcept;
// prepare_input and all channels.
void linear_rows(const kernels::KernelTable& kernels, const Linear& linear, ConstMatrix x, size_t rows, Matrix out,
                 const RowScratch& scratch) noexcept;

// Token, segment and position rows, summed and normalised. rows <= chunk_rows.
void embed_rows(const Config& config, const Weights& weights, const kernels::KernelTable& kernels, const uint32_t* ids,
                const uint32_t* positions, size_t rows, Matrix out, const RowScratch& scratch) noexcept;

// y = norm(x), or norm(x + residual); `sum` gets x + residual where its data are not null. y may be x, or the residual
// where sum is null.
void norm_rows(const Config& config, const NormWeights& norm, const kernels::KernelTable& kernels, ConstMatrix x,
               ConstMatrix residual, size_t rows, size_t width, Matrix y, Matrix sum = {nullptr, 0}) noexcept;

// What the attention of a layer reads: x, or its norm in scratch.normed. rows <= chunk_rows.
ConstMatrix attention_input_rows(const Config& config, const LayerWeights& layer, size_t number,
                                 const kernels::KernelTable& kernels, ConstMatrix x, size_t rows,
                                 const RowScratch& scratch) noexcept;

// Cosines and sines of positions 0, 1, ...: [position][R].
struct RotaryTable {
  const float* cos = nullptr;
  const float* sin = nullptr;
  size_t stride = 0;
};
// Turns `heads` heads side by side, of rows at the given positions.
void rotate_rows(const Config& config, const RotaryTable& table, const kernels::KernelTable& kernels, Matrix x,
                 size_t heads, const uint32_t* positions, size_t rows) noexcept;

// Room that attention_head needs for texts of up to `tokens` tokens.
size_t attention_floats(const Config& config, size_t tokens) noexcept;

// Softmax attention of one head of one text: q_count queries, from the first token on, against kv_count keys and
// values. `relative_index`: PositionTables::relative_index, where the architecture has relative positions.
void attention_head(const Config& config, const Weights& weights, const kernels::KernelTable& kernels, size_t layer,
                    size_t head, ConstMatrix q, size_t q_count, ConstMatrix k, ConstMatrix v, size_t kv_count,
                    const uint16_t* relative_index, Matrix out, const RowScratch& scratch) noexcept;

// The rest of a layer: x = norm(x + W attn); x = norm(x + ffn(x)), or x = x + W attn; x = x + ffn(norm(x)).
// rows <= chunk_rows.
void layer_tail_rows(const Config& config, const LayerWeights& layer, const kernels::KernelTable& kernels,
                     ConstMatrix attn, size_t rows, Matrix x, const RowScratch& scratch) noexcept;

// One row from the rows of one text. Requires a pool that has one.
void pool_text(Pool pool, ConstMatrix x, size_t rows, size_t width, float* out) noexcept;

// What the heads read: act(W pooled + b), or its norm, in scratch, where the architecture has a pooler; else the pooled
// rows themselves. rows <= chunk_rows.
ConstMatrix pooler_rows(const Config& config, const Weights& weights, const kernels::KernelTable& kernels, size_t rows,
                        ConstMatrix pooled, const RowScratch& scratch) noexcept;
// The logits of every head, side by side. rows <= chunk_rows.
void head_rows(const Weights& weights, const kernels::KernelTable& kernels, size_t rows, ConstMatrix pooled,
               Matrix logits, const RowScratch& scratch) noexcept;

}  // namespace onepass
