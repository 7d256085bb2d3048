// ELECTRA, the discriminator. Clark et al. 2020, arXiv:2003.10555.
// Oracle: transformers 5.23.0, ElectraForSequenceClassification and ElectraModel.
// Versus BERT: embeddings may be narrower than the layers, and are normalised before their projection; no pooler; the
// head is out_proj(gelu(dense(h[CLS]))), gelu whatever the layers use.
#include "models/bert_tensors.h"
#include "models/families.h"

namespace onepass::models {

namespace {

constexpr TensorSource kHead[] = {
    {Slot::pooler_w, "classifier.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "classifier.dense.bias", Dim::one, Dim::D},
    {Slot::head_w, "classifier.out_proj.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.out_proj.bias", Dim::one, Dim::C},
};

constexpr TensorSource kTokenHead[] = {
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr SourceClass kClasses[] = {
    {"ElectraForSequenceClassification", "electra.", kHead, Pool::first_token, true, Act::gelu_erf},
    {"ElectraForTokenClassification", "electra.", kTokenHead, Pool::every_token},
    {"ElectraModel", "", {}},
};

constexpr SizeKey kSizes[] = {
    {"vocab_size", &Config::vocab},
    {"hidden_size", &Config::width},
    {"num_hidden_layers", &Config::layers},
    {"num_attention_heads", &Config::heads},
    {"intermediate_size", &Config::ffn_width},
    {"max_position_embeddings", &Config::positions},
};

constexpr FixedKey kFixed[] = {
    {"position_embedding_type", "\"absolute\""},
    {"is_decoder", "false"},
    {"add_cross_attention", "false"},
};

}  // namespace

constinit const Family electra = {
    .name = "electra",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch =
        {
            .norm = Norm::layer_norm,
            .norm_place = NormPlace::post,
            .position = Position::learned,
            .mask = Mask::bidirectional,
            .ffn = Ffn::mlp,
            .embed_norm = 1,
            .biases = 1,
        },
    .act_key = "hidden_act",
    .eps_key = "layer_norm_eps",
    .segment_types_key = "type_vocab_size",
    .embed_width_key = "embedding_size",
    .sizes = kSizes,
    .fixed = kFixed,
    .tensors = kBertTensors,
    .ignored = kBertIgnored,
    .aliases = kBertAliases,
};

}  // namespace onepass::models
