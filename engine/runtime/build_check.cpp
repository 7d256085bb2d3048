#include "engine/runtime/build_check.h"

#include "engine/core/left_out.h"

namespace onepass {

namespace {

#ifdef ONEPASS_WITHOUT_ENCODERS
constexpr bool kEncoders = false;
#else
constexpr bool kEncoders = true;
#endif
#ifdef ONEPASS_WITHOUT_DECODERS
constexpr bool kDecoders = false;
#else
constexpr bool kDecoders = true;
#endif
#ifdef ONEPASS_WITHOUT_INT8
constexpr bool kInt8 = false;
#else
constexpr bool kInt8 = true;
#endif
#ifdef ONEPASS_WITHOUT_INT4
constexpr bool kInt4 = false;
#else
constexpr bool kInt4 = true;
#endif

// The blocks that only one side of the family tree has, by their kernels: add_norm and activate, rms_norm and softcap.
bool has_blocks_of_encoders(const Config& config) noexcept {
  const ArchSpec& arch = config.arch;
  return arch.norm == Norm::layer_norm || arch.ffn == Ffn::mlp || arch.pooler != 0 || arch.relative != Relative::none;
}
bool has_blocks_of_decoders(const Config& config) noexcept {
  const ArchSpec& arch = config.arch;
  return arch.norm == Norm::rms_norm || arch.qk_norm != 0 || config.logit_softcap != 0;
}

}  // namespace

Status check_build(const ModelFile& file) noexcept {
  const Config& config = file.config();
  if (!kEncoders && has_blocks_of_encoders(config)) {
    return left_out("config", "blocks of encoders", "ONEPASS_ARCHITECTURES", "encoders");
  }
  if (!kDecoders && has_blocks_of_decoders(config)) {
    return left_out("config", "blocks of decoders", "ONEPASS_ARCHITECTURES", "decoders");
  }
  if (kInt8 && kInt4) return {};
  for (const TensorView& tensor : file.tensors()) {
    if (slot_specs()[static_cast<size_t>(tensor.slot)].role != Role::matrix) continue;
    const kernels::Dtype type = kernels::dtype_of(tensor.layout);
    if (!kInt8 && type == kernels::Dtype::i8) return left_out("weights", "int8", "ONEPASS_WEIGHTS", "int8");
    if (!kInt4 && type == kernels::Dtype::i4) return left_out("weights", "int4", "ONEPASS_WEIGHTS", "int4");
  }
  return {};
}

}  // namespace onepass
