#include "engine/text/tokenizer.h"

#include <cstring>

#include "engine/core/left_out.h"
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

enum HeaderFlag : uint32_t { header_trim_offsets = 1, header_trim_prefix_space = 2, header_all_flags = 3 };

// A build may leave kinds out (ONEPASS_TOKENIZERS in CMake).
const KindRow* const kRows[] = {
#ifndef ONEPASS_WITHOUT_WORDPIECE
    &kWordPieceRow,
#endif
#ifndef ONEPASS_WITHOUT_BPE
    &kBpeRow,
#endif
#ifndef ONEPASS_WITHOUT_UNIGRAM
    &kUnigramRow,
#endif
};

const char* name_of_kind(uint32_t kind) noexcept {
  switch (static_cast<TokenizerKind>(kind)) {
    case TokenizerKind::wordpiece:
      return "wordpiece";
    case TokenizerKind::bpe:
      return "bpe";
    case TokenizerKind::unigram:
      return "unigram";
    case TokenizerKind::none:
      break;
  }
  return nullptr;
}

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
  return out.bytes.resize(out.size + kTextPadding);
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
  const uint32_t version = cursor.u32();
  const uint32_t kind = cursor.u32();
  const uint32_t pieces = cursor.u32();
  const uint32_t added = cursor.u32();
  const uint32_t entries = cursor.u32();
  const uint32_t normalizer_steps = cursor.u32();
  const uint32_t pre_tokenizer_steps = cursor.u32();
  const uint32_t flags = cursor.u32();
  if (!cursor.ok()) return make_error(Code::truncated, base_offset, kWhere, "the section ends in its header");
  if (version != kTokenizerVersion) {
    return make_error(Code::bad_version, base_offset, kWhere, "version %u of the section; %u is read: convert again",
                      version, kTokenizerVersion);
  }

  Tokenizer tokenizer;
  for (const KindRow* row : kRows) {
    if (static_cast<uint32_t>(row->kind) == kind) tokenizer.row_ = row;
  }
  if (const char* name = name_of_kind(kind); tokenizer.row_ == nullptr && name != nullptr) {
    return left_out(kWhere, "its kind of tokenizer", "ONEPASS_TOKENIZERS", name);
  }
  if (tokenizer.row_ == nullptr) {
    return make_error(Code::unknown_value, base_offset + 4, kWhere,
                      "tokenizer kind %u; a newer version of the library may know it", kind);
  }
  tokenizer.kind_ = tokenizer.row_->kind;
  if (pieces > embedding_rows) {
    return make_error(Code::bad_vocabulary, base_offset + 8, kWhere, "%u pieces for %u embedding rows", pieces,
                      embedding_rows);
  }
  if ((flags & ~uint32_t{header_all_flags}) != 0 || flags == header_trim_prefix_space) {
    return make_error(Code::unknown_flags, base_offset + 28, kWhere, "unknown flags 0x%x", flags);
  }
  tokenizer.trim_ = {(flags & header_trim_offsets) != 0, (flags & header_trim_prefix_space) != 0};
  ONEPASS_TRY(tokenizer.normalizer_.read(cursor, normalizer_steps));
  ONEPASS_TRY(tokenizer.pre_tokenizer_.read(cursor, pre_tokenizer_steps));
  // The added tokens and the template name pieces, which follow them.
  const auto added_bytes = cursor.bytes(uint64_t{added} * 8);
  const uint64_t added_offset = cursor.offset() - added_bytes.size();
  const auto template_bytes = cursor.bytes(uint64_t{entries} * 4);
  const uint64_t template_offset = cursor.offset() - template_bytes.size();
  if (!cursor.ok()) {
    const bool over = added > kMaxAddedTokens || entries > kMaxTemplate;
    return make_error(over ? Code::limit_exceeded : Code::truncated, added_offset, kWhere,
                      "%u added tokens and a template of %u entries do not fit the section", added, entries);
  }
  ONEPASS_TRY(tokenizer.model_.pieces.read(cursor, pieces));
  Cursor added_cursor(added_bytes, added_offset);
  ONEPASS_TRY(tokenizer.added_.read(added_cursor, added, tokenizer.model_.pieces));
  Cursor template_cursor(template_bytes, template_offset);
  ONEPASS_TRY(tokenizer.parse_template(template_cursor, entries));
  ONEPASS_TRY(tokenizer.row_->parse(cursor, tokenizer.model_));
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
      const size_t begin = pool.size();
      const TextView content = {tokens[i].content.data(), tokens[i].content.size(), tokens[i].content.size(), {}};
      TextView text;
      size_t from = 0;
      size_t to = content.size;
      if (!normalizer_.run(content, &from, &to, scratch, &text) || !pool.resize_uninitialized(begin + to - from)) {
        return no_memory();
      }
      if (from == to) {
        return make_error(Code::bad_value, Error::no_offset, kWhere,
                          "nothing is left of added token %zu when it is normalised", i);
      }
      std::memcpy(pool.data() + begin, text.data + from, to - from);
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

