// MobileLLM. Liu et al. 2024, arXiv:2402.14905.
// Oracle: the modelling code that comes with the checkpoints, which transformers does not have (utils/modeling_llama.py
// of facebookresearch/MobileLLM), without a cache; tools/dev/mobilellm_reference.py makes the same of Llama's layers.
// Versus Llama: with layer_sharing every layer runs twice before the next one; share_embedding says that the output
// matrix is the embeddings, whatever tie_word_embeddings says; and the token before the first padding is pooled.
#include "models/decoder.h"
#include "models/families.h"
#include "models/rotary.h"

namespace onepass::models {

namespace {

constexpr SourceClass kClasses[] = {
    {"MobileLLMForSequenceClassification", "model.", kScoreHead},
    {"MobileLLMForCausalLM", "model.", {}, Pool::last, false, Act::none, kOutput, false},
    {"MobileLLMModel", "", {}},
};

Status refine(const JsonNode& json, SourceModel& model) {
  Config& config = model.config;
  ONEPASS_TRY(read_decoder(json, model));
  if (config.arch.pool == Pool::last_not_pad) config.arch.pool = Pool::first_pad_minus_1;
  ONEPASS_TRY_ASSIGN(attention_bias, read_flag(json, "attention_bias"));
  ONEPASS_TRY_ASSIGN(mlp_bias, read_flag(json, "mlp_bias"));
  set_biased(config.arch, (attention_bias ? attention_parts : 0) | (mlp_bias ? static_cast<uint32_t>(Part::ffn) : 0));
  ONEPASS_TRY_ASSIGN(shared, read_flag(json, "layer_sharing"));
  if (shared) {
    config.stored_layers = config.layers;
    config.layers *= 2;
  }
  return read_rotary(json, {}, model);
}

}  // namespace

constinit const Family mobilellm = {
    .name = "mobilellm",
    .oracle = "modeling_llama.py of MobileLLM, 1e67bf6",
    .classes = kClasses,
    .arch = kDecoderArch,
    .act_key = "hidden_act",
    .eps_key = "rms_norm_eps",
    .tied_key = "share_embedding",
    .sizes = kDecoderSizes,
    .fixed = {},
    .tensors = kDecoderTensors,
    .refine = refine,
    .ignored = kDecoderIgnored,
};

}  // namespace onepass::models
