// Blocks: the pieces of a transformer, each written once, on a range of rows (tokens) or of (text, head) pairs.
// They switch on the enums of ArchSpec and neither allocate nor start threads. Those that take a Crew are called by
// each of its members, which share out the channels of products and the rows of everything else; when they return, a
// member may rely on its own rows alone, until the crew's next sync().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/arch/arch.h"
#include "engine/core/crew.h"
#include "engine/runtime/weights.h"
#include "kernels/table.h"

namespace onepass {

// Rows that a chain handles at a time: a multiple of every matmul tile's height, small enough for the
// intermediate rows of a feed-forward block (chunk_rows x F floats) to stay in the L2 cache.
constexpr size_t chunk_rows = 96;

// Buffers of one thread slot. A crew works in those of member 0, and each member in its own where that is said.
struct RowScratch {
  float* wide;         // [chunk_rows, max(U, B, D, rows of heads of words)]
  float* narrow;       // [chunk_rows, D]
  float* normed;       // [chunk_rows, D], where norms come first
  int8_t* codes;       // [chunk_rows, codes_stride]
  float* scales;       // [chunk_rows]
  int32_t* peaks;      // [chunk_rows, 16]; of a member's own channels
  int32_t* all_peaks;  // [chunk_rows, 16], of all members'; own
  uint32_t* ids;       // [chunk_rows]
  float* attention;    // attention_floats(config, longest)
  float* shared;       // [2, longest, E], where texts share a prefix
};

// What a member of a crew has beside the scratch that all of them use.
struct Workplace {
  Crew* crew;
  const RowScratch* own;
  size_t scratch_step;  // bytes from the buffers of one member to those of the next
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

// True where a product reads codes and not floats.
bool takes_codes(const Linear& linear) noexcept;
// Quantises some rows of x for `linear`, where it takes codes, into scratch.codes. rows <= chunk_rows.
void quantize_input_rows(const kernels::KernelTable& kernels, const Linear& linear, ConstMatrix x, Range rows,
                         const RowScratch& scratch) noexcept;
// The input that quantize_input_rows or norm_input_rows prepared.
LinearInput prepared_input(const Linear& linear, ConstMatrix x, size_t rows, const RowScratch& scratch) noexcept;
// out = act(x W^T + bias) for the channels [n_begin, n_end); n_begin is a multiple of 32.
void linear_channels(const kernels::KernelTable& kernels, const Linear& linear, const LinearInput& input, Matrix out,
                     size_t n_begin, size_t n_end, Act act = Act::none) noexcept;
// The member's share of all channels.
void linear_share(const kernels::KernelTable& kernels, const Linear& linear, const LinearInput& input, Matrix out,
                  const Crew& crew) noexcept;
// hidden = act(x up^T + bias); out = hidden down^T + bias, of prepared rows, for whole crews: it ends with a sync().
// The activation and the greatest magnitude of each row, which the second product needs, are taken while a tile of the
// first lies in the first-level cache.
void linear_act_linear_rows(const kernels::KernelTable& kernels, const Linear& up, Act act, const Linear& down,
                            const LinearInput& x, Matrix hidden, Matrix out, const RowScratch& scratch,
                            const Workplace& place) noexcept;
// x W^T + bias, quantised first where that is needed. Ends with a sync().
void linear_rows(const kernels::KernelTable& kernels, const Linear& linear, ConstMatrix x, size_t rows, Matrix out,
                 const RowScratch& scratch, Crew& crew) noexcept;

// Token, segment and position rows, summed and normalised. rows <= chunk_rows.
void embed_rows(const Config& config, const Weights& weights, const kernels::KernelTable& kernels, const uint32_t* ids,
                const uint32_t* positions, size_t rows, Matrix out, const RowScratch& scratch) noexcept;

// y = norm(x), or norm(x + residual); `sum` gets x + residual where its data are not null. y may be x, or the residual
// where sum is null.
void norm_rows(const Config& config, const NormWeights& norm, const kernels::KernelTable& kernels, ConstMatrix x,
               ConstMatrix residual, size_t rows, size_t width, Matrix y, Matrix sum = {nullptr, 0}) noexcept;

// The norm of `heads` heads side by side, each for itself, in place.
void norm_heads(const Config& config, const NormWeights& norm, const kernels::KernelTable& kernels, Matrix x,
                size_t heads, size_t rows) noexcept;

// norm_rows of some rows and, where `next` takes codes, those of its result in scratch.codes. y.data may be null there.
void norm_input_rows(const Config& config, const NormWeights& norm, const kernels::KernelTable& kernels,
                     const Linear& next, ConstMatrix x, ConstMatrix residual, Range rows, Matrix y, Matrix sum,
                     const RowScratch& scratch) noexcept;

// Where the floats lie that layer `number` projects to queries, keys and values: x, or their norm in scratch.normed.
ConstMatrix attention_input(const Config& config, size_t number, ConstMatrix x, const RowScratch& scratch) noexcept;
// Prepares them for some rows of the first layer. rows <= chunk_rows.
void first_attention_input_rows(const Config& config, const LayerWeights& layer, const kernels::KernelTable& kernels,
                                ConstMatrix x, Range rows, const RowScratch& scratch) noexcept;

// Cosines and sines of positions 0, 1, ...: [position][R]. Positions of long texts follow, where they turn differently.
struct RotaryTable {
  const float* cos = nullptr;
  const float* sin = nullptr;
  size_t stride = 0;
};
// Turns `heads` heads side by side, of rows at the given positions.
void rotate_rows(const Config& config, const RotaryTable& table, const kernels::KernelTable& kernels, Matrix x,
                 size_t heads, const uint32_t* positions, size_t rows) noexcept;

// Room that attention_heads needs for texts of up to `tokens` tokens.
size_t attention_floats(const Config& config, size_t tokens) noexcept;

// Heads [begin, end), which share their keys and values.
struct HeadRange {
  size_t begin, end;
};
// Softmax attention of some heads of one text: q_count queries, the first of which is that of token `first`, against
// kv_count keys and values of the heads' group. `relative_index`: PositionTables::relative_index, where the
// architecture has relative positions.
void attention_heads(const Config& config, const Weights& weights, const kernels::KernelTable& kernels, size_t layer,
                     HeadRange heads, ConstMatrix q, size_t first, size_t q_count, ConstMatrix k, ConstMatrix v,
                     size_t kv_count, const uint16_t* relative_index, Matrix out, const RowScratch& scratch) noexcept;

// The rest of a layer: x = norm(x + W attn); x = norm(x + ffn(x)), or x = x + W attn; x = x + ffn(norm(x)), or the same
// with a norm of what is added; and what the attention of the layer `next` reads (prepared_input of its product), where
// there is one. rows <= chunk_rows.
void layer_tail_rows(const Config& config, const LayerWeights& layer, const LayerWeights* next,
                     const kernels::KernelTable& kernels, ConstMatrix attn, size_t rows, Matrix x,
                     const RowScratch& scratch, const Workplace& place) noexcept;

// The token that is pooled, by the ids of its text. Requires pools_one_token.
size_t pooled_token(const Config& config, std::span<const uint32_t> ids) noexcept;
// The mean of the rows of one text.
void mean_of_rows(ConstMatrix x, size_t rows, size_t width, float* out) noexcept;

// What the heads read: act(W pooled + b), or its norm, in scratch, where the architecture has a pooler; else the pooled
// rows themselves. rows <= chunk_rows.
ConstMatrix pooler_rows(const Config& config, const Weights& weights, const kernels::KernelTable& kernels, size_t rows,
                        ConstMatrix pooled, const RowScratch& scratch, Crew& crew) noexcept;
// The logits of a head of words. rows <= chunk_rows.
void word_rows(const Config& config, const Linear& head, const kernels::KernelTable& kernels, size_t rows,
               ConstMatrix pooled, Matrix logits, const RowScratch& scratch, Crew& crew) noexcept;
// The logits of a tree's edges, capped. rows <= chunk_rows.
void edge_rows(const Config& config, const Linear& head, const kernels::KernelTable& kernels, size_t rows,
               ConstMatrix pooled, Matrix edges, const RowScratch& scratch, Crew& crew) noexcept;
// The logits of a text's classes, from those of the edges at each of its nodes, a row a node, which are overwritten.
// `bias` [edges] is added to their scores.
void word_logits(const WordTree& tree, const float* bias, Matrix edges, float* logits) noexcept;
// The logits of every head, side by side. rows <= chunk_rows.
void head_rows(const Config& config, const Weights& weights, const kernels::KernelTable& kernels, size_t rows,
               ConstMatrix pooled, Matrix logits, const RowScratch& scratch, Crew& crew) noexcept;

}  // namespace onepass
