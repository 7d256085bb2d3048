// How long models live, and replacing one under traffic. The build with ThreadSanitizer runs these, too.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <onepass/onepass.hpp>
#include <thread>

#include "tests/api/handles.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

constexpr onepass_status kLimitExceeded = 32;

struct CloseSlot {
  void operator()(onepass_slot* s) const { onepass_slot_close(s); }
};
using SlotPtr = std::unique_ptr<onepass_slot, CloseSlot>;

SlotPtr open_slot(const ModelPtr& model) {
  onepass_slot* slot = nullptr;
  EXPECT_EQ(onepass_slot_open(model.get(), &slot, nullptr), ONEPASS_OK);
  return SlotPtr(slot);
}

std::vector<uint8_t> hash_of(const onepass_model* model) {
  onepass_model_info info = ONEPASS_INIT(onepass_model_info);
  EXPECT_EQ(onepass_model_get_info(model, &info), ONEPASS_OK);
  return {info.root_hash, info.root_hash + 32};
}

TEST(Lifetime, ASessionKeepsItsModel) {
  ModelPtr model = open_fixture();
  const SessionPtr session = open_session(model);
  const std::string text = "good dog";
  const auto ask = [&] {
    const onepass_string t = text_of(text);
    onepass_result result;
    std::vector<float> scores(12);
    EXPECT_EQ(onepass_classify(session.get(), &t, 1, nullptr, &result, scores.data(), nullptr, nullptr), ONEPASS_OK);
    return scores;
  };
  const auto gold = ask();
  model.reset();
  EXPECT_EQ(ask(), gold);
}

TEST(Lifetime, SharedHandles) {
  ModelPtr model = open_fixture();
  ASSERT_EQ(onepass_model_share(model.get()), ONEPASS_OK);
  const ModelPtr second(model.get());
  model.reset();
  EXPECT_EQ(class_count(second.get()), 12u);
  EXPECT_EQ(onepass_model_share(nullptr), kInvalidArgument);
}

TEST(Slot, PublishRollbackCommit) {
  const ModelPtr a = open_fixture("own_heads", "int8"), b = open_fixture("own_heads", "f32");
  const SlotPtr slot = open_slot(a);
  // The slot keeps the model open when this handle is closed.
  const auto current = [&](uint32_t* generation = nullptr) {
    onepass_model* model = onepass_slot_acquire(slot.get(), generation);
    onepass_model_close(model);
    return model;
  };
  uint32_t first = 0, second = 0;
  EXPECT_EQ(current(&first), a.get());
  EXPECT_EQ(onepass_slot_generation(slot.get()), first);
  EXPECT_EQ(onepass_slot_rollback(slot.get(), nullptr), kInvalidArgument) << "nothing to go back to";
  ASSERT_EQ(onepass_slot_publish(slot.get(), b.get(), nullptr), ONEPASS_OK);
  EXPECT_EQ(current(&second), b.get());
  EXPECT_NE(first, second);
  ASSERT_EQ(onepass_slot_rollback(slot.get(), nullptr), ONEPASS_OK);
  EXPECT_EQ(current(), a.get());
  EXPECT_EQ(onepass_slot_rollback(slot.get(), nullptr), kInvalidArgument);
  ASSERT_EQ(onepass_slot_publish(slot.get(), b.get(), nullptr), ONEPASS_OK);
  onepass_slot_commit(slot.get());
  EXPECT_EQ(onepass_slot_rollback(slot.get(), nullptr), kInvalidArgument) << "committed";
  EXPECT_EQ(current(), b.get());
}

TEST(Slot, WrongArguments) {
  const ModelPtr model = open_fixture();
  onepass_slot* slot = nullptr;
  EXPECT_EQ(onepass_slot_open(nullptr, &slot, nullptr), kInvalidArgument);
  EXPECT_EQ(onepass_slot_open(model.get(), nullptr, nullptr), kInvalidArgument);
  EXPECT_EQ(onepass_slot_publish(nullptr, model.get(), nullptr), kInvalidArgument);
  const SlotPtr good = open_slot(model);
  EXPECT_EQ(onepass_slot_publish(good.get(), nullptr, nullptr), kInvalidArgument);
  EXPECT_EQ(onepass_slot_rollback(nullptr, nullptr), kInvalidArgument);
  EXPECT_EQ(onepass_slot_acquire(nullptr, nullptr), nullptr);
  EXPECT_EQ(onepass_slot_generation(nullptr), 0u);
  onepass_slot_commit(nullptr);
  onepass_slot_close(nullptr);
}

