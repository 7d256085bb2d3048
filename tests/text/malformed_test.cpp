// Every malformed tokenizer section, and the error it gives.
#include <gtest/gtest.h>

#include <functional>

#include "engine/text/vocab.h"
#include "tests/text/sections.h"

namespace onepass::test {
namespace {

// Offsets of the fixed fields.
constexpr size_t kKind = 0, kPieces = 4, kAdded = 8, kTemplate = 12, kFlags = 16, kUnk = 20, kMaxChars = 24,
                 kPrefix = 28;

struct SpecCase {
  const char* name;
  Code code;
  std::function<void(TokenizerSpec&)> change;
};

const SpecCase kSpecCases[] = {
    {"valid", Code::ok, [](TokenizerSpec&) {}},
    {"kind none", Code::unknown_value, [](TokenizerSpec& s) { s.kind = TokenizerKind::none; }},
    {"no pieces", Code::bad_value, [](TokenizerSpec& s) { s.pieces.clear(); }},
    {"unknown token out of range", Code::bad_value, [](TokenizerSpec& s) { s.unk_id = 21; }},
    {"zero characters a word", Code::bad_value, [](TokenizerSpec& s) { s.max_input_chars_per_word = 0; }},
    {"too many characters a word", Code::bad_value, [](TokenizerSpec& s) { s.max_input_chars_per_word = 1025; }},
    {"longest word", Code::ok, [](TokenizerSpec& s) { s.max_input_chars_per_word = 1024; }},
    {"prefix too long", Code::limit_exceeded, [](TokenizerSpec& s) { s.continuing_prefix.assign(4097, '#'); }},
    {"prefix not UTF-8", Code::bad_utf8, [](TokenizerSpec& s) { s.continuing_prefix = "\xC3"; }},
    {"no prefix", Code::ok, [](TokenizerSpec& s) { s.continuing_prefix.clear(); }},
    {"piece too long", Code::limit_exceeded, [](TokenizerSpec& s) { s.pieces[5].assign(4097, 'a'); }},
    {"longest piece", Code::ok, [](TokenizerSpec& s) { s.pieces[5].assign(4096, 'a'); }},
    {"piece not UTF-8", Code::bad_utf8, [](TokenizerSpec& s) { s.pieces[5] = "\xED\xA0\x80"; }},
    {"piece is overlong NUL", Code::bad_utf8, [](TokenizerSpec& s) { s.pieces[5] = "\xC0\x80"; }},
    {"piece with NUL", Code::ok, [](TokenizerSpec& s) { s.pieces[5] = std::string("a\0b", 3); }},
    {"equal pieces", Code::duplicate_name, [](TokenizerSpec& s) { s.pieces[5] = "hello"; }},
    {"equal continuing pieces", Code::duplicate_name, [](TokenizerSpec& s) { s.pieces[5] = "##able"; }},
    {"equal long pieces", Code::duplicate_name, [](TokenizerSpec& s) { s.pieces[5] = s.pieces[20]; }},
    {"pieces of 128 lengths", Code::ok,
     [](TokenizerSpec& s) {
       for (size_t n = 2; n <= 128; ++n) s.pieces.push_back("##" + std::string(n, 'a'));
     }},
    {"pieces of 129 lengths", Code::bad_vocabulary,
     [](TokenizerSpec& s) {
       for (size_t n = 2; n <= 129; ++n) s.pieces.push_back("##" + std::string(n, 'a'));
     }},
    {"one empty piece", Code::ok, [](TokenizerSpec& s) { s.pieces[5].clear(); }},
    {"two empty pieces", Code::duplicate_name,
     [](TokenizerSpec& s) {
       s.pieces[5].clear();
       s.pieces[6].clear();
     }},
    {"the prefix as a piece", Code::ok, [](TokenizerSpec& s) { s.pieces[5] = "##"; }},
    {"the prefix twice", Code::duplicate_name,
     [](TokenizerSpec& s) {
       s.pieces[5] = "##";
       s.pieces[6] = "##";
     }},
    {"one-character prefix twice", Code::duplicate_name,
     [](TokenizerSpec& s) {
       s.continuing_prefix = "#";
       s.pieces[5] = "#";
     }},
    {"letter prefix, equal pieces", Code::duplicate_name,
     [](TokenizerSpec& s) {
       s.continuing_prefix = "a";
       s.pieces[5] = "a";
     }},
    {"added token empty", Code::bad_value, [](TokenizerSpec& s) { s.added_tokens.push_back(special(21, "")); }},
    {"added token too long", Code::limit_exceeded,
     [](TokenizerSpec& s) { s.added_tokens.push_back(special(21, std::string(4097, 'a'))); }},
    {"longest added token", Code::ok,
     [](TokenizerSpec& s) { s.added_tokens.push_back(special(21, std::string(4096, 'a'))); }},
    {"added tokens too long together", Code::limit_exceeded,
     [](TokenizerSpec& s) {
       for (uint32_t i = 0; i < 257; ++i) {
         s.added_tokens.push_back(special(21 + i, std::to_string(1000 + i) + std::string(4092, 'a')));
       }
     }},
    {"added token not UTF-8", Code::bad_utf8, [](TokenizerSpec& s) { s.added_tokens.push_back(special(21, "\x80")); }},
    {"added token twice", Code::duplicate_name,
     [](TokenizerSpec& s) { s.added_tokens.push_back(special(0, "[PAD]")); }},
    {"extra token twice", Code::duplicate_name,
     [](TokenizerSpec& s) {
       s.added_tokens.push_back(special(21, "new"));
       s.added_tokens.push_back(special(22, "new"));
     }},
    {"added token of another piece's id", Code::bad_value,
     [](TokenizerSpec& s) { s.added_tokens.push_back(special(5, "hello")); }},
    {"added token of a piece, with an id of its own", Code::bad_value,
     [](TokenizerSpec& s) { s.added_tokens.push_back(special(21, "hello")); }},
    {"extra token with a piece's id", Code::bad_value,
     [](TokenizerSpec& s) { s.added_tokens.push_back(special(5, "new")); }},
    {"gap before an extra token", Code::bad_value,
     [](TokenizerSpec& s) { s.added_tokens.push_back(special(22, "new")); }},
    {"extra tokens out of order", Code::bad_value,
     [](TokenizerSpec& s) {
       s.added_tokens.push_back(special(22, "new"));
       s.added_tokens.push_back(special(21, "newer"));
     }},
    {"extra token", Code::ok, [](TokenizerSpec& s) { s.added_tokens.push_back(special(21, "new")); }},
    {"added token that normalises to nothing", Code::bad_value,
     [](TokenizerSpec& s) {
       s.added_tokens.push_back(special(21, "\xCC\x81"));
       s.added_tokens.back().normalized = true;
     }},
    {"empty template", Code::bad_value, [](TokenizerSpec& s) { s.single_template.clear(); }},
    {"template without text", Code::bad_value,
     [](TokenizerSpec& s) {
       s.single_template = {{false, 2}};
     }},
    {"template with the text twice", Code::bad_value,
     [](TokenizerSpec& s) {
       s.single_template = {{true, 0}, {true, 0}};
     }},
    {"template with an unknown token", Code::bad_value, [](TokenizerSpec& s) { s.single_template[0].id = 21; }},
    {"template with an extra token", Code::ok,
     [](TokenizerSpec& s) {
       s.added_tokens.push_back(special(21, "new"));
       s.single_template[0].id = 21;
     }},
    {"longest template", Code::ok, [](TokenizerSpec& s) { s.single_template.resize(64); }},
    {"template too long", Code::limit_exceeded, [](TokenizerSpec& s) { s.single_template.resize(65); }},
};

TEST(Malformed, Specs) {
  for (const SpecCase& c : kSpecCases) {
    TokenizerSpec spec = small_spec();
    c.change(spec);
    const Parsed got(spec);
    EXPECT_EQ(code_name(got.code()), std::string(code_name(c.code))) << c.name;
    if (got.code() != Code::ok) {
      EXPECT_NE(got.result.error().message[0], '\0') << c.name;
      EXPECT_STREQ(got.result.error().where, "tokenizer") << c.name;
    }
  }
}

struct FieldCase {
  const char* name;
  Code code;
  size_t at;
  uint32_t value;
};

const FieldCase kFieldCases[] = {
    {"unknown kind", Code::unknown_value, kKind, 2},
    {"largest kind", Code::unknown_value, kKind, UINT32_MAX},
    {"more pieces than embedding rows", Code::bad_vocabulary, kPieces, 1001},
    {"more pieces than bytes", Code::truncated, kPieces, 1000},
    {"one piece too many", Code::truncated, kPieces, 600},
    {"added tokens over the limit", Code::limit_exceeded, kAdded, 65537},
    {"more added tokens than bytes", Code::truncated, kAdded, 65536},
    {"more template entries than bytes", Code::truncated, kTemplate, 4},
    {"template over the limit", Code::limit_exceeded, kTemplate, 65},
    {"fewer template entries", Code::trailing_bytes, kTemplate, 2},
    {"unknown normaliser flag", Code::unknown_flags, kFlags, 0x1F},
    {"highest normaliser flag", Code::unknown_flags, kFlags, 0x80000000},
    {"unknown token", Code::bad_value, kUnk, 21},
    {"unknown token, largest", Code::bad_value, kUnk, UINT32_MAX},
    {"word length zero", Code::bad_value, kMaxChars, 0},
    {"word length largest", Code::bad_value, kMaxChars, UINT32_MAX},
    {"prefix longer than the section", Code::truncated, kPrefix, 0x7FFFFFFF},
    {"prefix of the largest length", Code::truncated, kPrefix, UINT32_MAX},
};

TEST(Malformed, Fields) {
  for (const FieldCase& c : kFieldCases) {
    std::vector<uint8_t> bytes = serialize_tokenizer(small_spec());
    set_u32(bytes, c.at, c.value);
    EXPECT_EQ(code_name(Parsed(bytes, 1000).code()), std::string(code_name(c.code))) << c.name;
  }
}

TEST(Malformed, OversizedCountsAllocateNothingFirst) {
  // 2^20 pieces of no bytes would need 4 MiB; the section has 100 bytes.
  std::vector<uint8_t> bytes(100, 0);
  set_u32(bytes, kKind, 1);
  set_u32(bytes, kPieces, 1u << 20);
  set_u32(bytes, kMaxChars, 100);
  EXPECT_EQ(Parsed(bytes).code(), Code::truncated);
  set_u32(bytes, kPieces, (1u << 20) + 1);
  EXPECT_EQ(Parsed(bytes).code(), Code::limit_exceeded);
}

TEST(Malformed, EmptyAndTrailing) {
  EXPECT_EQ(Parsed(std::vector<uint8_t>{}).code(), Code::truncated);
  EXPECT_EQ(Parsed(std::vector<uint8_t>(15, 0)).code(), Code::truncated);
  std::vector<uint8_t> bytes = serialize_tokenizer(small_spec());
  bytes.push_back(0);
  EXPECT_EQ(Parsed(bytes).code(), Code::trailing_bytes);
}

TEST(Malformed, EmbeddingRows) {
  const std::vector<uint8_t> bytes = serialize_tokenizer(small_spec());
  EXPECT_EQ(Parsed(bytes, 21).code(), Code::ok);
  EXPECT_EQ(Parsed(bytes, 20).code(), Code::bad_vocabulary);
  EXPECT_EQ(Parsed(bytes, 0).code(), Code::bad_vocabulary);
  TokenizerSpec spec = small_spec();
  spec.added_tokens.push_back(special(21, "new"));
  EXPECT_EQ(Parsed(serialize_tokenizer(spec), 22).code(), Code::ok);
  EXPECT_EQ(Parsed(serialize_tokenizer(spec), 21).code(), Code::bad_value);
}

TEST(Malformed, UnknownAddedTokenFlag) {
  TokenizerSpec spec = small_spec();
  const std::vector<uint8_t> with = serialize_tokenizer(spec);
  spec.added_tokens.pop_back();
  spec.single_template.clear();
  const size_t record = serialize_tokenizer(spec).size();
  for (const uint32_t flag : {0x20u, 0x100u, 0x80000000u}) {
    std::vector<uint8_t> bytes = with;
    set_u32(bytes, record + 4, flag);
    EXPECT_EQ(Parsed(bytes).code(), Code::unknown_flags);
  }
}

TEST(Malformed, ErrorsCarryTheirOffset) {
  std::vector<uint8_t> bytes = serialize_tokenizer(small_spec());
  set_u32(bytes, kUnk, 999);
  const auto result = Tokenizer::parse(bytes, 1000, 4096);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().offset, 4096 + kUnk);
}

TEST(Malformed, SectionOver64MiB) {
  std::vector<uint8_t> bytes = serialize_tokenizer(small_spec());
  bytes.resize((size_t{64} << 20) + 1);
  EXPECT_EQ(Parsed(std::move(bytes)).code(), Code::limit_exceeded);
}

// Pieces chosen so that all want the same few slots: look-ups would take hundreds of steps.
TEST(Malformed, ClusteringVocabulary) {
  TokenizerSpec spec = small_spec();
  for (unsigned i = 0; spec.pieces.size() < 600; ++i) {
    const std::string piece = "p" + std::to_string(i);
    if ((hash_piece(piece, false) & 2047) < 64) spec.pieces.push_back(piece);
  }
  EXPECT_EQ(Parsed(spec).code(), Code::bad_vocabulary);
  TokenizerSpec honest = small_spec();
  for (unsigned i = 0; honest.pieces.size() < 600; ++i) honest.pieces.push_back("p" + std::to_string(i));
  EXPECT_EQ(Parsed(honest).code(), Code::ok);
}

}  // namespace
}  // namespace onepass::test
