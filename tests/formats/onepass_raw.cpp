#include "tests/formats/onepass_raw.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>

#include "engine/core/sha256.h"
#include "kernels/pack/pack.h"

namespace onepass::test {

namespace {

using kernels::Layout;

struct Bytes {
  std::vector<uint8_t> out;
  Bytes& u32(uint64_t v) { return number(v, 4); }
  Bytes& u64(uint64_t v) { return number(v, 8); }
  Bytes& f32(float v) { return u32(std::bit_cast<uint32_t>(v)); }
  Bytes& number(uint64_t v, int n) {
    for (int i = 0; i < n; ++i) out.push_back(static_cast<uint8_t>(v >> (8 * i)));
    return *this;
  }
  Bytes& raw(std::span<const uint8_t> b) {
    out.insert(out.end(), b.begin(), b.end());
    return *this;
  }
  Bytes& text(const std::string& s) {
    u32(s.size());
    out.insert(out.end(), s.begin(), s.end());
    return *this;
  }
};

uint64_t align(uint64_t v, uint64_t a) { return (v + a - 1) / a * a; }

void put(std::vector<uint8_t>& out, size_t at, std::span<const uint8_t> bytes) {
  if (bytes.empty()) return;
  if (out.size() < at + bytes.size()) out.resize(at + bytes.size());
  std::memcpy(out.data() + at, bytes.data(), bytes.size());
}

std::vector<uint8_t> encode_config(const RawModel& m) {
  Bytes b;
  b.u32(m.config_count.value_or(static_cast<uint32_t>(m.config.size())));
  for (const RawField& f : m.config) b.u32(f.key).u32(f.type).u64(f.bits);
  return b.out;
}

std::vector<uint8_t> encode_heads(const RawModel& m) {
  Bytes b;
  b.u32(m.head_count.value_or(static_cast<uint32_t>(m.heads.size())));
  for (const RawHead& h : m.heads) {
    b.text(h.name).u32(h.kind).u32(h.classes.value_or(static_cast<uint32_t>(h.labels.size())));
    for (const auto& label : h.labels) b.text(label);
    b.u32(h.activation).f32(h.temperature);
    b.u32(h.threshold_count.value_or(static_cast<uint32_t>(h.thresholds.size())));
    for (const float t : h.thresholds) b.f32(t);
    b.f32(h.low).f32(h.high);
  }
  return b.out;
}

std::vector<uint8_t> encode_metadata(const RawModel& m) {
  Bytes b;
  b.u32(m.metadata_count.value_or(static_cast<uint32_t>(m.metadata.size())));
  for (const auto& [key, value] : m.metadata) b.text(key).text(value);
  return b.out;
}

std::vector<uint8_t> encode_tensors(const RawModel& m) {
  Bytes b;
  b.u32(m.tensor_count.value_or(static_cast<uint32_t>(m.tensors.size())));
  for (const RawTensor& t : m.tensors) {
    b.text(t.name).u32(t.dtype).u32(t.layout).u32(t.rank.value_or(static_cast<uint32_t>(t.dims.size())));
    for (const uint64_t d : t.dims) b.u64(d);
    b.u64(t.offset).u64(t.size).raw(sha256(t.payload));
  }
  return b.out;
}

std::vector<uint8_t> encode_self_tests(const RawModel& m) {
  Bytes b;
  b.u32(m.self_test_count.value_or(static_cast<uint32_t>(m.self_tests.size())));
  for (const RawSelfTest& s : m.self_tests) {
    b.u32(s.tokens.value_or(static_cast<uint32_t>(s.ids.size())));
    for (const uint32_t id : s.ids) b.u32(id);
    for (const float logit : s.logits) b.f32(logit);
  }
  return b.out;
}

uint64_t read(const std::vector<uint8_t>& file, uint64_t at, uint64_t n) {
  if (at > file.size() || n > file.size() - at) return 0;
  uint64_t v = 0;
  for (uint64_t i = 0; i < n; ++i) v |= uint64_t{file[static_cast<size_t>(at + i)]} << (8 * i);
  return v;
}

bool inside(const std::vector<uint8_t>& file, uint64_t at, uint64_t n) {
  return at <= file.size() && n <= file.size() - at;
}

// Hashes the tensors that a directory names and returns the hash over their hashes.
Digest rehash_tensors(std::vector<uint8_t>& file, uint64_t directory, uint64_t size, uint64_t weights) {
  Sha256 all;
  if (!inside(file, directory, size)) return all.finish();
  const uint64_t end = directory + size;
  const uint64_t count = read(file, directory, 4);
  uint64_t at = directory + 4;
  for (uint64_t i = 0; i < count && at + 16 <= end; ++i) {
    at += 4 + read(file, at, 4);
    if (at + 12 > end) break;
    const uint64_t rank = read(file, at + 8, 4);
    at += 12 + rank * 8;
    if (at > end || end - at < 48) break;
    const uint64_t offset = read(file, at, 8), bytes = read(file, at + 8, 8);
    if (offset <= file.size() && weights <= file.size() && inside(file, weights + offset, bytes)) {
      put(file, static_cast<size_t>(at + 16),
          sha256(std::span(file).subspan(static_cast<size_t>(weights + offset), static_cast<size_t>(bytes))));
    }
    all.update(std::span(file).subspan(static_cast<size_t>(at + 16), 32));
    at += 48;
  }
  return all.finish();
}

}  // namespace

void rehash_root(std::vector<uint8_t>& file) {
  const uint64_t count = read(file, 20, 4);
  if (count > 64 || !inside(file, 64, count * 64)) return;
  Sha256 root;
  root.update(std::span(file).first(32));
  root.update(std::span(file).subspan(64, static_cast<size_t>(count * 64)));
  put(file, 32, root.finish());
}

void rehash(std::vector<uint8_t>& file) {
  const uint64_t count = read(file, 20, 4);
  if (count > 64 || !inside(file, 64, count * 64)) return;
  uint64_t directory = 0, directory_size = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const size_t entry = static_cast<size_t>(64 + 64 * i);
    const uint64_t id = read(file, entry, 4), offset = read(file, entry + 8, 8), size = read(file, entry + 16, 8);
    if (!inside(file, offset, size)) continue;
    if (id == 5) directory = offset, directory_size = size;
    if (id == 7) {
      put(file, entry + 24, rehash_tensors(file, directory, directory_size, offset));
      // The directory itself has changed.
      for (uint64_t j = 0; j < i; ++j) {
        const size_t other = static_cast<size_t>(64 + 64 * j);
        if (read(file, other, 4) != 5 || directory_size == 0) continue;
        put(file, other + 24,
            sha256(std::span(file).subspan(static_cast<size_t>(directory), static_cast<size_t>(directory_size))));
      }
    } else {
      put(file, entry + 24, sha256(std::span(file).subspan(static_cast<size_t>(offset), static_cast<size_t>(size))));
    }
  }
  rehash_root(file);
}

