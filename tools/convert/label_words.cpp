#include "tools/convert/label_words.h"

#include <algorithm>
#include <set>

#include "engine/core/array.h"
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
Result<std::vector<TemplateEntry>> around_text(const Encoder& encoder, const std::string& prompt,
                                               std::vector<std::string>* notes) {
  const size_t hole = prompt.find("{text}");
  if (hole == std::string::npos || prompt.find("{text}", hole + 1) != std::string::npos) {
    return refuse("--template", "it must have {text} once, where the text goes");
  }
  const std::string before = prompt.substr(0, hole), after = prompt.substr(hole + 6);
  const std::string texts[] = {"a",    "the dog",   "The cat.",   "9)",
                               "good", "\"So what", "zebra, no!", "\xc3\xa9t\xc3\xa9"};
  std::vector<Ids> whole;
  for (const std::string& text : texts) {
    ONEPASS_TRY_ASSIGN(ids, encoder.ids(before + text + after, true));
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

}  // namespace

Result<LabelTokens> tokenize_labels(const LabelWords& labels, const TokenizerSpec& tokenizer, uint32_t rows,
                                    std::vector<std::string>* notes) {
  if (labels.labels.size() < 2) return refuse("--label", "there must be two labels at least");
  ONEPASS_TRY_ASSIGN(encoder, Encoder::make(tokenizer, rows));
  LabelTokens out;
  ONEPASS_TRY_ASSIGN(around, around_text(encoder, labels.prompt, notes));
  out.around = std::move(around);
  std::map<uint32_t, std::string> taken;
  for (const Label& label : labels.labels) {
    std::vector<uint32_t>& ids = out.classes.emplace_back();
    for (const std::string& word : label.words) {
      ONEPASS_TRY_ASSIGN(word_ids, encoder.ids(word, false));
      if (word_ids.empty()) return refuse("--label", "a word of the label " + label.name + " has no token");
      if (word_ids.size() > 1 && notes != nullptr) {
        notes->push_back("the word \"" + word + "\" has " + std::to_string(word_ids.size()) +
                         " tokens, and its first one counts");
      }
      const auto [at, fresh] = taken.emplace(word_ids[0], label.name);
      if (!fresh && at->second != label.name) {
        return refuse("--label", "words of the labels " + at->second + " and " + label.name +
                                     " begin with the same token: give other words");
      }
      if (fresh) ids.push_back(word_ids[0]);
    }
    if (ids.empty()) return refuse("--label", "the label " + label.name + " has no word");
    out.words = std::max(out.words, ids.size());
  }
  if (out.words > 64) return refuse("--label", "a label can have 64 words at most");
  return out;
}

}  // namespace onepass::convert
