// GGUF: no input crashes; in what is accepted the tensors lie apart inside the file and every one can be read, and a
// tokenizer that it describes becomes a section that the runtime judges.
//
// The first byte chooses how the rest is read: 0 a file; 1 what follows a good prefix, with the counts of the second
// byte; 2 to 5 edits of a good tokenizer of each model; else edits of a good file.
#include <cstdlib>

#include "engine/text/tokenizer.h"
#include "formats/gguf/gguf.h"
#include "formats/gguf/tokenizer.h"
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

// A file of a tokenizer: bert, gpt2, llama or t5.
std::string good_tokenizer(int model) {
  const char* const models[] = {"bert", "gpt2", "llama", "t5"};
  test::GgufFile file;
  file.key_text("tokenizer.ggml.model", models[model]).key_text("tokenizer.ggml.pre", "llama-bpe");
  file.key_texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "a", "b", "ab", "\xE2\x96\x81",
                                           "\xE2\x96\x81"
                                           "a",
                                           "[PAD8]", "<0x41>"});
  file.key_i32s("tokenizer.ggml.token_type", {2, 3, 3, 1, 1, 1, 1, 1, 5, 6})
      .key_texts("tokenizer.ggml.merges", {"a b"});
  file.key_f32s("tokenizer.ggml.scores", {0, 0, 0, -1, -2, -3, -4, -5, -6, -7});
  for (const char* key : {"bos_token_id", "cls_token_id"}) file.key_u32(std::string("tokenizer.ggml.") + key, 1);
  for (const char* key : {"eos_token_id", "seperator_token_id"}) file.key_u32(std::string("tokenizer.ggml.") + key, 2);
  file.key_u32("tokenizer.ggml.unknown_token_id", 0).key_u32("tokenizer.ggml.mask_token_id", 8);
  file.key_bool("tokenizer.ggml.add_bos_token", 1).key_bool("tokenizer.ggml.add_space_prefix", 1);
  file.key("tokenizer.ggml.precompiled_charsmap", 9, test::GgufBytes().u32(0).u64(4).u32(0));
  const std::vector<uint8_t> bytes = file.file();
  return {bytes.begin(), bytes.end()};
}

void read_tokenizer_of(const GgufMetadata& metadata) {
  const auto spec = read_gguf_tokenizer(metadata, metadata.has("general.architecture") ? "bert" : "phi3");
  if (!spec.ok()) {
    check(spec.error().message[0] != '\0');
    return;
  }
  const std::vector<uint8_t> section = serialize_tokenizer(spec.value());
  const auto tokenizer = Tokenizer::parse(section, 1u << 20);
  if (!tokenizer.ok()) return;
  EncodeScratch scratch;
  Array<uint32_t> ids;
  (void)tokenizer.value().encode("ab\t a \xE2\x96\x81\xFF<s> Ab", {}, scratch, ids, nullptr, nullptr).ok();
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
    static const std::string tokenizers[] = {good_tokenizer(0), good_tokenizer(1), good_tokenizer(2),
                                             good_tokenizer(3)};
    const std::string edited = test::apply_edits(data[0] <= 5 ? tokenizers[data[0] - 2] : good, rest);
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
  read_tokenizer_of(header->metadata);
  return 0;
}
