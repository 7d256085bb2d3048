#include "formats/gguf/model.h"

#include <cmath>

#include "formats/f16.h"
#include "kernels/pack/pack.h"

namespace onepass {

namespace {

uint16_t u16_at(const uint8_t* in) { return static_cast<uint16_t>(in[0] | in[1] << 8); }
bool is_finite_f16(uint16_t bits) { return (bits & 0x7C00u) != 0x7C00u; }

void append_nibbles(const uint8_t* codes, Int4Codes& out) {
  for (int i = 0; i < 16; ++i) out.nibbles.push_back(codes[i] & 15);
  for (int i = 0; i < 16; ++i) out.nibbles.push_back(codes[i] >> 4);
}

// An f32 as f16: false where it does not fit.
bool append_rounded(float value, std::vector<uint16_t>& out, bool& exact) {
  const uint16_t half = kernels::f16_from_f32(value);
  out.push_back(half);
  if (!is_finite_f16(half)) return false;
  if (f16_to_f32(half) != value) exact = false;
  return true;
}

bool append_q4_k(const uint8_t* in, Int4Codes& out) {
  const float d = f16_to_f32(u16_at(in)), dmin = f16_to_f32(u16_at(in + 2));
  const uint8_t* packed = in + 4;
  for (size_t group = 0; group < 8; ++group) {
    const int scale = group < 4 ? packed[group] & 63 : (packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4;
    const int low = group < 4 ? packed[group + 4] & 63 : (packed[group + 4] >> 4) | (packed[group] >> 6) << 4;
    if (!append_rounded(d * static_cast<float>(scale), out.scales, out.exact)) return false;
    if (!append_rounded(-(dmin * static_cast<float>(low)), out.minima, out.exact)) return false;
    const uint8_t* codes = in + 16 + group / 2 * 32;
    for (size_t i = 0; i < 32; ++i) {
      out.nibbles.push_back(static_cast<uint8_t>(group % 2 == 0 ? codes[i] & 15 : codes[i] >> 4));
    }
  }
  return true;
}

}  // namespace

bool append_int4(GgmlType type, std::span<const uint8_t> blocks, Int4Codes& out) {
  const GgmlTypeInfo& info = info_of(type);
  for (size_t at = 0; at < blocks.size(); at += info.bytes) {
    const uint8_t* block = blocks.data() + at;
    if (type == GgmlType::q4_k) {
      if (!append_q4_k(block, out)) return false;
      continue;
    }
    out.scales.push_back(u16_at(block));
    if (!is_finite_f16(out.scales.back())) return false;
    if (type == GgmlType::q4_1) {
      out.minima.push_back(u16_at(block + 2));
      if (!is_finite_f16(out.minima.back())) return false;
    }
    append_nibbles(block + (type == GgmlType::q4_1 ? 4 : 2), out);
  }
  return true;
}

Result<GgufModel> GgufModel::open(const std::filesystem::path& path) noexcept {
  try {
    GgufModel model;
    model.name_ = path.filename().string();
    ONEPASS_TRY_ASSIGN(file, MappedFile::map(path.string().c_str()));
    model.file_ = std::move(file);
    ONEPASS_TRY_ASSIGN(header, parse_gguf(model.file_.bytes(), model.name_));
    model.header_ = std::move(header);
    if (model.metadata().has("split.count")) {
      return make_error(Code::unsupported, model.metadata().find("split.count")->offset,
                        model.metadata().path_of("split.count"),
                        "one file of several; join them with llama-gguf-split --merge");
    }
    for (size_t i = 0; i < model.tensors().size(); ++i) model.index_.emplace(model.tensors()[i].name, i);
    return model;
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "gguf", "out of memory while opening a GGUF file");
  }
}

const GgufTensor* GgufModel::find(std::string_view name) const noexcept {
  const auto at = index_.find(name);
  return at == index_.end() ? nullptr : &header_.tensors[at->second];
}

namespace {

struct RowBytes {
  std::span<const uint8_t> bytes;
  uint64_t width;
};

RowBytes rows_of(std::span<const uint8_t> file, const GgufTensor& tensor, uint64_t begin, uint64_t end) {
  const GgmlTypeInfo& info = info_of(tensor.type);
  const uint64_t width = tensor.shape.back(), bytes = width / info.block * info.bytes;
  return {file.subspan(static_cast<size_t>(tensor.begin + begin * bytes), static_cast<size_t>((end - begin) * bytes)),
          width};
}

}  // namespace

Result<std::vector<float>> GgufModel::read_f32(const GgufTensor& tensor, uint64_t begin, uint64_t end) const {
  const RowBytes rows = rows_of(file(), tensor, begin, end);
  std::vector<float> values(static_cast<size_t>((end - begin) * rows.width));
  ONEPASS_TRY(dequantize(tensor.type, rows.bytes, values, begin * rows.width, metadata().path_of(tensor.name)));
  return values;
}

Result<Int4Codes> GgufModel::read_int4(const GgufTensor& tensor, uint64_t begin, uint64_t end) const {
  if (tensor.type != GgmlType::q4_0 && tensor.type != GgmlType::q4_1 && tensor.type != GgmlType::q4_k) {
    return make_error(Code::bad_dtype, Error::no_offset, metadata().path_of(tensor.name),
                      "%s does not hold groups of 4 bits", info_of(tensor.type).name);
  }
  const RowBytes rows = rows_of(file(), tensor, begin, end);
  Int4Codes codes;
  if (append_int4(tensor.type, rows.bytes, codes)) return codes;
  // The scale itself, or what f16 makes of it.
  ONEPASS_TRY(read_f32(tensor, begin, end));
  return make_error(Code::bad_value, Error::no_offset, metadata().path_of(tensor.name),
                    "a scale that f16 cannot hold: use --weights int8 or f32");
}

}  // namespace onepass
