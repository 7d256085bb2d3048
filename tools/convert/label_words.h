// Label words: a causal language model as a classifier. A prompt ends where the model would go on with a word, and the
// classes are words: only their rows of the output matrix are stored, as a head.
#pragma once

#include <span>
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
  bool whole = false;         // the prompt has its special tokens, as text: the tokenizer adds none
  std::string content_free;   // a text whose logits are subtracted, such as "N/A"; empty: none
};

// A token that may follow at a node of a tree of words (engine/runtime/word_tree.h).
struct LabelEdge {
  uint32_t node = 0;
  uint32_t token = 0;
  uint32_t target = 0;  // a class, or the classes' number more than a node less 1
};

// The prompt and the words as tokens.
struct LabelTokens {
  std::vector<TemplateEntry> around;  // the prompt, the text included
  // Where the first tokens of words tell the labels apart: by label, each of them once.
  std::vector<std::vector<uint32_t>> classes;
  size_t words = 0;  // the most of a class
  // Where they do not: what may follow, by node, and the tokens that lead to each node but the root.
  std::vector<LabelEdge> edges;
  std::vector<std::vector<uint32_t>> paths;

  bool empty() const { return classes.empty() && edges.empty(); }
  size_t longest_path() const;
  // The head's rows of the output matrix; zeros where a class has fewer words than others.
  std::vector<float> matrix(const std::vector<float>& output, uint64_t width) const;
  // What is added to them, by the class that they belong to.
  std::vector<float> bias(std::span<const float> of_class) const;
  // The tensors words.path.w and words.edge.w.
  std::vector<float> path_rows() const;
  std::vector<float> edge_rows() const;
};

// invalid_argument where words do not tell the labels apart, or the prompt has no {text}. `rows`: the vocabulary of the
// model. `notes`: words of several tokens, and prompts that the text would grow together with.
Result<LabelTokens> tokenize_labels(const LabelWords& labels, const TokenizerSpec& tokenizer, uint32_t rows,
                                    std::vector<std::string>* notes);

}  // namespace onepass::convert
