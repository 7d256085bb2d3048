// SentencePiece models: what is read, what is refused, and the tokenizers that the families make of them.
#include <gtest/gtest.h>

#include <fstream>

#include "engine/text/tokenizer.h"
#include "formats/huggingface/tokenizer.h"
#include "formats/json/serde_number.h"
#include "formats/sentencepiece/tokenizer.h"
#include "tests/support/protobuf_writer.h"
#include "tests/support/temp_folder.h"
#include "tests/text/charsmap_blob.h"

namespace onepass::test {
namespace {

constexpr const char* kMeta = "\xE2\x96\x81";

struct Piece {
  std::string content;
  float score;
  uint32_t type = 1;
};

const std::vector<Piece> kDeberta = {{"[PAD]", 0, 3}, {"[CLS]", 0, 3},  {"[SEP]", 0, 3},
                                     {"[UNK]", 0, 2}, {"<0x41>", 0, 6}, {std::string(kMeta), -2},
                                     {"a", -3},       {"b", -4},        {std::string(kMeta) + "ab", -1.5f}};
const std::vector<Piece> kXlm = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}, {",", -3}, {std::string(kMeta), -4}};
const std::vector<Piece> kAlbert = {{"<pad>", 0, 3},  {"<unk>", 0, 2}, {"[CLS]", 0, 3}, {"[SEP]", 0, 3},
                                    {"[MASK]", 0, 3}, {"(", 0, 4},     {"a", -2}};
const std::vector<Piece> kT5 = {{"<pad>", 0, 3}, {"</s>", 0, 3}, {"<unk>", 0, 2}, {"a", -2}};

std::string model_of(const std::vector<Piece>& pieces, uint32_t unk_id, uint32_t algorithm = 1,
                     const std::string& charsmap = charsmap_blob({{"\t", " "}})) {
  Proto model;
  for (const Piece& piece : pieces) model.bytes(1, spm_piece(piece.content, piece.score, piece.type));
  model.bytes(2, Proto().varint(3, algorithm).varint(40, unk_id).bytes(45, pieces[unk_id].content).text);
  model.bytes(3, Proto().bytes(1, "nmt_nfkc").bytes(2, charsmap).varint(4, 1).text);
  return model.text;
}

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

TEST(SentencePiece, ReadsAModel) {
  const std::string text = model_of(kDeberta, 3);
  const auto model = parse_sentencepiece(bytes_of(text));
  ASSERT_TRUE(model.ok()) << model.error().message;
  ASSERT_EQ(model->pieces.size(), kDeberta.size());
  for (size_t id = 0; id < kDeberta.size(); ++id) {
    EXPECT_EQ(model->pieces[id].piece, kDeberta[id].content);
    EXPECT_EQ(model->pieces[id].score, kDeberta[id].score);
    EXPECT_EQ(static_cast<uint32_t>(model->pieces[id].type), kDeberta[id].type);
  }
  EXPECT_EQ(model->algorithm, SentencePieceAlgorithm::unigram);
  EXPECT_EQ(model->unk_id, 3u);
  EXPECT_EQ(model->unk_piece, "[UNK]");
  EXPECT_EQ(model->precompiled_charsmap, charsmap_blob({{"\t", " "}}));
  EXPECT_TRUE(model->add_dummy_prefix && model->remove_extra_whitespaces && model->escape_whitespaces);
  EXPECT_FALSE(model->byte_fallback || model->treat_whitespace_as_suffix);
}

TEST(SentencePiece, SkipsWhatIsNotKnown) {
  Proto model;
  model.bytes(1, Proto().bytes(1, "u").varint(3, 2).bytes(9, "?").f32(10, 1).text).varint(77, ~uint64_t{0});
  model.bytes(4, "\xFF\xFF").f32(100, 2).bytes(200, "x");
  EXPECT_TRUE(parse_sentencepiece(bytes_of(model.text)).ok());
}

struct Malformed {
  const char* name;
  Code code;
  std::string text;
};

