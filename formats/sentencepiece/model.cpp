#include "formats/sentencepiece/model.h"

#include <bit>
#include <cmath>
#include <unordered_map>

#include "engine/core/cursor.h"
#include "engine/core/utf8.h"

namespace onepass {

namespace {

constexpr size_t kMaxPieceCount = size_t{1} << 20;
constexpr size_t kMaxPieceLength = 4096;

enum class Wire : uint32_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

// A field of a message: its number, where it begins, and its value by its wire type.
struct Field {
  uint64_t offset = 0;
  uint32_t number = 0;
  Wire wire = Wire::varint;
  uint64_t integer = 0;  // of a varint or fixed field
  std::span<const uint8_t> bytes;
  uint64_t bytes_offset = 0;
};

class Message {
 public:
  Message(std::span<const uint8_t> bytes, uint64_t offset, std::string_view where) noexcept
      : cursor_(bytes, offset), where_(where) {}

  bool done() const noexcept { return cursor_.remaining() == 0; }

  Result<Field> next() noexcept {
    Field field;
    field.offset = cursor_.offset();
    ONEPASS_TRY_ASSIGN(tag, varint());
    const uint64_t number = tag >> 3;
    const auto wire = static_cast<uint32_t>(tag & 7);
    if (number == 0 || number >= 1u << 29) {
      return make_error(Code::bad_syntax, field.offset, where_, "not a SentencePiece model: a field of number %llu",
                        static_cast<unsigned long long>(number));
    }
    field.number = static_cast<uint32_t>(number);
    field.wire = static_cast<Wire>(wire);
    switch (field.wire) {
      case Wire::varint: {
        ONEPASS_TRY_ASSIGN(value, varint());
        field.integer = value;
        break;
      }
      case Wire::fixed64:
        field.integer = cursor_.u64();
        break;
      case Wire::fixed32:
        field.integer = cursor_.u32();
        break;
      case Wire::bytes: {
        ONEPASS_TRY_ASSIGN(size, varint());
        field.bytes_offset = cursor_.offset();
        field.bytes = cursor_.bytes(size);
        break;
      }
      default:
        return make_error(Code::bad_syntax, field.offset, where_, "not a SentencePiece model: wire type %u", wire);
    }
    if (!cursor_.ok())
      return make_error(Code::truncated, field.offset, where_, "the file ends in field %u", field.number);
    return field;
  }

 private:
  Result<uint64_t> varint() noexcept {
    const uint64_t offset = cursor_.offset();
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = cursor_.u8();
      if (!cursor_.ok()) return make_error(Code::truncated, offset, where_, "the file ends in an integer");
      if (shift == 63 && byte > 1) break;
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    return make_error(Code::bad_syntax, offset, where_, "not a SentencePiece model: an integer of more than 64 bits");
  }

  Cursor cursor_;
  std::string_view where_;
};

// The known single fields of a message, each at most once.
class FieldReader {
 public:
  explicit FieldReader(std::string_view where) noexcept : where_(where) {}

  Status expect(const Field& field, Wire wire) noexcept {
    if (field.wire != wire) {
      return make_error(Code::bad_type, field.offset, where_, "field %u has wire type %u, not %u", field.number,
                        static_cast<unsigned>(field.wire), static_cast<unsigned>(wire));
    }
    if (field.number < 64) {
      const uint64_t bit = uint64_t{1} << field.number;
      if ((seen_ & bit) != 0) {
        return make_error(Code::duplicate_name, field.offset, where_, "field %u twice in one message", field.number);
      }
      seen_ |= bit;
    }
    return {};
  }
  bool seen(uint32_t number) const noexcept { return (seen_ >> number & 1) != 0; }

  Status boolean(const Field& field, bool* out) noexcept {
    ONEPASS_TRY(expect(field, Wire::varint));
    if (field.integer > 1) {
      return make_error(Code::bad_value, field.offset, where_, "field %u is neither true nor false", field.number);
    }
    *out = field.integer == 1;
    return {};
  }
  Status text(const Field& field, std::string* out) {
    ONEPASS_TRY(expect(field, Wire::bytes));
    const std::string_view text(reinterpret_cast<const char*>(field.bytes.data()), field.bytes.size());
    if (text.size() > kMaxPieceLength) {
      return make_error(Code::limit_exceeded, field.bytes_offset, where_, "a token of %zu bytes; at most %zu are read",
                        text.size(), kMaxPieceLength);
    }
    if (!is_valid_utf8(text))
      return make_error(Code::bad_utf8, field.bytes_offset, where_, "a token that is not UTF-8");
    *out = text;
    return {};
  }

