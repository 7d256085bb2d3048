// RoBERTa. Liu et al. 2019, arXiv:1907.11692; XLM-RoBERTa, Conneau et al. 2020, arXiv:1911.02116; CamemBERT, Martin et
// al. 2020, arXiv:1911.03894. Also DistilRoBERTa, which keeps the architecture.
// Oracle: transformers 5.23.0, RobertaForSequenceClassification and its namesakes.
// Versus BERT: positions begin after the padding's id, and a padding token is not counted; no pooler; the head is
// out_proj(tanh(dense(h[<s>]))).
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

constexpr SourceClass kRobertaClasses[] = {
    {"RobertaForSequenceClassification", "roberta.", kHead, Pool::first_token, true, Act::tanh},
    {"RobertaForTokenClassification", "roberta.", kTokenHead, Pool::every_token},
    {"RobertaModel", "", {}},
};
constexpr SourceClass kXlmRobertaClasses[] = {
    {"XLMRobertaForSequenceClassification", "roberta.", kHead, Pool::first_token, true, Act::tanh},
    {"XLMRobertaForTokenClassification", "roberta.", kTokenHead, Pool::every_token},
    {"XLMRobertaModel", "", {}},
};
constexpr SourceClass kCamembertClasses[] = {
    {"CamembertForSequenceClassification", "roberta.", kHead, Pool::first_token, true, Act::tanh},
    {"CamembertForTokenClassification", "roberta.", kTokenHead, Pool::every_token},
    {"CamembertModel", "", {}},
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

constexpr Family family(const char* name, std::span<const SourceClass> classes) {
  return {
      .name = name,
      .oracle = "transformers 5.23.0",
      .classes = classes,
      .arch =
          {
              .norm = Norm::layer_norm,
              .norm_place = NormPlace::post,
              .position = Position::learned_after_pad,
              .mask = Mask::bidirectional,
              .ffn = Ffn::mlp,
              .embed_norm = 1,
              .biases = 1,
          },
      .act_key = "hidden_act",
      .eps_key = "layer_norm_eps",
      .segment_types_key = "type_vocab_size",
      .pad_key = "pad_token_id",
      .sizes = kSizes,
      .fixed = kFixed,
      .tensors = kBertTensors,
      .ignored = kBertIgnored,
      .aliases = kBertAliases,
  };
}

}  // namespace

constinit const Family roberta = family("roberta", kRobertaClasses);
constinit const Family xlm_roberta = family("xlm-roberta", kXlmRobertaClasses);
constinit const Family camembert = family("camembert", kCamembertClasses);

}  // namespace onepass::models