// 64 threads read texts by whatever model is current, each with sessions of its own that come and go, while others
// publish, roll back and commit. Every answer is that of the model that gave it.
TEST(Slot, RacesOf64Threads) {
  const std::string text = "I love the happy dog!";
  std::vector<ModelPtr> models;
  std::vector<std::vector<float>> gold;
  for (const auto& [name, weights] : {std::pair("own_heads", "int8"), std::pair("own_heads", "f32")}) {
    models.push_back(open_fixture(name, weights));
    gold.push_back(classify(models.back(), open_session(models.back()), {{text}}).logits);
  }
  ASSERT_NE(gold[0], gold[1]);
  const std::vector<std::vector<uint8_t>> hashes = {hash_of(models[0].get()), hash_of(models[1].get())};
  SlotPtr slot = open_slot(models[0]);
  std::atomic<size_t> right = 0, wrong = 0, stale = 0;
  const auto read = [&] {
    SessionPtr session;
    uint32_t of = 0;
    size_t which = 0;
    for (int i = 0; i < 12; ++i) {
      if (session == nullptr || of != onepass_slot_generation(slot.get())) {
        const ModelPtr model(onepass_slot_acquire(slot.get(), &of));
        session = open_session(model);
        which = hash_of(model.get()) == hashes[1];
        ++stale;
      }  // the handle is gone, the session stays
      const onepass_string t = text_of(text);
      onepass_result result;
      std::vector<float> scores(12), logits(12);
      const bool ok = onepass_classify(session.get(), &t, 1, nullptr, &result, scores.data(), logits.data(), nullptr) ==
                          ONEPASS_OK &&
                      logits == gold[which];
      ++(ok ? right : wrong);
    }
  };
  const auto swap = [&](size_t own) {
    for (int i = 0; i < 60; ++i) {
      // A model of its own that nobody else holds: freed with the last session.
      const ModelPtr fresh = i % 10 == 0 ? open_fixture("own_heads", own == 0 ? "int8" : "f32") : nullptr;
      onepass_slot_publish(slot.get(), fresh != nullptr ? fresh.get() : models[own].get(), nullptr);
      if (i % 3 == 1) onepass_slot_rollback(slot.get(), nullptr);
      if (i % 3 == 2) onepass_slot_commit(slot.get());
      std::this_thread::yield();
    }
  };
  bytes_of("own_heads", "int8");  // converted once, before the threads
  bytes_of("own_heads", "f32");
  std::vector<std::thread> threads;
  for (size_t own = 0; own < 2; ++own) threads.emplace_back(swap, own);
  for (int t = 0; t < 62; ++t) threads.emplace_back(read);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(right, 62u * 12u);
  EXPECT_GE(stale, 62u);
  slot.reset();
}

TEST(Slot, CppLayer) {
  onepass_model_options copy = ONEPASS_INIT(onepass_model_options);
  copy.copy = 1;
  const auto open = [&](const char* weights) {
    return Model::from_memory(std::as_bytes(std::span(bytes_of("own_heads", weights))), copy).value();
  };
  const Model a = open("int8"), b = open("f32");
  Slot slot = Slot::open(a).value();
  uint32_t generation = 0;
  EXPECT_EQ(slot.acquire(&generation).get(), a.get());
  EXPECT_FALSE(slot.rollback());
  slot.publish(b);
  EXPECT_NE(slot.generation(), generation);
  Session session = Session::open(slot.acquire()).value();
  EXPECT_TRUE(slot.rollback());
  EXPECT_EQ(slot.acquire().get(), a.get());
  slot.publish(b);
  slot.commit();
  EXPECT_FALSE(slot.rollback());
  EXPECT_TRUE(session.classify("good"));
}

class FilesTest : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& weights, size_t before = 0) {
    const auto& bytes = bytes_of("own_heads", weights);
    folder_.write(name,
                  std::string(before, '\7') + std::string(bytes.begin(), bytes.end()) + std::string(before, '\7'));
    return folder_.path() / name;
  }
  TempFolder folder_;
  onepass_error error_ = ONEPASS_INIT(onepass_error);
};

