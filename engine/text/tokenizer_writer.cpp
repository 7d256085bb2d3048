#include <algorithm>
#include <bit>
#include <set>

#include "engine/text/bpe.h"
#include "engine/text/piece_hash.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_spec.h"
#include "engine/text/unicode.h"

namespace onepass {

namespace {

class Writer {
 public:
  void u32(uint64_t value) {
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
  void u64(uint64_t value) {
    u32(value & UINT32_MAX);
    u32(value >> 32);
  }
  void f64(double value) { u64(std::bit_cast<uint64_t>(value)); }
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

// See PieceIndex.
void write_index(const std::vector<std::string>& pieces, const std::vector<uint32_t>& flags, Writer& out) {
  const size_t slots = std::bit_ceil(2 * pieces.size() + 1);
  std::vector<uint32_t> table(slots, 0);
  for (size_t id = 0; id < pieces.size() && id < kMaxPieces; ++id) {
    if (pieces[id].empty() || (flags[id] & piece_literal) != 0) continue;
    const uint64_t hash = hash_key(pieces[id], false, false).hash;
    size_t at = hash & (slots - 1);
    while (table[at] != 0) at = (at + 1) & (slots - 1);
    table[at] = slot_tag(hash) | static_cast<uint32_t>(id);
  }
  out.u32(slots);
  for (const uint32_t slot : table) out.u32(slot);
}

// See MergeTable: 0.6 full.
void write_merges(const std::vector<MergeSpec>& merges, Writer& out) {
  const uint64_t slots = merges.size() * 5 / 3 + 1;
  std::vector<uint64_t> table(slots, 0);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t key = MergeTable::key_of(merges[rank].left, merges[rank].right);
    uint64_t at = MergeTable::first_slot(key, slots);
    while (table[at] != 0 && table[at] >> MergeTable::kRankBits != key) at = at + 1 == slots ? 0 : at + 1;
    table[at] = key << MergeTable::kRankBits | rank;
  }
  out.u32(merges.size());
  out.u32(slots);
  for (const uint64_t slot : table) out.u64(slot);
  for (const MergeSpec& merge : merges) out.u32(merge.result);
}

// Whether the text can be cut before marks, U+2581, that stand behind another character: all but few characters, which
// `joining` becomes, are joined with a mark behind them by no merge.
bool cuts_before_mark(const TokenizerSpec& spec, std::string* joining) {
  constexpr std::string_view kMark = "\xE2\x96\x81";
  if ((spec.bpe_flags & (uint32_t{bpe_byte_level} | bpe_ignore_merges)) != 0) return false;
  if (std::find(spec.pieces.begin(), spec.pieces.end(), kMark) == spec.pieces.end()) return false;
  std::set<std::string_view> listed;
  for (const MergeSpec& merge : spec.merges) {
    if (merge.left >= spec.pieces.size() || merge.right >= spec.pieces.size()) return false;
    const std::string_view left = spec.pieces[merge.left];
    if (left.empty() || left.ends_with(kMark) || !spec.pieces[merge.right].starts_with(kMark)) continue;
    listed.insert(left.substr(previous_char(left, left.size())));
  }
  // Tokens of bytes, <0x41>, and the unknown one stand for other characters than their own: where one joins, no
  // character tells.
  for (const std::string_view c : listed) *joining += c;
  for (const MergeSpec& merge : spec.merges) {
    const std::string& left = spec.pieces[merge.left];
    const bool of_bytes = left.size() >= 6 && left.ends_with(">") && left[left.size() - 6] == '<';
    const bool unknown = (spec.bpe_flags & bpe_has_unk) != 0 && left.ends_with(spec.pieces[spec.unk_id]);
    if ((of_bytes || unknown) && spec.pieces[merge.right].starts_with(kMark)) return false;
  }
  return joining->size() <= kMaxJoining;
}

void write_bpe(const TokenizerSpec& spec, const std::vector<std::string>& pieces, const std::vector<uint32_t>& flags,
               Writer& out) {
  std::string joining;
  const bool cut = cuts_before_mark(spec, &joining);
  out.u32(spec.bpe_flags | (cut ? bpe_cut_before_mark : 0u));
  out.u32((spec.bpe_flags & bpe_has_unk) != 0 ? spec.unk_id : 0);
  for (size_t byte = 0; byte < 256; ++byte) out.u32(byte < spec.byte_ids.size() ? spec.byte_ids[byte] : kNoPiece);
  out.string(cut ? joining : std::string());
  write_index(pieces, flags, out);
  write_merges(spec.merges, out);
}

// Sets piece_whole of every piece that BPE makes of its own content: what the merges give decides, so the section
// itself is asked.
void mark_whole_pieces(size_t pieces_at, const std::vector<std::string>& pieces, const std::vector<uint32_t>& flags,
                       std::vector<uint8_t>& section) {
  const auto tokenizer = Tokenizer::parse(section, UINT32_MAX);
  if (!tokenizer.ok()) return;
  EncodeScratch scratch;
  Array<uint32_t> ids;
  std::vector<uint32_t> whole;
  for (uint32_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].empty() || (flags[id] & piece_literal) != 0) continue;
    ids.clear();
    if (!tokenizer->encode_word(pieces[id], scratch, ids).ok()) return;
    if (ids.size() == 1 && ids[0] == id) whole.push_back(id);
  }
  for (const uint32_t id : whole) {
    uint8_t& high = section[pieces_at + 4 + 4 * size_t{id} + 3];
    high = static_cast<uint8_t>(high | piece_whole >> 24);
  }
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
  const size_t pieces_at = out.bytes.size();
  write_pieces(pieces, flags, out);
  if (spec.kind == TokenizerKind::bpe) {
    write_bpe(spec, pieces, flags, out);
    mark_whole_pieces(pieces_at, pieces, flags, out.bytes);
  }
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
