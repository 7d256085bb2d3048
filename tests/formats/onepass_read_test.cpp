// ModelFile over valid files, files cut anywhere, files with any byte changed, and things that are not files.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "formats/onepass/verify.h"
#include "tests/formats/onepass_raw.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

namespace fs = std::filesystem;

std::string operator/(const TempFolder& folder, const std::string& name) { return (folder.path() / name).string(); }

void store(const std::string& path, std::span<const uint8_t> bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(out.good());
}

const std::vector<uint8_t>& tiny_file() {
  static const std::vector<uint8_t> file = raw_of(tiny_model()).encode();
  return file;
}

bool same_bits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

void expect_equals_content(const ModelFile& file, const ModelContent& content) {
  for (const ConfigField& field : config_fields()) {
    for (uint32_t i = 0; i < field.copies; ++i) {
      EXPECT_EQ(field.get(file.config(), i), field.get(content.config, i)) << field.name << ' ' << i;
    }
  }
  ASSERT_EQ(file.heads().size(), content.heads.size());
  for (size_t h = 0; h < content.heads.size(); ++h) {
    const HeadView& view = file.heads()[h];
    const HeadContent& head = content.heads[h];
    EXPECT_EQ(view.name, head.name);
    EXPECT_EQ(view.kind, head.kind);
    ASSERT_EQ(view.labels.size(), head.labels.size());
    for (size_t c = 0; c < head.labels.size(); ++c) EXPECT_EQ(view.labels[c], head.labels[c]);
    ASSERT_EQ(view.thresholds.size(), head.thresholds.size());
    for (size_t c = 0; c < head.thresholds.size(); ++c) EXPECT_TRUE(same_bits(view.thresholds[c], head.thresholds[c]));
    EXPECT_TRUE(same_bits(view.temperature, head.temperature));
    EXPECT_TRUE(same_bits(view.range_low, head.range_low));
    EXPECT_TRUE(same_bits(view.range_high, head.range_high));
  }
  EXPECT_EQ(file.total_classes(), 6u);
  EXPECT_EQ(file.metadata().family, content.metadata.family);
  EXPECT_EQ(file.metadata().model_id, content.metadata.model_id);
  EXPECT_EQ(file.metadata().model_version, content.metadata.model_version);
  EXPECT_EQ(file.metadata().licence, content.metadata.licence);
  EXPECT_EQ(file.metadata().source_hash, content.metadata.source_hash);
  EXPECT_EQ(file.metadata().quantisation, content.metadata.quantisation);
  EXPECT_EQ(file.metadata().converter, content.metadata.converter);
  EXPECT_TRUE(std::ranges::equal(file.tokenizer_section(), content.tokenizer));
  ASSERT_EQ(file.tensors().size(), content.tensors.size());
  for (size_t i = 0; i < content.tensors.size(); ++i) {
    const TensorView& view = file.tensors()[i];
    const TensorContent& tensor = content.tensors[i];
    EXPECT_EQ(view.name, tensor.name);
    EXPECT_EQ(view.layout, tensor.layout);
    EXPECT_EQ(view.n, tensor.n);
    EXPECT_EQ(view.k, tensor.k);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) % 64, 0u);
    ASSERT_EQ(view.bytes, tensor.payload.size());
    EXPECT_EQ(std::memcmp(view.data, tensor.payload.data(), tensor.payload.size()), 0) << tensor.name;
  }
  ASSERT_EQ(file.self_tests().size(), content.self_tests.size());
  for (size_t i = 0; i < content.self_tests.size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(file.self_tests()[i].ids, content.self_tests[i].ids));
    EXPECT_TRUE(std::ranges::equal(file.self_tests()[i].logits, content.self_tests[i].logits, same_bits));
  }
}

