// Checkpoint: a folder of one file or of shards.
#include "formats/safetensors/checkpoint.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <string>

#include "engine/core/sha256.h"
#include "tests/support/safetensors_writer.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr const char* kIndex = "model.safetensors.index.json";
const float kTwo[] = {1.0f, -2.0f};
const float kThree[] = {3.0f, 4.0f, 5.0f};

Bytes shard(std::initializer_list<SafetensorsTensor> tensors) { return write_safetensors(std::vector(tensors)); }

TEST(Checkpoint, SingleFile) {
  const TempFolder folder;
  const Bytes bytes = shard({f32_tensor("b", {2}, kTwo), f32_tensor("a", {1, 3}, kThree)});
  folder.write("model.safetensors", bytes);
  const auto c = Checkpoint::open(folder.path());
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(c->names(), (std::vector<std::string>{"a", "b"}));
  ASSERT_NE(c->find("a"), nullptr);
  EXPECT_EQ(c->find("a")->shape, (std::vector<uint64_t>{1, 3}));
  EXPECT_EQ(c->find("nope"), nullptr);
  EXPECT_EQ(*c->read_f32("a"), (std::vector<float>{3, 4, 5}));
  EXPECT_EQ(*c->read_f32("b"), (std::vector<float>{1, -2}));
  EXPECT_EQ(c->read_f32("nope").code(), Code::missing_tensor);
  EXPECT_EQ(*c->source_hash(), sha256(bytes));
}

TEST(Checkpoint, LargeTensorsAreReadInBlocks) {
  const TempFolder folder;
  std::vector<float> values(700'001);
  std::iota(values.begin(), values.end(), 0.0f);
  // One byte before it: the data is misaligned.
  folder.write("model.safetensors", shard({{"a", "U8", {1}, {7}}, f32_tensor("b", {values.size()}, values)}));
  const auto c = Checkpoint::open(folder.path());
  ASSERT_TRUE(c.ok());
  EXPECT_EQ(*c->read_f32("b"), values);
  EXPECT_EQ(c->read_f32("a").code(), Code::bad_dtype);
}

TEST(Checkpoint, NonFiniteNamesFileTensorAndElement) {
  const TempFolder folder;
  std::vector<float> values(300'000, 1.0f);
  values[299'998] = std::numeric_limits<float>::infinity();
  folder.write("model.safetensors", shard({f32_tensor("w", {values.size()}, values)}));
  const auto c = Checkpoint::open(folder.path());
  ASSERT_TRUE(c.ok());
  const auto read = c->read_f32("w");
  ASSERT_EQ(read.code(), Code::non_finite);
  EXPECT_STREQ(read.error().where, "model.safetensors: w");
  EXPECT_NE(std::string(read.error().message).find("element 299998 "), std::string::npos) << read.error().message;
}

TEST(Checkpoint, Shards) {
  const TempFolder folder;
  const Bytes first = shard({f32_tensor("b", {2}, kTwo)});
  const Bytes second = shard({f32_tensor("a", {3}, kThree), {"c", "I64", {0}, {}}});
  folder.write("x-00001-of-00002.safetensors", first);
  folder.write("x-00002-of-00002.safetensors", second);
  folder.write(kIndex, R"({"metadata":{"total_size":20},"weight_map":{"a":"x-00002-of-00002.safetensors",
                           "c":"x-00002-of-00002.safetensors","b":"x-00001-of-00002.safetensors"}})");
  const auto c = Checkpoint::open(folder.path());
  ASSERT_TRUE(c.ok()) << c.error().where << c.error().message;
  EXPECT_EQ(c->names(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(*c->read_f32("a"), (std::vector<float>{3, 4, 5}));
  EXPECT_EQ(*c->read_f32("b"), (std::vector<float>{1, -2}));
  Bytes both = first;
  both.insert(both.end(), second.begin(), second.end());
  EXPECT_EQ(*c->source_hash(), sha256(both));
}

struct BadIndex {
  const char* name;
  const char* index;
  Code code;
};

class BadCheckpoint : public testing::TestWithParam<BadIndex> {};

TEST_P(BadCheckpoint, IsRejected) {
  const TempFolder folder;
  folder.write("1.safetensors", shard({f32_tensor("a", {2}, kTwo)}));
  folder.write("2.safetensors", shard({f32_tensor("b", {2}, kTwo), f32_tensor("c", {3}, kThree)}));
  folder.write("3.safetensors", shard({f32_tensor("a", {2}, kTwo)}));
  folder.write("notes.txt", shard({f32_tensor("a", {2}, kTwo)}));
  folder.write("broken.safetensors", Bytes{1, 2, 3});
  folder.write(kIndex, GetParam().index);
  const auto c = Checkpoint::open(folder.path());
  EXPECT_STREQ(code_name(c.code()), code_name(GetParam().code));
  if (!c.ok()) {
    EXPECT_NE(c.error().message[0], '\0');
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rules, BadCheckpoint,
    testing::Values(
        BadIndex{"good", R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}})", Code::ok},
        BadIndex{"not_json", "{", Code::bad_syntax}, BadIndex{"array", "[]", Code::bad_type},
        BadIndex{"no_map", "{}", Code::missing_key}, BadIndex{"map_is_array", R"({"weight_map":[]})", Code::bad_type},
        BadIndex{"unknown_key", R"({"weight_map":{},"x":1})", Code::unknown_key},
        BadIndex{"shard_is_number", R"({"weight_map":{"a":1}})", Code::bad_type},
        BadIndex{"tensor_twice", R"({"weight_map":{"a":"1.safetensors","a":"3.safetensors"}})", Code::duplicate_name},
        BadIndex{"parent", R"({"weight_map":{"a":"../1.safetensors"}})", Code::bad_name},
        BadIndex{"absolute", R"({"weight_map":{"a":"/etc/1.safetensors"}})", Code::bad_name},
        BadIndex{"subfolder", R"({"weight_map":{"a":"x/1.safetensors"}})", Code::bad_name},
        BadIndex{"backslash", R"({"weight_map":{"a":"..\\1.safetensors"}})", Code::bad_name},
        BadIndex{"drive", R"({"weight_map":{"a":"c:1.safetensors"}})", Code::bad_name},
        BadIndex{"dots", R"({"weight_map":{"a":".."}})", Code::bad_name},
        BadIndex{"hidden", R"({"weight_map":{"a":".safetensors"}})", Code::bad_name},
        BadIndex{"empty_name", R"({"weight_map":{"a":""}})", Code::bad_name},
        BadIndex{"nul", R"({"weight_map":{"a":"1\u0000.safetensors"}})", Code::bad_name},
        BadIndex{"other_suffix", R"({"weight_map":{"a":"notes.txt"}})", Code::bad_name},
        BadIndex{"url", R"({"weight_map":{"a":"http://x/1.safetensors"}})", Code::bad_name},
        BadIndex{"no_such_shard", R"({"weight_map":{"a":"9.safetensors"}})", Code::io_error},
        BadIndex{"broken_shard", R"({"weight_map":{"a":"broken.safetensors"}})", Code::truncated},
        BadIndex{"shard_lacks_tensor", R"({"weight_map":{"a":"1.safetensors","d":"1.safetensors"}})",
                 Code::missing_tensor},
        BadIndex{"shard_has_more", R"({"weight_map":{"b":"2.safetensors"}})", Code::extra_tensor},
        BadIndex{"wrong_shard", R"({"weight_map":{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"}})",
                 Code::extra_tensor},
        BadIndex{"in_two_shards", R"({"weight_map":{"a":"1.safetensors","d":"3.safetensors"}})", Code::duplicate_name}),
    [](const testing::TestParamInfo<BadIndex>& info) { return std::string(info.param.name); });