RawField& RawModel::field(uint32_t key) {
  for (RawField& f : config) {
    if (f.key == key) return f;
  }
  throw std::out_of_range("no such field");
}

RawTensor& RawModel::tensor(const std::string& name) {
  for (RawTensor& t : tensors) {
    if (t.name == name) return t;
  }
  throw std::out_of_range("no such tensor: " + name);
}

void RawModel::place_tensors() {
  uint64_t end = 0;
  for (RawTensor& t : tensors) {
    t.offset = align(end, 64);
    end = t.offset + t.size;
  }
}

std::vector<uint8_t> RawModel::encode() const {
  std::vector<uint8_t> weights;
  for (const RawTensor& t : tensors) {
    if (t.offset < (1u << 28)) put(weights, static_cast<size_t>(t.offset), t.payload);
  }
  std::vector<std::vector<uint8_t>> sections = {
      encode_config(*this),  encode_heads(*this),      tokenizer, encode_metadata(*this),
      encode_tensors(*this), encode_self_tests(*this), weights};
  std::vector<RawSection> table;
  uint64_t end = 64 + 64 * sections.size();
  for (size_t i = 0; i < sections.size(); ++i) {
    const auto edit = edit_section.find(static_cast<SectionId>(i + 1));
    if (edit != edit_section.end()) edit->second(sections[i]);
    RawSection s;
    s.id = static_cast<uint32_t>(i + 1);
    s.offset = align(end, i == 6 ? 16384 : 64);
    s.size = sections[i].size();
    end = s.offset + s.size;
    table.push_back(s);
  }
  std::vector<uint8_t> file(static_cast<size_t>(end));
  for (size_t i = 0; i < sections.size(); ++i) put(file, static_cast<size_t>(table[i].offset), sections[i]);
  if (edit_table) edit_table(table);
  Bytes head;
  head.raw(magic).u32(version).u32(endian).u32(flags);
  head.u32(section_count.value_or(static_cast<uint32_t>(table.size()))).u64(file_size.value_or(end)).raw(Digest{});
  for (const RawSection& s : table) {
    head.u32(s.id).u32(s.reserved).u64(s.offset).u64(s.size).raw(Digest{}).u64(s.reserved_end);
  }
  put(file, 0, head.out);
  if (edit_before_hash) edit_before_hash(file);
  rehash(file);
  if (edit_after_hash) edit_after_hash(file);
  return file;
}

