// Ways to open a model, and what a model says about itself.
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "tests/api/handles.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

std::vector<float> logits_of(const ModelPtr& model) {
  const SessionPtr session = open_session(model);
  return classify(model, session, sample_texts()).logits;
}

class Open : public testing::Test {
 protected:
  onepass_status open(const std::filesystem::path& path, const onepass_model_options& options) {
    onepass_model* raw = nullptr;
    const onepass_status status = onepass_model_open(path.c_str(), &options, &raw, &error_);
    model_.reset(raw);
    EXPECT_EQ(raw != nullptr, status == ONEPASS_OK);
    return status;
  }
  onepass_status open_memory(const void* data, size_t size, const onepass_model_options& options) {
    onepass_model* raw = nullptr;
    const onepass_status status = onepass_model_open_memory(data, size, &options, &raw, &error_);
    model_.reset(raw);
    EXPECT_EQ(raw != nullptr, status == ONEPASS_OK);
    return status;
  }
  std::filesystem::path write(const std::string& name, std::span<const uint8_t> bytes) {
    folder_.write(name, bytes);
    return folder_.path() / name;
  }

  TempFolder folder_;
  onepass_model_options options_ = ONEPASS_INIT(onepass_model_options);
  onepass_error error_ = ONEPASS_INIT(onepass_error);
  ModelPtr model_;
  const std::vector<uint8_t>& bytes_ = bytes_of("own_heads");
};

TEST_F(Open, EveryWayGivesTheSameModel) {
  const auto path = write("m.onepass", bytes_);
  const std::vector<float> gold = logits_of(open_fixture());
  for (const int copy : {0, 1}) {
    for (const int skip : {0, 1}) {
      options_.copy = copy;
      options_.skip_verify = skip;
      ASSERT_EQ(open(path, options_), ONEPASS_OK) << error_.message;
      EXPECT_EQ(logits_of(model_), gold);
      const AlignedCopy memory(bytes_);
      ASSERT_EQ(open_memory(memory.data(), memory.size(), options_), ONEPASS_OK) << error_.message;
      EXPECT_EQ(logits_of(model_), gold);
      model_.reset();
    }
  }
}

TEST_F(Open, NullOptionsAreTheDefaults) {
  onepass_model* raw = nullptr;
  ASSERT_EQ(onepass_model_open(write("m.onepass", bytes_).c_str(), nullptr, &raw, nullptr), ONEPASS_OK);
  model_.reset(raw);
  EXPECT_EQ(logits_of(model_), logits_of(open_fixture()));
}

TEST_F(Open, ACopyNeedsNothingOfItsSource) {
  options_.copy = 1;
  const std::vector<float> gold = logits_of(open_fixture());
  std::vector<uint8_t> memory = bytes_;
  ASSERT_EQ(open_memory(memory.data(), memory.size(), options_), ONEPASS_OK);
  std::fill(memory.begin(), memory.end(), uint8_t{0xFF});
  EXPECT_EQ(logits_of(model_), gold);
  const auto path = write("m.onepass", bytes_);
  ASSERT_EQ(open(path, options_), ONEPASS_OK);
  folder_.write("m.onepass", "something else");
  EXPECT_EQ(logits_of(model_), gold);
  EXPECT_EQ(onepass_model_verify(model_.get(), nullptr, &error_), ONEPASS_OK) << error_.message;
}

TEST_F(Open, AMappedFileMayLoseItsName) {
  const auto path = write("m.onepass", bytes_);
  ASSERT_EQ(open(path, options_), ONEPASS_OK);
  ASSERT_TRUE(std::filesystem::remove(path));
  EXPECT_EQ(logits_of(model_), logits_of(open_fixture()));
}

