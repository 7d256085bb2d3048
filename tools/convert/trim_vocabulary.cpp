#include "tools/convert/trim_vocabulary.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <new>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "engine/core/utf8.h"
#include "engine/text/bpe.h"
#include "engine/text/tokenizer.h"
#include "formats/huggingface/tokenizer.h"
#include "formats/json/json.h"

namespace onepass::convert {

namespace {

constexpr size_t kMaxIdsBytes = size_t{16} << 20;

class Trimmer {
 public:
  Trimmer(const TokenizerSpec& spec, size_t rows) : spec_(spec), kept_(rows, false) {
    for (uint32_t id = 0; id < spec.pieces.size(); ++id) {
      if (is_model_piece(id)) by_content_.try_emplace(spec.pieces[id], id);
    }
    for (uint32_t rank = 0; rank < spec.merges.size(); ++rank) {
      merges_[pair_key(spec.merges[rank].left, spec.merges[rank].right)] = rank;
    }
  }

  bool kept(uint32_t id) const { return kept_[id]; }
  size_t count() const { return count_; }

  // Keeps a token and all that is needed to make it.
  void keep(uint32_t id) {
    for (const uint32_t part : derivation(id)) keep_alone(part);
    keep_alone(id);
  }
  // How many more tokens keep(id) would keep.
  size_t cost(uint32_t id) const {
    std::vector<uint32_t> parts = derivation(id);
    parts.push_back(id);
    std::sort(parts.begin(), parts.end());
    const auto end = std::unique(parts.begin(), parts.end());
    return static_cast<size_t>(std::count_if(parts.begin(), end, [&](uint32_t part) { return !kept_[part]; }));
  }

  // What every text may need, and what no smaller pieces spell.
  void keep_needed(const std::vector<uint32_t>& needed) {
    for (const uint32_t id : needed) keep(id);
    for (const AddedTokenSpec& token : spec_.added_tokens) keep(token.id);
    for (const TemplateEntry& entry : spec_.single_template) {
      if (!entry.is_sequence) keep(entry.id);
    }
    if (spec_.kind != TokenizerKind::bpe || (spec_.bpe_flags & bpe_has_unk) != 0) keep(spec_.unk_id);
    for (const uint32_t id : spec_.byte_ids) {
      if (id != kNoPiece) keep(id);
    }
    if (spec_.kind == TokenizerKind::unigram) keep_lowest_score();
    for (uint32_t id = 0; id < spec_.pieces.size(); ++id) {
      if (is_model_piece(id) && (is_unit(id) || !is_spelled(id))) keep(id);
    }
  }

  TrimmedVocabulary trimmed() const {
    TrimmedVocabulary out;
    std::vector<uint32_t> now(kept_.size(), kNoPiece);
    for (uint32_t id = 0; id < kept_.size(); ++id) {
      if (!kept_[id]) continue;
      now[id] = static_cast<uint32_t>(out.kept.size());
      out.kept.push_back(id);
    }
    TokenizerSpec& spec = out.tokenizer;
    spec = spec_;
    spec.pieces.clear();
    spec.literal_pieces.clear();
    spec.scores.clear();
    for (const uint32_t id : out.kept) {
      if (id >= spec_.pieces.size()) break;
      spec.pieces.push_back(spec_.pieces[id]);
      spec.literal_pieces.push_back(is_literal(id));
      if (!spec_.scores.empty()) spec.scores.push_back(id < spec_.scores.size() ? spec_.scores[id] : 0);
    }
    for (AddedTokenSpec& token : spec.added_tokens) token.id = now[token.id];
    for (TemplateEntry& entry : spec.single_template) {
      if (!entry.is_sequence) entry.id = now[entry.id];
    }
    if (now[spec.unk_id] != kNoPiece) spec.unk_id = now[spec.unk_id];
    for (uint32_t& id : spec.byte_ids) {
      if (id != kNoPiece) id = now[id];
    }
    spec.merges.clear();
    for (const MergeSpec& merge : spec_.merges) {
      if (kept_[merge.left] && kept_[merge.right] && kept_[merge.result]) {
        spec.merges.push_back({now[merge.left], now[merge.right], now[merge.result]});
      }
    }
    return out;
  }

