// Eight times the text takes about eight times the time, whatever the text is: no stage of any kind is quadratic. Every
// build asks for less than 2.7 times per doubling over three doublings: steps of n^1.5 (2.83) and n^2 (4) fail, while a
// text that outgrows a cache on a busy machine does not. ONEPASS_LINEAR_MIB measures instead: half and whole of that
// size, printed, at most 2.3 times; ONEPASS_LINEAR_SECTIONS names further sections, with ':' between them, as
// tokenizer_section writes them of whole vocabularies.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <thread>

#include "tests/text/sections.h"

namespace onepass::test {
namespace {

std::vector<uint8_t> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << "cannot read " << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The section at the head of a golden fixture.
std::vector<uint8_t> section_of(const std::string& name) {
  const char* folder = std::getenv("ONEPASS_FIXTURES");
  std::vector<uint8_t> bytes = read_bytes(std::string(folder == nullptr ? "tests/fixtures" : folder) + "/text/" + name);
  if (bytes.size() < 4 || bytes.size() - 4 < load_u32(bytes.data())) {
    ADD_FAILURE() << name << " has no section";
    return {};
  }
  return {bytes.begin() + 4, bytes.begin() + 4 + static_cast<std::ptrdiff_t>(load_u32(bytes.data()))};
}

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Buffers {
  EncodeScratch scratch;
  Array<uint32_t> ids;
  Array<TokenSpan> spans;
};

double encode_seconds(const Tokenizer& tokenizer, std::string_view text, Buffers& buffers) {
  buffers.ids.clear();
  buffers.spans.clear();
  const double start = cpu_seconds();
  EXPECT_TRUE(tokenizer.encode(text, {}, buffers.scratch, buffers.ids, &buffers.spans, nullptr).ok());
  return cpu_seconds() - start;
}

// What is repeated: letters whose merges chain, runs that expressions look through and give back, characters that
// normalisers gather, tokens that nearly are.
const std::string kUnits[] = {
    "a",
    "ab",
    "e",
    "th",
    "A",
    "aA",
    " ",
    " a",
    "  \n",
    "\t",
    "\n",
    "\r\n ",
    "/\n",
    "1",
    "12 ",
    "!",
    "'",
    "'s",
    "-=",
    "\xC3\xA9",                      // e with acute
    "\xCC\x81",                      // combining marks of one class
    "\xCC\x96\xCC\x81",              // of two
    "a\xCC\x81\xCC\x96",             // that compose
    "\xE0\xBD\xB1\xE0\xBD\xB2",      // that decompose to each other
    "\xE1\x84\x80",                  // Hangul: leading consonants
    "\xEA\xB0\x80\xE1\x86\xA8",      // that compose
    "\xCA\xB0",                      // upper and lower case at once
    "\xE0\xA4\x95\xE0\xA5\x8D",      // conjuncts
    "\xF0\x9F\x91\xA8\xE2\x80\x8D",  // joined emoji
    "\xF0\x9F\x87\xA9",              // flags
    "\xE2\x96\x81",                  // the mark for a space
    "\xEF\xB7\xBA",                  // one character that becomes eighteen
    "\xE4\xB8\xAD",                  // an ideograph
    "\xFF",                          // no UTF-8
    std::string("\0", 1),
    "<|im_",
    "<0x",
    "<mask",
};

// The units, one word of two letters at random, and words of 1 MiB of all letters where the text is that long.
std::vector<std::string> texts_of(size_t bytes) {
  std::vector<std::string> units(std::begin(kUnits), std::end(kUnits));
  std::mt19937 random(3);
  std::string word;
  for (size_t at = 0; at < 4096; ++at) word += "ae"[random() % 2];
  units.push_back(word);
  if (bytes >= size_t{4} << 20) {
    word.clear();
    while (word.size() < size_t{1} << 20) word += static_cast<char>('a' + random() % 26);
    units.push_back(word + " ");
  }
  return units;
}

void expect_linear(const std::string& name, const std::vector<uint8_t>& section) {
  const char* size = std::getenv("ONEPASS_LINEAR_MIB");
  const size_t n = size == nullptr ? size_t{1} << 15 : std::strtoull(size, nullptr, 10) << 20;
  const size_t times = size == nullptr ? 8 : 2;
  const double limit = size == nullptr ? 2.7 * 2.7 * 2.7 : 2.3;
  const Parsed tokenizer(section);
  ASSERT_EQ(tokenizer.code(), Code::ok);
  Buffers buffers;
  for (const std::string& unit : texts_of(times * n)) {
    std::string text;
    for (size_t i = 0; i < times * (n / unit.size()); ++i) text += unit;
    const std::string_view head = std::string_view(text).substr(0, text.size() / times);
    double ratio = 1e9;
    double whole = 1e9;
    double part = 1e9;
    (void)encode_seconds(*tokenizer, text, buffers);  // the buffers grow
    // A quadratic step keeps its ratio however often it is tried; a neighbour on the same core goes away.
    for (int attempt = 0; attempt < 60 && ratio > limit; ++attempt) {
      if (attempt >= 8) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      part = std::min(part, encode_seconds(*tokenizer, head, buffers));
      whole = std::min(whole, encode_seconds(*tokenizer, text, buffers));
      ratio = whole / part;
    }
    if (size != nullptr) {
      std::printf("%-20s %-24s ratio %.2f, %.1f ns a byte\n", name.c_str(),
                  testing::PrintToString(unit.substr(0, 6)).c_str(), ratio,
                  whole / static_cast<double>(text.size()) * 1e9);
      std::fflush(stdout);
    }
    EXPECT_LE(ratio, limit) << name << " " << testing::PrintToString(unit.substr(0, 20));
  }
}

class LinearTime : public testing::TestWithParam<const char*> {};

TEST_P(LinearTime, TimeGrowsWithTheText) { expect_linear(GetParam(), section_of(GetParam())); }

std::vector<std::string> given_sections() {
  const char* given = std::getenv("ONEPASS_LINEAR_SECTIONS");
  std::istringstream paths(given == nullptr ? "" : given);
  std::vector<std::string> out;
  for (std::string path; std::getline(paths, path, ':');) out.push_back(path);
  return out;
}

class LinearTimeOf : public testing::TestWithParam<std::string> {};

TEST_P(LinearTimeOf, WholeVocabularies) {
  expect_linear(GetParam().substr(GetParam().find_last_of('/') + 1), read_bytes(GetParam()));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LinearTimeOf);
INSTANTIATE_TEST_SUITE_P(Given, LinearTimeOf, testing::ValuesIn(given_sections()));

INSTANTIATE_TEST_SUITE_P(Fixtures, LinearTime,
                         testing::Values("wordpiece_uncased.bin", "bpe_roberta.bin", "bpe_qwen2.bin", "bpe_o200k.bin",
                                         "bpe_llama2.bin", "bpe_gemma3.bin", "unigram_deberta.bin",
                                         "unigram_albert.bin"),
                         [](const auto& info) { return std::string(info.param, std::strlen(info.param) - 4); });

}  // namespace
}  // namespace onepass::test
