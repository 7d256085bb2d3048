// Malformed files: every rule of docs/format.md, broken one at a time, gives its own error code and names the
// place. The hashes are right unless the rule is about them.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wrestrict"  // false alarm of GCC 12 on string = "literal", its bug 105651
#endif

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "formats/onepass/verify.h"
#include "tests/formats/onepass_raw.h"

namespace onepass::test {
namespace {

using kernels::Layout;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

struct Place {
  SectionId section;
  uint64_t offset;  // in the section
};

struct Case {
  const char* name;
  Code code;
  const char* where;
  std::function<void(RawModel&)> edit;
  std::optional<Place> at = std::nullopt;
  bool only_verify = false;  // the rule needs the weights' bytes: without verify the file opens
};

uint64_t section_offset(const std::vector<uint8_t>& file, SectionId id) {
  uint64_t offset = 0;
  for (size_t i = 0; i < 8; ++i) {
    offset |= uint64_t{file[64 + 64 * (static_cast<size_t>(id) - 1) + 8 + i]} << (8 * i);
  }
  return offset;
}

const RawModel& valid() {
  static const RawModel model = raw_of(tiny_model());
  return model;
}

void expect_error(const Case& c, const RawModel& base = valid()) {
  SCOPED_TRACE(c.name);
  RawModel model = base;
  c.edit(model);
  const std::vector<uint8_t> file = model.encode();
  const AlignedBytes bytes(file);
  for (const bool verify : {true, false}) {
    for (const LoadMode mode : {LoadMode::map, LoadMode::copy}) {
      const auto opened = ModelFile::from_memory(bytes.span(), {.mode = mode, .verify = verify});
      if (!verify && c.only_verify) {
        EXPECT_TRUE(opened.ok()) << opened.error().message;
        continue;
      }
      ASSERT_FALSE(opened.ok()) << "verify " << verify;
      const Error& error = opened.error();
      EXPECT_STREQ(code_name(error.code), code_name(c.code)) << error.where << ": " << error.message;
      EXPECT_STREQ(error.where, c.where) << error.message;
      EXPECT_STRNE(error.message, "");
      EXPECT_NE(error.offset, Error::no_offset);
      EXPECT_LE(error.offset, file.size());
      if (c.at) {
        EXPECT_EQ(error.offset, section_offset(file, c.at->section) + c.at->offset);
      }
    }
  }
}

// Edits of encoded bytes.
auto cut(SectionId id, size_t n) {
  return [=](RawModel& m) { m.edit_section[id] = [=](std::vector<uint8_t>& b) { b.resize(b.size() - n); }; };
}
auto append(SectionId id) {
  return [=](RawModel& m) { m.edit_section[id] = [](std::vector<uint8_t>& b) { b.push_back(0); }; };
}
auto table(std::function<void(std::vector<RawSection>&)> f) {
  return [=](RawModel& m) { m.edit_table = f; };
}
auto bytes(std::function<void(std::vector<uint8_t>&)> f) {
  return [=](RawModel& m) { m.edit_before_hash = f; };
}
auto unhashed(std::function<void(std::vector<uint8_t>&)> f) {
  return [=](RawModel& m) { m.edit_after_hash = f; };
}
void set_u32(std::vector<uint8_t>& b, size_t at, uint32_t v) {
  for (size_t i = 0; i < 4; ++i) b.at(at + i) = static_cast<uint8_t>(v >> (8 * i));
}
// Edits of a payload.
template <class T>
auto payload(const char* name, size_t at, T value) {
  return [=](RawModel& m) { std::memcpy(m.tensor(name).payload.data() + at, &value, sizeof(value)); };
}
size_t scales_of(const char* name, Layout layout, size_t n, size_t k) {
  RawModel m = valid();
  EXPECT_EQ(m.tensor(name).layout, static_cast<uint32_t>(layout));
  return kernels::scale_offset(layout, n, k);
}

TEST(OnepassMalformed, TheModelThatTheCasesBreakIsValid) {
  const auto file = valid().encode();
  ASSERT_LE(file.size(), 32768u);
  const AlignedBytes bytes(file);
  const auto opened = ModelFile::from_memory(bytes.span(), {});
  ASSERT_TRUE(opened.ok()) << opened.error().where << ": " << opened.error().message;
}

TEST(OnepassMalformed, Header) {
  const Case cases[] = {
      {"first magic byte", Code::bad_magic, "header", [](RawModel& m) { m.magic[0] = 'o'; }},
      {"last magic byte", Code::bad_magic, "header", [](RawModel& m) { m.magic[7] = '\n'; }},
      {"GGUF", Code::bad_magic, "header", [](RawModel& m) { m.magic = {'G', 'G', 'U', 'F', 3, 0, 0, 0}; }},
      {"version 0", Code::bad_version, "header", [](RawModel& m) { m.version = 0; }},
      {"version 2", Code::bad_version, "header", [](RawModel& m) { m.version = 2; }},
      {"big-endian", Code::bad_endian, "header", [](RawModel& m) { m.endian = 0x04030201; }},
      {"endian tag 0", Code::bad_endian, "header", [](RawModel& m) { m.endian = 0; }},
      {"flag 0", Code::unknown_flags, "header", [](RawModel& m) { m.flags = 1; }},
      {"flag 31", Code::unknown_flags, "header", [](RawModel& m) { m.flags = 1u << 31; }},
      {"file_size too large", Code::truncated, "header", [](RawModel& m) { m.file_size = 1 << 20; }},
      {"file_size huge", Code::truncated, "header", [](RawModel& m) { m.file_size = ~0ull; }},
      {"file_size 0", Code::trailing_bytes, "header", [](RawModel& m) { m.file_size = 0; }},
      {"byte after the end", Code::trailing_bytes, "header", bytes([](std::vector<uint8_t>& b) { b.push_back(0); })},
      {"65 sections", Code::limit_exceeded, "header", [](RawModel& m) { m.section_count = 65; }},
      {"2^32-1 sections", Code::limit_exceeded, "header", [](RawModel& m) { m.section_count = ~0u; }},
  };
  for (const Case& c : cases) expect_error(c);
}

TEST(OnepassMalformed, HeaderCutShort) {
  const auto file = valid().encode();
  for (const size_t size : {0u, 1u, 7u, 8u, 12u, 31u, 32u, 63u, 64u, 100u, 511u}) {
    const AlignedBytes bytes({file.data(), size});
    for (const bool verify : {true, false}) {
      const auto opened = ModelFile::from_memory(bytes.span(), {.verify = verify});
      ASSERT_FALSE(opened.ok());
      EXPECT_STREQ(code_name(opened.code()), "truncated") << size;
    }
  }
  // The declared size fits, the table does not.
  RawModel model = valid();
  model.section_count = 64;
  model.file_size = 100;
  auto shorter = model.encode();
  shorter.resize(100);
  const AlignedBytes bytes(shorter);
  const auto opened = ModelFile::from_memory(bytes.span(), {});
  ASSERT_FALSE(opened.ok());
  EXPECT_STREQ(code_name(opened.code()), "truncated");
  EXPECT_STREQ(opened.error().where, "sections");
}

TEST(OnepassMalformed, SectionTable) {
  using Table = std::vector<RawSection>;
  const Case cases[] = {
      {"id 0", Code::bad_section, "sections", table([](Table& t) { t[0].id = 0; })},
      {"id 8", Code::bad_section, "sections", table([](Table& t) { t[6].id = 8; })},
      {"id 2^32-1", Code::bad_section, "sections", table([](Table& t) { t[3].id = ~0u; })},
      {"twice the heads", Code::bad_section, "tokenizer", table([](Table& t) { t[2].id = 2; })},
      {"swapped", Code::bad_section, "config", table([](Table& t) { std::swap(t[0], t[1]); })},
      {"no config", Code::bad_section, "config", table([](Table& t) { t.erase(t.begin()); })},
      {"no heads", Code::bad_section, "heads", table([](Table& t) { t.erase(t.begin() + 1); })},
      {"no tokenizer", Code::bad_section, "tokenizer", table([](Table& t) { t.erase(t.begin() + 2); })},
      {"no metadata", Code::bad_section, "metadata", table([](Table& t) { t.erase(t.begin() + 3); })},
      {"no tensors", Code::bad_section, "tensors", table([](Table& t) { t.erase(t.begin() + 4); })},
      {"no self_test", Code::bad_section, "self_test", table([](Table& t) { t.erase(t.begin() + 5); })},
      {"no weights", Code::bad_section, "weights", table([](Table& t) { t.pop_back(); })},
      {"no section at all", Code::bad_section, "config", table([](Table& t) { t.clear(); })},
      {"an eighth section", Code::bad_section, "weights", table([](Table& t) {
         t.push_back(t.back());
         t.back().id = 7;
         for (auto& s : t) s.offset += 64;
         t[6].offset -= 64;
       })},
      {"reserved field", Code::nonzero_padding, "metadata", table([](Table& t) { t[3].reserved = 1; })},
      {"reserved end field", Code::nonzero_padding, "weights", table([](Table& t) { t[6].reserved_end = 1ull << 63; })},
      {"config above its cap", Code::limit_exceeded, "config", table([](Table& t) { t[0].size = 16385; })},
      {"heads above their cap", Code::limit_exceeded, "heads", table([](Table& t) { t[1].size = (16u << 20) + 1; })},
      {"tokenizer above its cap", Code::limit_exceeded, "tokenizer",
       table([](Table& t) { t[2].size = (256u << 20) + 1; })},
      {"metadata above their cap", Code::limit_exceeded, "metadata",
       table([](Table& t) { t[3].size = (8u << 20) + 1; })},
      {"directory above its cap", Code::limit_exceeded, "tensors", table([](Table& t) { t[4].size = (1u << 20) + 1; })},
      {"self_test above its cap", Code::limit_exceeded, "self_test",
       table([](Table& t) { t[5].size = (16u << 20) + 1; })},
      {"weights above their cap", Code::limit_exceeded, "weights", table([](Table& t) { t[6].size = ~0ull; })},
      {"end overflows", Code::overflow, "weights", table([](Table& t) {
         t[6].offset = ~0ull - 16383;
         t[6].size = 1ull << 62;
       })},
      {"offset overflows", Code::overflow, "config", table([](Table& t) { t[0].offset = ~0ull; })},
      {"odd offset", Code::misaligned, "config", table([](Table& t) { t[0].offset += 1; })},
      {"offset by 32", Code::misaligned, "tensors", table([](Table& t) { t[4].offset += 32; })},
      {"weights at 64", Code::misaligned, "weights", table([](Table& t) { t[6].offset += 64; })},
      {"offset 0", Code::bad_section, "config", table([](Table& t) { t[0].offset = 0; })},
      {"sections overlap", Code::bad_section, "heads", table([](Table& t) { t[1].offset = t[0].offset; })},
      {"gap of 64", Code::bad_section, "heads", table([](Table& t) { t[1].offset += 64; })},
      {"weights a page later", Code::bad_section, "weights", table([](Table& t) { t[6].offset += 16384; })},
      {"config longer than the file", Code::bad_section, "heads", table([](Table& t) { t[0].size = 4096; })},
      {"tokenizer longer than the file", Code::truncated, "tokenizer", table([](Table& t) { t[2].size = 256u << 20; })},
      {"weights longer than the file", Code::truncated, "weights", table([](Table& t) { t[6].size += 1; })},
      {"weights huge", Code::truncated, "weights", table([](Table& t) { t[6].size = 1ull << 62; })},
      {"weights shorter than the file", Code::trailing_bytes, "weights", table([](Table& t) { t[6].size -= 1; })},
      {"gap after the config", Code::nonzero_padding, "heads",
       bytes([](std::vector<uint8_t>& b) { b.at(section_offset(b, SectionId::heads) - 1) = 1; })},
      {"gap before the weights", Code::nonzero_padding, "weights",
       bytes([](std::vector<uint8_t>& b) { b.at(section_offset(b, SectionId::weights) - 1) = 1; })},
      {"gap before the weights, first page", Code::nonzero_padding, "weights",
       bytes([](std::vector<uint8_t>& b) { b.at(section_offset(b, SectionId::weights) - 8192) = 0x80; })},
  };
  for (const Case& c : cases) expect_error(c);
}

TEST(OnepassMalformed, Config) {
  const auto at = [](size_t field, uint64_t in_field) { return Place{SectionId::config, 4 + 16 * field + in_field}; };
  const auto set = [](uint32_t key, uint64_t bits) { return [=](RawModel& m) { m.field(key).bits = bits; }; };
  const auto drop = [](uint32_t key) {
    return [=](RawModel& m) { std::erase_if(m.config, [=](const RawField& f) { return f.key == key; }); };
  };
  const auto add = [](uint32_t key, uint64_t bits) {
    return [=](RawModel& m) {
      const auto after = std::find_if(m.config.begin(), m.config.end(), [=](const RawField& f) { return f.key > key; });
      m.config.insert(after, {key, 1, bits});
    };
  };
  const auto add_real = [](uint32_t key, double value) {
    return [=](RawModel& m) {
      const auto after = std::find_if(m.config.begin(), m.config.end(), [=](const RawField& f) { return f.key > key; });
      m.config.insert(after, {key, 2, std::bit_cast<uint64_t>(value)});
    };
  };
  const auto as_many_kv_heads = [](RawModel& m) { m.field(43).bits = m.field(42).bits; };
  const auto all = [](auto... changes) { return [=](RawModel& m) { (changes(m), ...); }; };
  const Case cases[] = {
      {"empty section", Code::truncated, "config", cut(SectionId::config, valid().config.size() * 16 + 4)},
      {"half a count", Code::truncated, "config", cut(SectionId::config, valid().config.size() * 16 + 2)},
      {"half a field", Code::truncated, "config", cut(SectionId::config, 8)},
      {"more fields than bytes", Code::truncated, "config",
       [](RawModel& m) {
         m.config_count = static_cast<uint32_t>(m.config.size());
         m.config.pop_back();
       }},
      {"too many fields", Code::limit_exceeded, "config", [](RawModel& m) { m.config_count = ~0u; },
       Place{SectionId::config, 0}},
      {"fewer fields than bytes", Code::trailing_bytes, "config",
       [](RawModel& m) { m.config_count = static_cast<uint32_t>(m.config.size() - 1); }},
      {"byte at the end", Code::trailing_bytes, "config", append(SectionId::config)},
      {"no field", Code::bad_value, "norm", [](RawModel& m) { m.config.clear(); }},
      {"unknown key 0", Code::unknown_key, "config", [](RawModel& m) { m.config[0].key = 0; }, at(0, 0)},
      {"unknown key 39", Code::unknown_key, "config", [](RawModel& m) { m.config[0].key = 39; }, at(0, 0)},
      {"unknown key 2^32-1", Code::unknown_key, "config", [](RawModel& m) { m.config.back().key = ~0u; }},
      {"key twice", Code::duplicate_name, "norm", [](RawModel& m) { m.config[1] = m.config[0]; }, at(1, 0)},
      {"keys fall", Code::not_canonical, "norm", [](RawModel& m) { std::swap(m.config[0], m.config[1]); }, at(1, 0)},
      {"integer as f64", Code::bad_type, "norm", [](RawModel& m) { m.config[0].type = 2; }, at(0, 4)},
      {"f64 as integer", Code::bad_type, "norm_eps", [](RawModel& m) { m.field(49).type = 1; }},
      {"type 0", Code::bad_type, "norm", [](RawModel& m) { m.config[0].type = 0; }},
      {"type 3", Code::bad_type, "norm", [](RawModel& m) { m.config[0].type = 3; }},
      {"stored zero", Code::not_canonical, "norm", set(1, 0), at(0, 8)},
      {"stored zero f64", Code::not_canonical, "norm_eps", set(49, 0)},
      {"norm 3", Code::bad_value, "norm", set(1, 3), at(0, 8)},
      {"norm 2^32+1", Code::bad_value, "norm", set(1, (1ull << 32) + 1)},
      {"norm_place 4", Code::bad_value, "norm_place", set(2, 4)},
      {"position 4", Code::bad_value, "position", set(3, 4)},
      {"rotary positions without a width", Code::bad_value, "rotary_width", set(3, 3)},
      {"position after a padding without an id", Code::bad_value, "position_first",
       [=](RawModel& m) {
         set(3, 2)(m);
         drop(4)(m);
       }},
      {"position_first 2^20+1", Code::bad_value, "position_first", set(4, (1u << 20) + 1)},
      {"segment_types 65,537", Code::bad_value, "segment_types", set(5, 65537)},
      {"mask 3", Code::bad_value, "mask", set(6, 3)},
      {"ffn 3", Code::bad_value, "ffn", set(7, 3)},
      {"act beyond the list", Code::bad_value, "act", set(8, kernels::act_count)},
      {"embed_norm 2", Code::bad_value, "embed_norm", set(9, 2)},
      {"biases 2", Code::bad_value, "biases", set(10, 2)},
      {"pool 7", Code::bad_value, "pool", set(11, 7)},
      {"pooler 2", Code::bad_value, "pooler", set(12, 2)},
      {"pooler_act beyond the list", Code::bad_value, "pooler_act", set(13, kernels::act_count)},
      {"unbiased 128", Code::bad_value, "unbiased", add(14, 128)},
      {"every part unbiased", Code::bad_value, "unbiased", add(14, 127)},
      {"pooler_norm 2", Code::bad_value, "pooler_norm", add(15, 2)},
      {"final_norm 2", Code::bad_value, "final_norm", add(16, 2)},
      {"no first norm to skip", Code::bad_value, "skip_first_norm", add(17, 1)},
      {"local_rotary without rotary positions", Code::bad_value, "local_rotary", add(18, 1)},
      {"relative 3", Code::bad_value, "relative", add(19, 3)},
      {"relative without terms", Code::bad_value, "relative_terms", add(19, 1)},
      {"relative without rows", Code::bad_value, "relative_rows", add(19, 2)},
      {"relative with attention in int8 and 65,537 tokens", Code::bad_value, "attention",
       all(add(19, 2), add(30, 1), as_many_kv_heads, set(48, 65537), add(55, 4))},
      {"relative beside a softcap, in int8", Code::bad_value, "attention",
       all(add(19, 2), add(30, 1), as_many_kv_heads, add(55, 4), add_real(66, 30.0))},
      {"relative_terms alone", Code::bad_value, "relative_terms", add(20, 1)},
      {"relative_terms 4", Code::bad_value, "relative_terms", add(20, 4)},
      {"rotary_width alone", Code::bad_value, "rotary_width", add(52, 2)},
      {"global_every without a window", Code::bad_value, "global_every", add(54, 3)},
      {"biases of an RMS norm", Code::bad_value, "unbiased", set(1, 2)},
      {"biases of four norms a layer", Code::bad_value, "unbiased", set(2, 3)},
      {"biases of qk_norm", Code::bad_value, "unbiased", add(25, 1)},
      {"window_first without a window", Code::bad_value, "window_first", add(60, 1)},
      {"window_first 257", Code::bad_value, "window_first", add(60, 257)},
      {"global_first without global_every", Code::bad_value, "global_first", add(61, 1)},
      {"rotary_original without rotary positions", Code::bad_value, "rotary_original", add(62, 8)},
      {"rotary_factor without rotary positions", Code::bad_value, "rotary_factor", add_real(63, 1.5)},
      {"pad_id without a rule", Code::bad_value, "pad_id", add(64, 3)},
      {"pad_id 2^20", Code::bad_value, "pad_id", add(64, 1u << 20)},
      {"attn_scale as integer", Code::bad_type, "attn_scale", add(65, 1)},
      {"attn_scale negative", Code::bad_value, "attn_scale", add_real(65, -0.5)},
      {"attn_softcap NaN", Code::bad_value, "attn_softcap", add_real(66, std::numeric_limits<double>::quiet_NaN())},
      {"embed_scale infinite", Code::bad_value, "embed_scale", add_real(67, std::numeric_limits<double>::infinity())},
      {"embed_scale -0", Code::bad_value, "embed_scale", add_real(67, -0.0)},
      {"prefix_tokens of an encoder", Code::bad_value, "prefix_tokens", add(70, 2)},
      {"words 65", Code::bad_value, "words", add(68, 65)},
      {"edges without branches", Code::bad_value, "edges", add(71, 5)},
      {"branches without edges", Code::bad_value, "edges", add(72, 2)},
      {"branches 1025", Code::bad_value, "branches", add(72, 1025)},
      {"branch_tokens 65", Code::bad_value, "branch_tokens", add(73, 65)},
      {"logit_softcap without words", Code::bad_value, "logit_softcap", add_real(69, 30.0)},
      {"relative_rows alone", Code::bad_value, "relative_rows", add(55, 4)},
      {"relative_rows 65,536", Code::bad_value, "relative_rows", add(55, 65536)},
      {"no mask", Code::bad_value, "mask", drop(6)},
      {"no ffn", Code::bad_value, "ffn", drop(7)},
      {"no pool", Code::bad_value, "pool", drop(11)},
      {"pooler_act without a pooler", Code::bad_value, "pooler_act", drop(12)},
      {"no layers", Code::bad_value, "layers", drop(40)},
      {"257 layers", Code::bad_value, "layers", set(40, 257)},
      {"no width", Code::bad_value, "width", drop(41)},
      {"width 65,537", Code::bad_value, "width", set(41, 65537)},
      {"no heads", Code::bad_value, "heads", drop(42)},
      {"heads x head_width too large", Code::bad_value, "heads", set(42, 65536)},
      {"no kv_heads", Code::bad_value, "kv_heads", drop(43)},
      {"kv_heads do not divide", Code::bad_value, "kv_heads", set(43, 3)},
      {"no head_width", Code::bad_value, "heads", drop(44)},
      {"head_width 257", Code::bad_value, "head_width", set(44, 257)},
      {"ffn_width 65,537", Code::bad_value, "ffn_width", set(45, 65537)},
      {"no vocab", Code::bad_value, "vocab", drop(46)},
      {"vocab 2^20+1", Code::bad_value, "vocab", set(46, (1u << 20) + 1)},
      {"positions too few", Code::bad_value, "positions", set(47, 7)},
      {"positions 2^21+1", Code::bad_value, "positions", set(47, (2u << 20) + 1)},
      {"positions without learned positions", Code::bad_value, "positions", drop(3)},
      {"no max_tokens", Code::bad_value, "max_tokens", drop(48)},
      {"max_tokens 2^64-1", Code::bad_value, "max_tokens", set(48, ~0ull)},
      {"no norm_eps", Code::bad_value, "norm_eps", drop(49)},
      {"norm_eps 1", Code::bad_value, "norm_eps", set(49, std::bit_cast<uint64_t>(1.0))},
      {"norm_eps negative", Code::bad_value, "norm_eps", set(49, std::bit_cast<uint64_t>(-1e-5))},
      {"norm_eps -0", Code::bad_value, "norm_eps", set(49, std::bit_cast<uint64_t>(-0.0))},
      {"norm_eps NaN", Code::bad_value, "norm_eps", set(49, 0x7FF8000000000000)},
      {"norm_eps infinite", Code::bad_value, "norm_eps", set(49, 0x7FF0000000000000)},
      {"embed_width 65,537", Code::bad_value, "embed_width", add(50, 65537)},
      {"as many stored_layers as layers", Code::bad_value, "stored_layers", add(51, 2)},
      {"stored_layers do not divide", Code::bad_value, "stored_layers", add(51, 3)},
  };
  for (const Case& c : cases) expect_error(c);
}

TEST(OnepassMalformed, Heads) {
  const Case cases[] = {
      {"empty section", Code::truncated, "heads",
       [](RawModel& m) { m.edit_section[SectionId::heads] = [](std::vector<uint8_t>& b) { b.clear(); }; }},
      {"last byte missing", Code::truncated, "heads", cut(SectionId::heads, 1)},
      {"range missing", Code::truncated, "heads", cut(SectionId::heads, 8)},
      {"byte at the end", Code::trailing_bytes, "heads", append(SectionId::heads)},
      {"no head", Code::bad_value, "heads", [](RawModel& m) { m.heads.clear(); }, Place{SectionId::heads, 0}},
      {"65 heads", Code::limit_exceeded, "heads", [](RawModel& m) { m.head_count = 65; }, Place{SectionId::heads, 0}},
      {"64 heads declared", Code::truncated, "heads", [](RawModel& m) { m.head_count = 64; }},
      {"fewer heads declared", Code::trailing_bytes, "heads", [](RawModel& m) { m.head_count = 2; }},
      {"empty name", Code::bad_name, "heads", [](RawModel& m) { m.heads[0].name = ""; }, Place{SectionId::heads, 4}},
      {"name of 256 bytes", Code::bad_name, "heads", [](RawModel& m) { m.heads[0].name = std::string(256, 'a'); }},
      {"NUL in a name", Code::bad_name, "heads", [](RawModel& m) { m.heads[0].name = std::string("a\0b", 3); }},
      {"name not UTF-8", Code::bad_utf8, "heads", [](RawModel& m) { m.heads[0].name = "\xC0\x80"; }},
      {"name with a surrogate", Code::bad_utf8, "heads", [](RawModel& m) { m.heads[0].name = "\xED\xA0\x80"; }},
      {"name longer than the section", Code::truncated, "heads",
       [](RawModel& m) { m.edit_section[SectionId::heads] = [](auto& b) { set_u32(b, 4, ~0u); }; },
       Place{SectionId::heads, 4}},
      {"two heads of one name", Code::duplicate_name, "emotion", [](RawModel& m) { m.heads[2].name = "emotion"; }},
      {"kind 0", Code::unknown_value, "emotion", [](RawModel& m) { m.heads[0].kind = 0; }, Place{SectionId::heads, 15}},
      {"kind 5", Code::unknown_value, "emotion", [](RawModel& m) { m.heads[0].kind = 5; }},
      {"token_label of a model that pools", Code::bad_value, "topic", [](RawModel& m) { m.heads[2].kind = 4; }},
      {"single_label of a model that does not", Code::bad_value, "emotion", [](RawModel& m) { m.field(11).bits = 6; },
       Place{SectionId::heads, 15}},
      {"no label", Code::bad_value, "pad", [](RawModel& m) { m.heads[1].labels.clear(); }},
      {"single_label of one label", Code::bad_value, "topic", [](RawModel& m) { m.heads[2].labels = {"a"}; }},
      {"65,537 labels", Code::limit_exceeded, "emotion", [](RawModel& m) { m.heads[0].classes = 65537; },
       Place{SectionId::heads, 19}},
      {"65,536 labels declared", Code::truncated, "heads", [](RawModel& m) { m.heads[0].classes = 65536; }},
      {"empty label", Code::bad_name, "heads", [](RawModel& m) { m.heads[0].labels[1] = ""; }},
      {"label of 256 bytes", Code::bad_name, "heads",
       [](RawModel& m) { m.heads[0].labels[1] = std::string(256, 'x'); }},
      {"label not UTF-8", Code::bad_utf8, "heads", [](RawModel& m) { m.heads[0].labels[1] = "\xFF"; }},
      {"label cut in a character", Code::bad_utf8, "heads", [](RawModel& m) { m.heads[0].labels[1] = "\xE2\x82"; }},
      {"two labels of one name", Code::duplicate_name, "joy", [](RawModel& m) { m.heads[0].labels[2] = "joy"; },
       Place{SectionId::heads, 43}},
      {"activation 0", Code::unknown_value, "emotion", [](RawModel& m) { m.heads[0].activation = 0; }},
      {"activation 4", Code::unknown_value, "emotion", [](RawModel& m) { m.heads[0].activation = 4; }},
      {"multi_label with softmax", Code::bad_value, "emotion", [](RawModel& m) { m.heads[0].activation = 3; }},
      {"single_label with sigmoid", Code::bad_value, "topic", [](RawModel& m) { m.heads[2].activation = 2; }},
      {"regression with softmax", Code::bad_value, "pad", [](RawModel& m) { m.heads[1].activation = 3; }},
      {"temperature 0", Code::bad_value, "emotion", [](RawModel& m) { m.heads[0].temperature = 0; }},
      {"temperature negative", Code::bad_value, "emotion", [](RawModel& m) { m.heads[0].temperature = -1; }},
      {"temperature NaN", Code::bad_value, "emotion", [](RawModel& m) { m.heads[0].temperature = kNan; }},
      {"temperature infinite", Code::bad_value, "topic", [](RawModel& m) { m.heads[2].temperature = kInf; }},
      {"temperature of a regression", Code::not_canonical, "pad", [](RawModel& m) { m.heads[1].temperature = 2; }},
      {"no threshold", Code::bad_value, "emotion", [](RawModel& m) { m.heads[0].thresholds.clear(); }},
      {"a threshold too few", Code::bad_value, "emotion", [](RawModel& m) { m.heads[0].thresholds.pop_back(); }},
      {"2^32-1 thresholds", Code::bad_value, "emotion", [](RawModel& m) { m.heads[0].threshold_count = ~0u; }},
      {"thresholds of a single_label", Code::bad_value, "topic",
       [](RawModel& m) {
         m.heads[2].thresholds = {0, 0};
       }},
      {"threshold above 1", Code::bad_value, "emotion", [](RawModel& m) { m.heads[0].thresholds[1] = 1.01f; }},
      {"threshold negative", Code::bad_value, "emotion", [](RawModel& m) { m.heads[0].thresholds[1] = -0.5f; }},
      {"threshold NaN", Code::bad_value, "emotion", [](RawModel& m) { m.heads[0].thresholds[2] = kNan; }},
      {"range of a multi_label", Code::not_canonical, "emotion", [](RawModel& m) { m.heads[0].high = 1; }},
      {"range -0 of a multi_label", Code::not_canonical, "emotion", [](RawModel& m) { m.heads[0].low = -0.0f; }},
      {"range NaN", Code::bad_value, "pad", [](RawModel& m) { m.heads[1].low = kNan; }},
      {"range infinite", Code::bad_value, "pad", [](RawModel& m) { m.heads[1].high = kInf; }},
      {"range empty", Code::bad_value, "pad", [](RawModel& m) { m.heads[1].high = -1; }},
      {"range falling", Code::bad_value, "pad", [](RawModel& m) { m.heads[1].high = -2; }},
  };
  for (const Case& c : cases) expect_error(c);
}

TEST(OnepassMalformed, Metadata) {
  const Case cases[] = {
      {"empty section", Code::truncated, "metadata",
       [](RawModel& m) { m.edit_section[SectionId::metadata] = [](std::vector<uint8_t>& b) { b.clear(); }; }},
      {"last byte missing", Code::truncated, "metadata", cut(SectionId::metadata, 1)},
      {"byte at the end", Code::trailing_bytes, "metadata", append(SectionId::metadata)},
      {"more keys declared", Code::truncated, "metadata", [](RawModel& m) { m.metadata_count = 6; }},
      {"8 keys", Code::limit_exceeded, "metadata", [](RawModel& m) { m.metadata_count = 8; },
       Place{SectionId::metadata, 0}},
      {"unknown key", Code::unknown_key, "metadata", [](RawModel& m) { m.metadata[0].first = "author"; },
       Place{SectionId::metadata, 4}},
      {"key in another case", Code::unknown_key, "metadata", [](RawModel& m) { m.metadata[0].first = "Converter"; }},
      {"empty key", Code::unknown_key, "metadata", [](RawModel& m) { m.metadata[0].first = ""; }},
      {"key twice", Code::duplicate_name, "converter", [](RawModel& m) { m.metadata[1].first = "converter"; }},
      {"keys fall", Code::not_canonical, "converter", [](RawModel& m) { std::swap(m.metadata[0], m.metadata[1]); }},
      {"empty value", Code::not_canonical, "family", [](RawModel& m) { m.metadata[1].second = ""; }},
      {"value not UTF-8", Code::bad_utf8, "family", [](RawModel& m) { m.metadata[1].second = "b\x80"; }},
      {"NUL in a value", Code::bad_value, "family", [](RawModel& m) { m.metadata[1].second = std::string("a\0", 2); }},
      {"value above 1 MiB", Code::limit_exceeded, "licence",
       [](RawModel& m) { m.metadata[2].second = std::string((1u << 20) + 1, 'x'); }},
      {"value longer than the section", Code::truncated, "metadata",
       [](RawModel& m) { m.edit_section[SectionId::metadata] = [](auto& b) { set_u32(b, 17, 0xFFFFFFF0u); }; }},
  };
  for (const Case& c : cases) expect_error(c);
}

TEST(OnepassMalformed, SelfTest) {
  const Case cases[] = {
      {"empty section", Code::truncated, "self_test",
       [](RawModel& m) { m.edit_section[SectionId::self_test] = [](std::vector<uint8_t>& b) { b.clear(); }; }},
      {"last byte missing", Code::truncated, "self_test", cut(SectionId::self_test, 1)},
      {"byte at the end", Code::trailing_bytes, "self_test", append(SectionId::self_test)},
      {"65 tests", Code::limit_exceeded, "self_test", [](RawModel& m) { m.self_test_count = 65; }},
      {"64 tests declared", Code::truncated, "self_test", [](RawModel& m) { m.self_test_count = 64; }},
      {"no token", Code::bad_value, "self_test", [](RawModel& m) { m.self_tests[0].ids.clear(); },
       Place{SectionId::self_test, 4}},
      {"more than max_tokens", Code::bad_value, "self_test", [](RawModel& m) { m.self_tests[0].ids.assign(7, 1); }},
      {"2^32-1 tokens", Code::bad_value, "self_test", [](RawModel& m) { m.self_tests[0].tokens = ~0u; }},
      {"token not in the vocabulary", Code::bad_value, "self_test", [](RawModel& m) { m.self_tests[0].ids[2] = 11; },
       Place{SectionId::self_test, 16}},
      {"token 2^32-1", Code::bad_value, "self_test", [](RawModel& m) { m.self_tests[1].ids[0] = ~0u; }},
      {"a logit too few", Code::truncated, "self_test", [](RawModel& m) { m.self_tests[1].logits.pop_back(); }},
      {"logit NaN", Code::non_finite, "self_test", [](RawModel& m) { m.self_tests[0].logits[0] = kNan; },
       Place{SectionId::self_test, 20}},
      {"logit infinite", Code::non_finite, "self_test", [](RawModel& m) { m.self_tests[1].logits[5] = -kInf; }},
  };
  for (const Case& c : cases) expect_error(c);
}

// A model that labels tokens: its heads, and its self-tests, which have logits for every token.
TEST(OnepassMalformed, TokenLabels) {
  const RawModel base = raw_of(token_model());
  {
    const AlignedBytes file(base.encode());
    const auto opened = ModelFile::from_memory(file.span(), {.mode = LoadMode::copy});
    ASSERT_TRUE(opened.ok()) << opened.error().where << ": " << opened.error().message;
    EXPECT_EQ(opened.value().self_tests()[0].logits.size(), 9u);
    EXPECT_EQ(opened.value().self_tests()[0].logits[8], -9);
    EXPECT_EQ(opened.value().self_tests()[1].logits.size(), 3u);
    const auto again = serialize_model(content_of(opened.value()));
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_TRUE(std::equal(again->begin(), again->end(), file.span().begin(), file.span().end()));
  }
  const Case cases[] = {
      {"single_label", Code::bad_value, "entities", [](RawModel& m) { m.heads[0].kind = 1; },
       Place{SectionId::heads, 16}},
      {"pool 1", Code::bad_value, "entities", [](RawModel& m) { m.field(11).bits = 1; }, Place{SectionId::heads, 16}},
      {"pool 7", Code::bad_value, "pool", [](RawModel& m) { m.field(11).bits = 7; }},
      {"one label", Code::bad_value, "entities", [](RawModel& m) { m.heads[0].labels = {"O"}; }},
      {"sigmoid", Code::bad_value, "entities", [](RawModel& m) { m.heads[0].activation = 2; }},
      {"identity", Code::bad_value, "entities", [](RawModel& m) { m.heads[0].activation = 1; }},
      {"thresholds", Code::bad_value, "entities",
       [](RawModel& m) {
         m.heads[0].thresholds = {0, 0, 0};
       }},
      {"range", Code::not_canonical, "entities", [](RawModel& m) { m.heads[0].high = 1; }},
      {"logits of one token", Code::truncated, "self_test",
       [](RawModel& m) {
         m.self_tests[1].ids = {0, 1};
       }},
      {"a logit too few", Code::truncated, "self_test", [](RawModel& m) { m.self_tests[1].logits.pop_back(); }},
      {"a logit too many", Code::trailing_bytes, "self_test", [](RawModel& m) { m.self_tests[1].logits.push_back(0); }},
      {"logit NaN of the last token", Code::non_finite, "self_test",
       [](RawModel& m) { m.self_tests[0].logits[8] = kNan; }, Place{SectionId::self_test, 4 + 4 + 12 + 32}},
  };
  for (const Case& c : cases) expect_error(c, base);
}

TEST(OnepassMalformed, Directory) {
  const char* const qkv = "layers.0.attn.qkv.w";
  const Case cases[] = {
      {"empty section", Code::truncated, "tensors",
       [](RawModel& m) { m.edit_section[SectionId::tensors] = [](std::vector<uint8_t>& b) { b.clear(); }; }},
      {"last byte missing", Code::truncated, "tensors", cut(SectionId::tensors, 1)},
      {"byte at the end", Code::trailing_bytes, "tensors", append(SectionId::tensors)},
      {"2^32-1 tensors", Code::truncated, "tensors", [](RawModel& m) { m.tensor_count = ~0u; },
       Place{SectionId::tensors, 0}},
      {"no tensor", Code::missing_tensor, "embed.token.w", [](RawModel& m) { m.tensors.clear(); }},
      {"tensor_count too small", Code::missing_tensor, "heads.2.b",
       [](RawModel& m) { m.tensor_count = static_cast<uint32_t>(m.tensors.size() - 1); }},
      {"empty name", Code::bad_name, "tensors", [](RawModel& m) { m.tensors[1].name = ""; }},
      {"NUL in a name", Code::bad_name, "tensors", [](RawModel& m) { m.tensors[1].name = std::string("a\0b", 3); }},
      {"name of 256 bytes", Code::bad_name, "tensors", [](RawModel& m) { m.tensors[1].name = std::string(256, 'w'); }},
      {"name not UTF-8", Code::bad_utf8, "tensors", [](RawModel& m) { m.tensors[1].name = "\x80"; }},
      {"unknown name", Code::extra_tensor, "embed.position", [](RawModel& m) { m.tensors[1].name = "embed.position"; }},
      {"tensor of a third layer", Code::extra_tensor, "layers.2.attn.qkv.w",
       [=](RawModel& m) { m.tensor(qkv).name = "layers.2.attn.qkv.w"; }},
      {"tensor at the end", Code::extra_tensor, "more.w",
       [](RawModel& m) {
         m.tensors.push_back(m.tensors.back());
         m.tensors.back().name = "more.w";
         m.place_tensors();
       }},
      {"last tensor twice", Code::duplicate_name, "heads.2.b",
       [](RawModel& m) {
         m.tensors.push_back(m.tensors.back());
         m.place_tensors();
       }},
      {"out of order", Code::not_canonical, "embed.position.w",
       [](RawModel& m) {
         std::swap(m.tensors[0], m.tensors[1]);
         m.place_tensors();
       }},
      {"tensor of a config without it", Code::extra_tensor, "embed.type.w",
       [](RawModel& m) { std::erase_if(m.config, [](const RawField& f) { return f.key == 5; }); }},
      {"config with one layer less", Code::extra_tensor, "layers.1.attn.qkv.w",
       [](RawModel& m) { m.field(40).bits = 1; }},
      {"config with one layer more", Code::missing_tensor, "layers.2.attn.qkv.w",
       [](RawModel& m) { m.field(40).bits = 3; }},
      {"a head without its tensors", Code::missing_tensor, "heads.3.w",
       [](RawModel& m) {
         m.heads.push_back(m.heads[1]);
         m.heads.back().name = "more";
         m.self_tests.clear();
       }},
      {"dtype 0", Code::unknown_value, qkv, [=](RawModel& m) { m.tensor(qkv).dtype = 0; }},
      {"dtype 6", Code::unknown_value, qkv, [=](RawModel& m) { m.tensor(qkv).dtype = 6; }},
      {"dtype of another layout", Code::bad_dtype, qkv, [=](RawModel& m) { m.tensor(qkv).dtype = 1; }},
      {"layout 0", Code::unknown_value, qkv, [=](RawModel& m) { m.tensor(qkv).layout = 0; }},
      {"layout beyond the list", Code::unknown_value, qkv,
       [=](RawModel& m) { m.tensor(qkv).layout = kernels::layout_count; }},
      {"layout 2^32-1", Code::unknown_value, qkv, [=](RawModel& m) { m.tensor(qkv).layout = ~0u; }},
      {"matrix in a table's layout", Code::bad_dtype, qkv, [=](RawModel& m) { m.tensor(qkv).layout = 3; }},
      {"table in a matrix's layout", Code::bad_dtype, "embed.token.w",
       [](RawModel& m) { m.tensor("embed.token.w").layout = 6; }},
      {"vector in f16", Code::bad_dtype, "embed.norm.w",
       [](RawModel& m) {
         m.tensor("embed.norm.w").layout = 2;
         m.tensor("embed.norm.w").dtype = 2;
       }},
      {"rank 0", Code::bad_shape, qkv, [=](RawModel& m) { m.tensor(qkv).dims = {}; }},
      {"matrix of rank 1", Code::bad_shape, qkv, [=](RawModel& m) { m.tensor(qkv).dims = {8}; }},
      {"matrix of rank 3", Code::bad_shape, qkv,
       [=](RawModel& m) {
         m.tensor(qkv).dims = {1, 12, 8};
       }},
      {"vector of rank 2", Code::bad_shape, "embed.norm.w",
       [](RawModel& m) {
         m.tensor("embed.norm.w").dims = {1, 8};
       }},
      {"rank 2^32-1", Code::bad_shape, qkv, [=](RawModel& m) { m.tensor(qkv).rank = ~0u; }},
      {"transposed", Code::bad_shape, qkv,
       [=](RawModel& m) {
         m.tensor(qkv).dims = {8, 12};
       }},
      {"dimension 0", Code::bad_shape, qkv,
       [=](RawModel& m) {
         m.tensor(qkv).dims = {0, 8};
       }},
      {"a row more", Code::bad_shape, qkv,
       [=](RawModel& m) {
         m.tensor(qkv).dims = {13, 8};
       }},
      {"dimension 2^32+12", Code::bad_shape, qkv,
       [=](RawModel& m) {
         m.tensor(qkv).dims = {(1ull << 32) + 12, 8};
       }},
      {"product that wraps", Code::bad_shape, qkv,
       [=](RawModel& m) {
         m.tensor(qkv).dims = {1ull << 33, 1ull << 33};
       }},
      {"more than 2^36 elements", Code::limit_exceeded, "embed.position.w",
       [](RawModel& m) {
         m.field(41).bits = 65536;    // width
         m.field(47).bits = 2097152;  // positions
         m.tensor("embed.token.w").dims = {11, 65536};
         m.tensor("embed.token.w").payload = payload_of(Layout::i8_rows, 11, 65536, 1);
         m.tensor("embed.token.w").size = m.tensor("embed.token.w").payload.size();
         m.tensor("embed.position.w").dims = {2097152, 65536};
         m.place_tensors();
       }},
      {"a byte more", Code::size_mismatch, qkv, [=](RawModel& m) { m.tensor(qkv).size += 1; }},
      {"size 0", Code::size_mismatch, qkv, [=](RawModel& m) { m.tensor(qkv).size = 0; }},
      {"size 2^64-1", Code::size_mismatch, qkv, [=](RawModel& m) { m.tensor(qkv).size = ~0ull; }},
      {"odd offset", Code::misaligned, qkv, [=](RawModel& m) { m.tensor(qkv).offset += 4; }},
      {"offset 2^64-1", Code::misaligned, qkv, [=](RawModel& m) { m.tensor(qkv).offset = ~0ull; }},
      {"offset 2^64-64", Code::not_canonical, qkv, [=](RawModel& m) { m.tensor(qkv).offset = ~63ull; }},
      {"tensors share bytes", Code::not_canonical, "embed.position.w", [](RawModel& m) { m.tensors[1].offset = 0; }},
      {"gap of 64 between tensors", Code::not_canonical, qkv, [=](RawModel& m) { m.tensor(qkv).offset += 64; }},
      {"weights end early", Code::truncated, "heads.2.b", cut(SectionId::weights, 1)},
      {"weights empty", Code::truncated, "embed.token.w",
       [](RawModel& m) { m.edit_section[SectionId::weights] = [](std::vector<uint8_t>& b) { b.clear(); }; }},
      {"weights go on", Code::trailing_bytes, "weights", append(SectionId::weights)},
  };
  for (const Case& c : cases) expect_error(c);
}

// The same faults for every tensor of the model: the error names that tensor.
TEST(OnepassMalformed, EveryTensor) {
  for (size_t i = 0; i < valid().tensors.size(); ++i) {
    const std::string name = valid().tensors[i].name;
    SCOPED_TRACE(name);
    const char* where = name.c_str();
    expect_error({"missing", Code::missing_tensor, where, [=](RawModel& m) {
                    m.tensors.erase(m.tensors.begin() + static_cast<ptrdiff_t>(i));
                    m.place_tensors();
                  }});
    if (i != 0) {
      expect_error({"twice", Code::duplicate_name, where, [=](RawModel& m) {
                      m.tensors.insert(m.tensors.begin() + static_cast<ptrdiff_t>(i), m.tensors[i]);
                      m.place_tensors();
                    }});
    }
    expect_error({"a column more", Code::bad_shape, where, [=](RawModel& m) { m.tensors[i].dims.back() += 1; }});
    expect_error({"a dimension more", Code::bad_shape, where, [=](RawModel& m) { m.tensors[i].dims.push_back(1); }});
    expect_error({"layout none", Code::unknown_value, where, [=](RawModel& m) { m.tensors[i].layout = 0; }});
    expect_error({"four bytes more", Code::size_mismatch, where, [=](RawModel& m) { m.tensors[i].size += 4; }});
    expect_error({"off by 4", Code::misaligned, where, [=](RawModel& m) { m.tensors[i].offset += 4; }});
    expect_error({"64 later", Code::not_canonical, where, [=](RawModel& m) { m.tensors[i].offset += 64; }});
    expect_error({"corrupted", Code::hash_mismatch, where,
                  [=](RawModel& m) {
                    const size_t at = static_cast<size_t>(m.tensors[i].offset + m.tensors[i].size / 2);
                    m.edit_after_hash = [=](std::vector<uint8_t>& b) {
                      b[static_cast<size_t>(section_offset(b, SectionId::weights)) + at] ^= 0x10;
                    };
                  },
                  std::nullopt, true});
    if (const uint64_t end = valid().tensors[i].offset + valid().tensors[i].size; end % 64 != 0) {
      if (i + 1 == valid().tensors.size()) continue;
      const std::string next = valid().tensors[i + 1].name;
      expect_error({"gap after it", Code::nonzero_padding, next.c_str(),
                    [=](RawModel& m) {
                      m.edit_before_hash = [=](std::vector<uint8_t>& b) {
                        b[static_cast<size_t>(section_offset(b, SectionId::weights) + end)] = 1;
                      };
                    },
                    Place{SectionId::weights, end}, true});
    }
  }
}

TEST(OnepassMalformed, Hashes) {
  const auto flip = [](size_t at) { return unhashed([=](std::vector<uint8_t>& b) { b.at(at) ^= 1; }); };
  const auto flip_in = [](SectionId id, size_t at) {
    return unhashed([=](std::vector<uint8_t>& b) { b.at(static_cast<size_t>(section_offset(b, id)) + at) ^= 1; });
  };
  const Case cases[] = {
      {"root hash", Code::hash_mismatch, "header", flip(32), std::nullopt, true},
      {"root hash, last byte", Code::hash_mismatch, "header", flip(63), std::nullopt, true},
      {"hash of the config", Code::hash_mismatch, "header", flip(64 + 24), std::nullopt, true},
      {"hash of the weights", Code::hash_mismatch, "header", flip(64 + 6 * 64 + 55), std::nullopt, true},
      {"position_first", Code::hash_mismatch, "config", flip_in(SectionId::config, 4 + 3 * 16 + 8),
       Place{SectionId::config, 0}, true},
      {"letter of a label", Code::hash_mismatch, "heads", flip_in(SectionId::heads, 27), Place{SectionId::heads, 0},
       true},
      {"tokenizer", Code::hash_mismatch, "tokenizer", flip_in(SectionId::tokenizer, 3), Place{SectionId::tokenizer, 0},
       true},
      {"letter of the metadata", Code::hash_mismatch, "metadata", flip_in(SectionId::metadata, 30),
       Place{SectionId::metadata, 0}, true},
      {"hash of a tensor", Code::hash_mismatch, "tensors", flip_in(SectionId::tensors, 4 + 4 + 13 + 12 + 16 + 16 + 5),
       Place{SectionId::tensors, 0}, true},
      {"logit of a self-test", Code::hash_mismatch, "self_test", flip_in(SectionId::self_test, 20),
       Place{SectionId::self_test, 0}, true},
      {"hash of the weights, root hash right", Code::hash_mismatch, "weights", unhashed([](std::vector<uint8_t>& b) {
         b.at(64 + 6 * 64 + 24) ^= 1;
         rehash_root(b);
       }),
       Place{SectionId::weights, 0}, true},
      {"hash of the tokenizer, root hash right", Code::hash_mismatch, "tokenizer",
       unhashed([](std::vector<uint8_t>& b) {
         b.at(64 + 2 * 64 + 24) ^= 1;
         rehash_root(b);
       }),
       Place{SectionId::tokenizer, 0}, true},
  };
  for (const Case& c : cases) expect_error(c);
}

TEST(OnepassMalformed, Values) {
  const uint16_t f16_inf = 0x7C00, f16_nan = 0xFE01;
  const size_t token_scales = scales_of("embed.token.w", Layout::i8_rows, 11, 8);
  const size_t qkv_scales = scales_of("layers.0.attn.qkv.w", Layout::i8_n32k4, 12, 8);
  // Layouts cycle i8_n32k4, f32_n16, f16_n16 over the matrices: layer 0 has qkv, out, up, then down in int8.
  const char *const token = "embed.token.w", *const qkv = "layers.0.attn.qkv.w", *const out = "layers.0.attn.out.w",
                    *const up = "layers.0.ffn.up.w", *const down = "layers.0.ffn.down.w";
  EXPECT_EQ(kernels::scale_offset(Layout::i8_n32k4, 8, 17), 32u * 20);
  const auto place = [](const char* name, size_t at) {
    RawModel m = valid();
    return Place{SectionId::weights, m.tensor(name).offset + at};
  };
  // A tensor of f16 has the size and the padding of one of bf16.
  const auto as_bf16 = [](const char* name, Layout layout, auto mutate) {
    return [=](RawModel& m) {
      m.tensor(name).layout = static_cast<uint32_t>(layout);
      m.tensor(name).dtype = static_cast<uint32_t>(kernels::Dtype::bf16);
      mutate(m);
    };
  };
  const uint16_t bf16_inf = 0x7F80, bf16_nan = 0xFF81;
  const Case cases[] = {
      {"bias NaN", Code::non_finite, "embed.norm.b", payload("embed.norm.b", 12, kNan), place("embed.norm.b", 12),
       true},
      {"bias infinite", Code::non_finite, "heads.0.b", payload("heads.0.b", 8, kInf), place("heads.0.b", 8), true},
      {"table f32 -infinite", Code::non_finite, "embed.type.w", payload("embed.type.w", 60, -kInf),
       place("embed.type.w", 60), true},
      {"table f16 infinite", Code::non_finite, "embed.position.w", payload("embed.position.w", 126, f16_inf),
       place("embed.position.w", 126), true},
      {"table f16 NaN", Code::non_finite, "embed.position.w", payload("embed.position.w", 0, f16_nan),
       place("embed.position.w", 0), true},
      {"table code -128", Code::bad_value, token, payload(token, 87, int8_t{-128}), place(token, 87), true},
      {"table padding", Code::nonzero_padding, token, payload(token, 88, int8_t{1}), place(token, 88), true},
      {"table scale 0", Code::bad_value, token, payload(token, token_scales, 0.0f), place(token, token_scales), true},
      {"table scale -0", Code::bad_value, token, payload(token, token_scales, -0.0f), std::nullopt, true},
      {"table scale negative", Code::bad_value, token, payload(token, token_scales + 40, -1.0f),
       place(token, token_scales + 40), true},
      {"table scale NaN", Code::non_finite, token, payload(token, token_scales + 4, kNan),
       place(token, token_scales + 4), true},
      {"table scale infinite", Code::non_finite, token, payload(token, token_scales + 4, kInf), std::nullopt, true},
      {"matrix f32 NaN", Code::non_finite, out, payload(out, 4, kNan), place(out, 4), true},
      {"matrix f32 NaN in the padding", Code::non_finite, out, payload(out, 32, kNan), place(out, 32), true},
      {"matrix f32 padding", Code::nonzero_padding, out, payload(out, 32, 1.0f), place(out, 32), true},
      {"matrix f32 padding -0", Code::nonzero_padding, out, payload(out, 32, -0.0f), std::nullopt, true},
      {"matrix f32 padding, last", Code::nonzero_padding, out, payload(out, 16 * 6 * 4 - 4, 1.0f), std::nullopt, true},
      {"matrix f16 infinite", Code::non_finite, up, payload(up, 2, f16_inf), place(up, 2), true},
      {"matrix f16 padding", Code::nonzero_padding, up, payload(up, 16 * 8 * 2 + 2, uint16_t{1}),
       place(up, 16 * 8 * 2 + 2), true},
      {"matrix bf16 infinite", Code::non_finite, up, as_bf16(up, Layout::bf16_n16, payload(up, 2, bf16_inf)),
       place(up, 2), true},
      {"matrix bf16 padding", Code::nonzero_padding, up,
       as_bf16(up, Layout::bf16_n16, payload(up, 16 * 8 * 2 + 2, uint16_t{1})), place(up, 16 * 8 * 2 + 2), true},
      {"table bf16 NaN", Code::non_finite, "embed.position.w",
       as_bf16("embed.position.w", Layout::bf16_rows, payload("embed.position.w", 0, bf16_nan)),
       place("embed.position.w", 0), true},
      {"matrix code -128", Code::bad_value, qkv, payload(qkv, 5, uint8_t{0}), place(qkv, 5), true},
      {"matrix code -128 in the padding", Code::bad_value, qkv, payload(qkv, 255, uint8_t{0}), place(qkv, 255), true},
      {"matrix padding of channels", Code::nonzero_padding, qkv, payload(qkv, 12 * 4, uint8_t{129}), place(qkv, 48),
       true},
      {"matrix padding of channels, last", Code::nonzero_padding, qkv, payload(qkv, 255, uint8_t{127}), place(qkv, 255),
       true},
      {"matrix padding of inputs", Code::nonzero_padding, down, payload(down, 4 * 128 + 1, uint8_t{1}),
       place(down, 4 * 128 + 1), true},
      {"matrix padding of inputs, last", Code::nonzero_padding, down, payload(down, 4 * 128 + 31, uint8_t{255}),
       place(down, 4 * 128 + 31), true},
      {"matrix scale 0", Code::bad_value, qkv, payload(qkv, qkv_scales + 44, 0.0f), place(qkv, qkv_scales + 44), true},
      {"matrix scale NaN", Code::non_finite, qkv, payload(qkv, qkv_scales, kNan), place(qkv, qkv_scales), true},
      {"matrix scale negative", Code::bad_value, qkv, payload(qkv, qkv_scales, -0.5f), std::nullopt, true},
      {"matrix scale of the padding", Code::nonzero_padding, qkv, payload(qkv, qkv_scales + 48, 0.5f),
       place(qkv, qkv_scales + 48), true},
      {"matrix scale of the padding 0", Code::bad_value, qkv, payload(qkv, qkv_scales + 124, 0.0f),
       place(qkv, qkv_scales + 124), true},
  };
  for (const Case& c : cases) expect_error(c);
}

}  // namespace
}  // namespace onepass::test
