// Layers of several widths in a file: read, written, and broken.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/formats/onepass_raw.h"

namespace onepass::test {
namespace {

struct Case {
  const char* name;
  Code code;
  const char* where;
  std::function<void(RawModel&)> edit;
};

TEST(OnepassWidths, AreThoseOfTheTensors) {
  const std::vector<uint8_t> encoded = raw_of(uneven_model()).encode();
  const AlignedBytes bytes(encoded);
  const auto file = ModelFile::from_memory(bytes.span(), {});
  ASSERT_TRUE(file.ok()) << file.error().where << ": " << file.error().message;
  const Config &config = file->config(), wanted = uneven_model().config;
  for (size_t i = 0; i < max_layers; ++i) {
    EXPECT_EQ(config.layer_kv_heads[i], wanted.layer_kv_heads[i]) << i;
    EXPECT_EQ(config.layer_ffn_width[i], wanted.layer_ffn_width[i]) << i;
  }
  EXPECT_EQ(config.heads_of(0), 6u);
  EXPECT_EQ(config.heads_of(1), 2u);
  EXPECT_EQ(config.ffn_width_of(0), 5u);
  EXPECT_EQ(config.ffn_width_of(1), 17u);
  const auto shape = [&](std::string_view name) {
    for (const TensorView& t : file->tensors()) {
      if (t.name == name) return std::pair(t.n, t.k);
    }
    return std::pair(uint64_t{0}, uint64_t{0});
  };
  using Shape = std::pair<uint64_t, uint64_t>;
  EXPECT_EQ(shape("layers.0.attn.qkv.w"), Shape(36, 8));
  EXPECT_EQ(shape("layers.1.attn.qkv.w"), Shape(12, 8));
  EXPECT_EQ(shape("layers.1.attn.out.w"), Shape(8, 6));
  EXPECT_EQ(shape("layers.0.ffn.up.w"), Shape(5, 8));
  EXPECT_EQ(shape("layers.0.ffn.down.w"), Shape(8, 5));
  EXPECT_EQ(shape("layers.1.ffn.up.b"), Shape(1, 17));
  const auto written = serialize_model(uneven_model());
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(written.value(), encoded);
}

TEST(OnepassWidths, Malformed) {
  const RawModel base = raw_of(uneven_model());
  const auto set = [](uint32_t key, uint64_t bits) { return [=](RawModel& m) { m.field(key).bits = bits; }; };
  const auto add = [](uint32_t key, uint64_t bits) {
    return [=](RawModel& m) {
      const auto at = std::find_if(m.config.begin(), m.config.end(), [=](const auto& f) { return f.key > key; });
      m.config.insert(at, {key, 1, bits});
    };
  };
  const Case cases[] = {
      {"as many heads as elsewhere", Code::bad_value, "layers.1.kv_heads", set(1001, 3)},
      {"more heads than elsewhere", Code::bad_value, "layers.1.kv_heads", set(1001, 4)},
      {"65,536 heads", Code::bad_value, "layers.1.kv_heads", set(1001, 65536)},
      {"2^64-1 heads", Code::bad_value, "layers.1.kv_heads", set(1001, ~0ull)},
      {"stored zero heads", Code::not_canonical, "layers.1.kv_heads", set(1001, 0)},
      {"heads as f64", Code::bad_type, "layers.1.kv_heads", [](RawModel& m) { m.field(1001).type = 2; }},
      {"other heads than the tensors have", Code::bad_shape, "layers.1.attn.qkv.w", set(1001, 2)},
      {"heads of a layer that is not there", Code::bad_value, "layers.2.kv_heads", add(1002, 1)},
      {"heads of layer 255", Code::bad_value, "layers.255.kv_heads", add(1255, 1)},
      {"heads of layer 256", Code::unknown_key, "config", add(1256, 1)},
      {"heads of every layer", Code::bad_value, "layers.{i}.kv_heads", add(1000, 1)},
      {"as many columns as elsewhere", Code::bad_value, "layers.0.ffn_width", set(2000, 17)},
      {"65,536 columns", Code::bad_value, "layers.0.ffn_width", set(2000, 65536)},
      {"other columns than the tensors have", Code::bad_shape, "layers.0.ffn.up.w", set(2000, 6)},
      {"columns of a layer that is not there", Code::bad_value, "layers.2.ffn_width", add(2002, 1)},
      {"columns of layer 256", Code::unknown_key, "config", add(2256, 1)},
      {"columns of every layer", Code::bad_value, "layers.{i}.ffn_width", add(2001, 5)},
      {"columns twice", Code::duplicate_name, "layers.0.ffn_width", add(2000, 5)},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    RawModel model = base;
    c.edit(model);
    const AlignedBytes bytes(model.encode());
    for (const bool verify : {true, false}) {
      const auto opened = ModelFile::from_memory(bytes.span(), {.verify = verify});
      ASSERT_FALSE(opened.ok()) << "verify " << verify;
      EXPECT_STREQ(code_name(opened.error().code), code_name(c.code)) << opened.error().message;
      EXPECT_STREQ(opened.error().where, c.where) << opened.error().message;
      EXPECT_NE(opened.error().offset, Error::no_offset);
    }
  }
}

// The config of the largest model fits its section.
TEST(OnepassWidths, OfEveryLayer) {
  ModelContent model = uneven_model();
  model.config.layers = max_layers;
  for (size_t i = 1; i < max_layers; ++i) {
    model.config.layer_kv_heads[i] = static_cast<uint16_t>(1 + i % 2);
    model.config.layer_ffn_width[i] = static_cast<uint16_t>(i + 1 < max_layers ? 1 + i % 16 : 0);
  }
  ASSERT_TRUE(validate(model.config).ok()) << validate(model.config).error().message;
  RawModel raw = raw_of(uneven_model());
  raw.config = raw_of(model).config;  // the tensors are those of two layers
  EXPECT_GT(raw.config.size(), 520u);
  const AlignedBytes bytes(raw.encode());
  const auto opened = ModelFile::from_memory(bytes.span(), {});
  EXPECT_STREQ(code_name(opened.code()), code_name(Code::bad_shape)) << opened.error().message;
}

}  // namespace
}  // namespace onepass::test
