// tokenizer.json and vocab.txt: what is known becomes a TokenizerSpec, everything else is a named error.
#include <gtest/gtest.h>

#include <string>

#include "formats/huggingface/tokenizer.h"
#include "tests/support/mutations.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

// As transformers 5.23 saves it, with one added token behind the vocabulary.
const char* const kGood = R"({
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [
    {"id":0,"content":"[PAD]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
    {"id":1,"content":"[UNK]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
    {"id":2,"content":"[CLS]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
    {"id":3,"content":"[SEP]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
    {"id":6,"content":"<new>","single_word":true,"lstrip":true,"rstrip":false,"normalized":true,"special":false}],
  "normalizer": {"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
  "pre_tokenizer": {"type":"BertPreTokenizer"},
  "post_processor": {"type":"TemplateProcessing",
    "single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}],
    "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],
    "special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]},"[SEP]":{"id":"[SEP]","ids":[3],"tokens":["[SEP]"]}}},
  "decoder": {"type":"WordPiece","prefix":"##","cleanup":true},
  "model": {"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,
    "vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"##s":5,"hello":4}}})";

constexpr const char* kVocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n##s\n";

std::vector<int> template_of(const TokenizerSpec& spec) {
  std::vector<int> ids;
  for (const TemplateEntry& entry : spec.single_template) {
    ids.push_back(entry.is_sequence ? -1 : static_cast<int>(entry.id));
  }
  return ids;
}

// clean_text, handle_chinese_chars, strip_accents, lowercase.
std::vector<bool> bert_flags(const TokenizerSpec& spec) {
  std::vector<bool> flags(4);
  for (const NormalizerSpec& step : spec.normalizer) {
    EXPECT_EQ(step.kind, NormalizerKind::bert);
    for (size_t i = 0; i < 4; ++i) flags[i] = (step.flags >> i & 1) != 0;
  }
  return flags;
}

Result<TokenizerSpec> parse_patched(std::string_view patch) {
  const Json json = Json::parse(kGood).patch(Json::parse(patch));
  return parse_tokenizer_json(json.dump());
}

TEST(TokenizerJson, GoodFile) {
  const auto spec = parse_tokenizer_json(kGood);
  ASSERT_TRUE(spec.ok()) << spec.error().where << spec.error().message;
  EXPECT_EQ(spec->kind, TokenizerKind::wordpiece);
  EXPECT_EQ(spec->pieces, (std::vector<std::string>{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "##s"}));
  EXPECT_EQ(spec->unk_id, 1u);
  EXPECT_EQ(spec->continuing_prefix, "##");
  EXPECT_EQ(spec->max_input_chars_per_word, 100u);
  EXPECT_EQ(bert_flags(*spec), (std::vector<bool>{true, true, true, true}));
  EXPECT_EQ(template_of(*spec), (std::vector<int>{2, -1, 3}));
  ASSERT_EQ(spec->added_tokens.size(), 5u);
  const AddedTokenSpec& added = spec->added_tokens[4];
  EXPECT_EQ(added.content, "<new>");
  EXPECT_EQ(added.id, 6u);
  EXPECT_TRUE(added.single_word && added.lstrip && added.normalized);
  EXPECT_FALSE(added.rstrip || added.special);
  EXPECT_TRUE(spec->added_tokens[0].special);
  EXPECT_EQ(token_count(*spec), 7u);
}

TEST(TokenizerJson, FlagsArriveWhereTheyBelong) {
  const auto flags = [](const char* key, const char* value) {
    const auto spec =
        parse_patched(std::string(R"([{"op":"replace","path":"/normalizer/)") + key + R"(","value":)" + value + "}]");
    EXPECT_TRUE(spec.ok()) << key;
    return bert_flags(*spec);
  };
  EXPECT_EQ(flags("clean_text", "false"), (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(flags("handle_chinese_chars", "false"), (std::vector<bool>{true, false, true, true}));
  EXPECT_EQ(flags("strip_accents", "false"), (std::vector<bool>{true, true, false, true}));
  EXPECT_EQ(flags("lowercase", "false"), (std::vector<bool>{true, true, false, false}));  // null follows lowercase
}

struct GoodPatch {
  const char* name;
  const char* patch;
  std::vector<int> tokens_around;
};
class GoodTokenizer : public testing::TestWithParam<GoodPatch> {};

TEST_P(GoodTokenizer, IsRead) {
  const auto spec = parse_patched(GetParam().patch);
  ASSERT_TRUE(spec.ok()) << spec.error().where << ": " << spec.error().message;
  EXPECT_EQ(template_of(*spec), GetParam().tokens_around);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, GoodTokenizer,
    testing::Values(
        GoodPatch{"no_model_type", R"([{"op":"remove","path":"/model/type"}])", {2, -1, 3}},
        GoodPatch{"no_normalizer", R"([{"op":"replace","path":"/normalizer","value":null}])", {2, -1, 3}},
        GoodPatch{"no_decoder", R"([{"op":"replace","path":"/decoder","value":null}])", {2, -1, 3}},
        GoodPatch{"no_post_processor", R"([{"op":"replace","path":"/post_processor","value":null}])", {-1}},
        GoodPatch{"truncation", R"([{"op":"replace","path":"/truncation","value":{"max_length":128}}])", {2, -1, 3}},
        GoodPatch{"padding", R"([{"op":"replace","path":"/padding","value":{"strategy":"BatchLongest"}}])", {2, -1, 3}},
        GoodPatch{
            "bert_processing",
            R"([{"op":"replace","path":"/post_processor","value":{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]}}])",
            {2, -1, 3}},
        GoodPatch{
            "added_token_in_template",
            R"([{"op":"replace","path":"/post_processor/special_tokens/[SEP]","value":{"id":"[SEP]","ids":[3,6],"tokens":["[SEP]","<new>"]}}])",
            {2, -1, 3, 6}},
        GoodPatch{
            "most_chars", R"([{"op":"replace","path":"/model/max_input_chars_per_word","value":1024}])", {2, -1, 3}},
        GoodPatch{
            "empty_prefix", R"([{"op":"replace","path":"/model/continuing_subword_prefix","value":""}])", {2, -1, 3}}),
    [](const testing::TestParamInfo<GoodPatch>& info) { return std::string(info.param.name); });

struct BadPatch {
  const char* name;
  const char* patch;
  Code code;
  const char* where;  // after "tokenizer.json"
};
class BadTokenizer : public testing::TestWithParam<BadPatch> {};

TEST_P(BadTokenizer, IsRejected) {
  const auto spec = parse_patched(GetParam().patch);
  EXPECT_STREQ(code_name(spec.code()), code_name(GetParam().code));
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(std::string(spec.error().where), std::string("tokenizer.json") + GetParam().where) << spec.error().message;
  EXPECT_NE(spec.error().message[0], '\0');
}

#define ADD(path, value) R"([{"op":"add","path":")" path R"(","value":)" value "}]"
#define REPLACE(path, value) R"([{"op":"replace","path":")" path R"(","value":)" value "}]"
#define REMOVE(path) R"([{"op":"remove","path":")" path R"("}])"

INSTANTIATE_TEST_SUITE_P(
    TopLevel, BadTokenizer,
    testing::Values(
        BadPatch{"unknown_section", ADD("/extra", "1"), Code::unsupported, ": extra"},
        BadPatch{"no_version", REMOVE("/version"), Code::missing_key, ": version"},
        BadPatch{"version_2", REPLACE("/version", "\"2.0\""), Code::bad_version, ": version"},
        BadPatch{"version_number", REPLACE("/version", "1.0"), Code::bad_type, ": version"},
        BadPatch{"truncation_number", REPLACE("/truncation", "128"), Code::bad_type, ": truncation"},
        BadPatch{"padding_text", REPLACE("/padding", "\"x\""), Code::bad_type, ": padding"},
        BadPatch{"no_model", REMOVE("/model"), Code::missing_key, ": model"},
        BadPatch{"model_null", REPLACE("/model", "null"), Code::bad_type, ": model"},
        BadPatch{"no_added_tokens", REMOVE("/added_tokens"), Code::missing_key, ": added_tokens"},
        BadPatch{"normalizer_unknown", REPLACE("/normalizer", R"({"type":"ByteLevel"})"), Code::unsupported,
                 ": normalizer"},
        BadPatch{"normalizer_unknown_in_sequence",
                 REPLACE("/normalizer", R"({"type":"Sequence","normalizers":[{"type":"X"}]})"), Code::unsupported,
                 ": normalizer.normalizers"},
        BadPatch{"replace_other_regex",
                 REPLACE("/normalizer", R"({"type":"Replace","pattern":{"Regex":"a+"},"content":"b"})"),
                 Code::unsupported, ": normalizer.pattern"},
        BadPatch{"replace_nothing",
                 REPLACE("/normalizer", R"({"type":"Replace","pattern":{"String":""},"content":"b"})"),
                 Code::unsupported, ": normalizer.pattern"},
        BadPatch{"replace_two_patterns",
                 REPLACE("/normalizer", R"({"type":"Replace","pattern":{"String":"a","Regex":"a"},"content":"b"})"),
                 Code::bad_value, ": normalizer.pattern"},
        BadPatch{"normalizer_without_type", REMOVE("/normalizer/type"), Code::missing_key, ": normalizer.type"},
        BadPatch{"normalizer_option", ADD("/normalizer/nfc", "true"), Code::unsupported, ": normalizer.nfc"},
        BadPatch{"no_clean_text", REMOVE("/normalizer/clean_text"), Code::missing_key, ": normalizer.clean_text"},
        BadPatch{"no_lowercase", REMOVE("/normalizer/lowercase"), Code::missing_key, ": normalizer.lowercase"},
        BadPatch{"lowercase_null", REPLACE("/normalizer/lowercase", "null"), Code::bad_type, ": normalizer.lowercase"},
        BadPatch{"strip_accents_number", REPLACE("/normalizer/strip_accents", "1"), Code::bad_type,
                 ": normalizer.strip_accents"},
        BadPatch{"no_chinese", REMOVE("/normalizer/handle_chinese_chars"), Code::missing_key,
                 ": normalizer.handle_chinese_chars"},
        BadPatch{"pre_tokenizer_unknown", REPLACE("/pre_tokenizer/type", "\"UnicodeScripts\""), Code::unsupported,
                 ": pre_tokenizer"},
        BadPatch{"byte_level_wordpiece",
                 REPLACE("/pre_tokenizer", R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true})"),
                 Code::unsupported, ": pre_tokenizer"},
        BadPatch{
            "step_behind_byte_level",
            REPLACE("/pre_tokenizer",
                    R"({"type":"Sequence","pretokenizers":[)"
                    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true},{"type":"Whitespace"}]})"),
            Code::unsupported, ": pre_tokenizer.pretokenizers[1]"},
        BadPatch{"split_other_regex",
                 REPLACE("/pre_tokenizer",
                         R"({"type":"Split","pattern":{"Regex":"x"},"behavior":"Isolated","invert":false})"),
                 Code::unsupported, ": pre_tokenizer.pattern"},
        BadPatch{
            "split_behaviour",
            REPLACE("/pre_tokenizer", R"({"type":"Split","pattern":{"String":"x"},"behavior":"Other","invert":false})"),
            Code::unsupported, ": pre_tokenizer.behavior"},
        BadPatch{"metaspace_scheme",
                 REPLACE("/pre_tokenizer", R"({"type":"Metaspace","replacement":"_","prepend_scheme":"x"})"),
                 Code::unsupported, ": pre_tokenizer.prepend_scheme"},
        BadPatch{"metaspace_contradiction",
                 REPLACE("/pre_tokenizer",
                         R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first","add_prefix_space":false})"),
                 Code::bad_value, ": pre_tokenizer.add_prefix_space"},
        BadPatch{"metaspace_two_characters", REPLACE("/pre_tokenizer", R"({"type":"Metaspace","replacement":"ab"})"),
                 Code::bad_value, ": pre_tokenizer.replacement"},
        BadPatch{"pre_tokenizer_option", ADD("/pre_tokenizer/x", "1"), Code::unsupported, ": pre_tokenizer.x"},
        BadPatch{"decoder_unknown", REPLACE("/decoder/type", "\"Magic\""), Code::unsupported, ": decoder"}),
    [](const testing::TestParamInfo<BadPatch>& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Model, BadTokenizer,
    testing::Values(
        BadPatch{"word_level", REPLACE("/model/type", "\"WordLevel\""), Code::unsupported, ": model"},
        BadPatch{"bpe_with_options_of_wordpiece", REPLACE("/model/type", "\"BPE\""), Code::unsupported,
                 ": model.max_input_chars_per_word"},
        BadPatch{"bpe_without_type",
                 R"([{"op":"remove","path":"/model/type"},{"op":"add","path":"/model/merges","value":[]}])",
                 Code::unsupported, ": model.max_input_chars_per_word"},
        BadPatch{"no_type_and_no_hint",
                 R"([{"op":"remove","path":"/model/type"},{"op":"remove","path":"/model/max_input_chars_per_word"}])",
                 Code::missing_key, ": model.type"},
        BadPatch{"type_number", REPLACE("/model/type", "1"), Code::bad_type, ": model.type"},
        BadPatch{"option", ADD("/model/dropout", "null"), Code::unsupported, ": model.dropout"},
        BadPatch{"no_unk", REMOVE("/model/unk_token"), Code::missing_key, ": model.unk_token"},
        BadPatch{"unk_outside_vocabulary", REPLACE("/model/unk_token", "\"<unk>\""), Code::bad_vocabulary,
                 ": model.unk_token"},
        BadPatch{"unk_is_added_only", REPLACE("/model/unk_token", "\"<new>\""), Code::bad_vocabulary,
                 ": model.unk_token"},
        BadPatch{"no_prefix", REMOVE("/model/continuing_subword_prefix"), Code::missing_key,
                 ": model.continuing_subword_prefix"},
        BadPatch{"no_max_chars", REMOVE("/model/max_input_chars_per_word"), Code::missing_key,
                 ": model.max_input_chars_per_word"},
        BadPatch{"max_chars_0", REPLACE("/model/max_input_chars_per_word", "0"), Code::bad_value,
                 ": model.max_input_chars_per_word"},
        BadPatch{"max_chars_1025", REPLACE("/model/max_input_chars_per_word", "1025"), Code::bad_value,
                 ": model.max_input_chars_per_word"},
        BadPatch{"no_vocab", REMOVE("/model/vocab"), Code::missing_key, ": model.vocab"},
        BadPatch{"vocab_array", REPLACE("/model/vocab", "[]"), Code::bad_type, ": model.vocab"},
        BadPatch{"vocab_empty", REPLACE("/model/vocab", "{}"), Code::bad_vocabulary, ": model.vocab"},
        BadPatch{"id_text", REPLACE("/model/vocab/hello", "\"4\""), Code::bad_type, ": model.vocab.hello"},
        BadPatch{"id_fraction", REPLACE("/model/vocab/hello", "4.0"), Code::bad_type, ": model.vocab.hello"},
        BadPatch{"id_negative", REPLACE("/model/vocab/hello", "-1"), Code::bad_value, ": model.vocab.hello"},
        BadPatch{"id_2_to_20", REPLACE("/model/vocab/hello", "1048576"), Code::bad_value, ": model.vocab.hello"},
        BadPatch{"id_gap_for_an_added_token", REPLACE("/model/vocab/hello", "6"), Code::bad_vocabulary,
                 ": added_tokens[4].id"},
        BadPatch{"more_gaps_than_tokens", REPLACE("/model/vocab/hello", "13"), Code::bad_vocabulary, ": model.vocab"},
        BadPatch{"id_twice", REPLACE("/model/vocab/hello", "5"), Code::bad_vocabulary, ": model.vocab.hello"},
        BadPatch{"piece_empty", ADD("/model/vocab/", "6"), Code::bad_vocabulary, ": model.vocab."}),
    [](const testing::TestParamInfo<BadPatch>& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    AddedTokens, BadTokenizer,
    testing::Values(
        BadPatch{"object", REPLACE("/added_tokens", "{}"), Code::bad_type, ": added_tokens"},
        BadPatch{"text", REPLACE("/added_tokens/0", "\"[PAD]\""), Code::bad_type, ": added_tokens[0]"},
        BadPatch{"option", ADD("/added_tokens/0/x", "1"), Code::unsupported, ": added_tokens[0].x"},
        BadPatch{"no_id", REMOVE("/added_tokens/0/id"), Code::missing_key, ": added_tokens[0].id"},
        BadPatch{"no_content", REMOVE("/added_tokens/0/content"), Code::missing_key, ": added_tokens[0].content"},
        BadPatch{"empty_content", REPLACE("/added_tokens/0/content", "\"\""), Code::bad_vocabulary,
                 ": added_tokens[0].content"},
        BadPatch{"no_flag", REMOVE("/added_tokens/0/lstrip"), Code::missing_key, ": added_tokens[0].lstrip"},
        BadPatch{"flag_number", REPLACE("/added_tokens/0/special", "1"), Code::bad_type, ": added_tokens[0].special"},
        BadPatch{"id_of_another_piece", REPLACE("/added_tokens/0/id", "1"), Code::bad_vocabulary,
                 ": added_tokens[0].id"},
        BadPatch{"id_behind_next", REPLACE("/added_tokens/4/id", "7"), Code::bad_vocabulary, ": added_tokens[4].id"},
        BadPatch{"id_of_a_piece", REPLACE("/added_tokens/4/id", "5"), Code::bad_vocabulary, ": added_tokens[4].id"},
        BadPatch{"content_twice",
                 REPLACE("/added_tokens/1", R"({"id":0,"content":"[PAD]","single_word":false,"lstrip":false,)"
                                            R"("rstrip":false,"normalized":false,"special":true})"),
                 Code::duplicate_name, ": added_tokens[1]"}),
    [](const testing::TestParamInfo<BadPatch>& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    PostProcessor, BadTokenizer,
    testing::Values(
        BadPatch{"unknown", REPLACE("/post_processor/type", "\"Magic\""), Code::unsupported, ": post_processor"},
        BadPatch{"roberta_without_trim",
                 REPLACE("/post_processor", R"({"type":"RobertaProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]})"),
                 Code::missing_key, ": post_processor.trim_offsets"},
        BadPatch{"option", ADD("/post_processor/x", "1"), Code::unsupported, ": post_processor.x"},
        BadPatch{"no_single", REMOVE("/post_processor/single"), Code::missing_key, ": post_processor.single"},
        BadPatch{"no_pair", REMOVE("/post_processor/pair"), Code::missing_key, ": post_processor.pair"},
        BadPatch{"empty_single", REPLACE("/post_processor/single", "[]"), Code::unsupported, ": post_processor.single"},
        BadPatch{"two_sequences", ADD("/post_processor/single/0", R"({"Sequence":{"id":"A","type_id":0}})"),
                 Code::unsupported, ": post_processor.single"},
        BadPatch{"sequence_b", REPLACE("/post_processor/single/1/Sequence/id", "\"B\""), Code::unsupported,
                 ": post_processor.single[1].Sequence.id"},
        BadPatch{"segment_1", REPLACE("/post_processor/single/1/Sequence/type_id", "1"), Code::unsupported,
                 ": post_processor.single[1].Sequence.type_id"},
        BadPatch{"special_in_segment_1", REPLACE("/post_processor/single/0/SpecialToken/type_id", "1"),
                 Code::unsupported, ": post_processor.single[0].SpecialToken.type_id"},
        BadPatch{"both", ADD("/post_processor/single/1/SpecialToken", R"({"id":"[CLS]","type_id":0})"), Code::bad_value,
                 ": post_processor.single[1]"},
        BadPatch{"neither", REPLACE("/post_processor/single/1", "{}"), Code::bad_value, ": post_processor.single[1]"},
        BadPatch{"third_kind", ADD("/post_processor/single/1/Other", "{}"), Code::unsupported,
                 ": post_processor.single[1].Other"},
        BadPatch{"unknown_special", REPLACE("/post_processor/single/0/SpecialToken/id", "\"[X]\""), Code::missing_key,
                 ": post_processor.special_tokens.[X]"},
        BadPatch{"wrong_id", REPLACE("/post_processor/special_tokens/[CLS]/ids/0", "3"), Code::bad_vocabulary,
                 ": post_processor.special_tokens.[CLS].ids[0]"},
        BadPatch{"no_such_token", REPLACE("/post_processor/special_tokens/[CLS]/tokens/0", "\"<s>\""),
                 Code::bad_vocabulary, ": post_processor.special_tokens.[CLS].ids[0]"},
        BadPatch{"more_ids_than_tokens", ADD("/post_processor/special_tokens/[CLS]/ids/1", "3"), Code::bad_value,
                 ": post_processor.special_tokens.[CLS]"},
        BadPatch{"no_ids",
                 R"([{"op":"replace","path":"/post_processor/special_tokens/[CLS]/ids","value":[]},)"
                 R"({"op":"replace","path":"/post_processor/special_tokens/[CLS]/tokens","value":[]}])",
                 Code::bad_value, ": post_processor.special_tokens.[CLS]"},
        BadPatch{"bert_wrong_id",
                 REPLACE("/post_processor", R"({"type":"BertProcessing","sep":["[SEP]",2],"cls":["[CLS]",2]})"),
                 Code::bad_vocabulary, ": post_processor.sep"},
        BadPatch{"bert_triple",
                 REPLACE("/post_processor", R"({"type":"BertProcessing","sep":["[SEP]",3,0],"cls":["[CLS]",2]})"),
                 Code::bad_value, ": post_processor.sep"},
        BadPatch{"bert_no_cls", REPLACE("/post_processor", R"({"type":"BertProcessing","sep":["[SEP]",3]})"),
                 Code::missing_key, ": post_processor.cls"}),
    [](const testing::TestParamInfo<BadPatch>& info) { return std::string(info.param.name); });

TEST(TokenizerJson, Limits) {
  Json json = Json::parse(kGood);
  const auto parse_with_piece = [&](const std::string& piece) {
    Json copy = json;
    copy["model"]["vocab"].erase("hello");
    copy["model"]["vocab"][piece] = 4;
    return parse_tokenizer_json(copy.dump()).code();
  };
  EXPECT_EQ(parse_with_piece(std::string(4096, 'x')), Code::ok);
  EXPECT_EQ(parse_with_piece(std::string(4097, 'x')), Code::limit_exceeded);
  json["model"]["vocab"]["hello"] = 1'048'575;  // the highest id, but not without gaps
  EXPECT_EQ(parse_tokenizer_json(json.dump()).code(), Code::bad_vocabulary);
  EXPECT_EQ(parse_tokenizer_json(std::string((size_t{64} << 20) + 1, ' ')).code(), Code::limit_exceeded);
}

TEST(TokenizerJson, MutationsGiveAnErrorOrAWellFormedSpec) {
  const std::string text = Json::parse(kGood).dump();
  const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  size_t good = 0;
  const size_t count = for_each_mutation(bytes, [&](std::span<const uint8_t> damaged, size_t) {
    const auto spec = parse_tokenizer_json({reinterpret_cast<const char*>(damaged.data()), damaged.size()});
    if (!spec.ok()) return;
    ++good;
    ASSERT_EQ(damaged.size(), text.size()) << "a truncated file must not load";
    ASSERT_LT(spec->unk_id, spec->pieces.size());
    for (const std::string& piece : spec->pieces) ASSERT_LE(piece.size(), 4096u);
    for (const AddedTokenSpec& token : spec->added_tokens) ASSERT_LT(token.id, token_count(*spec));
    for (const TemplateEntry& entry : spec->single_template) ASSERT_LT(entry.id, token_count(*spec));
  });
  EXPECT_GT(count, 10'000u);
  EXPECT_GT(good, 0u);
}

TEST(VocabTxt, GoodFile) {
  const auto spec = parse_vocab_txt(kVocab, nullptr);
  ASSERT_TRUE(spec.ok()) << spec.error().where << spec.error().message;
  EXPECT_EQ(spec->pieces, (std::vector<std::string>{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "##s"}));
  EXPECT_EQ(spec->unk_id, 1u);
  EXPECT_EQ(template_of(*spec), (std::vector<int>{2, -1, 3}));
  EXPECT_EQ(bert_flags(*spec), (std::vector<bool>{true, true, true, true}));
  ASSERT_EQ(spec->added_tokens.size(), 5u);
  for (uint32_t i = 0; i < 5; ++i) {
    const AddedTokenSpec& token = spec->added_tokens[i];
    EXPECT_EQ(token.id, i);
    EXPECT_EQ(token.content, spec->pieces[i]);
    EXPECT_TRUE(token.special);
    EXPECT_FALSE(token.normalized || token.lstrip || token.rstrip || token.single_word);
  }
}

// As Python's text files: three ends of line, and the last line needs none.
TEST(VocabTxt, Lines) {
  std::string crlf;
  std::string cr;
  for (const char c : std::string_view(kVocab)) {
    if (c == '\n') crlf.push_back('\r');
    crlf.push_back(c);
    cr.push_back(c == '\n' ? '\r' : c);
  }
  const auto expected = parse_vocab_txt(kVocab, nullptr);
  const std::string_view unended(kVocab, std::string_view(kVocab).size() - 1);
  for (const std::string_view text : {std::string_view(crlf), std::string_view(cr), unended}) {
    const auto spec = parse_vocab_txt(text, nullptr);
    ASSERT_TRUE(spec.ok());
    EXPECT_EQ(spec->pieces, expected->pieces);
  }
  const auto blanks = parse_vocab_txt(std::string(kVocab) + " x \n\xE2\x80\xA8\n", nullptr);  // U+2028 ends no line
  ASSERT_TRUE(blanks.ok());
  EXPECT_EQ(blanks->pieces[7], " x ");
  EXPECT_EQ(blanks->pieces[8], "\xE2\x80\xA8");
}

TEST(VocabTxt, BadFiles) {
  const auto code = [](const std::string& text) { return parse_vocab_txt(text, nullptr).code(); };
  const std::string good = kVocab;
  EXPECT_EQ(code(good), Code::ok);
  EXPECT_EQ(code(""), Code::bad_vocabulary);
  EXPECT_EQ(code(good + "\n"), Code::bad_vocabulary);  // an empty token
  EXPECT_EQ(code("\n" + good), Code::bad_vocabulary);
  EXPECT_EQ(code(good + "hello\n"), Code::bad_vocabulary);  // twice
  EXPECT_EQ(code(good + "\xC3\n"), Code::bad_utf8);
  EXPECT_EQ(code(good + std::string(4096, 'x')), Code::ok);
  EXPECT_EQ(code(good + std::string(4097, 'x')), Code::limit_exceeded);
  for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    std::string text = good;
    text[text.find(token)] = '<';
    EXPECT_EQ(code(text), Code::bad_vocabulary) << token;
  }
  std::string many = good;
  for (size_t i = 0; i + 7 < kMaxTokens; ++i) many += std::to_string(i) + "\n";
  EXPECT_EQ(code(many), Code::ok);
  EXPECT_EQ(code(many + "one more"), Code::limit_exceeded);
}

struct ConfigCase {
  const char* name;
  const char* config;
  Code code;
};
class VocabConfig : public testing::TestWithParam<ConfigCase> {};

TEST_P(VocabConfig, OptionsAreKnownOrAnError) {
  const Json config = Json::parse(GetParam().config);
  const auto spec = parse_vocab_txt(kVocab, &config);
  EXPECT_STREQ(code_name(spec.code()), code_name(GetParam().code));
  if (!spec.ok()) {
    EXPECT_EQ(std::string(spec.error().where).rfind("tokenizer_config.json", 0), 0u) << spec.error().where;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Options, VocabConfig,
    testing::Values(
        ConfigCase{"empty", "{}", Code::ok}, ConfigCase{"array", "[]", Code::bad_type},
        ConfigCase{"of_transformers_5",
                   R"({"backend":"tokenizers","cls_token":"[CLS]","do_lower_case":true,"mask_token":"[MASK]",
            "model_max_length":1000000000000000019884624838656,"pad_token":"[PAD]","sep_token":"[SEP]","strip_accents":null,
            "tokenize_chinese_chars":true,"tokenizer_class":"BertTokenizer","unk_token":"[UNK]"})",
                   Code::ok},
        ConfigCase{"of_transformers_4",
                   R"({"added_tokens_decoder":{"0":{"content":"[PAD]","lstrip":false,"normalized":false,
            "rstrip":false,"single_word":false,"special":true}},"clean_up_tokenization_spaces":true,"never_split":null,
            "additional_special_tokens":[],"cls_token":{"__type":"AddedToken","content":"[CLS]","lstrip":false}})",
                   Code::ok},
        ConfigCase{"unknown_option", R"({"suppress_blank":true})", Code::unsupported},
        ConfigCase{"lower_case_text", R"({"do_lower_case":"yes"})", Code::bad_type},
        ConfigCase{"no_basic_tokenize", R"({"do_basic_tokenize":false})", Code::unsupported},
        ConfigCase{"never_split", R"({"never_split":["x"]})", Code::unsupported},
        ConfigCase{"further_tokens", R"({"additional_special_tokens":["<x>"]})", Code::unsupported},
        ConfigCase{"other_class", R"({"tokenizer_class":"EsmTokenizer"})", Code::unsupported},
        ConfigCase{"other_unk", R"({"unk_token":"<unk>"})", Code::unsupported},
        ConfigCase{"other_unk_object", R"({"unk_token":{"content":"<unk>"}})", Code::unsupported},
        ConfigCase{"lstrip", R"({"mask_token":{"content":"[MASK]","lstrip":true}})", Code::unsupported},
        ConfigCase{"token_number", R"({"mask_token":4})", Code::bad_type},
        ConfigCase{"decoder_other_token", R"({"added_tokens_decoder":{"5":{"content":"hello"}}})", Code::unsupported},
        ConfigCase{"decoder_other_id", R"({"added_tokens_decoder":{"1":{"content":"[PAD]"}}})", Code::bad_vocabulary},
        ConfigCase{"decoder_rstrip", R"({"added_tokens_decoder":{"0":{"content":"[PAD]","rstrip":true}}})",
                   Code::unsupported}),
    [](const testing::TestParamInfo<ConfigCase>& info) { return std::string(info.param.name); });

TEST(VocabTxt, ConfigSetsTheFlags) {
  const auto flags = [](const char* text) {
    const Json config = Json::parse(text);
    const auto spec = parse_vocab_txt(kVocab, &config);
    EXPECT_TRUE(spec.ok());
    const std::vector<bool> all = bert_flags(*spec);
    return std::vector<bool>(all.begin() + 1, all.end());
  };
  EXPECT_EQ(flags(R"({"do_lower_case":false})"), (std::vector<bool>{true, false, false}));
  EXPECT_EQ(flags(R"({"do_lower_case":false,"strip_accents":true})"), (std::vector<bool>{true, true, false}));
  EXPECT_EQ(flags(R"({"strip_accents":false})"), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(flags(R"({"tokenize_chinese_chars":false})"), (std::vector<bool>{false, true, true}));
}

TEST(TokenizerFolder, FilesAndTheirAgreement) {
  const TempFolder folder;
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::io_error);
  folder.write("vocab.txt", kVocab);
  EXPECT_EQ(read_tokenizer(folder.path())->pieces.size(), 7u);
  folder.write("tokenizer_config.json", R"({"do_lower_case":false})");
  EXPECT_EQ(bert_flags(*read_tokenizer(folder.path())), (std::vector<bool>{true, true, false, false}));
  folder.write("special_tokens_map.json", R"({"cls_token":"[CLS]"})");
  EXPECT_TRUE(read_tokenizer(folder.path()).ok());
  folder.write("special_tokens_map.json", R"({"cls_token":"<s>"})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::unsupported);
  folder.write("special_tokens_map.json", R"({"eos_token":"</s>"})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::unsupported);
  std::filesystem::remove(folder.path() / "special_tokens_map.json");
  folder.write("added_tokens.json", R"({"[MASK]":4})");
  EXPECT_TRUE(read_tokenizer(folder.path()).ok());
  folder.write("added_tokens.json", R"({"[MASK]":7})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::unsupported);
  folder.write("added_tokens.json", R"({"<new>":7})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::unsupported);

  // tokenizer.json is the one that counts, but tokenizer_config.json must agree with it.
  folder.write("tokenizer.json", kGood);
  const auto contradiction = read_tokenizer(folder.path());
  ASSERT_EQ(contradiction.code(), Code::bad_value);
  EXPECT_STREQ(contradiction.error().where, "tokenizer_config.json: do_lower_case");
  folder.write("tokenizer_config.json", R"({"do_lower_case":true,"strip_accents":null,"anything":1})");
  EXPECT_EQ(read_tokenizer(folder.path())->pieces.size(), 6u);
  folder.write("tokenizer_config.json", R"({"strip_accents":false})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::bad_value);
  folder.write("tokenizer_config.json", R"({"tokenize_chinese_chars":false})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::bad_value);

  // A file that leaves a flag out: BertTokenizer then has its default, other classes what tokenizer.json says.
  Json cased = Json::parse(kGood);
  cased["normalizer"]["lowercase"] = false;
  folder.write("tokenizer.json", cased.dump());
  folder.write("tokenizer_config.json", R"({"tokenizer_class":"BertTokenizer"})");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::bad_value);
  folder.write("tokenizer_config.json", R"({"tokenizer_class":"BertTokenizer","do_lower_case":false})");
  EXPECT_TRUE(read_tokenizer(folder.path()).ok());
  folder.write("tokenizer_config.json", R"({"tokenizer_class":"PreTrainedTokenizerFast"})");
  EXPECT_TRUE(read_tokenizer(folder.path()).ok());
  folder.write("tokenizer_config.json", "{");
  EXPECT_EQ(read_tokenizer(folder.path()).code(), Code::bad_syntax);
}

}  // namespace
}  // namespace onepass::test
