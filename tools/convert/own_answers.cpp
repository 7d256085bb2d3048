#include "tools/convert/own_answers.h"

#include <algorithm>
#include <cstring>

#include "engine/runtime/model.h"
#include "engine/runtime/session.h"
#include "tools/convert/convert.h"

namespace onepass::convert {

Status calibrate(const LabelWords& labels, const LabelTokens& words, ModelContent& content) {
  ONEPASS_TRY_ASSIGN(bytes, serialize_model(content));
  ONEPASS_TRY_ASSIGN(model, Model::from_memory(bytes, {.mode = LoadMode::copy, .verify = false}));
  ONEPASS_TRY_ASSIGN(session, Session::create(model, {}));
  const std::string_view text = labels.content_free;
  std::vector<float> logits(model.total_classes());
  TextResult result;
  ONEPASS_TRY(session.classify({&text, 1}, {}, {&result, 1}, logits, {}));
  for (float& logit : logits) logit = -logit;
  const std::vector<float> bias = words.bias(logits);
  for (TensorContent& tensor : content.tensors) {
    if (tensor.name != "heads.0.b") continue;
    tensor.fill = [bias](std::span<uint8_t> out) -> Status {
      std::memcpy(out.data(), bias.data(), out.size());
      return {};
    };
  }
  return {};
}

Status store_prefix(std::span<const uint32_t> classes, ModelContent& content) {
  ONEPASS_TRY_ASSIGN(bytes, serialize_model(content));
  ONEPASS_TRY_ASSIGN(model, Model::from_memory(bytes, {.mode = LoadMode::copy, .verify = false}));
  ONEPASS_TRY_ASSIGN(session, Session::create(model, {}));
  ONEPASS_TRY_ASSIGN(prefix, session.prefix());
  if (prefix.tokens == 0) {
    return make_error(Code::invalid_argument, Error::no_offset, "--store-prefix",
                      "nothing stands before a text, or what stands there is not the same whatever follows: it needs a "
                      "template, and a decoder with attention in f32 that reads the last token");
  }
  content.config.prefix_tokens = static_cast<uint32_t>(prefix.tokens);
  ONEPASS_TRY(validate(content.config));
  std::vector<TensorContent> before = std::move(content.tensors);
  content.tensors.clear();
  auto next = before.begin();
  return for_each_tensor(content.config, classes, [&](const TensorNeed& need) -> Status {
    if (need.spec->slot != Slot::attn_prefix) {
      content.tensors.push_back(std::move(*next++));
      return {};
    }
    const auto* values = reinterpret_cast<const uint8_t*>(prefix.keys_values[need.index]);
    content.tensors.push_back({.name = need.name,
                               .layout = kernels::Layout::f32_rows,
                               .n = need.n,
                               .k = need.k,
                               .payload = {values, values + need.n * need.k * sizeof(float)},
                               .fill = {}});
    return {};
  });
}

Status add_self_tests(ModelContent& content) noexcept try {
  ONEPASS_TRY_ASSIGN(bytes, serialize_model(content));
  ONEPASS_TRY_ASSIGN(model, Model::from_memory(bytes, {.mode = LoadMode::copy, .verify = false}));
  ONEPASS_TRY_ASSIGN(session, Session::create(model, {}));
  // Words for the tokenizer, and ids from all over the vocabulary for the table: 1 token, a few, and many.
  const std::string_view texts[] = {"", "I can't believe you did this for me, thank you!",
                                    "Why would anyone do that? It is 2 a.m. and the music is still far too loud."};
  std::vector<std::vector<uint32_t>> lines;
  for (const std::string_view text : texts) {
    const auto tokens = session.tokenize(text, {});
    if (tokens.ok()) lines.emplace_back(tokens.value().ids.begin(), tokens.value().ids.end());
  }
  std::vector<uint32_t> spread;
  const uint32_t count = std::min<uint32_t>(content.config.max_tokens, 37);
  for (uint32_t t = 0; t < count; ++t) {
    spread.push_back(static_cast<uint32_t>(uint64_t{t} * 2654435761u % content.config.vocab));
  }
  lines.push_back(std::move(spread));
  for (const auto& ids : lines) {
    SelfTestContent test{ids, std::vector<float>(model.config().logit_rows(ids.size(), 1) * model.total_classes())};
    const uint32_t starts[] = {0, static_cast<uint32_t>(ids.size())};
    ONEPASS_TRY(session.run_ids(ids, starts, test.logits));
    content.self_tests.push_back(std::move(test));
  }
  return {};
} catch (const std::exception& error) {
  return make_error(Code::out_of_memory, Error::no_offset, "self_test", "%s", error.what());
}

}  // namespace onepass::convert