TEST(SentencePiece, MalformedModels) {
  const std::string unk = Proto().bytes(1, spm_piece("u", 0, 2)).text;
  const auto with_piece = [&](const Proto& piece) { return unk + Proto().bytes(1, piece.text).text; };
  const auto trainer = [&](const Proto& spec) { return unk + Proto().bytes(2, spec.text).text; };
  const auto normalizer = [&](const Proto& spec) { return unk + Proto().bytes(3, spec.text).text; };
  const Malformed cases[] = {
      {"smallest", Code::ok, unk},
      {"empty", Code::bad_vocabulary, ""},
      {"JSON", Code::bad_syntax, "{\"a\": 1}"},
      {"field 0", Code::bad_syntax, unk + std::string("\0\0", 2)},
      {"a field number of 30 bits", Code::bad_syntax, unk + "\x80\x80\x80\x80\x10" + std::string(1, '\0')},
      {"a group", Code::bad_syntax, unk + "\x0B"},
      {"wire type 6", Code::bad_syntax, unk + "\x0E"},
      {"tag cut", Code::truncated, unk + "\x8A"},
      {"length cut", Code::truncated, unk + "\x0A\x80"},
      {"length past the end", Code::truncated, unk + "\x0A\x05xx"},
      {"greatest length", Code::truncated, unk + "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"},
      {"integer of 65 bits", Code::bad_syntax, unk + "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"},
      {"integer without an end", Code::bad_syntax, unk + "\x0A" + std::string(11, '\xFF')},
      {"fixed32 cut", Code::truncated, unk + "\x55\1\2\3"},
      {"fixed64 cut", Code::truncated, unk + "\x51\1\2\3\4\5\6\7"},
      {"pieces as integers", Code::bad_type, unk + Proto().varint(1, 5).text},
      {"trainer as an integer", Code::bad_type, unk + Proto().varint(2, 5).text},
      {"piece without content", Code::missing_key, with_piece(Proto().f32(2, 1))},
      {"empty piece", Code::bad_vocabulary, with_piece(Proto().bytes(1, "").f32(2, 1))},
      {"content twice", Code::duplicate_name, with_piece(Proto().bytes(1, "a").bytes(1, "b"))},
      {"content as an integer", Code::bad_type, with_piece(Proto().varint(1, 3))},
      {"content not UTF-8", Code::bad_utf8, with_piece(Proto().bytes(1, "\xC3"))},
      {"longest content", Code::ok, with_piece(Proto().bytes(1, std::string(4096, 'a')))},
      {"content too long", Code::limit_exceeded, with_piece(Proto().bytes(1, std::string(4097, 'a')))},
      {"score as an integer", Code::bad_type, with_piece(Proto().bytes(1, "a").varint(2, 3))},
      {"score NaN", Code::non_finite, with_piece(Proto().bytes(1, "a").f32(2, std::bit_cast<float>(0x7FC00000)))},
      {"score infinite", Code::non_finite, with_piece(Proto().bytes(1, "a").f32(2, std::bit_cast<float>(0xFF800000)))},
      {"type 0", Code::unknown_value, with_piece(Proto().bytes(1, "a").varint(3, 0))},
      {"type 7", Code::unknown_value, with_piece(Proto().bytes(1, "a").varint(3, 7))},
      {"equal pieces", Code::duplicate_name, with_piece(Proto().bytes(1, "u"))},
      {"piece cut inside", Code::truncated,
       with_piece(Proto{.text = "\x0A\x05"
                                "ab"})},
      {"trainer twice", Code::duplicate_name, trainer(Proto()) + Proto().bytes(2, "").text},
      {"model type 0", Code::unknown_value, trainer(Proto().varint(3, 0))},
      {"model type 5", Code::unknown_value, trainer(Proto().varint(3, 5))},
      {"model type 4", Code::ok, trainer(Proto().varint(3, 4))},
      {"model type twice", Code::duplicate_name, trainer(Proto().varint(3, 1).varint(3, 1))},
      {"unknown token out of range", Code::bad_vocabulary, trainer(Proto().varint(40, 1))},
      {"unknown token far out of range", Code::bad_vocabulary, trainer(Proto().varint(40, ~uint64_t{0}))},
      {"unknown token of another type", Code::bad_vocabulary,
       Proto().bytes(1, spm_piece("a", 0)).text + trainer(Proto().varint(40, 0))},
      {"fallback neither true nor false", Code::bad_value, trainer(Proto().varint(35, 2))},
      {"fallback as bytes", Code::bad_type, trainer(Proto().bytes(35, "x"))},
      {"character map as an integer", Code::bad_type, normalizer(Proto().varint(2, 2))},
      {"character map twice", Code::duplicate_name, normalizer(Proto().bytes(2, "").bytes(2, ""))},
      {"dummy prefix 7", Code::bad_value, normalizer(Proto().varint(3, 7))},
  };
  for (const Malformed& c : cases) {
    const auto model = parse_sentencepiece(bytes_of(c.text), "x.model");
    EXPECT_EQ(code_name(model.code()), std::string(code_name(c.code))) << c.name;
    if (model.ok()) continue;
    EXPECT_STREQ(model.error().where, "x.model") << c.name;
    EXPECT_NE(model.error().message[0], '\0') << c.name;
    EXPECT_TRUE(model.error().offset == Error::no_offset || model.error().offset <= c.text.size()) << c.name;
  }
}

