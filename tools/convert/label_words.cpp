#include "tools/convert/label_words.h"

#include <algorithm>
#include <map>

#include "engine/arch/arch.h"
#include "engine/core/array.h"
#include "engine/runtime/word_tree.h"
#include "engine/text/tokenizer.h"

namespace onepass::convert {

namespace {

using Ids = std::vector<uint32_t>;

Error refuse(const char* where, const std::string& why) {
  return make_error(Code::invalid_argument, Error::no_offset, where, "%s", why.c_str());
}

class Encoder {
 public:
  static Result<Encoder> make(const TokenizerSpec& spec, uint32_t rows) {
    Encoder encoder;
    encoder.section_ = serialize_tokenizer(spec);
    const auto tokenizer = Tokenizer::parse(encoder.section_, rows);
    if (!tokenizer.ok()) return tokenizer.error();
    encoder.rows_ = rows;
    return encoder;
  }

  Result<Ids> ids(const std::string& text, bool special) const {
    ONEPASS_TRY_ASSIGN(tokenizer, Tokenizer::parse(section_, rows_));
    EncodeScratch scratch;
    Array<uint32_t> out;
    ONEPASS_TRY(tokenizer.encode(text, {.add_special = special}, scratch, out, nullptr, nullptr));
    return Ids(out.begin(), out.end());
  }

 private:
  std::vector<uint8_t> section_;
  uint32_t rows_ = 0;
};

// What stands before and after the text, whatever it is: texts that have nothing in common are put there.
Result<std::vector<TemplateEntry>> around_text(const Encoder& encoder, const LabelWords& labels,
                                               std::vector<std::string>* notes) {
  const std::string& prompt = labels.prompt;
  const size_t hole = prompt.find("{text}");
  if (hole == std::string::npos || prompt.find("{text}", hole + 1) != std::string::npos) {
    return refuse("--template", "it must have {text} once, where the text goes");
  }
  const std::string before = prompt.substr(0, hole), after = prompt.substr(hole + 6);
  const std::string texts[] = {"a",    "the dog",   "The cat.",   "9)",
                               "good", "\"So what", "zebra, no!", "\xc3\xa9t\xc3\xa9"};
  std::vector<Ids> whole;
  for (const std::string& text : texts) {
    ONEPASS_TRY_ASSIGN(ids, encoder.ids(before + text + after, !labels.whole));
    whole.push_back(std::move(ids));
  }
  size_t shortest = SIZE_MAX;
  for (const Ids& ids : whole) shortest = std::min(shortest, ids.size());
  const auto same = [&](auto&& at) {
    return std::all_of(whole.begin(), whole.end(), [&](const Ids& ids) { return at(ids) == at(whole[0]); });
  };
  size_t head = 0, tail = 0;
  while (head + 1 < shortest && same([&](const Ids& ids) { return ids[head]; })) ++head;
  while (head + tail + 1 < shortest && same([&](const Ids& ids) { return ids[ids.size() - 1 - tail]; })) ++tail;
  size_t differ = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    ONEPASS_TRY_ASSIGN(alone, encoder.ids(texts[i], false));
    const Ids middle(whole[i].begin() + static_cast<std::ptrdiff_t>(head),
                     whole[i].end() - static_cast<std::ptrdiff_t>(tail));
    differ += middle != alone;
  }
  if (differ != 0 && notes != nullptr) {
    notes->push_back(
        "a text's tokens are not those that it has within the prompt: put {text} after a line break or a quotation "
        "mark, not after a space");
  }
  std::vector<TemplateEntry> entries;
  for (size_t i = 0; i < head; ++i) entries.push_back({false, whole[0][i]});
  entries.push_back({true, 0});
  for (size_t i = tail; i > 0; --i) entries.push_back({false, whole[0][whole[0].size() - i]});
  return entries;
}

// Added to the logit of a place without a word: far below every logit, and finite.
constexpr float kNoWord = -1e30f;

struct Word {
  uint32_t label = 0;
  std::string text;
  Ids ids;
};

// Every word once. One that two labels have is refused.
Result<std::vector<Word>> read_words(const LabelWords& labels, const Encoder& encoder) {
  std::vector<Word> words;
  std::map<Ids, uint32_t> taken;
  for (uint32_t l = 0; l < labels.labels.size(); ++l) {
    const Label& label = labels.labels[l];
    if (label.words.empty()) return refuse("--label", "the label " + label.name + " has no word");
    for (const std::string& text : label.words) {
      ONEPASS_TRY_ASSIGN(ids, encoder.ids(text, false));
      if (ids.empty()) return refuse("--label", "a word of the label " + label.name + " has no token");
      const auto [at, fresh] = taken.emplace(ids, l);
      if (!fresh && at->second != l) {
        return refuse("--label", "the word \"" + text + "\" is of the labels " + labels.labels[at->second].name +
                                     " and " + label.name + ": give other words");
      }
      if (fresh) words.push_back({l, text, std::move(ids)});
    }
  }
  return words;
}

bool first_tokens_suffice(const std::vector<Word>& words) {
  std::map<uint32_t, uint32_t> label_of;
  return std::all_of(words.begin(), words.end(), [&](const Word& word) {
    return label_of.emplace(word.ids[0], word.label).first->second == word.label;
  });
}

// Fills `classes`. The words that are left out begin as another of their label does.
Status take_first_tokens(const std::vector<Word>& words, size_t labels, LabelTokens& out,
                         std::vector<std::string>* notes) {
  out.classes.resize(labels);
  for (const Word& word : words) {
    Ids& ids = out.classes[word.label];
    if (std::find(ids.begin(), ids.end(), word.ids[0]) == ids.end()) ids.push_back(word.ids[0]);
    out.words = std::max(out.words, ids.size());
    if (word.ids.size() > 1 && notes != nullptr) {
      notes->push_back("the word \"" + word.text + "\" has " + std::to_string(word.ids.size()) +
                       " tokens, and its first one tells it apart");
    }
  }
  if (out.words > max_words) return refuse("--label", "a label can have 64 words at most");
  return {};
}

// Words that share their first tokens, of several labels.
struct Branch {
  std::vector<const Word*> words;
  size_t depth = 0;  // so many tokens
};

// Fills `edges` and `paths`, node by node.
Status grow_tree(const std::vector<Word>& words, uint32_t labels, LabelTokens& out, std::vector<std::string>* notes) {
  std::vector<Branch> nodes(1);
  for (const Word& word : words) nodes[0].words.push_back(&word);
  size_t tokens = 0;
  for (size_t node = 0; node < nodes.size(); ++node) {
    std::vector<Branch> groups;  // by their next token
    const size_t depth = nodes[node].depth;
    for (const Word* word : nodes[node].words) {
      const auto at = std::find_if(groups.begin(), groups.end(),
                                   [&](const Branch& group) { return group.words[0]->ids[depth] == word->ids[depth]; });
      (at == groups.end() ? groups.emplace_back() : *at).words.push_back(word);
    }
    for (Branch& group : groups) {
      const Word& first = *group.words[0];
      const auto all = [&](auto&& holds) { return std::all_of(group.words.begin(), group.words.end(), holds); };
      LabelEdge edge{static_cast<uint32_t>(node), first.ids[depth], first.label};
      if (!all([&](const Word* word) { return word->label == first.label; })) {
        edge.target = labels + static_cast<uint32_t>(nodes.size()) - 1;
        // To where they part.
        group.depth = depth;
        do {
          ++group.depth;
          for (const Word* word : group.words) {
            if (word->ids.size() > group.depth) continue;
            return refuse("--label", "the word \"" + word->text +
                                         "\" is the beginning of a word of another label: end both alike, with a full "
                                         "stop or a line break, say");
          }
        } while (all([&](const Word* word) { return word->ids[group.depth] == first.ids[group.depth]; }));
        out.paths.emplace_back(first.ids.begin(), first.ids.begin() + static_cast<std::ptrdiff_t>(group.depth));
        tokens += group.depth;
        nodes.push_back(group);
      }
      out.edges.push_back(edge);
    }
  }
  if (out.paths.size() > max_branches || out.longest_path() > max_branch_tokens || out.edges.size() > max_edges ||
      tokens > max_continuation) {
    return refuse("--label", "the words share too many of their first tokens: give shorter ones");
  }
  if (notes != nullptr) {
    notes->push_back("words of different labels begin alike: " + std::to_string(tokens) +
                     " tokens behind every text tell them apart");
  }
  return {};
}

}  // namespace

