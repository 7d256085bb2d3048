// tokenize_lines SECTION [MAX_TOKENS]: tokenises length-prefixed texts from standard input, for comparison with the
// oracle (tools/dev/tokenizer_oracle.py). SECTION is a file with a tokenizer section. Input: u32 length and bytes,
// again and again. Output for each: u32 count, then count ids, then count spans as begin and end, all u32, then u32
// total_tokens and u32 bytes_used. Host byte order, which is the oracle script's.
// tokenize_lines SECTION --time ROUNDS: tokenises all of the input ROUNDS times and prints the best
// MB/s, and the time to read the section.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "engine/text/tokenizer.h"

namespace {

std::vector<uint8_t> read_all(std::FILE* file) {
  std::vector<uint8_t> bytes;
  uint8_t buffer[1 << 16];
  for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), file)) != 0;) bytes.insert(bytes.end(), buffer, buffer + n);
  return bytes;
}

void write_u32(const void* data, size_t count) { std::fwrite(data, 4, count, stdout); }

int fail(const onepass::Error& error) {
  std::fprintf(stderr, "tokenize_lines: %s: %s (%s)\n", error.where, error.message, onepass::code_name(error.code));
  return 1;
}

// Processor time: that of one thread, whatever else the machine does.
double now() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void time_parse(const std::vector<uint8_t>& section, int rounds) {
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) {
    const double start = now();
    const bool ok = onepass::Tokenizer::parse(section, UINT32_MAX).ok();
    if (ok) best = std::min(best, now() - start);
  }
  std::printf("%zu bytes of section read in %.0f us\n", section.size(), best * 1e6);
}

int time_rounds(const onepass::Tokenizer& tokenizer, int rounds) {
  const std::vector<uint8_t> input = read_all(stdin);
  onepass::EncodeScratch scratch;
  onepass::Array<uint32_t> ids;
  size_t bytes = 0;
  size_t tokens = 0;
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) {
    bytes = tokens = 0;
    const double start = now();
    for (size_t pos = 0; input.size() - pos >= 4;) {
      uint32_t length;
      std::memcpy(&length, input.data() + pos, 4);
      ids.clear();
      const auto status = tokenizer.encode({reinterpret_cast<const char*>(input.data()) + pos + 4, length}, {}, scratch,
                                           ids, nullptr, nullptr);
      if (!status.ok()) return fail(status.error());
      tokens += ids.size();
      bytes += length;
      pos += 4 + size_t{length};
    }
    best = std::min(best, now() - start);
  }
  std::printf("%zu bytes, %zu tokens, %.2f MB/s, %.2f million tokens/s\n", bytes, tokens,
              static_cast<double>(bytes) / best / 1e6, static_cast<double>(tokens) / best / 1e6);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: tokenize_lines SECTION [MAX_TOKENS | --time ROUNDS]\n");
    return 2;
  }
  std::FILE* file = std::fopen(argv[1], "rb");
  if (file == nullptr) {
    std::perror(argv[1]);
    return 1;
  }
  const std::vector<uint8_t> section = read_all(file);
  std::fclose(file);
  const auto parsed = onepass::Tokenizer::parse(section, UINT32_MAX);
  if (!parsed.ok()) return fail(parsed.error());
  if (argc > 3) {
    time_parse(section, std::atoi(argv[3]));
    return time_rounds(*parsed, std::atoi(argv[3]));
  }

  onepass::EncodeOptions options;
  if (argc > 2) options.max_tokens = std::strtoull(argv[2], nullptr, 10);
  onepass::EncodeScratch scratch;
  onepass::Array<uint32_t> ids;
  onepass::Array<onepass::TokenSpan> spans;
  std::string text;
  for (uint32_t length; std::fread(&length, 4, 1, stdin) == 1;) {
    text.resize(length);
    if (std::fread(text.data(), 1, length, stdin) != length) return 1;
    ids.clear();
    spans.clear();
    onepass::EncodeStats stats;
    const auto status = (*parsed).encode(text, options, scratch, ids, &spans, &stats);
    if (!status.ok()) return fail(status.error());
    const auto count = static_cast<uint32_t>(ids.size());
    const uint32_t tail[2] = {static_cast<uint32_t>(stats.total_tokens), static_cast<uint32_t>(stats.bytes_used)};
    write_u32(&count, 1);
    write_u32(ids.data(), count);
    write_u32(spans.data(), size_t{2} * count);
    write_u32(tail, 2);
  }
  return 0;
}
