#include "engine/text/tokenizer.h"

#include <cstring>

#include "engine/core/utf8.h"
#include "engine/text/kind_row.h"
#include "engine/text/token_sink.h"
#include "engine/text/unicode.h"

namespace onepass {

namespace {

constexpr std::string_view kWhere = "tokenizer";
constexpr size_t kMaxSectionBytes = size_t{64} << 20;
constexpr uint32_t kMaxTemplate = 64;
constexpr uint32_t kSequence = UINT32_MAX;

const KindRow* const kRows[] = {&kWordPieceRow};

// out = text with U+FFFD for every malformed sequence. False when out of memory.
bool repair(std::string_view text, size_t valid, DerivedText& out) noexcept {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  out.runs.clear();
  out.bytes.clear();
  if (!out.bytes.resize_uninitialized(valid) || !out.runs.push_back({0, 0})) return false;
  if (valid != 0) std::memcpy(out.bytes.data(), text.data(), valid);
  for (size_t pos = valid; pos < text.size();) {
    const Utf8Char c = decode_utf8(text, pos);
    const std::string_view from = c.valid ? std::string_view(text.data() + pos, c.length) : kReplacement;
    const auto at = static_cast<uint32_t>(out.bytes.size());
    const AlignmentRun& last = out.runs[out.runs.size() - 1];
    if (pos - last.source != at - last.at && !out.runs.push_back({at, static_cast<uint32_t>(pos)})) return false;
    for (const char byte : from) {
      if (!out.bytes.push_back(byte)) return false;
    }
    pos += c.length;
  }
  out.size = out.bytes.size();
  return true;
}

Error no_memory() noexcept {
  return make_error(Code::out_of_memory, Error::no_offset, kWhere, "no memory for the tokens of a text");
}

}  // namespace

Result<Tokenizer> Tokenizer::parse(std::span<const uint8_t> section, uint32_t embedding_rows,
                                   uint64_t base_offset) noexcept {
  if (section.size() > kMaxSectionBytes) {
    return make_error(Code::limit_exceeded, base_offset, kWhere, "%zu bytes; the limit is %zu", section.size(),
                      kMaxSectionBytes);
  }
  Cursor cursor(section, base_offset);
  const uint32_t kind = cursor.u32();
  const uint32_t pieces = cursor.u32();
  const uint32_t added = cursor.u32();
  const uint32_t entries = cursor.u32();
  if (!cursor.ok()) return make_error(Code::truncated, base_offset, kWhere, "the section ends in its header");

  Tokenizer tokenizer;
  for (const KindRow* row : kRows) {
    if (static_cast<uint32_t>(row->kind) == kind) tokenizer.row_ = row;
  }
  if (tokenizer.row_ == nullptr) {
    return make_error(Code::unknown_value, base_offset, kWhere,
                      "tokenizer kind %u; a newer version of the library may know it", kind);
  }
  tokenizer.kind_ = tokenizer.row_->kind;
  if (pieces > embedding_rows) {
    return make_error(Code::bad_vocabulary, base_offset + 4, kWhere, "%u pieces for %u embedding rows", pieces,
                      embedding_rows);
  }
  ONEPASS_TRY(tokenizer.row_->parse(cursor, pieces, tokenizer.model_));
  const uint32_t id_limit = embedding_rows < kMaxPieces ? embedding_rows : kMaxPieces;
  ONEPASS_TRY(tokenizer.added_.read(cursor, added, tokenizer.model_.vocab, id_limit));
  ONEPASS_TRY(tokenizer.parse_template(cursor, entries));
  if (cursor.remaining() != 0) {
    return make_error(Code::trailing_bytes, cursor.offset(), kWhere, "%zu bytes follow the last record",
                      cursor.remaining());
  }
  ONEPASS_TRY(tokenizer.index_added_tokens());
  return tokenizer;
}

Status Tokenizer::parse_template(Cursor& cursor, uint32_t count) noexcept {
  if (count > kMaxTemplate) {
    return make_error(Code::limit_exceeded, cursor.offset(), kWhere, "a template of %u entries; the limit is %u", count,
                      kMaxTemplate);
  }
  size_t sequences = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t offset = cursor.offset();
    const uint32_t entry = cursor.u32();
    if (!cursor.ok()) return make_error(Code::truncated, offset, kWhere, "the section ends in the template");
    sequences += entry == kSequence;
    if (entry != kSequence && entry >= vocab_size()) {
      return make_error(Code::bad_value, offset, kWhere, "the template has token %u of %zu", entry, vocab_size());
    }
    if (!template_.push_back(entry)) return no_memory();
  }
  if (sequences != 1) {
    return make_error(Code::bad_value, cursor.offset(), kWhere, "the template has the text %zu times; it must be once",
                      sequences);
  }
  return {};
}