size_t LabelTokens::longest_path() const {
  size_t longest = 0;
  for (const Ids& path : paths) longest = std::max(longest, path.size());
  return longest;
}

std::vector<float> LabelTokens::matrix(const std::vector<float>& output, uint64_t width) const {
  std::vector<float> rows;
  const auto add = [&](uint32_t id) {
    const auto row = output.begin() + static_cast<std::ptrdiff_t>(id * width);
    rows.insert(rows.end(), row, row + static_cast<std::ptrdiff_t>(width));
  };
  for (const LabelEdge& edge : edges) add(edge.token);
  for (const Ids& ids : classes) {
    for (const uint32_t id : ids) add(id);
    rows.insert(rows.end(), (words - ids.size()) * width, 0.0f);
  }
  return rows;
}

std::vector<float> LabelTokens::bias(std::span<const float> of_class) const {
  std::vector<float> rows;
  for (const LabelEdge& edge : edges) rows.push_back(edge.target < of_class.size() ? of_class[edge.target] : 0.0f);
  for (size_t c = 0; c < classes.size(); ++c) {
    rows.insert(rows.end(), classes[c].size(), of_class[c]);
    rows.insert(rows.end(), words - classes[c].size(), kNoWord);
  }
  return rows;
}

std::vector<float> LabelTokens::path_rows() const {
  std::vector<float> rows;
  for (const Ids& path : paths) {
    rows.insert(rows.end(), path.begin(), path.end());
    rows.insert(rows.end(), longest_path() - path.size(), -1.0f);
  }
  return rows;
}

std::vector<float> LabelTokens::edge_rows() const {
  std::vector<float> rows;
  for (const LabelEdge& edge : edges) {
    rows.push_back(static_cast<float>(edge.node));
    rows.push_back(static_cast<float>(edge.target));
  }
  return rows;
}

Result<LabelTokens> tokenize_labels(const LabelWords& labels, const TokenizerSpec& tokenizer, uint32_t rows,
                                    std::vector<std::string>* notes) {
  if (labels.labels.size() < 2) return refuse("--label", "there must be two labels at least");
  ONEPASS_TRY_ASSIGN(encoder, Encoder::make(tokenizer, rows));
  LabelTokens out;
  ONEPASS_TRY_ASSIGN(around, around_text(encoder, labels, notes));
  out.around = std::move(around);
  ONEPASS_TRY_ASSIGN(words, read_words(labels, encoder));
  if (first_tokens_suffice(words)) {
    ONEPASS_TRY(take_first_tokens(words, labels.labels.size(), out, notes));
  } else {
    ONEPASS_TRY(grow_tree(words, static_cast<uint32_t>(labels.labels.size()), out, notes));
  }
  return out;
}

}  // namespace onepass::convert