TEST(OnepassRead, EveryWayOfOpeningGivesTheContent) {
  const TempFolder folder;
  const std::string path = folder / "tiny.onepass";
  store(path, tiny_file());
  const AlignedBytes bytes(tiny_file());
  for (const bool verify : {true, false}) {
    for (const LoadMode mode : {LoadMode::map, LoadMode::copy}) {
      auto opened = ModelFile::open(path.c_str(), {.mode = mode, .verify = verify});
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      const ModelFile moved = std::move(opened).value();
      expect_equals_content(moved, tiny_model());
      EXPECT_EQ(moved.file_size(), tiny_file().size());
      EXPECT_EQ(std::memcmp(moved.root_hash().data(), tiny_file().data() + 32, 32), 0);
      EXPECT_TRUE(moved.verify().ok());
      const auto from_memory = ModelFile::from_memory(bytes.span(), {.mode = mode, .verify = verify});
      ASSERT_TRUE(from_memory.ok()) << from_memory.error().message;
      expect_equals_content(*from_memory, tiny_model());
      const auto* first = static_cast<const uint8_t*>(from_memory->tensors()[0].data);
      const bool inside = first >= bytes.span().data() && first < bytes.span().data() + bytes.span().size();
      EXPECT_EQ(inside, mode == LoadMode::map) << "weights are used where they lie, unless copied";
    }
  }
}

TEST(OnepassRead, SlotsAndIndices) {
  const AlignedBytes bytes(tiny_file());
  const auto file = ModelFile::from_memory(bytes.span(), {});
  ASSERT_TRUE(file.ok());
  size_t seen = 0;
  for (const TensorView& t : file->tensors()) {
    if (t.name == "layers.1.ffn.down.w") {
      EXPECT_EQ(t.slot, Slot::ffn_down_w);
      EXPECT_EQ(t.index, 1u);
      ++seen;
    }
    if (t.name == "heads.2.b") {
      EXPECT_EQ(t.slot, Slot::head_b);
      EXPECT_EQ(t.index, 2u);
      ++seen;
    }
  }
  EXPECT_EQ(seen, 2u);
}

TEST(OnepassRead, VerifySeesAChangeUnderTheMapping) {
  const AlignedBytes bytes(tiny_file());
  const auto file = ModelFile::from_memory(bytes.span(), {});
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->verify().ok());
  const TensorView& tensor = file->tensors()[5];
  bytes.span()[static_cast<size_t>(tensor.offset)] ^= 1;
  const Status changed = file->verify();
  EXPECT_EQ(changed.code(), Code::hash_mismatch);
  EXPECT_EQ(changed.error().where, tensor.name);
  EXPECT_EQ(changed.error().offset, tensor.offset);
}

TEST(OnepassRead, TheHeadIsPrivate) {
  const AlignedBytes bytes(tiny_file());
  const auto file = ModelFile::from_memory(bytes.span(), {});
  ASSERT_TRUE(file.ok());
  std::memset(bytes.span().data(), 0xFF, static_cast<size_t>(file->tensors()[0].offset));
  expect_equals_content(*file, tiny_model());
}

TEST(OnepassRead, MisalignedMemory) {
  std::vector<uint8_t> room(tiny_file().size() + 128);
  size_t shift = 1;
  while ((reinterpret_cast<uintptr_t>(room.data()) + shift) % 64 != 32) ++shift;
  std::memcpy(room.data() + shift, tiny_file().data(), tiny_file().size());
  const std::span<const uint8_t> bytes(room.data() + shift, tiny_file().size());
  const auto mapped = ModelFile::from_memory(bytes, {.mode = LoadMode::map});
  ASSERT_FALSE(mapped.ok());
  EXPECT_EQ(mapped.code(), Code::misaligned);
  const auto copied = ModelFile::from_memory(bytes, {.mode = LoadMode::copy});
  ASSERT_TRUE(copied.ok()) << copied.error().message;
  expect_equals_content(*copied, tiny_model());
}

// Reads everything that a pass could read, so that a sanitizer sees a bad view.
uint64_t use(const ModelFile& file) {
  uint64_t sum = file.config().layers + file.total_classes();
  for (const HeadView& h : file.heads()) {
    for (const auto& label : h.labels) sum += label.size() + static_cast<uint8_t>(label.back());
    for (const float t : h.thresholds) sum += t > 0;
  }
  for (const SelfTestView& s : file.self_tests()) {
    for (const uint32_t id : s.ids) sum += id;
    for (const float logit : s.logits) sum += logit > 0;
  }
  for (const TensorView& t : file.tensors()) {
    const auto* data = static_cast<const uint8_t*>(t.data);
    for (size_t i = 0; i < t.bytes; ++i) sum += data[i];
  }
  return sum;
}

TEST(OnepassRead, EveryTruncationIsAnError) {
  for (size_t size = 0; size < tiny_file().size(); ++size) {
    const AlignedBytes bytes({tiny_file().data(), size});
    for (const bool verify : {true, false}) {
      const auto opened = ModelFile::from_memory(bytes.span(), {.verify = verify});
      ASSERT_FALSE(opened.ok()) << size;
      ASSERT_EQ(opened.code(), Code::truncated) << size << ": " << code_name(opened.code());
    }
  }
}

