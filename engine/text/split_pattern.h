// The regular expressions by which byte-level tokenizers cut a text, as hand-written scanners.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onepass {

// Stable numbers, stored in files; only ever appended to. The expressions are in split_pattern.cpp.
enum class SplitPattern : uint32_t { gpt2 = 1, llama3 = 2, qwen2 = 3, o200k = 4, tekken = 5, last = tekken };

// The expression of a pattern, exactly as tokenizer.json has it.
const char* expression_of(SplitPattern pattern) noexcept;

// End of the match at text[begin), in valid UTF-8, begin < end. The patterns cover every text: there is always one, and
// it is not empty. A text is scanned at most a few times over, whatever it is.
size_t match_end(SplitPattern pattern, const char* text, size_t begin, size_t end) noexcept;

}  // namespace onepass