TEST_F(FilesTest, Descriptor) {
  const size_t size = bytes_of("own_heads").size();
  const std::string path = write("asset.bin", "int8", 64 * 77);
  const int fd = open(path.c_str(), O_RDONLY);
  ASSERT_GE(fd, 0);
  onepass_model* raw = nullptr;
  ASSERT_EQ(onepass_model_open_descriptor(fd, 64 * 77, size, nullptr, &raw, &error_), ONEPASS_OK) << error_.message;
  ModelPtr model(raw);
  EXPECT_EQ(onepass_model_open_descriptor(fd, 64 * 77 + 1, size, nullptr, &raw, &error_), kMisaligned);
  EXPECT_EQ(raw, nullptr);
  EXPECT_EQ(onepass_model_open_descriptor(fd, 64 * 77, size * 2 + 100000, nullptr, &raw, &error_), kTruncated);
  EXPECT_EQ(onepass_model_open_descriptor(fd, 64 * 77, size, nullptr, nullptr, &error_), kInvalidArgument);
  const Model layer = Model::from_descriptor(fd, 64 * 77, size).value();
  ASSERT_EQ(close(fd), 0);
  EXPECT_EQ(onepass_model_verify(model.get(), nullptr, &error_), ONEPASS_OK) << "the mapping outlives the descriptor";
  EXPECT_FALSE(layer.verify());
  EXPECT_EQ(onepass_model_open_descriptor(fd, 64 * 77, size, nullptr, &raw, &error_), kIoError);
}

TEST_F(FilesTest, TheFirstThatFits) {
  const std::string big = write("big.onepass", "f32"), small = write("small.onepass", "int8");
  const char* paths[] = {big.c_str(), small.c_str()};
  const auto memory = [&](const char* weights) {
    return onepass_model_memory(open_fixture("own_heads", weights).get(), nullptr);
  };
  ASSERT_GT(memory("f32"), memory("int8"));
  ASSERT_GT(memory("int8"), bytes_of("own_heads", "int8").size());
  const auto open = [&](uint64_t budget, size_t* chosen) {
    onepass_model* raw = nullptr;
    const auto status = onepass_model_open_first(paths, 2, budget, nullptr, nullptr, &raw, chosen, &error_);
    EXPECT_EQ(raw != nullptr, status == ONEPASS_OK);
    onepass_model_close(raw);
    return status;
  };
  size_t chosen = 7;
  EXPECT_EQ(open(UINT64_MAX, &chosen), ONEPASS_OK);
  EXPECT_EQ(chosen, 0u);
  EXPECT_EQ(open(memory("f32"), &chosen), ONEPASS_OK);
  EXPECT_EQ(chosen, 0u);
  EXPECT_EQ(open(memory("f32") - 1, &chosen), ONEPASS_OK);
  EXPECT_EQ(chosen, 1u);
  EXPECT_EQ(open(memory("int8"), nullptr), ONEPASS_OK);
  EXPECT_EQ(open(memory("int8") - 1, &chosen), kLimitExceeded);
  EXPECT_NE(std::strstr(error_.message, std::to_string(memory("int8")).c_str()), nullptr) << error_.message;
  paths[0] = "/nowhere";
  EXPECT_EQ(open(UINT64_MAX, &chosen), kIoError) << "never passed over";
  paths[0] = nullptr;
  EXPECT_EQ(open(UINT64_MAX, &chosen), kInvalidArgument);
  EXPECT_EQ(onepass_model_memory(nullptr, nullptr), 0u);
  EXPECT_EQ(Model::open_first(std::vector{big, small}, memory("int8")).value().info().file_size,
            bytes_of("own_heads", "int8").size());
  // A damaged file is found, although it is opened unchecked first.
  auto bytes = bytes_of("own_heads");
  bytes[bytes.size() - 1000] ^= 1;
  folder_.write("bad.onepass", std::string(bytes.begin(), bytes.end()));
  const std::string bad = folder_.path() / "bad.onepass";
  paths[0] = bad.c_str();
  EXPECT_EQ(open(UINT64_MAX, &chosen), kHashMismatch);
}

// What a session takes is below what was said.
TEST_F(FilesTest, MemoryIsAnUpperBound) {
  const ModelPtr model = open_fixture();
  onepass_session_options two = ONEPASS_INIT(onepass_session_options), more = two;
  two.threads = 2;
  more.tokens_per_pass = 4096;
  const uint64_t one = onepass_model_memory(model.get(), nullptr);
  EXPECT_GE(onepass_model_memory(model.get(), &two), one);
  EXPECT_GT(onepass_model_memory(model.get(), &more), one);
}

}  // namespace
}  // namespace onepass::test
