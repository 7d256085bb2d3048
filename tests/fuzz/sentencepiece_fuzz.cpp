// SentencePiece models: no bytes crash the reader; what it accepts becomes, for every family, a section that the
// runtime judges, and what that accepts tokenises a text.
//
// The first byte chooses the family, and whether the rest is a whole model or edits of a good one.
#include <cstdlib>

#include "engine/text/tokenizer.h"
#include "formats/sentencepiece/families.h"
#include "formats/sentencepiece/tokenizer.h"
#include "tests/support/edits.h"
#include "tests/support/protobuf_writer.h"
#include "tests/text/charsmap_blob.h"

namespace {

using namespace onepass;

constexpr std::string_view kText = "ab\t(\xC3\xA9 \xE2\x96\x81 a\xCC\x81 ``x'' [MASK]<s>\xFF";

void check(bool condition) {
  if (!condition) std::abort();
}

// Of BPE, with every byte.
std::string good_bpe() {
  test::Proto model;
  const auto add = [&](const std::string& piece, float score, uint32_t type = 1) {
    model.bytes(1, test::spm_piece(piece, score, type));
  };
  add("<unk>", 0, 2);
  add("<s>", 0, 3);
  add("</s>", 0, 3);
  for (const char* piece : {"a", "b", "ab", "\xE2\x96\x81",
                            "\xE2\x96\x81"
                            "ab",
                            "bb", "abb"})
    add(piece, -1);
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (unsigned b = 0; b < 256; ++b) add(std::string("<0x") + kDigits[b / 16] + kDigits[b % 16] + ">", 0, 6);
  model.bytes(2, test::Proto().varint(3, 2).varint(35, 1).varint(40, 0).text);
  model.bytes(3, test::Proto().varint(3, 1).varint(4, 0).text);
  return model.text;
}

std::string good_model() {
  struct Piece {
    const char* content;
    float score;
    uint32_t type;
  };
  constexpr Piece kPieces[] = {{"<unk>", 0, 2},
                               {"<s>", 0, 3},
                               {"</s>", 0, 3},
                               {"<pad>", 0, 3},
                               {"[CLS]", 0, 3},
                               {"[SEP]", 0, 3},
                               {"<bos>", 0, 3},
                               {"<0x61>", 0, 6},
                               {"a", -2, 1},
                               {"b", -3, 1},
                               {"ab", -4, 1},
                               {"\xE2\x96\x81", -2, 1},
                               {"\xE2\x96\x81"
                                "a",
                                -3, 1}};
  test::Proto model;
  for (const Piece& piece : kPieces) model.bytes(1, test::spm_piece(piece.content, piece.score, piece.type));
  model.bytes(2, test::Proto().varint(3, 1).varint(35, 1).varint(40, 0).bytes(45, "<unk>").text);
  // Cut to the blocks that the rule needs, so that edits meet them.
  model.bytes(3, test::Proto().bytes(2, test::charsmap_blob({{"\t", " "}})).varint(3, 1).text);
  return model.text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const auto families = sentencepiece_families();
  const SentencePieceFamily& family = families[data[0] / 2 % families.size()];
  std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 != 0) {
    static const std::string& unigram = *new std::string(good_model());
    static const std::string& bpe = *new std::string(good_bpe());
    text = test::apply_edits(family.bpe ? bpe : unigram, {data + 1, size - 1});
  }
  text.shrink_to_fit();
  const auto model = parse_sentencepiece({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, "fuzz.model");
  if (!model.ok()) {
    check(model.code() != Code::ok && model.error().message[0] != '\0');
    check(model.error().offset == Error::no_offset || model.error().offset <= text.size());
    return 0;
  }
  check(!model->pieces.empty() && model->unk_id < model->pieces.size());
  const auto spec = convert_sentencepiece(*model, nullptr, family.model_type, "fuzz.model");
  if (!spec.ok()) {
    check(spec.code() != Code::ok && spec.error().message[0] != '\0');
    return 0;
  }
  const std::vector<uint8_t> section = serialize_tokenizer(*spec);
  const auto tokenizer = Tokenizer::parse(section, UINT32_MAX);
  if (!tokenizer.ok()) return 0;
  EncodeScratch scratch;
  Array<uint32_t> ids;
  check((*tokenizer).encode(kText, {}, scratch, ids, nullptr, nullptr).ok());
  for (const uint32_t id : ids) check(id < (*tokenizer).vocab_size());
  return 0;
}