Status Tokenizer::index_added_tokens() noexcept {
  const std::span<const AddedToken> tokens = added_.tokens();
  EncodeScratch scratch;
  Array<char> pool;
  Array<size_t> ends;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if ((tokens[i].flags & added_normalized) != 0) {
      DerivedText& text = scratch.normalized;
      const size_t begin = pool.size();
      if (!row_->normalize(model_, tokens[i].content, 0, scratch, text) ||
          !pool.resize_uninitialized(begin + text.size)) {
        return no_memory();
      }
      if (text.size == 0) {
        return make_error(Code::bad_value, Error::no_offset, kWhere,
                          "nothing is left of added token %zu when it is normalised", i);
      }
      std::memcpy(pool.data() + begin, text.bytes.data(), text.size);
    }
    if (!ends.push_back(pool.size())) return no_memory();
  }
  Array<std::string_view> normalized;
  for (size_t i = 0; i < ends.size(); ++i) {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    if (!normalized.push_back({pool.data() + begin, ends[i] - begin})) return no_memory();
  }
  return added_.index(normalized.span());
}

bool Tokenizer::encode_segment(std::string_view text, size_t begin, size_t end, EncodeScratch& scratch,
                               TokenSink& sink) const noexcept {
  DerivedText& normalized = scratch.normalized;
  const std::string_view segment(text.data() + begin, end - begin);
  if (!row_->normalize(model_, segment, static_cast<uint32_t>(begin), scratch, normalized)) return false;
  sink.set_text(normalized.bytes.data(), normalized.runs.span());
  if (added_.normalized().matcher.empty()) return row_->tokenize(model_, normalized, 0, normalized.size, sink);
  return added_.split(
      added_.normalized(), {normalized.bytes.data(), normalized.size}, scratch.normalized_matches,
      [&](size_t from, size_t to) { return row_->tokenize(model_, normalized, from, to, sink); },
      [&](const AddedToken& token, size_t from, size_t to) { return sink.add(token.id, from, to); });
}

bool Tokenizer::encode_text(std::string_view text, EncodeScratch& scratch, TokenSink& sink) const noexcept {
  return added_.split(
      added_.plain(), text, scratch.matches,
      [&](size_t begin, size_t end) { return encode_segment(text, begin, end, scratch, sink); },
      [&](const AddedToken& token, size_t begin, size_t end) {
        sink.set_text(text.data(), {});
        return sink.add(token.id, begin, end);
      });
}

Status Tokenizer::encode(std::string_view text, const EncodeOptions& options, EncodeScratch& scratch,
                         Array<uint32_t>& ids, Array<TokenSpan>* spans, EncodeStats* stats) const noexcept {
  if (text.size() > kMaxTextBytes) {
    return make_error(Code::text_too_long, Error::no_offset, "text", "%zu bytes; the limit is %zu", text.size(),
                      kMaxTextBytes);
  }
  const size_t around = options.add_special ? special_count() : 0;
  if (options.max_tokens < around) {
    return make_error(Code::invalid_argument, Error::no_offset, "max_tokens",
                      "%zu tokens at most, but the template alone has %zu", options.max_tokens, around);
  }
  const size_t ids_before = ids.size();
  const size_t spans_before = spans == nullptr ? 0 : spans->size();
  const auto encode_all = [&](TokenSink& sink, std::string_view valid) noexcept {
    for (const uint32_t entry : template_) {
      if (entry == kSequence) {
        if (!encode_text(valid, scratch, sink)) return false;
      } else if (options.add_special) {
        if (!ids.push_back(entry) || (spans != nullptr && !spans->push_back({0, 0}))) return false;
      }
    }
    sink.finish_text();
    return true;
  };

  const size_t valid = valid_utf8_prefix(text);
  std::string_view repaired = text;
  std::span<const AlignmentRun> runs;
  bool ok = true;
  if (valid != text.size()) {
    ok = repair(text, valid, scratch.repaired);
    repaired = {scratch.repaired.bytes.data(), scratch.repaired.size};
    runs = scratch.repaired.runs.span();
  }
  TokenSink sink(text, runs, options.max_tokens - around, ids, spans);
  if (!ok || !encode_all(sink, repaired)) {
    (void)ids.resize(ids_before);
    if (spans != nullptr) (void)spans->resize(spans_before);
    return no_memory();
  }
  if (stats != nullptr) {
    *stats = {.total_tokens = sink.total() + around, .truncated = sink.truncated(), .bytes_used = sink.bytes_used()};
  }
  return {};
}

std::string_view Tokenizer::token(uint32_t id) const noexcept {
  if (id < model_.vocab.size()) return model_.vocab.piece(id);
  if (id < vocab_size()) return added_.extra_token(id - model_.vocab.size()).content;
  return {};
}

const char* Tokenizer::kind_name() const noexcept { return row_->name; }

}  // namespace onepass
