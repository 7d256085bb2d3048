// A vocabulary cut down to the tokens that a corpus uses, for files that must be small: browsers, old phones.
//
// A piece that goes is spelled by smaller ones that stay, so no text gains an unknown token, and a text whose pieces
// all stay keeps its tokens:
//   all        what the template, added tokens, bytes and single characters need stays, and so does every piece with a
//              character that no piece spells alone
//   WordPiece  the longest match finds less, down to characters at the start and inside of a word
//   unigram    the best path is the best of those that are left; the score of what is unknown stays
//   BPE        a merge stays where what it joins and what it makes stay, and a piece stays with all that merging it
//              alone goes through
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/arch/arch.h"
#include "engine/core/result.h"
#include "engine/text/tokenizer_spec.h"
#include "formats/weight_file.h"

namespace onepass::convert {

struct TrimRequest {
  std::vector<std::string> corpus{};      // texts whose tokens stay
  std::vector<uint32_t> ids{};            // or these, the first ones first
  size_t limit = 0;                       // tokens that stay at most, the most frequent of the corpus; 0: any number
  bool keep_half = false;                 // leave half of what the limit lets the corpus choose
  std::vector<uint32_t>* kept = nullptr;  // receives TrimmedVocabulary::kept

  bool asked() const { return !corpus.empty() || !ids.empty(); }
};

struct TrimmedVocabulary {
  TokenizerSpec tokenizer;
  std::vector<uint32_t> kept;                  // by new id, ascending: the old one, which is the row of the embeddings
  size_t section_before = 0, section_now = 0;  // bytes of the tokenizer
  size_t corpus_tokens = 0, split_tokens = 0;  // of the corpus: all, and those whose piece goes
};

// Reduces config.vocab, which is at least the tokenizer's tokens, to those that are kept, and renumbers config.pad_id.
// Ids that the model itself knows stay: the padding's, and those that positions are counted from. Errors: bad_value (an
// id that is none), limit_exceeded (more are needed than request.limit), those of the tokenizer.
Result<TrimmedVocabulary> trim_vocabulary(const TokenizerSpec& spec, const TrimRequest& request, Config& config);

// For people. `rows` and `table_before`: of the embeddings as they were, in the layout that takes `table_now` bytes.
std::string describe_trim(const TrimmedVocabulary& trimmed, uint64_t rows, uint64_t table_before, uint64_t table_now);

// The tensor `name` of `file`, reduced to these rows.
std::shared_ptr<const WeightFile> select_rows(std::shared_ptr<const WeightFile> file, std::string name,
                                              std::vector<uint32_t> rows);

// Ids as a file: one a line. Errors: io_error, bad_value with the line.
Result<std::vector<uint32_t>> read_ids(const std::filesystem::path& path);
std::string ids_text(const std::vector<uint32_t>& ids);

}  // namespace onepass::convert
