// BERT. Devlin et al. 2018, arXiv:1810.04805. Also MiniLM and TinyBERT students, which keep the architecture.
// Oracle: transformers 5.23.0, BertForSequenceClassification and BertModel.
// The classification head is classifier(tanh(pooler(h[CLS]))); a head without the pooler is another model.
#include "models/bert_tensors.h"
#include "models/families.h"

namespace onepass::models {

namespace {

constexpr TensorSource kHead[] = {
    {Slot::pooler_w, "bert.pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "bert.pooler.dense.bias", Dim::one, Dim::D},
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr TensorSource kTokenHead[] = {
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr SourceClass kClasses[] = {
    {"BertForSequenceClassification", "bert.", kHead, Pool::first_token, true, Act::tanh},
    {"BertForTokenClassification", "bert.", kTokenHead, Pool::every_token},
    {"BertModel", "", {}},
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

constinit const Family bert = {
    .name = "bert",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch =
        {
            .norm = Norm::layer_norm,
            .norm_place = NormPlace::post,
            .position = Position::learned,
            .position_first = 0,
            .segment_types = 2,
            .mask = Mask::bidirectional,
            .ffn = Ffn::mlp,
            .act = Act::gelu_erf,
            .embed_norm = 1,
            .biases = 1,
        },
    .act_key = "hidden_act",
    .eps_key = "layer_norm_eps",
    .segment_types_key = "type_vocab_size",
    .sizes = kSizes,
    .fixed = kFixed,
    .tensors = kBertTensors,
    .ignored = kBertIgnored,
    .aliases = kBertAliases,
};

}  // namespace onepass::models
