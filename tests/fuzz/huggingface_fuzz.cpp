// Hugging Face files: no input crashes; a specification that is accepted is consistent.
//
// The first byte chooses the file, and whether the rest is that file or edits of a good one.
#include <cstdlib>

#include "formats/huggingface/heads.h"
#include "formats/huggingface/onepass_json.h"
#include "formats/huggingface/tokenizer.h"
#include "tests/support/edits.h"

namespace {

using namespace onepass;

constexpr std::string_view kTokenizer =
    R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[)"
    R"({"id":0,"content":"[UNK]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},)"
    R"({"id":5,"content":"<x>","single_word":true,"lstrip":true,"rstrip":true,"normalized":true,"special":false}],)"
    R"("normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},)"
    R"("pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"TemplateProcessing","single":[)"
    R"({"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],)"
    R"("special_tokens":{"[CLS]":{"id":"[CLS]","ids":[1],"tokens":["[CLS]"]}}},)"
    R"("decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece","unk_token":"[UNK]",)"
    R"("continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"[CLS]":1,"a":2,"##b":3,"c":4}}})";
constexpr std::string_view kBpe =
    R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[)"
    R"({"id":0,"content":"<s>","single_word":false,"lstrip":true,"rstrip":false,"normalized":true,"special":true}],)"
    R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"String":" "},"content":"_"}]},)"
    R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
    R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}]},)"
    R"("post_processor":{"type":"RobertaProcessing","sep":["<s>",0],"cls":["<s>",0],"trim_offsets":true,"add_prefix_space":true},)"
    R"("decoder":{"type":"ByteLevel"},"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":"",)"
    R"("end_of_word_suffix":"","fuse_unk":false,"byte_fallback":false,"ignore_merges":true,)"
    R"("vocab":{"<s>":0,"a":1,"b":2,"ab":3,"abb":4},"merges":["a b",["ab","b"]]}})";
constexpr std::string_view kUnigram =
    R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":{"type":"Nmt"},)"
    R"("pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"first","split":true},)"
    R"("post_processor":null,"decoder":null,"model":{"type":"Unigram","unk_id":0,"byte_fallback":false,)"
    R"("vocab":[["<unk>",0],["a",-1.5],["_b",-2e1]]}})";
constexpr std::string_view kVocabJson =
    R"({"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"a":4,"b":5,"ab":6,"abb":7,"<mask>":8})";
constexpr std::string_view kMerges = "#version: 0.2\na b\nab b\n";
constexpr std::string_view kRobertaConfig =
    R"({"tokenizer_class":"RobertaTokenizer","add_prefix_space":true,"trim_offsets":false,"mask_token":{"content":"<mask>"},)"
    R"("added_tokens_decoder":{"0":{"content":"<s>","special":true},"9":{"content":"x","lstrip":true}}})";
constexpr std::string_view kVocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n";
constexpr std::string_view kTokenizerConfig =
    R"({"do_lower_case":true,"strip_accents":null,"unk_token":"[UNK]","cls_token":{"content":"[CLS]","lstrip":false},)"
    R"("tokenizer_class":"BertTokenizer","added_tokens_decoder":{"0":{"content":"[PAD]","special":true}}})";
constexpr std::string_view kConfig =
    R"({"problem_type":"multi_label_classification","num_labels":3,"id2label":{"0":"a","1":"b","2":"c"}})";
constexpr std::string_view kOnepass =
    R"({"format_version":1,"model_id":"m","model_version":"1","licence":"MIT","pooling":"mean","pooler":{"activation":"tanh"},)"
    R"("max_tokens":512,"heads":[{"name":"e","kind":"multi_label","labels":["a","b"],"thresholds":[0.5,0.25],"temperature":2},)"
    R"({"name":"p","kind":"regression","labels":["x"],"range":[-1,1]}]})";

void check(bool condition) {
  if (!condition) std::abort();
}

void check_error(const Error& error) { check(error.code != Code::ok && error.message[0] != '\0'); }

void check_spec(const Result<TokenizerSpec>& spec) {
  if (!spec.ok()) return check_error(spec.error());
  const size_t count = token_count(*spec);
  check(!spec->pieces.empty() && spec->unk_id < spec->pieces.size() && count <= kMaxTokens);
  check(spec->max_input_chars_per_word >= 1 && spec->max_input_chars_per_word <= 1024);
  for (const std::string& piece : spec->pieces) check(piece.size() <= kMaxTokenBytes);
  for (const AddedTokenSpec& token : spec->added_tokens) {
    check(token.id < count && !token.content.empty());
    if (token.id < spec->pieces.size()) check(spec->pieces[token.id] == token.content);
  }
  size_t sequences = 0;
  for (const TemplateEntry& entry : spec->single_template) {
    check(entry.id < count);
    sequences += entry.is_sequence ? 1 : 0;
  }
  check(sequences == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::span<const uint8_t> rest(data + 1, size - 1);
  const bool edits = (data[0] & 1) != 0;
  const auto text_of = [&](std::string_view good) {
    return edits ? test::apply_edits(good, rest) : std::string(reinterpret_cast<const char*>(rest.data()), rest.size());
  };
  switch ((data[0] >> 1) % 10) {
    case 5:
      check_spec(parse_tokenizer_json(text_of(kBpe)));
      break;
    case 6:
      check_spec(parse_tokenizer_json(text_of(kUnigram)));
      break;
    case 7:
      check_spec(parse_vocab_json(text_of(kVocabJson), kMerges, nullptr, "roberta"));
      break;
    case 8:
      check_spec(parse_vocab_json(kVocabJson, text_of(kMerges), nullptr, "roberta"));
      break;
    case 9: {
      const auto json = parse_json(text_of(kRobertaConfig), kMaxConfigBytes, "tokenizer_config.json");
      if (json.ok()) check_spec(parse_vocab_json(kVocabJson, kMerges, &*json, ""));
      break;
    }
    case 0:
      check_spec(parse_tokenizer_json(text_of(kTokenizer)));
      break;
    case 1:
      check_spec(parse_vocab_txt(text_of(kVocab), nullptr));
      break;
    case 2: {
      const auto json = parse_json(text_of(kTokenizerConfig), kMaxConfigBytes, "tokenizer_config.json");
      if (json.ok()) check_spec(parse_vocab_txt(kVocab, &*json));
      break;
    }
    case 3: {
      const auto json = parse_json(text_of(kConfig), kMaxConfigBytes, "config.json");
      if (!json.ok()) break;
      for (const std::optional<HeadKind> kind : {std::optional<HeadKind>(), std::optional(HeadKind::regression)}) {
        const auto head = read_classifier_head(JsonNode(*json, "config.json"), kind);
        if (head.ok()) {
          check(check_head(*head, "head").ok());
        } else {
          check_error(head.error());
        }
      }
      break;
    }
    default: {
      const auto json = parse_json(text_of(kOnepass), kMaxConfigBytes, "onepass.json");
      if (!json.ok()) break;
      const auto ours = parse_onepass_json(JsonNode(*json, "onepass.json"));
      if (!ours.ok()) {
        check_error(ours.error());
        break;
      }
      for (const HeadSpec& head : ours->heads) check(check_head(head, "head").ok());
      break;
    }
  }
  return 0;
}