TEST_F(Open, MisalignedMemory) {
  std::vector<uint8_t> padded(bytes_.size() + 128);
  const size_t to_64 = (64 - reinterpret_cast<uintptr_t>(padded.data()) % 64) % 64;
  for (const size_t off : {1u, 4u, 8u, 16u, 32u, 63u}) {
    uint8_t* at = padded.data() + to_64 + off;
    std::memcpy(at, bytes_.data(), bytes_.size());
    options_.copy = 0;
    EXPECT_EQ(open_memory(at, bytes_.size(), options_), kMisaligned);
    EXPECT_NE(std::strstr(error_.message, "64-byte aligned"), nullptr);
    options_.copy = 1;
    EXPECT_EQ(open_memory(at, bytes_.size(), options_), ONEPASS_OK);
  }
}

TEST_F(Open, ExpectedHash) {
  uint8_t hash[32];
  std::memcpy(hash, bytes_.data() + 32, 32);
  options_.expected_hash = hash;
  const auto path = write("m.onepass", bytes_);
  EXPECT_EQ(open(path, options_), ONEPASS_OK);
  for (const size_t byte : {0u, 31u}) {
    hash[byte] ^= 1;
    for (const int skip : {0, 1}) {
      options_.skip_verify = skip;
      EXPECT_EQ(open(path, options_), kHashMismatch);
      EXPECT_NE(std::strstr(error_.where, "m.onepass"), nullptr) << error_.where;
      EXPECT_NE(std::strstr(error_.message, "another model"), nullptr) << error_.message;
    }
    hash[byte] ^= 1;
  }
  // Another file of the same size with a hash of its own is not the one expected.
  options_.skip_verify = 0;
  EXPECT_EQ(open(write("n.onepass", bytes_of("own_heads", "f32")), options_), kHashMismatch);
}

TEST_F(Open, WhatIsNoModel) {
  EXPECT_EQ(open(folder_.path() / "missing.onepass", options_), kIoError);
  EXPECT_NE(std::strstr(error_.where, "missing.onepass"), nullptr) << error_.where;
  EXPECT_NE(std::strstr(error_.message, "No such file"), nullptr) << error_.message;
  EXPECT_EQ(open(folder_.path(), options_), kIoError);
  EXPECT_NE(std::strstr(error_.message, "regular file"), nullptr) << error_.message;
  EXPECT_EQ(open(write("empty.onepass", std::span<const uint8_t>{}), options_), kTruncated);
  folder_.write("text.onepass", std::string(4096, 'x'));
  EXPECT_EQ(open(folder_.path() / "text.onepass", options_), 21u);
  EXPECT_STREQ(onepass_status_name(error_.status), "bad_magic");
  // A path longer than the error's room for it.
  const std::string endless(300, 'p');
  EXPECT_EQ(open(folder_.path() / endless / "m.onepass", options_), kIoError);
  EXPECT_EQ(std::strlen(error_.where), sizeof(error_.where) - 1);
  // A path that would steer the terminal on which the error is shown.
  EXPECT_EQ(open("/no\x1B[31m\nwhere", options_), kIoError);
  EXPECT_STREQ(error_.where, "/no?[31m?where");
}

TEST_F(Open, EveryTruncationIsRefused) {
  const AlignedCopy memory(bytes_);
  options_.skip_verify = 1;
  for (size_t size = 1; size < bytes_.size(); size += size < 1024 ? 1 : 997) {
    EXPECT_NE(open_memory(memory.data(), size, options_), ONEPASS_OK) << size;
  }
}

TEST_F(Open, DamageNamesTheTensor) {
  std::vector<uint8_t> damaged = bytes_;
  damaged[damaged.size() - 70] ^= 0x10;
  const auto path = write("damaged.onepass", damaged);
  EXPECT_EQ(open(path, options_), kHashMismatch);
  EXPECT_NE(std::strstr(error_.where, "head"), nullptr) << "the last tensor of the file, not " << error_.where;
  EXPECT_GT(error_.offset, 16384u);
  EXPECT_LT(error_.offset, damaged.size());
  EXPECT_NE(std::strstr(error_.message, "SHA-256"), nullptr) << error_.message;
  // Not looked for, not seen; then verified, and seen.
  options_.skip_verify = 1;
  ASSERT_EQ(open(path, options_), ONEPASS_OK);
  EXPECT_EQ(onepass_model_verify(model_.get(), nullptr, &error_), kHashMismatch);
  // In the metadata, the section is named.
  damaged = bytes_;
  const std::string_view all(reinterpret_cast<const char*>(damaged.data()), damaged.size());
  damaged[all.find("own_heads")] ^= 0x20;
  options_.skip_verify = 0;
  EXPECT_EQ(open(write("damaged.onepass", damaged), options_), kHashMismatch);
  EXPECT_STREQ(error_.where, "metadata");
}