TEST(SentencePiece, ErrorsHaveTheirOffset) {
  const std::string unk = Proto().bytes(1, spm_piece("u", 0, 2)).text;
  const auto model = parse_sentencepiece(bytes_of(unk + Proto().bytes(1, Proto().bytes(1, "\xC3").text).text));
  ASSERT_EQ(model.code(), Code::bad_utf8);
  EXPECT_EQ(model.error().offset, unk.size() + 4);
}

// Every byte changed, every truncation: a model that is accepted converts or is refused by name.
TEST(SentencePiece, DamagedModelsAreRefusedOrSafe) {
  const std::string good = model_of(kDeberta, 3);
  const auto judge = [](const std::string& text) {
    const auto model = parse_sentencepiece(bytes_of(text));
    if (!model.ok()) {
      EXPECT_NE(model.error().message[0], '\0');
      return false;
    }
    const auto spec = convert_sentencepiece(*model, nullptr, "deberta-v2");
    if (!spec.ok()) return false;
    const std::vector<uint8_t> section = serialize_tokenizer(*spec);
    return Tokenizer::parse(section, UINT32_MAX).ok();
  };
  EXPECT_TRUE(judge(good));
  size_t accepted = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    judge(good.substr(0, at));
    if (at > 200 && at + 40 < good.size() && at % 16 != 0) continue;  // the inside of the character map
    for (unsigned change = 0; change < 10; ++change) {
      std::string text = good;
      text[at] = static_cast<char>(change < 8 ? text[at] ^ (1 << change) : change == 8 ? 0 : 0xFF);
      accepted += judge(text);
    }
  }
  EXPECT_GT(accepted, 0u);
}

Result<TokenizerSpec> convert(const std::string& text, std::string_view model_type, const char* config = nullptr) {
  auto model = parse_sentencepiece(bytes_of(text));
  if (!model.ok()) return model.error();
  if (config == nullptr) return convert_sentencepiece(*model, nullptr, model_type);
  const Json json = Json::parse(config);
  return convert_sentencepiece(*model, &json, model_type);
}

std::vector<std::pair<uint32_t, std::string>> added_of(const TokenizerSpec& spec) {
  std::vector<std::pair<uint32_t, std::string>> added;
  for (const AddedTokenSpec& token : spec.added_tokens) added.emplace_back(token.id, token.content);
  return added;
}
std::vector<int> template_of(const TokenizerSpec& spec) {
  std::vector<int> ids;
  for (const TemplateEntry& entry : spec.single_template) ids.push_back(entry.is_sequence ? -1 : int(entry.id));
  return ids;
}
std::vector<NormalizerKind> steps_of(const TokenizerSpec& spec) {
  std::vector<NormalizerKind> kinds;
  for (const NormalizerSpec& step : spec.normalizer) kinds.push_back(step.kind);
  return kinds;
}

using Added = std::vector<std::pair<uint32_t, std::string>>;
using Kinds = std::vector<NormalizerKind>;
using Kind = NormalizerKind;

TEST(SentencePiece, Deberta) {
  const auto spec = convert(model_of(kDeberta, 3), "deberta-v2");
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->kind, TokenizerKind::unigram);
  EXPECT_EQ(spec->pieces.size(), 9u);
  EXPECT_EQ(spec->scores[8], -1.5);
  EXPECT_EQ(spec->unk_id, 3u);
  EXPECT_EQ(added_of(*spec), (Added{{0, "[PAD]"}, {1, "[CLS]"}, {2, "[SEP]"}, {3, "[UNK]"}, {9, "[MASK]"}}));
  EXPECT_TRUE(spec->added_tokens[3].normalized);
  EXPECT_EQ(template_of(*spec), (std::vector<int>{1, -1, 2}));
  EXPECT_EQ(steps_of(*spec), (Kinds{Kind::strip, Kind::precompiled, Kind::replace_spaces}));
  const auto lower =
      convert(model_of(kDeberta, 3), "", R"({"tokenizer_class":"DebertaV2TokenizerFast","do_lower_case":true})");
  ASSERT_TRUE(lower.ok());
  EXPECT_EQ(lower->normalizer[0].kind, Kind::lowercase);
}

