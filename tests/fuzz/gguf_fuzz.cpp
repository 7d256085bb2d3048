// GGUF: no input crashes; in what is accepted the tensors lie apart inside the file and every one can be read.
//
// The first byte chooses how the rest is read: 0 a file; 1 what follows a good prefix, with the counts of the second
// byte; else edits of a good file.
#include <cstdlib>

#include "formats/gguf/gguf.h"
#include "tests/support/edits.h"
#include "tests/support/gguf_writer.h"

namespace {

using namespace onepass;

void check(bool condition) {
  if (!condition) std::abort();
}

std::string good_file() {
  test::GgufFile file;
  file.key_text("general.architecture", "bert").key_u32("general.alignment", 8).key_bool("b", 1);
  file.key_texts("tokens", {"a", "bc"}).key_f32s("scores", {0, -1}).key_i32s("types", {1, 3});
  file.key("a", 9, test::GgufBytes().u32(7).u64(2).u8(0).u8(1));
  file.key("u", 10, test::GgufBytes().u64(5)).key("h", 2, test::GgufBytes().u8(1).u8(0));
  file.alignment = 8;
  const std::pair<uint32_t, std::pair<uint64_t, size_t>> types[] = {
      {0, {1, 4}},      {1, {3, 6}},      {2, {32, 18}},   {3, {32, 20}},    {6, {32, 22}},
      {7, {32, 24}},    {8, {32, 34}},    {10, {256, 84}}, {11, {256, 110}}, {12, {256, 144}},
      {13, {256, 176}}, {14, {256, 210}}, {20, {32, 18}},  {23, {256, 136}}, {30, {2, 4}},
  };
  for (const auto& [type, size] : types) {
    std::vector<uint8_t> data(size.second);
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * 37 % 120);
    file.tensor("t" + std::to_string(type), {size.first}, type, data);
  }
  const std::vector<uint8_t> bytes = file.file();
  return {bytes.begin(), bytes.end()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const std::string good = good_file();
  const std::span<const uint8_t> rest(data + 2, size - 2);
  std::vector<uint8_t> file(rest.begin(), rest.end());
  if (data[0] == 1) {
    test::GgufBytes bytes;
    bytes.raw("GGUF").u32(3).u64(data[1] & 7u).u64(data[1] >> 3);
    bytes.bytes.insert(bytes.bytes.end(), rest.begin(), rest.end());
    file = bytes.bytes;
  } else if (data[0] > 1) {
    const std::string edited = test::apply_edits(good, rest);
    file.assign(edited.begin(), edited.end());
  }
  file.shrink_to_fit();
  const auto header = parse_gguf(file, "fuzz.gguf");
  if (!header.ok()) {
    check(header.code() != Code::ok && header.error().message[0] != '\0');
    return 0;
  }
  uint64_t covered = 0;
  for (const GgufTensor& t : header->tensors) {
    const GgmlTypeInfo& info = info_of(t.type);
    check(t.begin >= covered && t.begin <= t.end && t.end <= file.size() && t.begin % header->alignment == 0);
    check(t.end - t.begin == t.elements / info.block * info.bytes);
    covered = t.end;
    std::vector<float> values(static_cast<size_t>(t.elements));
    const auto bytes =
        std::span<const uint8_t>(file).subspan(static_cast<size_t>(t.begin), static_cast<size_t>(t.end - t.begin));
    (void)dequantize(t.type, bytes, values, 0, t.name).ok();
  }
  for (const auto& [key, value] : header->metadata.values()) {
    (void)header->metadata.u32(key).ok();
    (void)header->metadata.f32(key).ok();
    (void)header->metadata.texts(key).ok();
    (void)header->metadata.f32s(key).ok();
    (void)header->metadata.i32s(key).ok();
    (void)header->metadata.bytes(key).ok();
  }
  return 0;
}