std::vector<uint8_t> payload_of(Layout layout, uint64_t rows, uint64_t columns, uint32_t seed) {
  const size_t n = static_cast<size_t>(rows), k = static_cast<size_t>(columns);
  std::mt19937 random(seed);
  std::vector<uint8_t> out(kernels::packed_bytes(layout, n, k));
  const auto code = [&] { return static_cast<int>(random() % 255) - 127; };
  const auto value = [&] { return static_cast<float>(code()) / 64.0f; };
  const auto store_f32 = [&](size_t i, float v) { std::memcpy(out.data() + 4 * i, &v, 4); };
  const auto store_f16 = [&](size_t i) {  // exponents 8..23: finite, both signs
    const uint16_t v = static_cast<uint16_t>((random() & 0x83FF) | (8 + random() % 16) << 10);
    std::memcpy(out.data() + 2 * i, &v, 2);
  };
  const auto store_bf16 = [&](size_t i) {  // exponents 96..127
    const uint16_t v = static_cast<uint16_t>((random() & 0x807F) | (96 + random() % 32) << 7);
    std::memcpy(out.data() + 2 * i, &v, 2);
  };
  switch (layout) {
    case Layout::f32_rows:
      for (size_t i = 0; i < n * k; ++i) store_f32(i, value());
      break;
    case Layout::f16_rows:
      for (size_t i = 0; i < n * k; ++i) store_f16(i);
      break;
    case Layout::bf16_rows:
      for (size_t i = 0; i < n * k; ++i) store_bf16(i);
      break;
    case Layout::i8_rows:
      for (size_t i = 0; i < n * k; ++i) out[i] = static_cast<uint8_t>(code());
      break;
    case Layout::f32_n16:
    case Layout::f16_n16:
    case Layout::bf16_n16:
      for (size_t c = 0; c < n; ++c) {
        for (size_t i = 0; i < k; ++i) {
          const size_t at = (c / 16 * k + i) * 16 + c % 16;
          if (layout == Layout::f32_n16) {
            store_f32(at, value());
          } else if (layout == Layout::bf16_n16) {
            store_bf16(at);
          } else {
            store_f16(at);
          }
        }
      }
      break;
    case Layout::i8_n32k4: {
      const size_t groups = (k + 3) / 4;
      std::fill(out.begin(), out.begin() + static_cast<ptrdiff_t>(kernels::scale_offset(layout, n, k)), uint8_t{128});
      for (size_t c = 0; c < n; ++c) {
        for (size_t i = 0; i < k; ++i) {
          out[((c / 32 * groups + i / 4) * 32 + c % 32) * 4 + i % 4] = static_cast<uint8_t>(code() + 128);
        }
      }
      break;
    }
    case Layout::i4g32_rows:
    case Layout::i4g32_n32k4:
    case Layout::i4g64_n32k4:
    case Layout::i4mg32_n32k4:
    case Layout::i4mg64_n32k4: {
      std::vector<float> values(n * k);
      for (float& v : values) v = value();
      (void)kernels::pack(layout, values.data(), n, k, out.data());
      break;
    }
    case Layout::i4zg32_n32k4:
    case Layout::i4zg64_n32k4: {
      std::vector<float> values(n * k);
      for (float& v : values) v = value();
      (void)kernels::pack(layout, values.data(), n, k, out.data());
      return out;
    }
    case Layout::none:
      break;
  }
  const size_t scales = kernels::scale_offset(layout, n, k) / 4;
  for (size_t i = 0; i < kernels::scale_count(layout, n); ++i) {
    store_f32(scales + i, i < n ? 0.001f * static_cast<float>(1 + random() % 100) : 1.0f);
  }
  return out;
}

