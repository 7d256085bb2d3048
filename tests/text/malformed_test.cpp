// Every malformed tokenizer section, and the error it gives.
#include <gtest/gtest.h>

#include <functional>

#include "engine/text/vocab.h"
#include "tests/text/sections.h"

namespace onepass::test {
namespace {

// Offsets of the fixed fields.
constexpr size_t kVersion = 0, kKind = 4, kPieces = 8, kAdded = 12, kTemplate = 16, kNormalizer = 20,
                 kPreTokenizer = 24, kHeaderFlags = 28, kFirstStep = 32, kPreStep = 48, kFirstAdded = 64;
// Behind them: the first place of a piece, and WordPiece's parameters, which end the section.
size_t places_of(const std::vector<uint8_t>&) { return kFirstAdded + 5 * 8 + 3 * 4; }
size_t parameters_of(const std::vector<uint8_t>& bytes) { return bytes.size() - 14; }

struct SpecCase {
  const char* name;
  Code code;
  std::function<void(TokenizerSpec&)> change;
};

const SpecCase kSpecCases[] = {
    {"valid", Code::ok, [](TokenizerSpec&) {}},
    {"kind none", Code::unknown_value, [](TokenizerSpec& s) { s.kind = TokenizerKind::none; }},
    {"no pieces", Code::limit_exceeded,
     [](TokenizerSpec& s) {
       s.pieces.clear();
       s.added_tokens.clear();
     }},
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
       for (size_t n = 2; n <= 126; ++n) s.pieces.push_back("##" + std::string(n, 'a'));
     }},
    {"pieces of 129 lengths", Code::bad_vocabulary,
     [](TokenizerSpec& s) {
       for (size_t n = 2; n <= 127; ++n) s.pieces.push_back("##" + std::string(n, 'a'));
     }},
    {"one empty piece", Code::ok, [](TokenizerSpec& s) { s.pieces[5].clear(); }},
    {"two empty pieces", Code::ok,
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
    {"version 1", Code::bad_version, kVersion, 1},
    {"version 3", Code::bad_version, kVersion, 3},
    {"kind none", Code::unknown_value, kKind, 0},
    {"unknown kind", Code::unknown_value, kKind, 99},
    {"largest kind", Code::unknown_value, kKind, UINT32_MAX},
    {"more pieces than embedding rows", Code::bad_vocabulary, kPieces, 1001},
    {"more pieces than bytes", Code::truncated, kPieces, 1000},
    {"one piece too few", Code::bad_value, kPieces, 20},
    {"added tokens over the limit", Code::limit_exceeded, kAdded, 65537},
    {"more added tokens than bytes", Code::truncated, kAdded, 65536},
    {"more template entries than bytes", Code::limit_exceeded, kTemplate, 10000},
    {"template over the limit", Code::limit_exceeded, kTemplate, 65},
    {"normaliser over the limit", Code::limit_exceeded, kNormalizer, 17},
    {"pre-tokeniser over the limit", Code::limit_exceeded, kPreTokenizer, 9},
    {"unknown header flag", Code::unknown_flags, kHeaderFlags, 4},
    {"prefix space without trimming", Code::unknown_flags, kHeaderFlags, 2},
    {"unknown normaliser step", Code::unknown_value, kFirstStep, 99},
    {"normaliser step 0", Code::unknown_value, kFirstStep, 0},
    {"unknown normaliser flag", Code::unknown_flags, kFirstStep + 4, 0x1F},
    {"highest normaliser flag", Code::unknown_flags, kFirstStep + 4, 0x80000000},
    {"pattern of a step that has none", Code::bad_value, kFirstStep + 8, 4},
    {"pattern longer than the section", Code::truncated, kFirstStep + 8, 0x7FFFFFFF},
    {"pattern of the largest length", Code::truncated, kFirstStep + 8, UINT32_MAX},
    {"unknown pre-tokeniser step", Code::unknown_value, kPreStep, 99},
    {"unknown pre-tokeniser flag", Code::unknown_flags, kPreStep + 4, 1},
    {"value of a step that has none", Code::bad_value, kPreStep + 8, 1},
    {"text of a step that has none", Code::bad_value, kPreStep + 12, 4},
    {"added token of an unknown id", Code::bad_value, kFirstAdded, 21},
    {"unknown flag of an added token", Code::unknown_flags, kFirstAdded + 4, 0x20},
    {"highest flag of an added token", Code::unknown_flags, kFirstAdded + 4, 0x80000000},
    {"added token twice", Code::duplicate_name, kFirstAdded, 1},
};

TEST(Malformed, Fields) {
  for (const FieldCase& c : kFieldCases) {
    std::vector<uint8_t> bytes = serialize_tokenizer(small_spec());
    set_u32(bytes, c.at, c.value);
    EXPECT_EQ(code_name(Parsed(bytes, 1000).code()), std::string(code_name(c.code))) << c.name;
  }
}

TEST(Malformed, FieldsBehindThePieces) {
  const std::vector<uint8_t> good = serialize_tokenizer(small_spec());
  const size_t places = places_of(good);
  const size_t parameters = parameters_of(good);
  const FieldCase cases[] = {
      {"bytes of the pieces", Code::bad_value, places, 1},
      {"bytes of the pieces, largest", Code::truncated, places, UINT32_MAX},
      {"first place", Code::bad_value, places + 4, 1},
      {"falling places", Code::bad_value, places + 12, 1},
      {"place behind the end", Code::bad_value, places + 12, 4000},
      {"unknown flag of a piece", Code::unknown_flags, places + 4, 1u << 30},
      {"last place", Code::bad_value, places + 4 + 4 * 21, 1},
      {"unknown token", Code::bad_value, parameters, 21},
      {"unknown token, largest", Code::bad_value, parameters, UINT32_MAX},
      {"word length zero", Code::bad_value, parameters + 4, 0},
      {"word length largest", Code::bad_value, parameters + 4, UINT32_MAX},
      {"prefix longer than the section", Code::truncated, parameters + 8, 0x7FFFFFFF},
      {"prefix of the largest length", Code::truncated, parameters + 8, UINT32_MAX},
  };
  for (const FieldCase& c : cases) {
    std::vector<uint8_t> bytes = good;
    set_u32(bytes, c.at, c.value);
    EXPECT_EQ(code_name(Parsed(bytes, 1000).code()), std::string(code_name(c.code))) << c.name;
  }
}

struct StepCase {
  const char* name;
  Code code;
  NormalizerSpec step;
};
const StepCase kNormalizerCases[] = {
    {"replace", Code::ok, {NormalizerKind::replace, 0, "a", "bb"}},
    {"replace nothing", Code::bad_value, {NormalizerKind::replace, 0, "", "bb"}},
    {"replace by nothing", Code::ok, {NormalizerKind::replace, 0, "a", ""}},
    {"replace at length", Code::ok, {NormalizerKind::replace, 0, std::string(64, 'a'), std::string(64, 'b')}},
    {"replace too long", Code::limit_exceeded, {NormalizerKind::replace, 0, std::string(65, 'a'), "b"}},
    {"replace by too much", Code::limit_exceeded, {NormalizerKind::replace, 0, "a", std::string(65, 'b')}},
    {"replace no UTF-8", Code::bad_utf8, {NormalizerKind::replace, 0, "\xC3", "b"}},
    {"replace by no UTF-8", Code::bad_utf8, {NormalizerKind::replace, 0, "a", "\xA9"}},
    {"replace with a flag", Code::unknown_flags, {NormalizerKind::replace, 1, "a", "b"}},
    {"prepend", Code::ok, {NormalizerKind::prepend, 0, "", "_"}},
    {"prepend with a pattern", Code::bad_value, {NormalizerKind::prepend, 0, "a", "_"}},
    {"strip", Code::ok, {NormalizerKind::strip, 3, "", ""}},
    {"strip a third side", Code::unknown_flags, {NormalizerKind::strip, 4, "", ""}},
    {"nfc", Code::ok, {NormalizerKind::nfc, 0, "", ""}},
    {"nfc with content", Code::bad_value, {NormalizerKind::nfc, 0, "", "a"}},
};

TEST(Malformed, NormalizerSteps) {
  for (const StepCase& c : kNormalizerCases) {
    TokenizerSpec spec = small_spec();
    spec.normalizer = {c.step};
    EXPECT_EQ(code_name(Parsed(spec).code()), std::string(code_name(c.code))) << c.name;
  }
}

struct PreStepCase {
  const char* name;
  Code code;
  PreTokenizerSpec step;
};
const PreStepCase kPreTokenizerCases[] = {
    {"metaspace", Code::ok, {PreTokenizerKind::metaspace, 5, 0, "\xE2\x96\x81"}},
    {"metaspace with two schemes", Code::bad_value, {PreTokenizerKind::metaspace, 3, 0, "_"}},
    {"metaspace with an unknown flag", Code::unknown_flags, {PreTokenizerKind::metaspace, 8, 0, "_"}},
    {"metaspace without a character", Code::bad_value, {PreTokenizerKind::metaspace, 1, 0, ""}},
    {"metaspace with two characters", Code::bad_value, {PreTokenizerKind::metaspace, 1, 0, "__"}},
    {"metaspace with half a character", Code::bad_value, {PreTokenizerKind::metaspace, 1, 0, "\xE2\x96"}},
    {"pattern", Code::ok, {PreTokenizerKind::pattern, 0, 1, ""}},
    {"pattern 0", Code::unknown_value, {PreTokenizerKind::pattern, 0, 0, ""}},
    {"unknown pattern", Code::unknown_value, {PreTokenizerKind::pattern, 0, 99, ""}},
    {"literal", Code::ok, {PreTokenizerKind::literal, 12, 0, "a"}},
    {"literal without text", Code::bad_value, {PreTokenizerKind::literal, 0, 0, ""}},
    {"literal too long", Code::bad_value, {PreTokenizerKind::literal, 0, 0, std::string(65, 'a')}},
    {"literal with an unknown behaviour", Code::bad_value, {PreTokenizerKind::literal, 5, 0, "a"}},
    {"literal with an unknown flag", Code::unknown_flags, {PreTokenizerKind::literal, 16, 0, "a"}},
    {"digits", Code::ok, {PreTokenizerKind::digits, 2, 0, ""}},
    {"digits with an unknown behaviour", Code::bad_value, {PreTokenizerKind::digits, 5, 0, ""}},
};

TEST(Malformed, PreTokenizerSteps) {
  for (const PreStepCase& c : kPreTokenizerCases) {
    TokenizerSpec spec = small_spec();
    spec.pre_tokenizer = {c.step};
    EXPECT_EQ(code_name(Parsed(spec).code()), std::string(code_name(c.code))) << c.name;
  }
  TokenizerSpec spec = small_spec();
  spec.pre_tokenizer.assign(3, {PreTokenizerKind::prefix_space, 0, 0, ""});
  EXPECT_EQ(Parsed(spec).code(), Code::bad_value);
}

TEST(Malformed, OversizedCountsAllocateNothingFirst) {
  // 2^20 pieces of no bytes would need 4 MiB; the section has 100 bytes.
  std::vector<uint8_t> bytes(100, 0);
  set_u32(bytes, kVersion, kTokenizerVersion);
  set_u32(bytes, kKind, 1);
  set_u32(bytes, kPieces, 1u << 20);
  EXPECT_EQ(Parsed(bytes).code(), Code::truncated);
  set_u32(bytes, kPieces, (1u << 20) + 1);
  EXPECT_EQ(Parsed(bytes).code(), Code::limit_exceeded);
}

TEST(Malformed, EmptyAndTrailing) {
  EXPECT_EQ(Parsed(std::vector<uint8_t>{}).code(), Code::truncated);
  EXPECT_EQ(Parsed(std::vector<uint8_t>(31, 0)).code(), Code::truncated);
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
  EXPECT_EQ(Parsed(serialize_tokenizer(spec), 21).code(), Code::bad_vocabulary);
}

TEST(Malformed, ErrorsCarryTheirOffset) {
  std::vector<uint8_t> bytes = serialize_tokenizer(small_spec());
  set_u32(bytes, parameters_of(bytes), 999);
  const auto result = Tokenizer::parse(bytes, 1000, 4096);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().offset, 4096 + parameters_of(bytes));
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
