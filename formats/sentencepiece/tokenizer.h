// The tokenizer of a SentencePiece model, as the published tokenizer.json of its family describes it.
//
// The file says how the pieces score and how characters are normalised; which steps surround that, and what becomes of
// the first ids, is written in no file, only in transformers. So the family must be known by name. Where transformers 5
// builds something else from the bare file than what the family was published and trained with (DeBERTa without its
// character map, Llama without its prefix), what was published counts.
#pragma once

#include <filesystem>
#include <string_view>

#include "engine/core/result.h"
#include "engine/text/tokenizer_spec.h"
#include "formats/json/json.h"
#include "formats/sentencepiece/model.h"

namespace onepass {

// `tokenizer_config` is tokenizer_config.json, or null. The family is that of its tokenizer_class, or else of
// `model_type`, that of config.json ("" if there is none). Errors: unsupported (a family, option or component that is
// not known; it is named), bad_vocabulary (pieces that are not those of the family; ids that contradict each other).
Result<TokenizerSpec> convert_sentencepiece(const SentencePieceModel& model, const Json* tokenizer_config,
                                            std::string_view model_type, std::string_view where = "spm.model") noexcept;

// The SentencePiece model of a folder: its path, or an empty one if there is none.
std::filesystem::path find_sentencepiece(const std::filesystem::path& folder);

// The two above, with the folder's tokenizer_config.json, config.json, special_tokens_map.json and added_tokens.json.
Result<TokenizerSpec> read_sentencepiece_folder(const std::filesystem::path& folder) noexcept;

}  // namespace onepass
