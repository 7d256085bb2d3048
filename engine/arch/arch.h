// ArchSpec and Config: a transformer as data. Blocks switch on these enums and never ask for a
// model's name; a family (models/) is one constant ArchSpec and a map of tensor names.
//
// Axes: D width, B embedding width, H heads, G kv heads, E head width, F ffn width, L layers, V vocabulary,
//       P positions, S segment types, C classes of a head.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/core/result.h"
#include "kernels/attention_f32.h"
#include "kernels/elementwise.h"
#include "kernels/layouts.h"

namespace onepass {

using kernels::Act;

// Enumerator numbers are stored in model files: append only.
enum class Norm : uint32_t { layer_norm = 1, rms_norm = 2 };
enum class NormPlace : uint32_t {
  post = 1,      // x = norm(x + f(x))
  pre = 2,       // x = x + f(norm(x))
  sandwich = 3,  // x = x + norm(f(norm(x)))
};
enum class Position : uint32_t {
  none = 0,
  learned = 1,  // rows position_first, position_first + 1, ... of a table
  // The same; but a token whose id is position_first - 1, the padding, reads the row of that number and is not counted.
  learned_after_pad = 2,
  rotary = 3,  // queries and keys are turned by their positions: 0, 1, ...
};
enum class Mask : uint32_t {
  bidirectional = 1,
  causal = 2,  // a token sees itself and those before it
};
enum class Ffn : uint32_t {
  mlp = 1,    // down(act(up(x)))
  gated = 2,  // down(act(gate(x)) * up(x)); ffn.up has the rows of the gate, then those of up
};
// The numbers of attention's products: f32 as they are, or codes of 8 bits (kernels/attention_i8.h).
enum class AttentionType : uint32_t { f32 = 0, i8 = 1 };
// Terms of attention's scores that depend on the distance between query and key, by a row of a table for each distance.
enum class Relative : uint32_t {
  none = 0,
  disentangled = 1,  // Q_i . key_row and K_j . query_row, each where it is among relative_terms (DeBERTa)
  bias = 2,          // a number a head (T5, MPNet)
};
constexpr uint32_t relative_key_term = 1, relative_query_term = 2;
enum class Pool : uint32_t {
  first_token = 1,
  mean = 2,
  last = 3,
  // The last token that is not Config::pad_id, which is a token of the text where the padding doubles as the end of
  // a text; the first token where there is no other.
  last_not_pad = 4,
  first_pad_minus_1 = 5,  // the token before the first pad_id; the last one where there is none, or where it is first
  every_token = 6,        // none: the heads read the rows of all tokens
};

// Whether the row of one token is all that is pooled.
constexpr bool pools_one_token(Pool pool) noexcept {
  return pool == Pool::first_token || (pool >= Pool::last && pool <= Pool::first_pad_minus_1);
}

// What can go without a bias in a model whose other parts have one: bits of ArchSpec::unbiased.
enum class Part : uint32_t { qkv = 1, attn_out = 2, ffn = 4, norms = 8, pooler = 16, heads = 32, embed_project = 64 };
constexpr uint32_t all_parts = 127;

struct ArchSpec {
  Norm norm{};
  NormPlace norm_place{};
  Position position{};
  uint32_t position_first = 0;  // row of the position table that the first token reads
  uint32_t segment_types = 0;   // rows of the segment table; 0: none. One text reads row 0.
  Mask mask{};
  Ffn ffn{};
  Act act{};                // inside the ffn
  uint32_t embed_norm = 0;  // 1: a norm after the embeddings, before their projection
  uint32_t biases = 0;      // 1: every product adds a bias and every norm has one, but the unbiased parts
  uint32_t unbiased = 0;    // sum of Part
  Pool pool{};
  uint32_t pooler = 0;  // 1: pooled = pooler_act(W pooled + b) before the heads
  Act pooler_act{};
  uint32_t pooler_norm = 0;      // 1: a norm after the pooler's activation
  uint32_t final_norm = 0;       // 1: a norm after the last layer
  uint32_t skip_first_norm = 0;  // 1: layer 0's attention reads the embeddings as they are; NormPlace::pre
  uint32_t local_rotary = 0;     // 1: layers with a window turn by frequencies of their own
  Relative relative{};
  uint32_t relative_terms = 0;  // sum of relative_key_term and relative_query_term
  uint32_t qk_norm = 0;         // 1: the norm of each head of queries and of keys, before they are turned