 private:
  std::string_view where_;
  uint64_t seen_ = 0;
};

Result<SentencePiece> read_piece(const Field& field, std::string_view where) {
  SentencePiece piece;
  FieldReader reader(where);
  Message message(field.bytes, field.bytes_offset, where);
  while (!message.done()) {
    ONEPASS_TRY_ASSIGN(part, message.next());
    switch (part.number) {
      case 1:
        ONEPASS_TRY(reader.text(part, &piece.piece));
        break;
      case 2:
        ONEPASS_TRY(reader.expect(part, Wire::fixed32));
        piece.score = std::bit_cast<float>(static_cast<uint32_t>(part.integer));
        if (!std::isfinite(piece.score)) return make_error(Code::non_finite, part.offset, where, "a piece's score");
        break;
      case 3:
        ONEPASS_TRY(reader.expect(part, Wire::varint));
        if (part.integer < 1 || part.integer > 6) {
          return make_error(Code::unknown_value, part.offset, where, "a piece of type %llu",
                            static_cast<unsigned long long>(part.integer));
        }
        piece.type = static_cast<SentencePieceType>(part.integer);
        break;
      default:
        break;
    }
  }
  if (!reader.seen(1)) return make_error(Code::missing_key, field.offset, where, "a piece without content");
  if (piece.piece.empty()) return make_error(Code::bad_vocabulary, field.offset, where, "an empty piece");
  return piece;
}

Status read_trainer(const Field& field, std::string_view where, SentencePieceModel& model) {
  FieldReader reader(where);
  Message message(field.bytes, field.bytes_offset, where);
  while (!message.done()) {
    ONEPASS_TRY_ASSIGN(part, message.next());
    switch (part.number) {
      case 3:
        ONEPASS_TRY(reader.expect(part, Wire::varint));
        if (part.integer < 1 || part.integer > 4) {
          return make_error(Code::unknown_value, part.offset, where, "a model of type %llu",
                            static_cast<unsigned long long>(part.integer));
        }
        model.algorithm = static_cast<SentencePieceAlgorithm>(part.integer);
        break;
      case 24:
        ONEPASS_TRY(reader.boolean(part, &model.treat_whitespace_as_suffix));
        break;
      case 35:
        ONEPASS_TRY(reader.boolean(part, &model.byte_fallback));
        break;
      case 40:
        ONEPASS_TRY(reader.expect(part, Wire::varint));
        if (part.integer >= kMaxPieceCount) {
          return make_error(Code::bad_vocabulary, part.offset, where, "no piece has the id of the unknown token");
        }
        model.unk_id = static_cast<uint32_t>(part.integer);
        break;
      case 45:
        ONEPASS_TRY(reader.text(part, &model.unk_piece));
        break;
      default:
        break;
    }
  }
  return {};
}

Status read_normalizer(const Field& field, std::string_view where, SentencePieceModel& model) {
  FieldReader reader(where);
  Message message(field.bytes, field.bytes_offset, where);
  while (!message.done()) {
    ONEPASS_TRY_ASSIGN(part, message.next());
    switch (part.number) {
      case 2:
        ONEPASS_TRY(reader.expect(part, Wire::bytes));
        model.precompiled_charsmap.assign(part.bytes.begin(), part.bytes.end());
        break;
      case 3:
        ONEPASS_TRY(reader.boolean(part, &model.add_dummy_prefix));
        break;
      case 4:
        ONEPASS_TRY(reader.boolean(part, &model.remove_extra_whitespaces));
        break;
      case 5:
        ONEPASS_TRY(reader.boolean(part, &model.escape_whitespaces));
        break;
      default:
        break;
    }
  }
  return {};
}

Result<SentencePieceModel> read_model(std::span<const uint8_t> bytes, std::string_view where) {
  if (bytes.size() > kMaxSentencePieceBytes) {
    return make_error(Code::limit_exceeded, Error::no_offset, where, "%zu bytes; at most %zu are read", bytes.size(),
                      kMaxSentencePieceBytes);
  }
  SentencePieceModel model;
  std::vector<uint64_t> offsets;
  FieldReader reader(where);
  Message message(bytes, 0, where);
  while (!message.done()) {
    ONEPASS_TRY_ASSIGN(field, message.next());
    if (field.number == 1) {
      if (field.wire != Wire::bytes) return reader.expect(field, Wire::bytes).error();
      if (model.pieces.size() == kMaxPieceCount) {
        return make_error(Code::limit_exceeded, field.offset, where, "more than %zu pieces", kMaxPieceCount);
      }
      ONEPASS_TRY_ASSIGN(piece, read_piece(field, where));
      model.pieces.push_back(std::move(piece));
      offsets.push_back(field.offset);
    } else if (field.number == 2 || field.number == 3) {
      ONEPASS_TRY(reader.expect(field, Wire::bytes));
      ONEPASS_TRY(field.number == 2 ? read_trainer(field, where, model) : read_normalizer(field, where, model));
    }
  }
  if (model.pieces.empty()) {
    return make_error(Code::bad_vocabulary, Error::no_offset, where, "no pieces: not a SentencePiece model");
  }
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto [at, fresh] = ids.emplace(model.pieces[id].piece, id);
    if (!fresh) {
      return make_error(Code::duplicate_name, offsets[id], where, "pieces %zu and %zu have the same content",
                        at->second, id);
    }
  }
  if (model.unk_id >= model.pieces.size() || model.pieces[model.unk_id].type != SentencePieceType::unknown) {
    return make_error(Code::bad_vocabulary, Error::no_offset, where,
                      "piece %u is not the unknown token that it should be", model.unk_id);
  }
  return model;
}

}  // namespace

Result<SentencePieceModel> parse_sentencepiece(std::span<const uint8_t> bytes, std::string_view where) noexcept {
  try {
    return read_model(bytes, where);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, where, "out of memory while reading a tokenizer");
  }
}

}  // namespace onepass