TEST(SentencePiece, XlmRobertaShiftsItsIds) {
  const auto spec = convert(model_of(kXlm, 0), "xlm-roberta");
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->pieces, (std::vector<std::string>{"<s>", "<pad>", "</s>", "<unk>", ",", kMeta, "<mask>"}));
  EXPECT_EQ(spec->scores, (std::vector<double>{0, 0, 0, 0, -3, -4, 0}));
  EXPECT_EQ(spec->unk_id, 3u);
  EXPECT_EQ(added_of(*spec), (Added{{0, "<s>"}, {1, "<pad>"}, {2, "</s>"}, {3, "<unk>"}, {6, "<mask>"}}));
  EXPECT_TRUE(spec->added_tokens[4].lstrip);
  EXPECT_EQ(template_of(*spec), (std::vector<int>{0, -1, 2}));
  EXPECT_EQ(steps_of(*spec), (Kinds{Kind::precompiled}));
  EXPECT_EQ(convert(model_of(kT5, 2), "xlm-roberta").code(), Code::bad_vocabulary);
}

TEST(SentencePiece, Albert) {
  const auto spec = convert(model_of(kAlbert, 1), "albert");
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(added_of(*spec), (Added{{0, "<pad>"}, {1, "<unk>"}, {2, "[CLS]"}, {3, "[SEP]"}, {4, "[MASK]"}}));
  EXPECT_TRUE(spec->added_tokens[4].lstrip);
  EXPECT_EQ(steps_of(*spec), (Kinds{Kind::replace, Kind::replace, Kind::nfkd, Kind::strip_accents, Kind::lowercase,
                                    Kind::precompiled, Kind::replace_spaces}));
  const auto cased = convert(model_of(kAlbert, 1), "albert", R"({"do_lower_case":false,"keep_accents":true})");
  ASSERT_TRUE(cased.ok());
  EXPECT_EQ(steps_of(*cased), (Kinds{Kind::replace, Kind::replace, Kind::precompiled, Kind::replace_spaces}));
}

TEST(SentencePiece, T5HasExtraIds) {
  const auto spec = convert(model_of(kT5, 2), "t5");
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  ASSERT_EQ(spec->pieces.size(), 104u);
  EXPECT_EQ(spec->pieces[4], "<extra_id_99>");
  EXPECT_EQ(spec->pieces[103], "<extra_id_0>");
  EXPECT_EQ(spec->added_tokens.size(), 103u);
  EXPECT_EQ(template_of(*spec), (std::vector<int>{-1, 1}));
  EXPECT_EQ(convert(model_of(kT5, 2), "t5", R"({"extra_ids":2})")->pieces.size(), 6u);
}

std::string bpe_model(const Proto& trainer = Proto().varint(3, 2).varint(35, 1).varint(40, 0),
                      const Proto& normalizer = Proto().varint(3, 1).varint(4, 0)) {
  Proto model;
  const auto add = [&](const std::string& piece, float score, uint32_t type = 1) {
    model.bytes(1, spm_piece(piece, score, type));
  };
  add("<unk>", 0, 2);
  add("<s>", 0, 3);
  add("</s>", 0, 3);
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (unsigned b = 0; b < 256; ++b) add(std::string("<0x") + kDigits[b / 16] + kDigits[b % 16] + ">", 0, 6);
  const std::string mark = kMeta;
  add(mark + "abc", -3);  // 259, made in three ways
  add("ab", -1);
  add(mark + "ab", -3);  // of the same score, behind it
  add("[X]", 0, 4);
  for (const std::string& piece :
       {mark, std::string("a"), std::string("b"), std::string("c"), mark + "a", mark + "a" + "bcd"}) {
    add(piece, -10);
  }
  add("bc", -2);
  model.bytes(2, trainer.text);
  model.bytes(3, normalizer.text);
  return model.text;
}