  constexpr bool biased(Part part) const noexcept {
    return biases != 0 && (unbiased & static_cast<uint32_t>(part)) == 0;
  }
};

// Limits of rule G11 and of the arena; checked by validate().
constexpr uint32_t max_layers = 256;
constexpr uint32_t max_width = 65536;
constexpr uint32_t max_classes = 65536;
constexpr uint32_t max_model_heads = 64;
constexpr uint32_t max_words = 64;  // of a class
constexpr uint32_t max_edges = 65536;
constexpr uint32_t max_branches = 1024;
constexpr uint32_t max_branch_tokens = 64;
constexpr uint32_t max_text_tokens = 1u << 20;

struct Config {
  ArchSpec arch;
  uint32_t layers = 0;         // L
  uint32_t width = 0;          // D
  uint32_t heads = 0;          // H
  uint32_t kv_heads = 0;       // G; H % G == 0
  uint32_t head_width = 0;     // E
  uint32_t ffn_width = 0;      // F
  uint32_t vocab = 0;          // V, rows of the token table
  uint32_t positions = 0;      // P, rows of the position table; 0 without one
  uint32_t max_tokens = 0;     // longest text, template tokens included
  uint32_t embed_width = 0;    // B, where the embeddings are projected to D; 0: their rows are D wide
  uint32_t stored_layers = 0;  // the layers that are stored, each used L / stored_layers times in a row; 0: every one
  double norm_eps = 0;
  AttentionType attention = AttentionType::f32;
  uint32_t rotary_width = 0;  // elements of a head that are turned, the first ones; even
  // Layers with a window see so many tokens before and behind each one; with a causal mask, so many up to and with it.
  // They are all layers from window_first on but global_first, global_first + global_every, ... (global_every 0: all of
  // them). 0: no layer has a window.
  uint32_t window = 0;
  uint32_t window_first = 0;
  uint32_t global_every = 0;
  uint32_t global_first = 0;
  // Texts of more than rotary_original tokens turn by the frequencies rotary.long; 0: there are none.
  uint32_t rotary_original = 0;
  double rotary_factor = 0;  // of cosines and sines; 0: 1
  uint32_t pad_id = 0;       // where pool asks for it
  double attn_scale = 0;     // of the scores; 0: 1 / sqrt(E)
  double attn_softcap = 0;   // c: scores become c * tanh(score / c); 0: they stay
  double embed_scale = 0;    // of token rows; 0: 1
  // Heads are words of a language model: so many rows a class, whose logits are capped as attn_softcap caps scores;
  // a class has the logarithm of the sum of their exponentials. 0: a head is a product.
  uint32_t words = 0;
  double logit_softcap = 0;
  // The only head is a tree of words (engine/runtime/word_tree.h): `edges` rows, each a token that may follow at a
  // node, and `branches` nodes beside the root, each of which lies up to branch_tokens tokens behind the text. 0: it is
  // none.
  uint32_t edges = 0;
  uint32_t branches = 0;
  uint32_t branch_tokens = 0;
  // Tokens that every text begins with, whose keys and values are stored. The session checks that the tokenizer's
  // template has so many before the text.
  uint32_t prefix_tokens = 0;
  uint32_t relative_rows = 0;  // W, rows of the relative tables
  // Of stored layers that are narrower than the others: heads of keys, each read by H / G heads of queries as
  // everywhere, and the width of the feed-forward block. 0: G, F.
  uint16_t layer_kv_heads[max_layers]{};
  uint16_t layer_ffn_width[max_layers]{};