 private:
  static uint64_t pair_key(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

  bool is_literal(uint32_t id) const { return id < spec_.literal_pieces.size() && spec_.literal_pieces[id]; }
  bool is_model_piece(uint32_t id) const { return !spec_.pieces[id].empty() && !is_literal(id); }
  uint32_t find(const std::string& content) const {
    const auto at = by_content_.find(content);
    return at == by_content_.end() ? kNoPiece : at->second;
  }

  void keep_alone(uint32_t id) {
    count_ += !kept_[id];
    kept_[id] = true;
  }

  // An unknown character scores less than every piece does.
  void keep_lowest_score() {
    uint32_t lowest = kNoPiece;
    for (uint32_t id = 0; id < spec_.pieces.size() && id < spec_.scores.size(); ++id) {
      if (is_model_piece(id) && (lowest == kNoPiece || spec_.scores[id] < spec_.scores[lowest])) lowest = id;
    }
    if (lowest != kNoPiece) keep(lowest);
    if (!spec_.byte_fallback) return;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      char name[8];
      std::snprintf(name, sizeof(name), "<0x%02X>", byte);
      if (const uint32_t id = find(name); id != kNoPiece) keep(id);
    }
  }

  bool continues(const std::string& piece) const {
    return spec_.kind == TokenizerKind::wordpiece && !spec_.continuing_prefix.empty() &&
           piece.size() > spec_.continuing_prefix.size() && piece.starts_with(spec_.continuing_prefix);
  }
  bool is_bytes() const { return spec_.kind == TokenizerKind::bpe && (spec_.bpe_flags & bpe_byte_level) != 0; }

  // The smallest pieces that spell a piece, in order; kNoPiece where one does not exist.
  std::vector<uint32_t> units(uint32_t id) const {
    const std::string& piece = spec_.pieces[id];
    std::vector<uint32_t> out;
    if (is_bytes()) {
      for (const char byte : piece) {
        const auto index = static_cast<uint8_t>(byte);
        out.push_back(index < spec_.byte_ids.size() ? spec_.byte_ids[index] : kNoPiece);
      }
      return out;
    }
    const bool inside = continues(piece);
    for (size_t pos = inside ? spec_.continuing_prefix.size() : 0; pos < piece.size();) {
      const size_t length = decode_utf8(piece, pos).length;
      const std::string character = piece.substr(pos, length);
      const bool first = !inside && pos == 0;
      const bool marked = spec_.kind == TokenizerKind::wordpiece && !first;
      const uint32_t unit = find((marked ? spec_.continuing_prefix : std::string()) + character);
      if (unit == kNoPiece && spec_.kind == TokenizerKind::bpe && (spec_.bpe_flags & bpe_byte_fallback) != 0) {
        for (const char byte : character) out.push_back(spec_.byte_ids[static_cast<uint8_t>(byte)]);
      } else {
        out.push_back(unit);
      }
      pos += length;
    }
    return out;
  }
  bool is_unit(uint32_t id) const {
    const std::string& piece = spec_.pieces[id];
    const size_t begin = continues(piece) ? spec_.continuing_prefix.size() : 0;
    return begin + (is_bytes() ? 1 : decode_utf8(piece, begin).length) == piece.size();
  }
  bool is_spelled(uint32_t id) const {
    const std::vector<uint32_t> all = units(id);
    return std::find(all.begin(), all.end(), kNoPiece) == all.end();
  }

  // What merging the content of a piece goes through; nothing where it does not end as this piece. A token never
  // merges with what is around it before it is whole, so it goes through the same in every word.
  std::vector<uint32_t> derivation(uint32_t id) const {
    if (spec_.kind != TokenizerKind::bpe || id >= spec_.pieces.size() || !is_model_piece(id)) return {};
    std::vector<uint32_t> symbols = units(id), made = symbols;
    if (std::find(symbols.begin(), symbols.end(), kNoPiece) != symbols.end()) return {};
    while (symbols.size() > 1) {
      uint32_t best = kNoMerge;
      size_t at = 0;
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        const auto merge = merges_.find(pair_key(symbols[i], symbols[i + 1]));
        if (merge == merges_.end() || merge->second >= best) continue;
        best = merge->second;
        at = i;
      }
      if (best == kNoMerge) return {};
      symbols[at] = spec_.merges[best].result;
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
      made.push_back(symbols[at]);
    }
    return symbols[0] == id ? made : std::vector<uint32_t>();
  }

