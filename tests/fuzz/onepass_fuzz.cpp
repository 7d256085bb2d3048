// ModelFile over hostile files. The first byte of the input says how:
//   bit 0  open with verify
//   bit 1  recompute the hashes first, so that mutations get behind them
//   bit 2  copy instead of using the memory as it lies
//   bits 3-4  what the rest is: 0, 1 edits {u8 section, u16 position, u8 bytes to remove, u8 bytes to insert, those
//             bytes} of a good file's sections, with 1 that of layers of several widths; 2 seven u16 section sizes and
//             the sections; 3 a file as it is. But for the last, the header, the table and the gaps are made up around
//             the sections.
// What opens with verify must give the same bytes when it is written again.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "tests/formats/onepass_raw.h"

namespace {

using onepass::LoadMode;
using onepass::ModelFile;

volatile uint64_t sink;

constexpr size_t sections = 7;
using Sections = std::array<std::vector<uint8_t>, sections>;

std::vector<uint8_t> assemble(const Sections& parts) {
  std::vector<uint8_t> file(64 + 64 * sections);
  const auto put = [&](size_t at, uint64_t value, size_t n) {
    for (size_t i = 0; i < n; ++i) file[at + i] = static_cast<uint8_t>(value >> (8 * i));
  };
  for (size_t i = 0; i < sections; ++i) {
    const size_t alignment = i + 1 == sections ? 16384 : 64;
    file.resize((file.size() + alignment - 1) / alignment * alignment);
    const size_t entry = 64 + 64 * i;
    put(entry, i + 1, 4);
    put(entry + 8, file.size(), 8);
    put(entry + 16, parts[i].size(), 8);
    file.insert(file.end(), parts[i].begin(), parts[i].end());
  }
  std::memcpy(file.data(), onepass::format::magic.data(), 8);
  put(8, onepass::format::version, 4);
  put(12, onepass::format::endian_tag, 4);
  put(20, sections, 4);
  put(24, file.size(), 8);
  return file;
}

Sections split(std::span<const uint8_t> input) {
  Sections parts;
  if (input.size() < 2 * sections) return parts;
  const auto rest = input.subspan(2 * sections);
  size_t pos = 0;
  for (size_t i = 0; i < sections; ++i) {
    size_t size = static_cast<size_t>(input[2 * i] | input[2 * i + 1] << 8);
    if (size > rest.size() - pos || i + 1 == sections) size = rest.size() - pos;
    const auto part = rest.subspan(pos, size);
    parts[i].assign(part.begin(), part.end());
    pos += size;
  }
  return parts;
}

Sections sections_of(const onepass::ModelContent& model) {
  const auto file = onepass::test::raw_of(model).encode();
  Sections parts;
  for (size_t i = 0; i < sections; ++i) {
    uint64_t offset = 0, size = 0;
    for (size_t b = 0; b < 8; ++b) {
      offset |= uint64_t{file[64 + 64 * i + 8 + b]} << (8 * b);
      size |= uint64_t{file[64 + 64 * i + 16 + b]} << (8 * b);
    }
    const auto part = std::span(file).subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
    parts[i].assign(part.begin(), part.end());
  }
  return parts;
}

Sections edited(std::span<const uint8_t> input, bool uneven) {
  static const Sections good[] = {sections_of(onepass::test::micro_model()),
                                  sections_of(onepass::test::uneven_model())};
  Sections parts = good[uneven ? 1 : 0];
  size_t pos = 0;
  for (int n = 0; n < 8 && input.size() - pos >= 5; ++n) {
    auto& part = parts[input[pos] % sections];
    const size_t at = static_cast<size_t>(input[pos + 1] | input[pos + 2] << 8) % (part.size() + 1);
    const size_t remove = std::min<size_t>(input[pos + 3] % 64, part.size() - at);
    size_t insert = input[pos + 4] % 64;
    pos += 5;
    insert = std::min(insert, input.size() - pos);
    const auto begin = part.begin() + static_cast<ptrdiff_t>(at);
    part.erase(begin, begin + static_cast<ptrdiff_t>(remove));
    part.insert(part.begin() + static_cast<ptrdiff_t>(at), input.begin() + static_cast<ptrdiff_t>(pos),
                input.begin() + static_cast<ptrdiff_t>(pos + insert));
    pos += insert;
  }
  return parts;
}

// Reads every byte that a pass could read.
void use(const ModelFile& file) {
  uint64_t sum = file.total_classes();
  for (const auto& head : file.heads()) {
    for (const auto& label : head.labels) sum += static_cast<uint8_t>(label[label.size() - 1]);
    for (const float t : head.thresholds) sum += t > 0.5f;
  }
  for (const auto& test : file.self_tests()) {
    for (const uint32_t id : test.ids) {
      if (id >= file.config().vocab) std::abort();
    }
    if (test.logits.size() != file.config().logit_rows(test.ids.size(), 1) * file.total_classes()) std::abort();
  }
  for (const auto& tensor : file.tensors()) {
    const auto* data = static_cast<const uint8_t*>(tensor.data);
    for (size_t i = 0; i < tensor.bytes; ++i) sum += data[i];
  }
  for (const uint8_t b : file.tokenizer_section()) sum += b;
  sink = sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t how = data[0];
  const std::span<const uint8_t> rest(data + 1, size - 1);
  std::vector<uint8_t> file;
  switch (how >> 3 & 3) {
    case 3:
      file.assign(rest.begin(), rest.end());
      break;
    case 2:
      file = assemble(split(rest));
      break;
    default:
      file = assemble(edited(rest, (how & 8) != 0));
      break;
  }
  if ((how & 2) != 0 && file.size() >= 64) onepass::test::rehash(file);
  const onepass::test::AlignedBytes bytes(file);
  const bool verify = (how & 1) != 0;
  const auto opened =
      ModelFile::from_memory(bytes.span(), {.mode = (how & 4) != 0 ? LoadMode::copy : LoadMode::map, .verify = verify});
  if (!opened.ok()) {
    const onepass::Error& error = opened.error();
    if (error.code == onepass::Code::ok || error.message[0] == '\0') std::abort();
    return 0;
  }
  use(*opened);
  if (verify && !opened->verify().ok()) std::abort();
  if (verify) {
    const auto again = onepass::serialize_model(onepass::content_of(*opened));
    if (!again.ok() || *again != file) std::abort();
  }
  return 0;
}
