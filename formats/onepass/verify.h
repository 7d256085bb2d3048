// The checks that read every byte: hashes, and the numbers of the weights.
#pragma once

#include <cstdint>
#include <span>

#include "engine/core/mapped_file.h"
#include "engine/core/result.h"
#include "formats/onepass/contents.h"

namespace onepass::format {

// The root hash of a file that starts with these table_bytes bytes.
Digest root_hash_of(std::span<const uint8_t> head) noexcept;
// The hash of the weights section: over the tensors' hashes in the order of the directory.
Digest weights_hash_of(std::span<const TensorView> tensors) noexcept;

// Floats and scales are finite, scales above 0, codes -127 to 127, padding as docs/layouts.md says.
// Requires `data` set, with tensor.bytes bytes behind it, aligned to 4.
Status check_tensor_values(const TensorView& tensor) noexcept;

// Every hash, and the tensors' values and the gaps between them. `head` as for parse_contents. `mapping`: what `file`
// lies in, which then gives back the memory of tables, since a text reads a few rows of them; or null.
Status verify_contents(std::span<const uint8_t> head, std::span<const uint8_t> file, const Contents& contents,
                       const MappedFile* mapping = nullptr) noexcept;

}  // namespace onepass::format
