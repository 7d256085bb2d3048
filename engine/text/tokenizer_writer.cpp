#include "engine/text/tokenizer_spec.h"

namespace onepass {

namespace {

class Writer {
 public:
  void u32(uint64_t value) {
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
  void string(const std::string& text) {
    u32(text.size());
    bytes.insert(bytes.end(), text.begin(), text.end());
  }
  std::vector<uint8_t> bytes;
};

}  // namespace

std::vector<uint8_t> serialize_tokenizer(const TokenizerSpec& spec) {
  const auto bit = [](bool value, unsigned i) { return static_cast<uint32_t>(value) << i; };
  Writer out;
  out.u32(static_cast<uint32_t>(spec.kind));
  out.u32(spec.pieces.size());
  out.u32(spec.added_tokens.size());
  out.u32(spec.single_template.size());
  out.u32(bit(spec.clean_text, 0) | bit(spec.handle_chinese_chars, 1) | bit(spec.strip_accents, 2) |
          bit(spec.lowercase, 3));
  out.u32(spec.unk_id);
  out.u32(spec.max_input_chars_per_word);
  out.string(spec.continuing_prefix);
  for (const std::string& piece : spec.pieces) out.string(piece);
  for (const AddedTokenSpec& token : spec.added_tokens) {
    out.u32(token.id);
    out.u32(bit(token.single_word, 0) | bit(token.lstrip, 1) | bit(token.rstrip, 2) | bit(token.normalized, 3) |
            bit(token.special, 4));
    out.string(token.content);
  }
  for (const TemplateEntry& entry : spec.single_template) out.u32(entry.is_sequence ? UINT32_MAX : entry.id);
  return out.bytes;
}

}  // namespace onepass
