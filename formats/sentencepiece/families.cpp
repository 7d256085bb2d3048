#include "formats/sentencepiece/families.h"

namespace onepass {

namespace {

constexpr FamilyToken kDeberta[] = {{"pad_token", "[PAD]", false, false},  {"bos_token", "[CLS]", false, false},
                                    {"eos_token", "[SEP]", false, false},  {"cls_token", "[CLS]", false, false},
                                    {"sep_token", "[SEP]", false, false},  {"unk_token", "[UNK]", false, true},
                                    {"mask_token", "[MASK]", false, false}};
constexpr FamilyToken kAlbert[] = {{"pad_token", "<pad>", false, false}, {"bos_token", "[CLS]", false, false},
                                   {"eos_token", "[SEP]", false, false}, {"cls_token", "[CLS]", false, false},
                                   {"sep_token", "[SEP]", false, false}, {"unk_token", "<unk>", false, false},
                                   {"mask_token", "[MASK]", true, false}};
constexpr FamilyToken kXlmRoberta[] = {{"bos_token", "<s>", false, false},   {"cls_token", "<s>", false, false},
                                       {"pad_token", "<pad>", false, false}, {"eos_token", "</s>", false, false},
                                       {"sep_token", "</s>", false, false},  {"unk_token", "<unk>", false, false},
                                       {"mask_token", "<mask>", true, false}};
constexpr FamilyToken kT5[] = {{"pad_token", "<pad>", false, false},
                               {"eos_token", "</s>", false, false},
                               {"unk_token", "<unk>", false, false},
                               {"bos_token", nullptr, false, false}};
constexpr FamilyToken kLlama[] = {{"unk_token", "<unk>", false, false},
                                  {"bos_token", "<s>", false, false},
                                  {"eos_token", "</s>", false, false},
                                  {"pad_token", nullptr, false, false}};
using Layout = SentencePieceLayout;
using Steps = SentencePieceSteps;

constexpr SentencePieceFamily kFamilies[] = {
    {"DebertaV2Tokenizer", "deberta-v2", false, Layout::as_is, Steps::deberta, kDeberta, "[CLS]", "[SEP]"},
    {"XLMRobertaTokenizer", "xlm-roberta", false, Layout::fairseq, Steps::whitespace, kXlmRoberta, "<s>", "</s>"},
    {"AlbertTokenizer", "albert", false, Layout::as_is, Steps::albert, kAlbert, "[CLS]", "[SEP]"},
    {"T5Tokenizer", "t5", false, Layout::t5, Steps::whitespace, kT5, nullptr, "</s>"},
    {"LlamaTokenizer", "llama", true, Layout::as_is, Steps::llama, kLlama, "<s>", nullptr},
};

}  // namespace

std::span<const SentencePieceFamily> sentencepiece_families() noexcept { return kFamilies; }

}  // namespace onepass