TEST(SentencePiece, LlamaMergesByScoreThenByTheIdsOfTheParts) {
  const auto spec = convert(bpe_model(), "llama");
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->kind, TokenizerKind::bpe);
  std::vector<std::string> merges;
  for (const MergeSpec& merge : spec->merges) {
    merges.push_back(spec->pieces[merge.left] + "+" + spec->pieces[merge.right]);
    EXPECT_EQ(spec->pieces[merge.left] + spec->pieces[merge.right], spec->pieces[merge.result]);
  }
  const std::string m = kMeta;
  EXPECT_EQ(merges, (std::vector<std::string>{"a+b", "b+c", m + "ab+c", m + "a+bc", m + "+ab", m + "a+b", m + "+a"}));
  EXPECT_EQ(added_of(*spec), (Added{{0, "<unk>"}, {1, "<s>"}, {2, "</s>"}, {262, "[X]"}}));
  EXPECT_FALSE(spec->added_tokens[3].special);
  EXPECT_EQ(template_of(*spec), (std::vector<int>{1, -1}));
  EXPECT_EQ(steps_of(*spec), (Kinds{Kind::prepend, Kind::replace}));
  const auto tokenizer = serialize_tokenizer(*spec);
  const auto parsed = Tokenizer::parse(tokenizer, UINT32_MAX);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EncodeScratch scratch;
  Array<uint32_t> ids;
  ASSERT_TRUE((*parsed).encode("ab\xC3\xA9", {}, scratch, ids, nullptr, nullptr).ok());
  EXPECT_EQ(std::vector<uint32_t>(ids.begin(), ids.end()), (std::vector<uint32_t>{1, 261, 3 + 0xC3, 3 + 0xA9}));
  const auto plain =
      convert(bpe_model(), "", R"({"tokenizer_class":"LlamaTokenizer","legacy":false,"add_eos_token":true})");
  ASSERT_TRUE(plain.ok());
  EXPECT_TRUE(plain->normalizer.empty());
  EXPECT_EQ(plain->pre_tokenizer[0].kind, PreTokenizerKind::metaspace);
  EXPECT_EQ(template_of(*plain), (std::vector<int>{1, -1, 2}));
}

TEST(SentencePiece, BpeModelsThatAreRefused) {
  const Proto trainer = Proto().varint(3, 2).varint(35, 1).varint(40, 0);
  const Proto normalizer = Proto().varint(3, 1).varint(4, 0);
  const auto code = [&](const Proto& t, const Proto& n, const char* type = "llama") {
    return code_name(convert(bpe_model(t, n), type).code());
  };
  EXPECT_STREQ(code(trainer, normalizer), "ok");
  EXPECT_STREQ(code(Proto().varint(3, 2).varint(40, 0), normalizer), "unsupported");                // no byte_fallback
  EXPECT_STREQ(code(Proto().varint(3, 1).varint(35, 1).varint(40, 0), normalizer), "unsupported");  // unigram
  EXPECT_STREQ(code(trainer, Proto().varint(3, 0).varint(4, 0)), "unsupported");                    // no prefix
  EXPECT_STREQ(code(trainer, Proto().varint(3, 1).varint(4, 1)), "unsupported");                    // spaces removed
  EXPECT_STREQ(code(trainer, Proto().bytes(2, charsmap_blob({{"\t", " "}})).varint(3, 1).varint(4, 0)), "unsupported");
  EXPECT_STREQ(code(trainer, normalizer, "gemma"), "unsupported");
  EXPECT_STREQ(code(trainer, normalizer, "t5"), "unsupported");
  const std::string longest = Proto().bytes(1, spm_piece(std::string(513, 'x'), -20)).text;
  EXPECT_EQ(convert(longest + bpe_model(Proto().varint(3, 2).varint(35, 1).varint(40, 1), normalizer), "llama").code(),
            Code::limit_exceeded);
}

struct Refused {
  const char* name;
  Code code;
  const char* config;
};