namespace {

// Every tensor that the model needs, in layouts that take turns.
void fill_tensors(ModelContent& m) {
  constexpr Layout tables[] = {Layout::i8_rows, Layout::f16_rows, Layout::f32_rows};
  constexpr Layout matrices[] = {Layout::i8_n32k4, Layout::f32_n16, Layout::f16_n16};
  size_t table = 0, matrix = 0;
  uint32_t seed = 0;
  std::vector<uint32_t> classes;
  for (const HeadContent& head : m.heads) classes.push_back(static_cast<uint32_t>(head.labels.size()));
  (void)for_each_tensor(m.config, classes, [&](const TensorNeed& need) noexcept -> Status {
    const Layout layout = need.spec->role == Role::vector  ? Layout::f32_rows
                          : need.spec->role == Role::table ? tables[table++ % 3]
                                                           : matrices[matrix++ % 3];
    m.tensors.push_back({need.name, layout, need.n, need.k, payload_of(layout, need.n, need.k, ++seed), {}});
    return {};
  }).ok();
}

}  // namespace

ModelContent tiny_model() {
  ModelContent m;
  m.config.arch = {.norm = Norm::layer_norm,
                   .norm_place = NormPlace::post,
                   .position = Position::learned,
                   .position_first = 2,
                   .segment_types = 2,
                   .mask = Mask::bidirectional,
                   .ffn = Ffn::mlp,
                   .act = Act::gelu_erf,
                   .embed_norm = 1,
                   .biases = 1,
                   .pool = Pool::first_token,
                   .pooler = 1,
                   .pooler_act = Act::tanh};
  m.config.layers = 2;
  m.config.width = 8;
  m.config.heads = 2;
  m.config.kv_heads = 1;
  m.config.head_width = 3;
  m.config.ffn_width = 17;
  m.config.vocab = 11;
  m.config.positions = 9;
  m.config.max_tokens = 6;
  m.config.norm_eps = 1e-12;
  m.heads = {
      {"emotion", HeadKind::multi_label, {"joy", "anger", "fear"}, {0.5f, 0.25f, 1.0f}, 1.5f, 0, 0},
      {"pad", HeadKind::regression, {"pleasure"}, {}, 1, -1, 1},
      {"topic", HeadKind::single_label, {"a", "b"}, {}, 0.75f, 0, 0},
  };
  m.tokenizer = {'t', 'o', 'k', 'e', 'n', 's', 0, 1, 2};
  m.metadata = {.family = "bert",
                .model_id = "onepass/tiny",
                .model_version = "1",
                .licence = "CC0-1.0",
                .source_hash = {},
                .quantisation = {},
                .converter = "onepass tests"};
  m.self_tests = {{{1, 2, 10}, {0.5f, -1.0f, 2.0f, 0.25f, -0.0f, 3.5f}}, {{0}, {1, 2, 3, 4, 5, 6}}};

  fill_tensors(m);
  return m;
}

