// safetensors: no input crashes; in what is accepted the tensors cover the file and every one can be read.
//
// The first byte chooses how the rest is read: 0 a file; 1 a header, to which the length field and as many bytes of
// data as the second byte says are added; else edits of a good header.
#include <cstdlib>

#include "formats/safetensors/safetensors.h"
#include "tests/support/edits.h"
#include "tests/support/safetensors_writer.h"

namespace {

constexpr std::string_view kGood =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},"c":{"dtype":"F16","shape":[],"data_offsets":[12,14]},)"
    R"("d":{"dtype":"F64","shape":[0],"data_offsets":[14,14]},"e":{"dtype":"F64","shape":[1],"data_offsets":[14,22]},)"
    R"("f":{"dtype":"I64","shape":[1],"data_offsets":[22,30]}})";
constexpr size_t kGoodData = 30;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace onepass;
  if (size < 2) return 0;
  const std::span<const uint8_t> rest(data + 2, size - 2);
  std::vector<uint8_t> file(rest.begin(), rest.end());
  if (data[0] == 1) {
    file = test::safetensors_file({reinterpret_cast<const char*>(rest.data()), rest.size()},
                                  std::vector<uint8_t>(data[1]));
  } else if (data[0] > 1) {
    std::vector<uint8_t> values(kGoodData);
    for (size_t i = 0; i < kGoodData && i < rest.size(); ++i) values[i] = rest[rest.size() - 1 - i];
    file = test::safetensors_file(test::apply_edits(kGood, rest), values);
  }
  file.shrink_to_fit();
  const auto header = parse_safetensors(file, "fuzz.safetensors");
  if (!header.ok()) {
    if (header.code() == Code::ok || header.error().message[0] == '\0') std::abort();
    return 0;
  }
  uint64_t covered = header->data_begin;
  for (const SafetensorsEntry& entry : header->entries) {
    if (entry.begin != covered || entry.end < entry.begin || entry.end > file.size()) std::abort();
    if (entry.end - entry.begin != entry.elements * size_of(entry.dtype)) std::abort();
    covered = entry.end;
    std::vector<float> values(static_cast<size_t>(entry.elements));
    const auto bytes = std::span<const uint8_t>(file).subspan(static_cast<size_t>(entry.begin),
                                                              static_cast<size_t>(entry.end - entry.begin));
    (void)convert_to_f32(entry.dtype, bytes, values, 0, entry.name).ok();
  }
  if (covered != file.size()) std::abort();
  return 0;
}
