#include "engine/runtime/weights.h"

#include <utility>

namespace onepass {

Result<Weights> bind_weights(const ModelFile& file) noexcept {
  Weights w;
  if (!w.layers.resize(file.config().layer_copies()) || !w.heads.resize(file.heads().size())) {
    return make_error(Code::out_of_memory, Error::no_offset, "weights", "no memory for the list of weights");
  }
  for (const TensorView& t : file.tensors()) {
    const auto table = [&] { return Table{t.data, t.layout, static_cast<size_t>(t.n)}; };
    const auto vector = [&] { return static_cast<const float*>(t.data); };
    const auto matrix = [&](Linear& linear) {
      linear.w = t.data;
      linear.layout = t.layout;
      linear.n = static_cast<size_t>(t.n);
      linear.k = static_cast<size_t>(t.k);
    };
    LayerWeights none;
    LayerWeights& layer = slot_specs()[static_cast<size_t>(t.slot)].scope == Scope::layer ? w.layers[t.index] : none;
    switch (t.slot) {
      case Slot::embed_token:
        w.token = table();
        break;
      case Slot::embed_position:
        w.position = table();
        break;
      case Slot::embed_type:
        w.segment = table();
        break;
      case Slot::embed_norm_w:
        w.embed_norm.weight = vector();
        break;
      case Slot::embed_norm_b:
        w.embed_norm.bias = vector();
        break;
      case Slot::embed_project_w:
        matrix(w.embed_project);
        break;
      case Slot::embed_project_b:
        w.embed_project.bias = vector();
        break;
      case Slot::rotary_global:
        w.rotary_global = vector();
        break;
      case Slot::rotary_local:
        w.rotary_local = vector();
        break;
      case Slot::rotary_long:
        w.rotary_long = vector();
        break;
      case Slot::attn_q_norm_w:
        layer.q_norm.weight = vector();
        break;
      case Slot::attn_k_norm_w:
        layer.k_norm.weight = vector();
        break;
      case Slot::attn_prefix:
        layer.prefix = vector();
        break;
      case Slot::attn_post_norm_w:
        layer.attn_post_norm.weight = vector();
        break;
      case Slot::ffn_post_norm_w:
        layer.ffn_post_norm.weight = vector();
        break;
      case Slot::relative_index:
        w.relative_index = vector();
        break;
      case Slot::relative_bias:
        w.relative_bias = vector();
        break;
      case Slot::attn_relative_key:
        layer.relative_key = table();
        break;
      case Slot::attn_relative_query:
        layer.relative_query = table();
        break;
      case Slot::attn_qkv_w:
        matrix(layer.qkv);
        break;
      case Slot::attn_qkv_b:
        layer.qkv.bias = vector();
        break;
      case Slot::attn_out_w:
        matrix(layer.attn_out);
        break;
      case Slot::attn_out_b:
        layer.attn_out.bias = vector();
        break;
      case Slot::attn_norm_w:
        layer.attn_norm.weight = vector();
        break;
      case Slot::attn_norm_b:
        layer.attn_norm.bias = vector();
        break;
      case Slot::ffn_up_w:
        matrix(layer.ffn_up);
        break;
      case Slot::ffn_up_b:
        layer.ffn_up.bias = vector();
        break;
      case Slot::ffn_down_w:
        matrix(layer.ffn_down);
        break;
      case Slot::ffn_down_b:
        layer.ffn_down.bias = vector();
        break;
      case Slot::ffn_norm_w:
        layer.ffn_norm.weight = vector();
        break;
      case Slot::ffn_norm_b:
        layer.ffn_norm.bias = vector();
        break;
      case Slot::final_norm_w:
        w.final_norm.weight = vector();
        break;
      case Slot::final_norm_b:
        w.final_norm.bias = vector();
        break;
      case Slot::pooler_norm_w:
        w.pooler_norm.weight = vector();
        break;
      case Slot::pooler_norm_b:
        w.pooler_norm.bias = vector();
        break;
      case Slot::pooler_w:
        matrix(w.pooler);
        break;
      case Slot::pooler_b:
        w.pooler.bias = vector();
        break;
      case Slot::words_path:
        w.word_paths = vector();
        break;
      case Slot::words_edge:
        w.word_edges = vector();
        break;
      case Slot::head_w:
        matrix(w.heads[t.index]);
        break;
      case Slot::head_b:
        w.heads[t.index].bias = vector();
        break;
    }
  }
  if (file.config().edges != 0) {
    ONEPASS_TRY_ASSIGN(tree, read_word_tree(file.config(), w.word_paths, w.word_edges, file.heads()));
    w.tree = std::move(tree);
  }
  return w;
}

}  // namespace onepass