bool Tokenizer::encode_segment(const TextView& text, size_t begin, size_t end, EncodeScratch& scratch,
                               TokenSink& sink) const noexcept {
  TextView view;
  if (!normalizer_.run(text, &begin, &end, scratch, &view)) return false;
  const WordTarget target{*row_, model_, scratch, sink};
  const auto on_text = [&](size_t from, size_t to) { return pre_tokenizer_.run(view, from, to, target); };
  bool ok;
  if (added_.normalized().matcher.empty()) {
    ok = on_text(begin, end);
  } else {
    ok = added_.split(
        added_.normalized(), {view.data + begin, end - begin}, scratch.normalized_matches,
        [&](size_t from, size_t to) { return on_text(begin + from, begin + to); },
        [&](const AddedToken& token, size_t from, size_t to) {
          sink.set_view(view);
          return sink.add_added(token.id, begin + from, begin + to);
        });
  }
  sink.leave_view();
  return ok;
}

bool Tokenizer::encode_text(const TextView& text, EncodeScratch& scratch, TokenSink& sink) const noexcept {
  const bool ok = added_.split(
      added_.plain(), text.text(), scratch.matches,
      [&](size_t begin, size_t end) { return encode_segment(text, begin, end, scratch, sink); },
      [&](const AddedToken& token, size_t begin, size_t end) {
        sink.set_view(text);
        return sink.add_added(token.id, begin, end);
      });
  sink.leave_view();
  return ok;
}

std::span<const uint32_t> Tokenizer::prefix() const noexcept {
  size_t count = 0;
  while (template_[count] != kSequence) ++count;
  return template_.span().first(count);
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
  const auto encode_all = [&](TokenSink& sink, const TextView& source) noexcept {
    for (const uint32_t entry : template_) {
      if (entry == kSequence) {
        if (!encode_text(source, scratch, sink)) return false;
      } else if (options.add_special) {
        if (!ids.push_back(entry) || (spans != nullptr && !spans->push_back({0, 0}))) return false;
      }
    }
    return true;
  };

  const size_t valid = valid_utf8_prefix(text);
  TextView repaired = {text.data(), text.size(), text.size(), {}};
  bool ok = true;
  // BERT's normaliser copies every text, padding it.
  const std::span<const NormalizerStep> steps = normalizer_.steps();
  const bool padded = !steps.empty() && steps[0].kind == NormalizerKind::bert;
  if (valid != text.size() || (row_->padded && !padded)) {
    ok = repair(text, valid, scratch.repaired);
    repaired = view_of(scratch.repaired);
    if (valid == text.size()) repaired.runs = {};
  }
  // Steps see the repaired text as the source: its own runs are the sink's business.
  TextView source = repaired;
  source.runs = {};
  TokenSink sink(text, repaired, trim_, options.max_tokens - around, ids, spans);
  if (!ok || !encode_all(sink, source)) {
    (void)ids.resize(ids_before);
    if (spans != nullptr) (void)spans->resize(spans_before);
    return no_memory();
  }
  if (stats != nullptr) {
    *stats = {.total_tokens = sink.total() + around, .truncated = sink.truncated(), .bytes_used = sink.bytes_used()};
  }
  return {};
}

Status Tokenizer::encode_word(std::string_view word, EncodeScratch& scratch, Array<uint32_t>& ids) const noexcept {
  if (word.empty()) return {};
  DerivedText& copy = scratch.repaired;
  TextWriter writer(copy);
  if (!writer.copy(word, 0) || !writer.finish()) return no_memory();
  const TextView view = view_of(copy);
  TokenSink sink(word, view, {}, SIZE_MAX, ids, nullptr);
  sink.set_view(view);
  if (!row_->tokenize(model_, view, 0, word.size(), scratch, sink)) return no_memory();
  return {};
}

std::string_view Tokenizer::token(uint32_t id) const noexcept {
  return id < vocab_size() ? model_.pieces.piece(id) : std::string_view();
}

bool Tokenizer::lowercase() const noexcept {
  for (const NormalizerStep& step : normalizer_.steps()) {
    if (step.kind == NormalizerKind::lowercase) return true;
    if (step.kind == NormalizerKind::bert && (step.flags & bert_lowercase) != 0) return true;
  }
  return false;
}

bool Tokenizer::marks_continuation() const noexcept {
  return kind_ == TokenizerKind::wordpiece && !model_.wordpiece.vocab.continuing_prefix().empty();
}

bool Tokenizer::is_unknown(uint32_t id) const noexcept {
  switch (kind_) {
    case TokenizerKind::wordpiece:
      return id == model_.wordpiece.unk_id;
    case TokenizerKind::unigram:
      return id == model_.unigram.unk_id;
    case TokenizerKind::bpe:
      return (model_.bpe.flags & bpe_has_unk) != 0 && id == model_.bpe.unk_id;
    case TokenizerKind::none:
      break;
  }
  return false;
}

const char* Tokenizer::kind_name() const noexcept { return row_->name; }

}  // namespace onepass