TEST(SentencePiece, WhatIsUnsupportedIsRefusedByName) {
  const Refused cases[] = {
      {"fine", Code::ok, R"({"tokenizer_class":"DebertaV2Tokenizer","vocab_type":"spm","sp_model_kwargs":{}})"},
      {"class", Code::unsupported, R"({"tokenizer_class":"CamembertTokenizer"})"},
      {"unknown option", Code::unsupported, R"({"tokenizer_class":"DebertaV2Tokenizer","alpha":0.1})"},
      {"split_by_punct", Code::unsupported, R"({"tokenizer_class":"DebertaV2Tokenizer","split_by_punct":true})"},
      {"add_prefix_space", Code::unsupported, R"({"tokenizer_class":"DebertaV2Tokenizer","add_prefix_space":false})"},
      {"another token", Code::unsupported, R"({"tokenizer_class":"DebertaV2Tokenizer","mask_token":"<mask>"})"},
      {"additional token", Code::unsupported,
       R"({"tokenizer_class":"DebertaV2Tokenizer","additional_special_tokens":["<x>"]})"},
      {"options of SentencePiece", Code::unsupported,
       R"({"tokenizer_class":"DebertaV2Tokenizer","sp_model_kwargs":{"enable_sampling":true}})"},
      {"another id", Code::bad_vocabulary,
       R"({"tokenizer_class":"DebertaV2Tokenizer","added_tokens_decoder":{"7":{"content":"[MASK]"}}})"},
      {"an id that is none", Code::bad_value,
       R"({"tokenizer_class":"DebertaV2Tokenizer","added_tokens_decoder":{"x":{"content":"[MASK]"}}})"},
      {"wrong type", Code::bad_type, R"({"tokenizer_class":"DebertaV2Tokenizer","do_lower_case":1})"},
  };
  for (const Refused& c : cases) {
    const auto spec = convert(model_of(kDeberta, 3), "", c.config);
    EXPECT_EQ(code_name(spec.code()), std::string(code_name(c.code))) << c.name;
  }
  EXPECT_EQ(convert(model_of(kDeberta, 3), "").code(), Code::unsupported);
  EXPECT_EQ(convert(model_of(kDeberta, 3, 2), "deberta-v2").code(), Code::unsupported);
  EXPECT_EQ(convert(model_of(kDeberta, 3, 3), "deberta-v2").code(), Code::unsupported);
}

TEST(SentencePiece, AddedTokensDecoderCounts) {
  const auto spec = convert(model_of(kDeberta, 3), "",
                            R"({"tokenizer_class":"DebertaV2Tokenizer","added_tokens_decoder":{
                              "9":{"content":"[MASK]","lstrip":true,"special":true},"10":{"content":"<x>"}}})");
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(added_of(*spec).back(), (std::pair<uint32_t, std::string>(10, "<x>")));
  EXPECT_TRUE(spec->added_tokens[4].lstrip);
}

TEST(SentencePiece, AFolderWithoutTokenizerJson) {
  TempFolder folder;
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder.path() / name, std::ios::binary) << text;
  };
  write("spm.model", model_of(kDeberta, 3));
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::unsupported);  // of which family?
  write("config.json", R"({"model_type":"deberta-v2"})");
  write("added_tokens.json", R"({"[MASK]":9})");
  write("special_tokens_map.json", R"({"cls_token":"[CLS]"})");
  const auto spec = read_tokenizer(folder.path());
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->added_tokens.size(), 5u);
  write("added_tokens.json", R"({"[MASK]":10})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::unsupported);
  write("added_tokens.json", "{}");
  write("special_tokens_map.json", R"({"cls_token":"<cls>"})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::unsupported);
}

// What serde_json makes of decimals: read back from tokenizers 0.23.3 by Tokenizer.to_str().
TEST(SerdeNumber, AsTheLibraryReads) {
  // One unit in the last place beside the nearest double.
  EXPECT_EQ(serde_number("-2.0122928619384766"), -2.012292861938477);
  EXPECT_EQ(serde_number("-3.9598512649536133"), -3.9598512649536137);
  EXPECT_EQ(serde_number("-7.4974141120910645"), -7.497414112091064);
  EXPECT_EQ(serde_number("-9.25678825378418"), -9.25678825378418);
  EXPECT_EQ(serde_number("123456789012345678901234567890e-5"), 1.2345678901234568e+24);
  EXPECT_EQ(serde_number("1.7976931348623157e308"), 1.7976931348623157e+308);
  EXPECT_EQ(serde_number("4.9e-324"), 5e-324);
  EXPECT_EQ(serde_number("0.1"), 0.1);
  EXPECT_EQ(serde_number("-0.0"), 0.0);
  EXPECT_EQ(serde_number("1e3"), 1000.0);
  EXPECT_EQ(serde_number("12.5E-1"), 1.25);
  EXPECT_EQ(serde_number("1e-400"), 0.0);
  EXPECT_EQ(serde_number("0e400"), 0.0);
  EXPECT_EQ(serde_number("18446744073709551616"), 18446744073709551616.0);
}

}  // namespace
}  // namespace onepass::test
