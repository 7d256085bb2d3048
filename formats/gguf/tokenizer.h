// The tokenizer that a GGUF file describes, as tokenizer.json of its family does.
//
// The keys name the model ("bert", "gpt2", "llama", "t5") and, for gpt2, the expression that cuts words; flags of added
// tokens and some steps before the model are written nowhere and follow from that name. A name that is not known is
// refused: a tokenizer that is nearly right gives wrong answers without a sign.
#pragma once

#include <string_view>

#include "engine/core/result.h"
#include "engine/text/tokenizer_spec.h"
#include "formats/gguf/gguf.h"

namespace onepass {

// Where the file has tokenizer.huggingface.json, that counts. `architecture` is general.architecture. Errors beside
// those of GgufMetadata and parse_tokenizer_json: unsupported (a model or pre-tokenizer that is not known; a vocabulary
// that leaves open whether text is lower-cased), bad_vocabulary (counts that differ; a special token that is not
// there), duplicate_name, unknown_value (type of a token).
Result<TokenizerSpec> read_gguf_tokenizer(const GgufMetadata& metadata, std::string_view architecture) noexcept;

}  // namespace onepass
