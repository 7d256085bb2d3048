// tokenizer_section SOURCE OUTPUT: writes the tokenizer section of a model file for a tokenizer.json or a folder with
// tokenizer files, as the converter does, for comparison with the oracle (tools/dev/tokenizer_oracle.py).
#include <cstdio>
#include <filesystem>

#include "engine/text/tokenizer.h"
#include "formats/huggingface/tokenizer.h"

namespace {

int fail(const onepass::Error& error) {
  std::fprintf(stderr, "tokenizer_section: %s: %s (%s)\n", error.where, error.message, onepass::code_name(error.code));
  return 1;
}

onepass::Result<onepass::TokenizerSpec> read(const std::filesystem::path& source) {
  if (std::filesystem::is_directory(source)) return onepass::read_tokenizer(source);
  ONEPASS_TRY_ASSIGN(text, onepass::read_text_file(source, onepass::kMaxTokenizerBytes));
  return onepass::parse_tokenizer_json(text, source.filename().string());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: tokenizer_section SOURCE OUTPUT\n");
    return 2;
  }
  const auto spec = read(argv[1]);
  if (!spec.ok()) return fail(spec.error());
  const std::vector<uint8_t> section = onepass::serialize_tokenizer(*spec);
  const auto tokenizer = onepass::Tokenizer::parse(section, UINT32_MAX);
  if (!tokenizer.ok()) return fail(tokenizer.error());
  std::FILE* file = std::fopen(argv[2], "wb");
  if (file == nullptr || std::fwrite(section.data(), 1, section.size(), file) != section.size() ||
      std::fclose(file) != 0) {
    std::perror(argv[2]);
    return 1;
  }
  return 0;
}