// Not only the file is shorter: it also says so.
TEST(OnepassRead, EveryTruncationWithAnHonestSizeIsAnError) {
  for (size_t size = 64; size < tiny_file().size(); ++size) {
    const AlignedBytes bytes({tiny_file().data(), size});
    for (size_t i = 0; i < 8; ++i) bytes.span()[24 + i] = static_cast<uint8_t>(uint64_t{size} >> (8 * i));
    const auto opened = ModelFile::from_memory(bytes.span(), {.verify = false});
    ASSERT_FALSE(opened.ok()) << size;
    ASSERT_EQ(opened.code(), Code::truncated) << size << ": " << code_name(opened.code());
  }
}

TEST(OnepassRead, EveryChangedByteIsAnError) {
  const std::vector<uint8_t> file = raw_of(micro_model()).encode();
  const AlignedBytes bytes(file);
  size_t opened_without_verify = 0;
  for (size_t at = 0; at < file.size(); ++at) {
    const uint8_t right = file[at];
    uint8_t values[10] = {0x00, 0xFF};
    for (int bit = 0; bit < 8; ++bit) values[2 + bit] = static_cast<uint8_t>(right ^ 1u << bit);
    for (const uint8_t value : values) {
      if (value == right) continue;
      bytes.span()[at] = value;
      const auto verified = ModelFile::from_memory(bytes.span(), {.verify = true});
      ASSERT_FALSE(verified.ok()) << "byte " << at << " = " << int{value};
      ASSERT_NE(verified.error().message[0], '\0');
      ASSERT_NE(verified.error().where[0], '\0');
      const auto unverified = ModelFile::from_memory(bytes.span(), {.verify = false});
      if (unverified.ok()) {
        ++opened_without_verify;
        ASSERT_NE(use(*unverified), 0u);
        ASSERT_FALSE(unverified->verify().ok());
      }
    }
    bytes.span()[at] = right;
  }
  ASSERT_TRUE(ModelFile::from_memory(bytes.span(), {}).ok());
  EXPECT_GT(opened_without_verify, 1000u) << "without verify the weights are not read";
}

// The largest head: names that differ in the last byte only must not cost quadratic time.
TEST(OnepassRead, ManyLabels) {
  ModelContent model = tiny_model();
  model.self_tests.clear();
  HeadContent& head = model.heads[0];
  head.labels.clear();
  for (int i = 0; i < 65536; ++i) head.labels.push_back(std::string(100, 'x') + std::to_string(i));
  head.thresholds.assign(head.labels.size(), 0.5f);
  for (TensorContent& t : model.tensors) {
    if (t.name == "heads.0.w") t.n = 65536;
    if (t.name == "heads.0.b") t.k = 65536;
    if (t.name.starts_with("heads.0.")) t.payload = payload_of(t.layout, t.n, t.k, 1);
  }
  const auto file = raw_of(model).encode();
  const AlignedBytes bytes(file);
  const auto opened = ModelFile::from_memory(bytes.span(), {});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->heads()[0].labels[65535], head.labels[65535]);

  head.labels[65535] = head.labels[17];
  const auto twice = raw_of(model).encode();
  const AlignedBytes twice_bytes(twice);
  const auto refused = ModelFile::from_memory(twice_bytes.span(), {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.code(), Code::duplicate_name);
}