TEST_F(Open, Info) {
  model_ = open_fixture();
  onepass_model_info info = ONEPASS_INIT(onepass_model_info);
  ASSERT_EQ(onepass_model_get_info(model_.get(), &info), ONEPASS_OK);
  EXPECT_EQ(info.struct_size, sizeof(info));
  EXPECT_EQ(view(info.family), "bert");
  EXPECT_EQ(view(info.model_id), "own_heads");
  EXPECT_EQ(view(info.model_version), "7");
  EXPECT_EQ(view(info.licence), "none");
  EXPECT_EQ(view(info.source_hash).size(), 64u);
  EXPECT_EQ(view(info.source_hash).find_first_not_of("0123456789abcdef"), std::string_view::npos);
  EXPECT_NE(view(info.quantisation).find("products int8"), std::string_view::npos);
  EXPECT_EQ(std::memcmp(info.root_hash, bytes_.data() + 32, 32), 0);
  EXPECT_EQ(info.file_size, bytes_.size());
  EXPECT_EQ(info.max_tokens, 48u);
  EXPECT_EQ(info.head_count, 2u);
  EXPECT_EQ(info.class_count, 12u);
}

TEST_F(Open, HeadsLabelsAndThresholds) {
  model_ = open_fixture();
  onepass_head_info mood = ONEPASS_INIT(onepass_head_info), pad = ONEPASS_INIT(onepass_head_info);
  ASSERT_EQ(onepass_model_get_head(model_.get(), 0, &mood), ONEPASS_OK);
  ASSERT_EQ(onepass_model_get_head(model_.get(), 1, &pad), ONEPASS_OK);
  EXPECT_EQ(view(mood.name), "mood");
  EXPECT_EQ(mood.kind, ONEPASS_MULTI_LABEL);
  EXPECT_EQ(mood.class_count, 9u);
  EXPECT_EQ(mood.first_class, 0u);
  EXPECT_EQ(mood.temperature, 1.25f);
  EXPECT_EQ(view(pad.name), "pad");
  EXPECT_EQ(pad.kind, ONEPASS_REGRESSION);
  EXPECT_EQ(pad.class_count, 3u);
  EXPECT_EQ(pad.first_class, 9u);
  EXPECT_EQ(pad.range_low, -1.0f);
  EXPECT_EQ(pad.range_high, 1.0f);
  for (uint32_t c = 0; c < 9; ++c) {
    EXPECT_EQ(view(onepass_model_label(model_.get(), 0, c)), "mood " + std::to_string(c));
    EXPECT_FLOAT_EQ(onepass_model_threshold(model_.get(), 0, c), 0.05f + 0.1f * static_cast<float>(c));
  }
  for (uint32_t c = 0; c < 3; ++c) EXPECT_EQ(view(onepass_model_label(model_.get(), 1, c)), "pad " + std::to_string(c));
  // A single_label head, first and alone in its softmax.
  model_ = open_fixture("own_heads_mean");
  ASSERT_EQ(onepass_model_get_head(model_.get(), 0, &mood), ONEPASS_OK);
  EXPECT_EQ(view(mood.name), "b");
  EXPECT_EQ(mood.kind, ONEPASS_SINGLE_LABEL);
  EXPECT_EQ(onepass_model_threshold(model_.get(), 0, 0), 0.0f);
}

}  // namespace
}  // namespace onepass::test