  const TokenizerSpec& spec_;
  std::vector<bool> kept_;
  size_t count_ = 0;
  std::unordered_map<std::string, uint32_t> by_content_;  // of equal ones the first, as the tokenizer finds it
  std::unordered_map<uint64_t, uint32_t> merges_;         // of equal pairs the last
};

// How often each token occurs.
Result<std::vector<uint64_t>> count_tokens(std::span<const uint8_t> section, const std::vector<std::string>& corpus,
                                           size_t rows) {
  ONEPASS_TRY_ASSIGN(tokenizer, Tokenizer::parse(section, static_cast<uint32_t>(rows)));
  std::vector<uint64_t> counts(rows, 0);
  EncodeScratch scratch;
  Array<uint32_t> ids;
  for (const std::string& text : corpus) {
    ids.clear();
    ONEPASS_TRY(tokenizer.encode(text, {}, scratch, ids, nullptr, nullptr));
    for (const uint32_t id : ids.span()) ++counts[id];
  }
  return counts;
}

class SelectedRows : public WeightFile {
 public:
  SelectedRows(std::shared_ptr<const WeightFile> file, std::string name, std::vector<uint32_t> rows)
      : file_(std::move(file)), name_(std::move(name)), rows_(std::move(rows)), shape_(*file_->shape(name_)) {
    shape_[0] = rows_.size();
  }

  std::vector<std::string> names() const override { return {name_}; }
  const std::vector<uint64_t>* shape(std::string_view name) const noexcept override {
    return name == name_ ? &shape_ : nullptr;
  }
  std::optional<GgmlType> stored_type(std::string_view name) const noexcept override {
    return file_->stored_type(name);
  }
  Result<std::vector<float>> read_f32(std::string_view name) const noexcept override try {
    ONEPASS_TRY_ASSIGN(all, file_->read_f32(name));
    return select(all, shape_[1]);
  } catch (const std::bad_alloc&) {
    return no_memory(name);
  }
  Result<Int4Codes> read_int4(std::string_view name) const noexcept override try {
    ONEPASS_TRY_ASSIGN(codes, file_->read_int4(name));
    codes.nibbles = select(codes.nibbles, shape_[1]);
    codes.scales = select(codes.scales, shape_[1] / 32);
    if (!codes.minima.empty()) codes.minima = select(codes.minima, shape_[1] / 32);
    return codes;
  } catch (const std::bad_alloc&) {
    return no_memory(name);
  }
  std::string label(std::string_view name) const override { return file_->label(name); }
  Result<std::array<uint8_t, 32>> source_hash() const noexcept override { return file_->source_hash(); }

 private:
  static Error no_memory(std::string_view name) noexcept {
    return make_error(Code::out_of_memory, Error::no_offset, name, "no memory for the rows of the vocabulary");
  }
  template <class T>
  std::vector<T> select(const std::vector<T>& all, uint64_t width) const {
    std::vector<T> out;
    out.reserve(rows_.size() * width);
    for (const uint32_t row : rows_) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(row * width);
      out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(width));
    }
    return out;
  }

  std::shared_ptr<const WeightFile> file_;
  std::string name_;
  std::vector<uint32_t> rows_;
  std::vector<uint64_t> shape_;
};

}  // namespace

