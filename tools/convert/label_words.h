// Label words: a causal language model as a classifier. A prompt ends where the model would go on with a word, and the
// classes are words: only their rows of the output matrix are stored, as a head.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "engine/text/tokenizer_spec.h"

namespace onepass::convert {

struct Label {
  std::string name;
  std::vector<std::string> words;  // as they follow the prompt, so mostly with a space before them
};

struct LabelWords {
  std::vector<Label> labels;  // none: the model has a head of its own
  std::string prompt;         // with {text} once
  std::string content_free;   // a text whose logits are subtracted, such as "N/A"; empty: none
};

// The prompt and the words as tokens.
struct LabelTokens {
  std::vector<std::vector<uint32_t>> classes;  // by label: the first token of each of its words, none twice
  size_t words = 0;                            // the most of a class
  std::vector<TemplateEntry> around;           // the prompt, the text included
};

// invalid_argument where labels are not told apart by their words' first tokens, or the prompt has no {text}. `rows`:
// the vocabulary of the model. `notes`: words of several tokens, and prompts that the text would grow together with.
Result<LabelTokens> tokenize_labels(const LabelWords& labels, const TokenizerSpec& tokenizer, uint32_t rows,
                                    std::vector<std::string>* notes);

// Added to the logit of a place without a word: far below every logit, and finite.
constexpr float kNoWord = -1e30f;

}  // namespace onepass::convert
