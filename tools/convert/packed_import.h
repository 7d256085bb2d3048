// Checkpoints that GPTQ or AWQ has quantised, as they are on the hub: for each product `qweight`, `qzeros`, `scales`
// and, of GPTQ, `g_idx` stand for the one tensor `weight`.
//
//   GPTQ  Frantar et al. 2022, arXiv:2210.17323; files as AutoGPTQ and GPTQModel write them. qweight [K bits/32, N]
//         holds inputs K in the order of the bits; qzeros [groups, N bits/32] the zeros less 1 ("gptq"), or the zeros
//         ("gptq_v2"); g_idx [K] the group of each input, in any order (desc_act).
//   AWQ   Lin et al. 2023, arXiv:2306.00978; files of the version "gemm" as AutoAWQ writes them. qweight [K, N/8] and
//         qzeros [groups, N/8] hold 8 neighbouring outputs in the order 0, 2, 4, 6, 1, 3, 5, 7.
// value = (code - zero) * scale, exactly: the libraries round it to f16.
#pragma once

#include <filesystem>
#include <memory>

#include "formats/json/json.h"
#include "formats/safetensors/checkpoint.h"

namespace onepass::convert {

struct PackedWeights {
  std::shared_ptr<const WeightFile> weights;  // null: config.json names no quantisation
  const char* method = nullptr;               // "GPTQ", "AWQ"
};

// Codes of 4 bits whose groups are whole blocks of 32 neighbouring inputs are offered as they are (read_int4):
// stored_type is Q4_0 where every zero of the checkpoint is 8, else Q4_K, since a minimum -zero * scale is rounded to
// f16. All others have no stored_type. Errors: unsupported (the method, its bits or its variant, by name), bad_shape,
// bad_value (a group that does not exist), missing_tensor, those of the checkpoint.
Result<PackedWeights> open_packed(const JsonNode& config, std::shared_ptr<const Checkpoint> checkpoint);

// Whether the folder's config.json names a quantisation.
bool is_packed(const std::filesystem::path& folder);

}  // namespace onepass::convert