// docs/format.md is normative: what the code knows must stand there.
TEST(OnepassRead, TheSpecificationListsEverything) {
  const char* fixtures = std::getenv("ONEPASS_FIXTURES");
  ASSERT_NE(fixtures, nullptr) << "run through ctest";
  std::ifstream in(fs::path(fixtures) / "../../docs/format.md");
  const std::string page((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  ASSERT_FALSE(page.empty());
  const auto has = [&](std::initializer_list<std::string_view> pieces) {
    std::string text;
    for (const auto piece : pieces) text += piece;
    return page.find(text) != std::string::npos;
  };
  for (const ConfigField& f : config_fields()) {
    const std::string key = std::to_string(f.key);
    EXPECT_TRUE(has({"| ", key, " | `", f.name, "` | ", f.real ? "f64" : "integer", " |"})) << f.name;
  }
  for (const SlotSpec& slot : slot_specs()) EXPECT_TRUE(has({"| `", slot.name, "` |"})) << slot.name;
  for (const auto key : format::metadata_keys) EXPECT_TRUE(has({"`", key, "`"})) << key;
  for (const auto& section : format::sections) EXPECT_TRUE(has({"| ", section.name, " |"})) << section.name;
  EXPECT_FALSE(has({"| `", "no such tensor", "` |"}));
}

TEST(OnepassRead, ThingsThatAreNotFiles) {
  const TempFolder folder;
  const std::string missing = folder / "missing", empty = folder / "empty", fifo = folder / "fifo";
  const std::string unreadable = folder / "unreadable", self = folder / ".";
  store(empty, {});
  store(unreadable, tiny_file());
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  ASSERT_EQ(chmod(unreadable.c_str(), 0), 0);
  for (const LoadMode mode : {LoadMode::map, LoadMode::copy}) {
    const auto code = [&](const std::string& path) {
      const auto opened = ModelFile::open(path.c_str(), {.mode = mode});
      EXPECT_STRNE(opened.error().message, "");
      return opened.code();
    };
    EXPECT_EQ(code(missing), Code::io_error);
    EXPECT_EQ(code(self), Code::io_error);
    EXPECT_EQ(code(fifo), Code::io_error);
    EXPECT_EQ(code("/dev/null"), Code::io_error);
    EXPECT_EQ(code(empty), Code::truncated);
    if (geteuid() != 0) {
      EXPECT_EQ(code(unreadable), Code::io_error);
    }
  }
  EXPECT_EQ(ModelFile::from_memory({}, {}).code(), Code::truncated);
}

// A tensor alone: every byte of an int4 tensor is a nibble, a scale or a minimum, or padding.
TEST(OnepassRead, Int4Values) {
  using kernels::Layout;
  for (const Layout layout :
       {Layout::i4g32_rows, Layout::i4g32_n32k4, Layout::i4g64_n32k4, Layout::i4mg32_n32k4, Layout::i4mg64_n32k4}) {
    constexpr size_t n = 35, k = 131;
    std::vector<uint8_t> bytes = payload_of(layout, n, k, 1);
    TensorView tensor;
    tensor.name = "w";
    tensor.layout = layout;
    tensor.n = n;
    tensor.k = k;
    tensor.offset = 1000;
    tensor.bytes = bytes.size();
    tensor.data = bytes.data();
    ASSERT_TRUE(format::check_tensor_values(tensor).ok()) << kernels::layout_name(layout);
    // Change each byte in turn: to a NaN or infinity where it belongs to a half, else whatever it was not.
    size_t padding = 0, non_finite = 0, free = 0;
    for (size_t at = 0; at < bytes.size(); ++at) {
      const uint8_t before = bytes[at];
      bool is_half = false;
      for (const uint8_t high : {uint8_t{0x7c}, uint8_t{0xff}}) {
        bytes[at] = high;
        const Status status = format::check_tensor_values(tensor);
        is_half = is_half || (!status.ok() && status.error().code == Code::non_finite);
      }
      bytes[at] = static_cast<uint8_t>(before ^ 0x11);
      const Status status = format::check_tensor_values(tensor);
      if (is_half) {
        ++non_finite;
      } else if (!status.ok()) {
        EXPECT_EQ(status.error().code, Code::nonzero_padding) << at;
        EXPECT_EQ(status.error().offset / 2, (1000 + at) / 2);
        ++padding;
      } else {
        ++free;
      }
      bytes[at] = before;
    }
    // The high bytes of all halves; whole bytes of codes that no input uses, or one of whose nibbles none does.
    const size_t group = kernels::group_size(layout), groups = kernels::i4_groups(layout, k);
    if (layout == Layout::i4g32_rows) {
      EXPECT_EQ(non_finite, n * groups);
      EXPECT_EQ(padding, n * 16);  // of the last group three low nibbles are used, and no high one
    } else {
      const size_t halves = kernels::has_minimum(layout) ? 128 : 64, pairs = (groups + 1) / 2;
      EXPECT_EQ(non_finite, 2 * pairs * halves);
      EXPECT_GT(padding, (2 * pairs * 32 - n * pairs) * group);
    }
    EXPECT_GT(free, n * k / 4);
  }
}

}  // namespace
}  // namespace onepass::test
