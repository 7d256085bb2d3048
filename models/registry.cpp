#include "models/families.h"

namespace onepass::models {

namespace {

constexpr const Family* kFamilies[] = {
    &albert,    &bert,       &camembert, &deberta_v2, &distilbert, &electra, &gemma2, &gemma3,  &llama,       &mistral,
    &mobilellm, &modernbert, &mpnet,     &nomic_bert, &phi3,       &qwen2,   &qwen3,  &roberta, &xlm_roberta,
};

}  // namespace

std::span<const Family* const> families() noexcept { return kFamilies; }

FoundClass find_class(std::string_view architecture) noexcept {
  for (const Family* family : kFamilies) {
    for (const SourceClass& source : family->classes) {
      if (architecture == source.name) return {family, &source};
    }
  }
  return {};
}

}  // namespace onepass::models