  // Rows of logits that a pass over `tokens` tokens of `texts` texts leaves behind.
  constexpr size_t logit_rows(size_t tokens, size_t texts) const noexcept {
    return arch.pool == Pool::every_token ? tokens : texts;
  }
  constexpr bool windowed(size_t l) const noexcept {
    return window != 0 && l >= window_first && (global_every == 0 || l % global_every != global_first);
  }
  constexpr bool has_words() const noexcept { return words != 0 || edges != 0; }
  constexpr size_t head_rows(size_t classes) const noexcept {
    return edges != 0 ? edges : words != 0 ? classes * words : classes;
  }
  // Whether the keys and values of the first tokens, and so what follows them, are the same whatever comes after them.
  constexpr bool shares_prefixes() const noexcept {
    return causal() && attention == AttentionType::f32 && arch.pool == Pool::last && arch.relative == Relative::none;
  }
  constexpr bool causal() const noexcept { return arch.mask == Mask::causal; }
  // Rows of the first product of a feed-forward block.
  constexpr size_t ffn_rows() const noexcept { return (arch.ffn == Ffn::gated ? size_t{2} : size_t{1}) * ffn_width; }
  // G, H and F of a stored layer, and the rows of its first feed-forward product.
  constexpr uint32_t kv_heads_of(size_t stored) const noexcept {
    return layer_kv_heads[stored] != 0 ? layer_kv_heads[stored] : kv_heads;
  }
  constexpr uint32_t heads_of(size_t stored) const noexcept { return kv_heads_of(stored) * (heads / kv_heads); }
  constexpr uint32_t ffn_width_of(size_t stored) const noexcept {
    return layer_ffn_width[stored] != 0 ? layer_ffn_width[stored] : ffn_width;
  }
  constexpr size_t ffn_rows_of(size_t stored) const noexcept {
    return (arch.ffn == Ffn::gated ? size_t{2} : size_t{1}) * ffn_width_of(stored);
  }
  constexpr uint32_t table_width() const noexcept { return embed_width != 0 ? embed_width : width; }
  constexpr uint32_t layer_copies() const noexcept { return stored_layers != 0 ? stored_layers : layers; }
  // Which stored layer is run as layer l.
  constexpr size_t stored_layer(size_t l) const noexcept { return l * layer_copies() / layers; }
};

// Every relation between the numbers that the forward pass relies on.
Status validate(const Config& config) noexcept;

// One field of Config as a file stores it. Fields equal to 0 are not stored.
struct ConfigField {
  uint32_t key;                                            // stable number; of copy i: key + i
  const char* name;                                        // as in docs/format.md; "{i}" stands for the copy
  bool real;                                               // a double, else a u32 (enumerations included)
  uint64_t (*get)(const Config&, uint32_t copy) noexcept;  // bits of the double, or the integer
  void (*set)(Config&, uint32_t copy, uint64_t bits) noexcept;
  uint64_t max;         // largest integer accepted
  uint32_t copies = 1;  // one a layer, where layers have their own
};
// Ascending by key.
std::span<const ConfigField> config_fields() noexcept;
// Keys of all of them.
uint32_t config_field_count() noexcept;

// What a tensor is for, which decides the layouts it may have.
enum class Role : uint8_t {
  vector,      // f32_rows, N = 1
  rows,        // f32_rows
  coded_rows,  // what attention's products read: f32_rows, or i8_rows with attention in int8
  table,       // f32_rows, f16_rows, i8_rows: rows read one at a time
  matrix,      // f32_n16, f16_n16, i8_n32k4: a product's weights [N,K]
};
bool layout_fits(Role role, kernels::Layout layout, AttentionType attention) noexcept;
// The layout of coded_rows.
constexpr kernels::Layout coded_rows_layout(AttentionType attention) noexcept {
  return attention == AttentionType::i8 ? kernels::Layout::i8_rows : kernels::Layout::f32_rows;
}

enum class Scope : uint8_t { model, layer, head };

// Every tensor that a model can have. Order is the order in a file.
enum class Slot : uint8_t {
  embed_token,
  embed_position,
  embed_type,
  embed_norm_w,
  embed_norm_b,
  embed_project_w,  // B to D
  embed_project_b,
  rotary_global,   // radians a position, of every pair of elements
  rotary_local,    // the same, of layers with a window
  rotary_long,     // the same, of texts beyond rotary_original tokens
  relative_index,  // row of the relative tables, a whole number, by distance -(max_tokens - 1) to max_tokens - 1
  relative_bias,
  attn_qkv_w,  // rows of Q, then K, then V
  attn_qkv_b,
  attn_relative_key,  // what the keys' product makes of the relative embeddings
  attn_relative_query,
  attn_q_norm_w,  // of every head alike
  attn_k_norm_w,
  attn_prefix,  // keys, then values, of the prefix's tokens, turned
  attn_out_w,
  attn_out_b,
  attn_norm_w,  // after the attention's residual sum, or before the attention (NormPlace)
  attn_norm_b,
  attn_post_norm_w,  // of what the attention adds, in NormPlace::sandwich
  ffn_up_w,
  ffn_up_b,
  ffn_down_w,
  ffn_down_b,
  ffn_norm_w,
  ffn_norm_b,
  ffn_post_norm_w,
  final_norm_w,
  final_norm_b,
  pooler_w,
  pooler_b,
  pooler_norm_w,
  pooler_norm_b,
  words_path,  // ids of the tokens that lead to each node but the root, then -1
  words_edge,  // by node: the node, and the class that ends there or, C more, the node that it leads to, less 1
  head_w,
  head_b,
};
constexpr size_t slot_count = static_cast<size_t>(Slot::head_b) + 1;

// WN, WP, WE: nodes, tokens and edges of a tree of words; R: pairs of elements that are turned; U: rows of the first
// product of a feed-forward block, F or 2 F; X: distances.
enum class Dim : uint8_t { one, B, D, HE, QKV, F, V, P, S, C, R, U, H, W, X, GE, E, PT, KV, WN, WP, WE, two };

struct SlotSpec {
  Slot slot;
  const char* name;  // "{i}" stands for the layer or head number
  Role role;
  Scope scope;
  Dim n, k;
};
std::span<const SlotSpec> slot_specs() noexcept;  // indexed by Slot
// Whether a model has it; of layer or head `index`.
bool slot_present(Slot slot, const Config& config, uint32_t index) noexcept;

// The value of a dimension; `classes` is C. Of a tensor of a stored layer, or as it is where no layer is narrower.
uint64_t dim_value(Dim dim, const Config& config, uint32_t classes, uint32_t layer) noexcept;
constexpr uint32_t no_layer = ~uint32_t{0};

constexpr size_t max_tensor_name = 64;

// One tensor that a model of this config has.
struct TensorNeed {
  const SlotSpec* spec;
  uint32_t index;  // layer or head number, 0 for Scope::model
  uint64_t n, k;
  char name[max_tensor_name];
};

// Calls f(const TensorNeed&) -> Status for every tensor of the model, in file order, and stops at the
// first failure. `classes[h]` is C of head h.
template <class F>
Status for_each_tensor(const Config& config, std::span<const uint32_t> classes, F&& f) noexcept;

// "{i}" in `pattern` replaced by the number.
void write_tensor_name(const char* pattern, uint32_t index, char (&out)[max_tensor_name]) noexcept;

template <class F>
Status for_each_tensor(const Config& config, std::span<const uint32_t> classes, F&& f) noexcept {
  const auto specs = slot_specs();
  for (size_t begin = 0; begin < specs.size();) {
    const Scope scope = specs[begin].scope;
    size_t end = begin;
    while (end < specs.size() && specs[end].scope == scope) ++end;
    const uint32_t copies = scope == Scope::model   ? 1
                            : scope == Scope::layer ? config.layer_copies()
                                                    : static_cast<uint32_t>(classes.size());
    for (uint32_t index = 0; index < copies; ++index) {
      for (size_t s = begin; s < end; ++s) {
        if (!slot_present(specs[s].slot, config, index)) continue;
        TensorNeed need;
        need.spec = &specs[s];
        need.index = index;
        const uint32_t c = scope == Scope::head ? classes[index] : 0;
        const uint32_t layer = scope == Scope::layer ? index : no_layer;
        need.n = dim_value(specs[s].n, config, c, layer);
        need.k = dim_value(specs[s].k, config, c, layer);
        write_tensor_name(specs[s].name, index, need.name);
        ONEPASS_TRY(f(need));
      }
    }
    begin = end;
  }
  return {};
}

}  // namespace onepass