Result<TrimmedVocabulary> trim_vocabulary(const TokenizerSpec& spec, const TrimRequest& request, Config& config) {
  const size_t rows = config.vocab;
  if (token_count(spec) > rows) {
    return make_error(Code::bad_vocabulary, Error::no_offset, "--trim-vocabulary",
                      "the tokenizer has %zu tokens, the embeddings %zu rows", token_count(spec), rows);
  }
  for (const uint32_t id : request.ids) {
    if (id < rows) continue;
    return make_error(Code::bad_value, Error::no_offset, "--trim-vocabulary",
                      "token %u of %zu: the list is of another vocabulary", id, rows);
  }
  Trimmer trimmer(spec, rows);
  std::vector<uint32_t> needed = {config.pad_id};
  for (uint32_t id = 0; id < config.arch.position_first; ++id) needed.push_back(id);
  trimmer.keep_needed(needed);
  const auto section = serialize_tokenizer(spec);
  ONEPASS_TRY_ASSIGN(counts, count_tokens(section, request.corpus, rows));
  std::vector<uint32_t> order = request.ids;
  if (order.empty()) {
    for (uint32_t id = 0; id < rows; ++id) {
      if (counts[id] != 0) order.push_back(id);
    }
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return counts[a] > counts[b]; });
  }
  const size_t limit = request.limit != 0 ? request.limit : rows;
  if (trimmer.count() > limit) {
    return make_error(Code::limit_exceeded, Error::no_offset, "--max-vocabulary",
                      "%zu tokens are too few: special tokens, bytes and single characters are %zu", limit,
                      trimmer.count());
  }
  const size_t room = request.keep_half ? trimmer.count() + (limit - trimmer.count()) / 2 : limit;
  for (const uint32_t id : order) {
    if (!trimmer.kept(id) && trimmer.count() + trimmer.cost(id) <= room) trimmer.keep(id);
  }
  TrimmedVocabulary out = trimmer.trimmed();
  out.section_before = section.size();
  out.section_now = serialize_tokenizer(out.tokenizer).size();
  for (uint32_t id = 0; id < rows; ++id) {
    out.corpus_tokens += counts[id];
    if (!trimmer.kept(id)) out.split_tokens += counts[id];
  }
  if (request.kept != nullptr) *request.kept = out.kept;
  config.vocab = static_cast<uint32_t>(out.kept.size());
  config.pad_id =
      static_cast<uint32_t>(std::lower_bound(out.kept.begin(), out.kept.end(), config.pad_id) - out.kept.begin());
  return out;
}

std::string describe_trim(const TrimmedVocabulary& trimmed, uint64_t rows, uint64_t table_before, uint64_t table_now) {
  const double saved =
      static_cast<double>(table_before + trimmed.section_before) - static_cast<double>(table_now + trimmed.section_now);
  char text[128];
  std::snprintf(text, sizeof(text), "vocabulary: %zu of %llu tokens stay, which saves %.2f MB", trimmed.kept.size(),
                static_cast<unsigned long long>(rows), saved / 1e6);
  std::string line = text;
  if (trimmed.corpus_tokens == 0) return line;
  std::snprintf(text, sizeof(text), "; %.2f %% of the corpus' tokens are split",
                100 * static_cast<double>(trimmed.split_tokens) / static_cast<double>(trimmed.corpus_tokens));
  return line + text;
}

std::shared_ptr<const WeightFile> select_rows(std::shared_ptr<const WeightFile> file, std::string name,
                                              std::vector<uint32_t> rows) {
  return std::make_shared<const SelectedRows>(std::move(file), std::move(name), std::move(rows));
}

Result<std::vector<uint32_t>> read_ids(const std::filesystem::path& path) {
  ONEPASS_TRY_ASSIGN(text, read_text_file(path, kMaxIdsBytes));
  std::vector<uint32_t> ids;
  size_t line = 0;
  for (size_t pos = 0; pos < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', pos), text.size());
    const char* const first = text.data() + pos;
    const char* last = text.data() + end;
    if (last > first && last[-1] == '\r') --last;
    uint32_t id = 0;
    const auto [parsed, error] = std::from_chars(first, last, id);
    if (error != std::errc() || parsed != last) {
      return make_error(Code::bad_value, pos, path.string(), "line %zu is not the number of a token", line + 1);
    }
    ids.push_back(id);
    pos = end + 1;
  }
  if (ids.empty()) return make_error(Code::bad_value, Error::no_offset, path.string(), "the file has no ids");
  return ids;
}

std::string ids_text(const std::vector<uint32_t>& ids) {
  std::string text;
  for (const uint32_t id : ids) text += std::to_string(id) + '\n';
  return text;
}

}  // namespace onepass::convert
