#include "engine/arch/arch.h"

#include <bit>
#include <cstdio>
#include <cstring>
#include <utility>

#include "kernels/attention_i8.h"

namespace onepass {

using kernels::Layout;

namespace {

constexpr SlotSpec kSlots[] = {
    {Slot::embed_token, "embed.token.w", Role::table, Scope::model, Dim::V, Dim::B},
    {Slot::embed_position, "embed.position.w", Role::table, Scope::model, Dim::P, Dim::B},
    {Slot::embed_type, "embed.type.w", Role::table, Scope::model, Dim::S, Dim::B},
    {Slot::embed_norm_w, "embed.norm.w", Role::vector, Scope::model, Dim::one, Dim::B},
    {Slot::embed_norm_b, "embed.norm.b", Role::vector, Scope::model, Dim::one, Dim::B},
    {Slot::embed_project_w, "embed.project.w", Role::matrix, Scope::model, Dim::D, Dim::B},
    {Slot::embed_project_b, "embed.project.b", Role::vector, Scope::model, Dim::one, Dim::D},
    {Slot::rotary_global, "rotary.global.w", Role::vector, Scope::model, Dim::one, Dim::R},
    {Slot::rotary_local, "rotary.local.w", Role::vector, Scope::model, Dim::one, Dim::R},
    {Slot::rotary_long, "rotary.long.w", Role::vector, Scope::model, Dim::one, Dim::R},
    {Slot::relative_index, "relative.index.w", Role::vector, Scope::model, Dim::one, Dim::X},
    {Slot::relative_bias, "relative.bias.w", Role::rows, Scope::model, Dim::H, Dim::W},
    {Slot::attn_qkv_w, "layers.{i}.attn.qkv.w", Role::matrix, Scope::layer, Dim::QKV, Dim::D},
    {Slot::attn_qkv_b, "layers.{i}.attn.qkv.b", Role::vector, Scope::layer, Dim::one, Dim::QKV},
    {Slot::attn_relative_key, "layers.{i}.attn.relative.key.w", Role::coded_rows, Scope::layer, Dim::W, Dim::HE},
    {Slot::attn_relative_query, "layers.{i}.attn.relative.query.w", Role::coded_rows, Scope::layer, Dim::W, Dim::HE},
    {Slot::attn_q_norm_w, "layers.{i}.attn.q_norm.w", Role::vector, Scope::layer, Dim::one, Dim::E},
    {Slot::attn_k_norm_w, "layers.{i}.attn.k_norm.w", Role::vector, Scope::layer, Dim::one, Dim::E},
    {Slot::attn_prefix, "layers.{i}.attn.prefix.w", Role::rows, Scope::layer, Dim::PT, Dim::KV},
    {Slot::attn_out_w, "layers.{i}.attn.out.w", Role::matrix, Scope::layer, Dim::D, Dim::HE},
    {Slot::attn_out_b, "layers.{i}.attn.out.b", Role::vector, Scope::layer, Dim::one, Dim::D},
    {Slot::attn_norm_w, "layers.{i}.attn.norm.w", Role::vector, Scope::layer, Dim::one, Dim::D},
    {Slot::attn_norm_b, "layers.{i}.attn.norm.b", Role::vector, Scope::layer, Dim::one, Dim::D},
    {Slot::attn_post_norm_w, "layers.{i}.attn.post_norm.w", Role::vector, Scope::layer, Dim::one, Dim::D},
    {Slot::ffn_up_w, "layers.{i}.ffn.up.w", Role::matrix, Scope::layer, Dim::U, Dim::D},
    {Slot::ffn_up_b, "layers.{i}.ffn.up.b", Role::vector, Scope::layer, Dim::one, Dim::U},
    {Slot::ffn_down_w, "layers.{i}.ffn.down.w", Role::matrix, Scope::layer, Dim::D, Dim::F},
    {Slot::ffn_down_b, "layers.{i}.ffn.down.b", Role::vector, Scope::layer, Dim::one, Dim::D},
    {Slot::ffn_norm_w, "layers.{i}.ffn.norm.w", Role::vector, Scope::layer, Dim::one, Dim::D},
    {Slot::ffn_norm_b, "layers.{i}.ffn.norm.b", Role::vector, Scope::layer, Dim::one, Dim::D},
    {Slot::ffn_post_norm_w, "layers.{i}.ffn.post_norm.w", Role::vector, Scope::layer, Dim::one, Dim::D},
    {Slot::final_norm_w, "final.norm.w", Role::vector, Scope::model, Dim::one, Dim::D},
    {Slot::final_norm_b, "final.norm.b", Role::vector, Scope::model, Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.w", Role::matrix, Scope::model, Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.b", Role::vector, Scope::model, Dim::one, Dim::D},
    {Slot::pooler_norm_w, "pooler.norm.w", Role::vector, Scope::model, Dim::one, Dim::D},
    {Slot::pooler_norm_b, "pooler.norm.b", Role::vector, Scope::model, Dim::one, Dim::D},
    {Slot::words_path, "words.path.w", Role::rows, Scope::model, Dim::WN, Dim::WP},
    {Slot::words_edge, "words.edge.w", Role::rows, Scope::model, Dim::WE, Dim::two},
    {Slot::head_w, "heads.{i}.w", Role::matrix, Scope::head, Dim::C, Dim::D},
    {Slot::head_b, "heads.{i}.b", Role::vector, Scope::head, Dim::one, Dim::C},
};
static_assert(sizeof(kSlots) / sizeof(kSlots[0]) == slot_count);
static_assert([] {
  for (size_t i = 0; i < slot_count; ++i) {
    if (kSlots[i].slot != static_cast<Slot>(i)) return false;
  }
  return true;
}());

#define ONEPASS_INTEGER_FIELD(key, name, member, max)                                                        \
  {                                                                                                          \
    key, name, false, [](const Config& c, uint32_t) noexcept { return static_cast<uint64_t>(c.member); },    \
        [](Config& c, uint32_t, uint64_t v) noexcept { c.member = static_cast<decltype(c.member)>(v); }, max \
  }

#define ONEPASS_REAL_FIELD(key, name, member)                                                              \
  {                                                                                                        \
    key, name, true, [](const Config& c, uint32_t) noexcept { return std::bit_cast<uint64_t>(c.member); }, \
        [](Config& c, uint32_t, uint64_t v) noexcept { c.member = std::bit_cast<double>(v); }, 0           \
  }

// One a stored layer.
#define ONEPASS_LAYER_FIELD(key, name, member, max)                                                                 \
  {                                                                                                                 \
    key, name, false, [](const Config& c, uint32_t i) noexcept { return uint64_t{c.member[i]}; },                   \
        [](Config& c, uint32_t i, uint64_t v) noexcept { c.member[i] = static_cast<uint16_t>(v); }, max, max_layers \
  }

// Keys are stable; ranges of ten leave room beside relatives.
constexpr ConfigField kFields[] = {
    ONEPASS_INTEGER_FIELD(1, "norm", arch.norm, 2),
    ONEPASS_INTEGER_FIELD(2, "norm_place", arch.norm_place, 3),
    ONEPASS_INTEGER_FIELD(3, "position", arch.position, 3),
    ONEPASS_INTEGER_FIELD(4, "position_first", arch.position_first, max_text_tokens),
    ONEPASS_INTEGER_FIELD(5, "segment_types", arch.segment_types, 65536),
    ONEPASS_INTEGER_FIELD(6, "mask", arch.mask, 2),
    ONEPASS_INTEGER_FIELD(7, "ffn", arch.ffn, 2),
    ONEPASS_INTEGER_FIELD(8, "act", arch.act, kernels::act_count - 1),
    ONEPASS_INTEGER_FIELD(9, "embed_norm", arch.embed_norm, 1),
    ONEPASS_INTEGER_FIELD(10, "biases", arch.biases, 1),
    ONEPASS_INTEGER_FIELD(11, "pool", arch.pool, 6),
    ONEPASS_INTEGER_FIELD(12, "pooler", arch.pooler, 1),
    ONEPASS_INTEGER_FIELD(13, "pooler_act", arch.pooler_act, kernels::act_count - 1),
    ONEPASS_INTEGER_FIELD(14, "unbiased", arch.unbiased, all_parts),
    ONEPASS_INTEGER_FIELD(15, "pooler_norm", arch.pooler_norm, 1),
    ONEPASS_INTEGER_FIELD(16, "final_norm", arch.final_norm, 1),
    ONEPASS_INTEGER_FIELD(17, "skip_first_norm", arch.skip_first_norm, 1),
    ONEPASS_INTEGER_FIELD(18, "local_rotary", arch.local_rotary, 1),
    ONEPASS_INTEGER_FIELD(19, "relative", arch.relative, 2),
    ONEPASS_INTEGER_FIELD(20, "relative_terms", arch.relative_terms, 3),
    ONEPASS_INTEGER_FIELD(25, "qk_norm", arch.qk_norm, 1),
    ONEPASS_INTEGER_FIELD(30, "attention", attention, 1),
    ONEPASS_INTEGER_FIELD(40, "layers", layers, max_layers),
    ONEPASS_INTEGER_FIELD(41, "width", width, max_width),
    ONEPASS_INTEGER_FIELD(42, "heads", heads, max_width),
    ONEPASS_INTEGER_FIELD(43, "kv_heads", kv_heads, max_width),
    ONEPASS_INTEGER_FIELD(44, "head_width", head_width, kernels::max_head_width),
    ONEPASS_INTEGER_FIELD(45, "ffn_width", ffn_width, max_width),
    ONEPASS_INTEGER_FIELD(46, "vocab", vocab, 1u << 20),
    ONEPASS_INTEGER_FIELD(47, "positions", positions, 2u * max_text_tokens),
    ONEPASS_INTEGER_FIELD(48, "max_tokens", max_tokens, max_text_tokens),
    ONEPASS_REAL_FIELD(49, "norm_eps", norm_eps),
    ONEPASS_INTEGER_FIELD(50, "embed_width", embed_width, max_width),
    ONEPASS_INTEGER_FIELD(51, "stored_layers", stored_layers, max_layers),
    ONEPASS_INTEGER_FIELD(52, "rotary_width", rotary_width, kernels::max_head_width),
    ONEPASS_INTEGER_FIELD(53, "window", window, max_text_tokens),
    ONEPASS_INTEGER_FIELD(54, "global_every", global_every, max_layers),
    ONEPASS_INTEGER_FIELD(55, "relative_rows", relative_rows, 65535),
    ONEPASS_INTEGER_FIELD(60, "window_first", window_first, max_layers),
    ONEPASS_INTEGER_FIELD(61, "global_first", global_first, max_layers),
    ONEPASS_INTEGER_FIELD(62, "rotary_original", rotary_original, max_text_tokens),
    ONEPASS_REAL_FIELD(63, "rotary_factor", rotary_factor),
    ONEPASS_INTEGER_FIELD(64, "pad_id", pad_id, (1u << 20) - 1),
    ONEPASS_REAL_FIELD(65, "attn_scale", attn_scale),
    ONEPASS_REAL_FIELD(66, "attn_softcap", attn_softcap),
    ONEPASS_REAL_FIELD(67, "embed_scale", embed_scale),
    ONEPASS_INTEGER_FIELD(68, "words", words, max_words),
    ONEPASS_REAL_FIELD(69, "logit_softcap", logit_softcap),
    ONEPASS_INTEGER_FIELD(70, "prefix_tokens", prefix_tokens, max_text_tokens),
    ONEPASS_INTEGER_FIELD(71, "edges", edges, max_edges),
    ONEPASS_INTEGER_FIELD(72, "branches", branches, max_branches),
    ONEPASS_INTEGER_FIELD(73, "branch_tokens", branch_tokens, max_branch_tokens),
    ONEPASS_LAYER_FIELD(1000, "layers.{i}.kv_heads", layer_kv_heads, max_width - 1),
    ONEPASS_LAYER_FIELD(2000, "layers.{i}.ffn_width", layer_ffn_width, max_width - 1),
};
#undef ONEPASS_INTEGER_FIELD
#undef ONEPASS_REAL_FIELD
#undef ONEPASS_LAYER_FIELD

constexpr uint32_t kFieldCount = [] {
  uint32_t count = 0;
  for (const ConfigField& field : kFields) count += field.copies;
  return count;
}();

}  // namespace

std::span<const ConfigField> config_fields() noexcept { return kFields; }

uint32_t config_field_count() noexcept { return kFieldCount; }

std::span<const SlotSpec> slot_specs() noexcept { return kSlots; }

bool layout_fits(Role role, Layout layout, AttentionType attention) noexcept {
  switch (role) {
    case Role::vector:
    case Role::rows:
      return layout == Layout::f32_rows;
    case Role::coded_rows:
      return layout == coded_rows_layout(attention);
    case Role::table:
      return layout == Layout::f32_rows || layout == Layout::f16_rows || layout == Layout::bf16_rows ||
             layout == Layout::i8_rows || layout == Layout::i4g32_rows;
    case Role::matrix:
      return layout == Layout::f32_n16 || layout == Layout::f16_n16 || layout == Layout::bf16_n16 ||
             layout == Layout::i8_n32k4 || layout == Layout::i4g32_n32k4 || layout == Layout::i4g64_n32k4 ||
             layout == Layout::i4mg32_n32k4 || layout == Layout::i4mg64_n32k4 || kernels::has_steps(layout);
  }
  return false;
}

bool slot_present(Slot slot, const Config& config, uint32_t index) noexcept {
  const ArchSpec& arch = config.arch;
  switch (slot) {
    case Slot::embed_token:
    case Slot::attn_qkv_w:
    case Slot::attn_out_w:
    case Slot::ffn_up_w:
    case Slot::ffn_down_w:
    case Slot::ffn_norm_w:
    case Slot::head_w:
      return true;
    case Slot::embed_position:
      return arch.position == Position::learned || arch.position == Position::learned_after_pad;
    case Slot::embed_type:
      return arch.segment_types != 0;
    case Slot::embed_norm_w:
      return arch.embed_norm != 0;
    case Slot::embed_norm_b:
      return arch.embed_norm != 0 && arch.biased(Part::norms);
    case Slot::embed_project_w:
      return config.embed_width != 0;
    case Slot::embed_project_b:
      return config.embed_width != 0 && arch.biased(Part::embed_project);
    case Slot::attn_qkv_b:
      return arch.biased(Part::qkv);
    case Slot::attn_out_b:
      return arch.biased(Part::attn_out);
    case Slot::ffn_up_b:
    case Slot::ffn_down_b:
      return arch.biased(Part::ffn);
    case Slot::attn_norm_w:
      return index != 0 || arch.skip_first_norm == 0;
    case Slot::attn_norm_b:
      return (index != 0 || arch.skip_first_norm == 0) && arch.biased(Part::norms);
    case Slot::ffn_norm_b:
      return arch.biased(Part::norms);
    case Slot::relative_index:
      return arch.relative != Relative::none;
    case Slot::relative_bias:
      return arch.relative == Relative::bias;
    case Slot::attn_relative_key:
      return (arch.relative_terms & relative_key_term) != 0;
    case Slot::attn_relative_query:
      return (arch.relative_terms & relative_query_term) != 0;
    case Slot::rotary_global:
      return arch.position == Position::rotary;
    case Slot::rotary_local:
      return arch.position == Position::rotary && arch.local_rotary != 0;
    case Slot::rotary_long:
      return arch.position == Position::rotary && config.rotary_original != 0;
    case Slot::attn_q_norm_w:
    case Slot::attn_k_norm_w:
      return arch.qk_norm != 0;
    case Slot::attn_prefix:
      return config.prefix_tokens != 0;
    case Slot::attn_post_norm_w:
    case Slot::ffn_post_norm_w:
      return arch.norm_place == NormPlace::sandwich;
    case Slot::final_norm_w:
      return arch.final_norm != 0;
    case Slot::final_norm_b:
      return arch.final_norm != 0 && arch.biased(Part::norms);
    case Slot::pooler_norm_w:
      return arch.pooler_norm != 0;
    case Slot::pooler_norm_b:
      return arch.pooler_norm != 0 && arch.biased(Part::norms);
    case Slot::words_path:
    case Slot::words_edge:
      return config.edges != 0;
    case Slot::head_b:
      return arch.biased(Part::heads);
    case Slot::pooler_w:
      return arch.pooler != 0;
    case Slot::pooler_b:
      return arch.pooler != 0 && arch.biased(Part::pooler);
  }
  return false;
}

uint64_t dim_value(Dim dim, const Config& c, uint32_t classes, uint32_t layer) noexcept {
  const bool own = layer < max_layers;
  const uint64_t kv_heads = own ? c.kv_heads_of(layer) : c.kv_heads, heads = own ? c.heads_of(layer) : c.heads;
  switch (dim) {
    case Dim::one:
      return 1;
    case Dim::B:
      return c.table_width();
    case Dim::D:
      return c.width;
    case Dim::HE:
      return heads * c.head_width;
    case Dim::GE:
      return kv_heads * c.head_width;
    case Dim::PT:
      return c.prefix_tokens;
    case Dim::KV:
      return 2 * kv_heads * c.head_width;
    case Dim::E:
      return c.head_width;
    case Dim::QKV:
      return (heads + 2 * kv_heads) * c.head_width;
    case Dim::F:
      return own ? c.ffn_width_of(layer) : c.ffn_width;
    case Dim::V:
      return c.vocab;
    case Dim::P:
      return c.positions;
    case Dim::S:
      return c.arch.segment_types;
    case Dim::C:
      return c.head_rows(classes);
    case Dim::R:
      return c.rotary_width / 2;
    case Dim::U:
      return own ? c.ffn_rows_of(layer) : c.ffn_rows();
    case Dim::H:
      return c.heads;
    case Dim::W:
      return c.relative_rows;
    case Dim::WN:
      return c.branches;
    case Dim::WP:
      return c.branch_tokens;
    case Dim::WE:
      return c.edges;
    case Dim::two:
      return 2;
    case Dim::X:
      return 2 * uint64_t{c.max_tokens} - 1;
  }
  return 0;
}

void write_tensor_name(const char* pattern, uint32_t index, char (&out)[max_tensor_name]) noexcept {
  const char* hole = std::strstr(pattern, "{i}");
  if (hole == nullptr) {
    std::snprintf(out, sizeof(out), "%s", pattern);
  } else {
    std::snprintf(out, sizeof(out), "%.*s%u%s", static_cast<int>(hole - pattern), pattern, index, hole + 3);
  }
}

namespace {

// Layers that are narrower than the others. Requires that the numbers of the others are valid.
Status validate_layers(const Config& c) noexcept {
  const auto check = [&](const uint16_t(&own)[max_layers], uint32_t others, const char* name) -> Status {
    bool any = false, all = true;
    for (uint32_t i = 0; i < max_layers; ++i) {
      if (i < c.layer_copies()) all = all && own[i] != 0;
      if (own[i] == 0) continue;
      any = true;
      if (i < c.layer_copies() && own[i] < others) continue;
      char field[max_tensor_name];
      write_tensor_name(name, i, field);
      return make_error(Code::bad_value, Error::no_offset, field,
                        "%u: a layer that is stored has less than the others, which have %u", own[i], others);
    }
    if (!any || !all) return {};
    return make_error(Code::bad_value, Error::no_offset, name, "every layer is narrower than the model is said to be");
  };
  ONEPASS_TRY(check(c.layer_kv_heads, c.kv_heads, "layers.{i}.kv_heads"));
  ONEPASS_TRY(check(c.layer_ffn_width, c.ffn_width, "layers.{i}.ffn_width"));
  if (c.arch.relative != Relative::bias) return {};
  for (const uint16_t own : c.layer_kv_heads) {
    if (own == 0) continue;
    return make_error(Code::bad_value, Error::no_offset, "layers.{i}.kv_heads",
                      "layers share a table with a number a head, so all have as many heads");
  }
  return {};
}

}  // namespace

Status validate(const Config& c) noexcept {
  const auto fail = [](const char* name, const char* why) {
    return make_error(Code::bad_value, Error::no_offset, name, "%s", why);
  };
  const ArchSpec& a = c.arch;
  if (a.norm != Norm::layer_norm && a.norm != Norm::rms_norm) return fail("norm", "the file names no normalisation");
  if (a.norm_place < NormPlace::post || a.norm_place > NormPlace::sandwich)
    return fail("norm_place", "the file names no place of the normalisation");
  if (a.mask != Mask::bidirectional && a.mask != Mask::causal) return fail("mask", "the file names no attention mask");
  if (a.ffn != Ffn::mlp && a.ffn != Ffn::gated) return fail("ffn", "the file names no kind of feed-forward block");
  if (a.pool < Pool::first_token || a.pool > Pool::every_token) {
    return fail("pool", "the file names no pooling rule");
  }
  const bool pads = a.pool == Pool::last_not_pad || a.pool == Pool::first_pad_minus_1;
  if (c.pad_id != 0 && (!pads || c.pad_id >= c.vocab)) {
    return fail("pad_id", "set where no pooling rule asks for it, or beyond the vocabulary");
  }
  if (a.unbiased != 0 && (a.biases == 0 || a.unbiased == all_parts)) {
    return fail("unbiased", "parts without a bias are named where others have one");
  }
  if (a.position == Position::learned_after_pad && a.position_first == 0) {
    return fail("position_first", "positions after the padding begin at its id + 1");
  }
  if (a.pooler == 0 && a.pooler_act != Act::none) return fail("pooler_act", "set without a pooler");
  if (a.pooler == 0 && a.pooler_norm != 0) return fail("pooler_norm", "set without a pooler");
  if (a.skip_first_norm != 0 && (a.norm_place == NormPlace::post || c.stored_layers != 0)) {
    return fail("skip_first_norm", "set where no norm comes before the attention, or where layers are shared");
  }
  if (c.global_every != 0 && c.window == 0) return fail("global_every", "set without a window");
  if (c.window_first != 0 && c.window == 0) return fail("window_first", "set without a window");
  if (c.global_first != 0 && c.global_first >= c.global_every) {
    return fail("global_first", "must be below global_every");
  }
  if (a.biased(Part::norms) && (a.norm == Norm::rms_norm || a.norm_place == NormPlace::sandwich || a.qk_norm != 0)) {
    return fail("unbiased", "norms of this kind or place have no bias");
  }
  if (a.qk_norm != 0 && a.norm != Norm::rms_norm) return fail("qk_norm", "only known with the norm rms_norm");
  if (c.rotary_original != 0 && (a.position != Position::rotary || a.local_rotary != 0)) {
    return fail("rotary_original", "set without rotary positions, or where layers with a window turn differently");
  }
  if (c.rotary_factor != 0 && a.position != Position::rotary)
    return fail("rotary_factor", "set without rotary positions");
  for (const auto& [name, value] :
       {std::pair("rotary_factor", c.rotary_factor), std::pair("attn_scale", c.attn_scale),
        std::pair("attn_softcap", c.attn_softcap), std::pair("logit_softcap", c.logit_softcap),
        std::pair("embed_scale", c.embed_scale)}) {
    if (std::bit_cast<uint64_t>(value) != 0 && !(value >= 1e-6 && value <= 1e6))
      return fail(name, "must lie between 0.000001 and 1,000,000");
  }
  if (c.has_words() && !a.biased(Part::heads)) return fail("words", "heads of words have biases");
  if ((c.edges != 0) != (c.branches != 0) || (c.edges != 0) != (c.branch_tokens != 0)) {
    return fail("edges", "a tree of words has edges, branches and tokens that lead to them, or none of these");
  }
  if (c.edges != 0 && (c.words != 0 || !c.causal() || a.pool != Pool::last || a.relative != Relative::none)) {
    return fail("edges", "set beside words, or where no token of the words can follow a text");
  }
  if (c.prefix_tokens != 0 && (!c.shares_prefixes() || c.stored_layers != 0 || c.prefix_tokens >= c.max_tokens)) {
    return fail("prefix_tokens", "set where a text's keys and values depend on what follows, or for no text");
  }
  if (c.logit_softcap != 0 && !c.has_words()) return fail("logit_softcap", "set without heads of words");
  if (c.attn_softcap != 0 && a.relative != Relative::none && c.attention != AttentionType::f32) {
    return fail("attention", "a softcap beside relative positions is only known with attention in f32");
  }
  if (a.local_rotary != 0 && (c.window == 0 || a.position != Position::rotary)) {
    return fail("local_rotary", "set without a window or without rotary positions");
  }
  if ((a.relative == Relative::disentangled) != (a.relative_terms != 0)) {
    return fail("relative_terms", "a disentangled attention has one or two terms, another has none");
  }
  if ((a.relative == Relative::none) != (c.relative_rows == 0)) {
    return fail("relative_rows", "set without relative positions, or absent with them");
  }
  if (a.relative != Relative::none && c.kv_heads != c.heads) {
    return fail("relative", "relative positions need as many heads of keys as of queries");
  }
  if (a.relative != Relative::none && c.attention != AttentionType::f32 &&
      c.max_tokens > kernels::max_attention_i8_keys) {
    return fail("attention", "relative positions of more than 65,536 tokens are only known with attention in f32");
  }
  if ((a.position == Position::rotary) != (c.rotary_width != 0) || c.rotary_width % 2 != 0 ||
      c.rotary_width > c.head_width) {
    return fail("rotary_width", "must be even, at most head_width, and set where positions are rotary");
  }
  if (c.layers < 1 || c.layers > max_layers) return fail("layers", "must be 1 to 256");
  if (c.width < 1 || c.width > max_width) return fail("width", "must be 1 to 65,536");
  if (c.stored_layers != 0 && (c.stored_layers >= c.layers || c.layers % c.stored_layers != 0)) {
    return fail("stored_layers", "must be less than the layers and divide their number");
  }
  if (c.heads < 1 || c.head_width < 1) return fail("heads", "the number of heads and their width must be at least 1");
  if (c.head_width > kernels::max_head_width) return fail("head_width", "must be at most 256");
  if (uint64_t{c.heads} * c.head_width > max_width) return fail("heads", "heads x head_width must be at most 65,536");
  if (c.kv_heads < 1 || c.heads % c.kv_heads != 0) return fail("kv_heads", "must divide the number of heads");
  if (c.ffn_width < 1 || c.ffn_width > max_width) return fail("ffn_width", "must be 1 to 65,536");
  ONEPASS_TRY(validate_layers(c));
  if (c.vocab < 1 || c.vocab > (1u << 20)) return fail("vocab", "must be 1 to 1,048,576");
  if (c.max_tokens < 1 || c.max_tokens > max_text_tokens) return fail("max_tokens", "must be 1 to 1,048,576");
  if (uint64_t{c.max_tokens} + c.branch_tokens > max_text_tokens) {
    return fail("branch_tokens", "text and words must be at most 1,048,576 tokens");
  }
  if (slot_present(Slot::embed_position, c, 0)) {
    if (uint64_t{c.max_tokens} + a.position_first > c.positions) {
      return fail("positions", "the position table is shorter than max_tokens");
    }
  } else if (c.positions != 0 || a.position_first != 0) {
    return fail("positions", "set without learned positions");
  }
  if (!(c.norm_eps > 0 && c.norm_eps < 1)) return fail("norm_eps", "must lie between 0 and 1");
  return {};
}

}  // namespace onepass