TEST(Checkpoint, FolderMustNameOneSource) {
  const TempFolder folder;
  EXPECT_EQ(Checkpoint::open(folder.path()).code(), Code::io_error);
  EXPECT_EQ(Checkpoint::open(folder.path() / "nope").code(), Code::io_error);
  folder.write("pytorch_model.bin", "x");
  EXPECT_EQ(Checkpoint::open(folder.path()).code(), Code::io_error);
  folder.write("model.safetensors", shard({f32_tensor("a", {2}, kTwo)}));
  EXPECT_TRUE(Checkpoint::open(folder.path()).ok());
  folder.write(kIndex, R"({"weight_map":{"a":"model.safetensors"}})");
  EXPECT_EQ(Checkpoint::open(folder.path()).code(), Code::not_canonical);
}

TEST(Checkpoint, AFileThatShrinksIsAnError) {
  const TempFolder folder;
  const Bytes bytes = shard({f32_tensor("a", {3}, kThree)});
  folder.write("model.safetensors", bytes);
  const auto c = Checkpoint::open(folder.path());
  ASSERT_TRUE(c.ok());
  folder.write("model.safetensors", std::span(bytes).first(bytes.size() - 1));
  EXPECT_EQ(c->read_f32("a").code(), Code::truncated);
  EXPECT_EQ(c->source_hash().code(), Code::truncated);
  std::filesystem::remove(folder.path() / "model.safetensors");
  EXPECT_EQ(c->read_f32("a").code(), Code::io_error);
}

}  // namespace
}  // namespace onepass::test
