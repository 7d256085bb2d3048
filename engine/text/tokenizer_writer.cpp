#include <bit>

#include "engine/text/tokenizer_spec.h"

namespace onepass {

namespace {

class Writer {
 public:
  void u32(uint64_t value) {
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
  void f64(double value) {
    const auto bits = std::bit_cast<uint64_t>(value);
    u32(bits & UINT32_MAX);
    u32(bits >> 32);
  }
  void string(const std::string& text) {
    u32(text.size());
    bytes.insert(bytes.end(), text.begin(), text.end());
  }
  std::vector<uint8_t> bytes;
};

}  // namespace

namespace {

constexpr auto bit = [](bool value, unsigned i) { return static_cast<uint32_t>(value) << i; };

void write_pieces(const std::vector<std::string>& pieces, const std::vector<uint32_t>& flags, Writer& out) {
  size_t bytes = 0;
  for (const std::string& piece : pieces) bytes += piece.size();
  out.u32(bytes);
  size_t at = 0;
  for (size_t id = 0; id < pieces.size(); ++id) {
    out.u32(at | flags[id]);
    at += pieces[id].size();
  }
  out.u32(at);
  for (const std::string& piece : pieces) out.bytes.insert(out.bytes.end(), piece.begin(), piece.end());
}

}  // namespace

std::vector<uint8_t> serialize_tokenizer(const TokenizerSpec& spec) {
  std::vector<std::string> pieces = spec.pieces;
  std::vector<uint32_t> flags(pieces.size(), 0);
  for (size_t id = 0; id < pieces.size() && id < spec.literal_pieces.size(); ++id) {
    if (spec.literal_pieces[id]) flags[id] = piece_literal;
  }
  for (const AddedTokenSpec& token : spec.added_tokens) {
    if (token.id < pieces.size() || token.id >= kMaxPieces) continue;
    pieces.resize(token.id + size_t{1});
    flags.resize(pieces.size(), 0);
    pieces[token.id] = token.content;
    flags[token.id] = piece_literal;
  }

  Writer out;
  out.u32(kTokenizerVersion);
  out.u32(static_cast<uint32_t>(spec.kind));
  out.u32(pieces.size());
  out.u32(spec.added_tokens.size());
  out.u32(spec.single_template.size());
  out.u32(spec.normalizer.size());
  out.u32(spec.pre_tokenizer.size());
  out.u32(bit(spec.trim_offsets, 0) | bit(spec.trim_prefix_space, 1));
  for (const NormalizerSpec& step : spec.normalizer) {
    out.u32(static_cast<uint32_t>(step.kind));
    out.u32(step.flags);
    out.string(step.pattern);
    out.string(step.content);
  }
  for (const PreTokenizerSpec& step : spec.pre_tokenizer) {
    out.u32(static_cast<uint32_t>(step.kind));
    out.u32(step.flags);
    out.u32(step.value);
    out.string(step.text);
  }
  for (const AddedTokenSpec& token : spec.added_tokens) {
    out.u32(token.id);
    out.u32(bit(token.single_word, 0) | bit(token.lstrip, 1) | bit(token.rstrip, 2) | bit(token.normalized, 3) |
            bit(token.special, 4));
  }
  for (const TemplateEntry& entry : spec.single_template) out.u32(entry.is_sequence ? UINT32_MAX : entry.id);
  write_pieces(pieces, flags, out);
  if (spec.kind == TokenizerKind::wordpiece) {
    out.u32(spec.unk_id);
    out.u32(spec.max_input_chars_per_word);
    out.string(spec.continuing_prefix);
  }
  if (spec.kind == TokenizerKind::unigram) {
    out.u32(bit(spec.byte_fallback, 0));
    out.u32(spec.unk_id);
    for (size_t id = 0; id < pieces.size(); ++id) out.f64(id < spec.scores.size() ? spec.scores[id] : 0);
  }
  return out.bytes;
}

}  // namespace onepass
