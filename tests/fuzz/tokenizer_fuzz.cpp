// Tokenizer: no section and no text crashes; what is accepted tokenises every text to ids of the vocabulary, with spans
// inside the text in order, and truncation gives a prefix.
//
// The first byte chooses: 0 mod 4 the rest is a section; 1 mod 4 it is edits of a good section; else it is a text for
// one of 16 good tokenizers, chosen by the next byte.
#include <cstdlib>
#include <memory>

#include "tests/support/edits.h"
#include "tests/text/sections.h"

namespace {

using namespace onepass;

constexpr std::string_view kText =
    "un[MASK]affable HELLO w\xC3\xB6rld! \xE4\xB8\xAD # \xFF tok TOK\tx\xCC\x81\xCC\x96 \xEA\xB0\x81 \xC4\xB0[SEP]aaab";

TokenizerSpec good_spec(unsigned flags) {
  TokenizerSpec spec = test::small_spec();
  spec.normalizer[0].flags = ~flags & 15;
  spec.max_input_chars_per_word = 20;
  const char* contents[] = {"tok", " x", "ab", "[x]", "\xC3\xA9", "b "};
  for (uint32_t i = 0; i < 6; ++i) {
    const bool lstrip = ((i ^ flags) & 1) != 0;
    const bool rstrip = ((i ^ flags) & 2) != 0;
    spec.added_tokens.push_back({21 + i, contents[i], i == 0, lstrip, rstrip, i % 2 == 0, i > 3});
  }
  return spec;
}

void require(bool condition) {
  if (!condition) std::abort();
}

// Shared by all runs: what one text leaves meets the next, and a run allocates little.
struct Buffers {
  EncodeScratch scratch;
  Array<uint32_t> ids, cut;
  Array<TokenSpan> spans;
};

void check_text(const Tokenizer& tokenizer, std::string_view text) {
  static Buffers& buffers = *new Buffers;
  auto& [scratch, ids, cut, spans] = buffers;
  ids.clear();
  cut.clear();
  spans.clear();
  EncodeStats stats;
  require(tokenizer.encode(text, {}, scratch, ids, &spans, &stats).ok());
  require(ids.size() == spans.size() && ids.size() == stats.total_tokens && !stats.truncated);
  require(stats.bytes_used <= text.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    require(ids[i] < tokenizer.vocab_size());
    require(spans[i].begin <= spans[i].end && spans[i].end <= text.size());
  }
  // A limit from the template alone to all tokens, chosen by the text.
  const size_t around = tokenizer.special_count();
  size_t seed = text.size();
  for (const char c : text) seed = seed * 31 + static_cast<uint8_t>(c);
  const size_t max = around + seed % (ids.size() - around + 1);
  require(tokenizer.encode(text, {.max_tokens = max}, scratch, cut, nullptr, &stats).ok());
  require(cut.size() == max && stats.total_tokens == ids.size() && stats.truncated == (max < ids.size()));
  // The template's tokens before the text, the text's first tokens, the template's tokens after it.
  size_t same = 0;
  while (same < max && cut[same] == ids[same]) ++same;
  size_t tail = 0;
  while (tail < max && cut[max - 1 - tail] == ids[ids.size() - 1 - tail]) ++tail;
  require(same + tail >= max);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  if (data[0] % 4 > 1) {
    static std::unique_ptr<test::Parsed> tokenizers[16];
    std::unique_ptr<test::Parsed>& tokenizer = tokenizers[data[1] % 16];
    if (tokenizer == nullptr) tokenizer = std::make_unique<test::Parsed>(good_spec(data[1] % 16));
    require(tokenizer->code() == Code::ok);
    // A copy of its own, so that reading past the text shows.
    const std::unique_ptr<char[]> text(new char[size - 2]);
    if (size > 2) std::memcpy(text.get(), data + 2, size - 2);
    check_text(**tokenizer, {text.get(), size - 2});
    return 0;
  }
  std::vector<uint8_t> section(data + 1, data + size);
  if (data[0] % 4 == 1) {
    static const std::vector<uint8_t>& good = *new std::vector<uint8_t>(serialize_tokenizer(good_spec(0)));
    const std::string edited =
        test::apply_edits({reinterpret_cast<const char*>(good.data()), good.size()}, {data + 1, size - 1});
    section.assign(edited.begin(), edited.end());
  }
  section.shrink_to_fit();
  const auto tokenizer = Tokenizer::parse(section, 4096);
  if (!tokenizer.ok()) {
    require(tokenizer.code() != Code::ok && tokenizer.error().message[0] != '\0');
    require(tokenizer.error().offset == Error::no_offset || tokenizer.error().offset <= section.size());
    return 0;
  }
  for (uint32_t id = 0; id <= (*tokenizer).vocab_size(); ++id) (void)(*tokenizer).token(id).size();
  check_text(*tokenizer, kText);
  return 0;
}