ModelContent token_model() {
  ModelContent m = tiny_model();
  m.config.arch.pool = Pool::every_token;
  m.heads = {{"entities", HeadKind::token_label, {"O", "B-PER", "I-PER"}, {}, 1, 0, 0}};
  m.self_tests = {{{1, 2, 10}, {1, 2, 3, 4, 5, 6, 7, 8, -9}}, {{0}, {0.5f, 0, -1}}};
  m.tensors.clear();
  fill_tensors(m);
  return m;
}

ModelContent uneven_model() {
  ModelContent m = tiny_model();
  m.config.heads = 6;
  m.config.kv_heads = 3;
  m.config.layer_kv_heads[1] = 1;
  m.config.layer_ffn_width[0] = 5;
  m.tensors.clear();
  fill_tensors(m);
  return m;
}

ModelContent micro_model() {
  ModelContent m = tiny_model();
  m.config.layers = m.config.heads = m.config.head_width = 1;
  m.config.width = m.config.ffn_width = 2;
  m.config.vocab = m.config.max_tokens = 2;
  m.config.positions = 4;
  m.tokenizer = {7};
  m.self_tests = {{{1}, {0, 1, 2, 3, 4, 5}}};
  m.tensors.clear();
  fill_tensors(m);
  return m;
}

RawModel raw_of(const ModelContent& content) {
  RawModel m;
  for (const ConfigField& f : config_fields()) {
    for (uint32_t i = 0; i < f.copies; ++i) {
      if (const uint64_t bits = f.get(content.config, i); bits != 0) {
        m.config.push_back({f.key + i, f.real ? 2u : 1u, bits});
      }
    }
  }
  for (const HeadContent& h : content.heads) {
    RawHead raw;
    raw.name = h.name;
    raw.kind = static_cast<uint32_t>(h.kind);
    raw.labels = h.labels;
    // single_label: softmax 3, multi_label: sigmoid 2, regression: identity 1, token_label: softmax
    raw.activation = h.kind == HeadKind::token_label ? 3 : 4 - raw.kind;
    raw.temperature = h.temperature;
    raw.thresholds = h.thresholds;
    raw.low = h.range_low;
    raw.high = h.range_high;
    m.heads.push_back(raw);
  }
  m.tokenizer = content.tokenizer;
  const std::pair<const char*, const std::string*> values[] = {{"converter", &content.metadata.converter},
                                                               {"family", &content.metadata.family},
                                                               {"licence", &content.metadata.licence},
                                                               {"model_id", &content.metadata.model_id},
                                                               {"model_version", &content.metadata.model_version},
                                                               {"quantisation", &content.metadata.quantisation},
                                                               {"source_hash", &content.metadata.source_hash}};
  for (const auto& [key, value] : values) {
    if (!value->empty()) m.metadata.emplace_back(key, *value);
  }
  for (const TensorContent& t : content.tensors) {
    RawTensor raw;
    raw.name = t.name;
    raw.dtype = static_cast<uint32_t>(kernels::dtype_of(t.layout));
    raw.layout = static_cast<uint32_t>(t.layout);
    // Vectors end in .b, or are the weights of a norm.
    if (t.name.ends_with(".b") || t.name.ends_with("norm.w")) {
      raw.dims = {t.k};
    } else {
      raw.dims = {t.n, t.k};
    }
    raw.size = t.payload.size();
    raw.payload = t.payload;
    m.tensors.push_back(raw);
  }
  m.place_tensors();
  for (const SelfTestContent& s : content.self_tests) m.self_tests.push_back({std::nullopt, s.ids, s.logits});
  return m;
}

AlignedBytes::AlignedBytes(std::span<const uint8_t> bytes) : size_(bytes.size()) {
  void* block = nullptr;
  if (posix_memalign(&block, 64, bytes.empty() ? 1 : bytes.size()) != 0) throw std::bad_alloc();
  data_ = static_cast<uint8_t*>(block);
  if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
}

AlignedBytes::~AlignedBytes() { std::free(data_); }

}  // namespace onepass::test
