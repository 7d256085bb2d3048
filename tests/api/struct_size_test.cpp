// Callers that were built against another header: what lies beyond their structs is neither read nor written.
#include <cstddef>
#include <cstring>

#include "tests/api/handles.h"

namespace onepass::test {
namespace {

constexpr unsigned char kPoison = 0xA5;

// The first `size` bytes of a T on the heap, poisoned beyond what T has, and guarded behind.
template <class T>
class Partial {
 public:
  explicit Partial(size_t size) : size_(size), bytes_(size + 64, kPoison) {
    const T value = ONEPASS_INIT(T);
    std::memcpy(bytes_.data(), &value, std::min(size, sizeof(T)));
    std::memcpy(bytes_.data(), &size, sizeof(size));
  }
  T* get() { return reinterpret_cast<T*>(bytes_.data()); }
  // Bytes [begin, end) are as they were made.
  bool untouched(size_t begin) const {
    for (size_t i = begin; i < bytes_.size(); ++i) {
      if (bytes_[i] != kPoison) return false;
    }
    return true;
  }
  size_t size() const { return size_; }

 private:
  size_t size_;
  std::vector<unsigned char> bytes_;
};

TEST(StructSize, OptionsOfAnOlderCallerEndEarlier) {
  const AlignedCopy bytes(bytes_of("own_heads"));
  for (const size_t size : {offsetof(onepass_model_options, copy), offsetof(onepass_model_options, skip_verify),
                            offsetof(onepass_model_options, expected_hash)}) {
    // A field that were read would be a pointer to nowhere, or ask for a copy.
    Partial<onepass_model_options> options(size);
    onepass_model* model = nullptr;
    EXPECT_EQ(onepass_model_open_memory(bytes.data(), bytes.size(), options.get(), &model, nullptr), ONEPASS_OK)
        << size;
    onepass_model_close(model);
  }
  const ModelPtr model = open_fixture();
  for (const size_t size :
       {offsetof(onepass_session_options, threads), offsetof(onepass_session_options, isa),
        offsetof(onepass_session_options, executor), offsetof(onepass_session_options, tokens_per_pass)}) {
    Partial<onepass_session_options> options(size);
    onepass_session* session = nullptr;
    ASSERT_EQ(onepass_session_open(model.get(), options.get(), &session, nullptr), ONEPASS_OK) << size;
    EXPECT_STREQ(onepass_session_isa(session), onepass_best_isa());
    onepass_session_close(session);
  }
  const SessionPtr session = open_session(model);
  Partial<onepass_classify_options> options(offsetof(onepass_classify_options, max_tokens));
  options.get()->on_long = ONEPASS_LONG_ERROR;  // a field that it has counts
  const std::string long_text = sample_texts().back() + sample_texts().back() + sample_texts().back();
  EXPECT_EQ(classify(model, session, {{"good"}}, options.get()).status, ONEPASS_OK);
  EXPECT_EQ(classify(model, session, {{long_text}}, options.get()).status, kTextTooLong);
}

TEST(StructSize, OptionsOfANewerCallerAreReadAsFarAsKnown) {
  const ModelPtr model = open_fixture();
  Partial<onepass_session_options> options(sizeof(onepass_session_options) + 32);
  options.get()->isa = "scalar";
  onepass_session* session = nullptr;
  ASSERT_EQ(onepass_session_open(model.get(), options.get(), &session, nullptr), ONEPASS_OK);
  EXPECT_STREQ(onepass_session_isa(session), "scalar");
  onepass_session_close(session);
}

// Asks with every size from that of the size itself to well beyond the struct.
template <class T, class Ask>
void expect_filled_as_far_as_it_goes(Ask&& ask, size_t least) {
  T whole = ONEPASS_INIT(T);
  ask(&whole);
  for (size_t size = least; size < sizeof(T) + 48; ++size) {
    Partial<T> part(size);
    ask(part.get());
    size_t stored = 0;
    std::memcpy(&stored, part.get(), sizeof(stored));
    EXPECT_EQ(stored, size);
    const size_t filled = std::min(size, sizeof(T));
    EXPECT_EQ(std::memcmp(reinterpret_cast<const char*>(part.get()) + sizeof(size_t),
                          reinterpret_cast<const char*>(&whole) + sizeof(size_t), filled - sizeof(size_t)),
              0)
        << size;
    EXPECT_TRUE(part.untouched(filled)) << size;
  }
}

TEST(StructSize, InfoIsFilledAsFarAsItGoes) {
  const ModelPtr model = open_fixture();
  expect_filled_as_far_as_it_goes<onepass_model_info>(
      [&](onepass_model_info* info) { EXPECT_EQ(onepass_model_get_info(model.get(), info), ONEPASS_OK); },
      sizeof(size_t));
  expect_filled_as_far_as_it_goes<onepass_head_info>(
      [&](onepass_head_info* info) { EXPECT_EQ(onepass_model_get_head(model.get(), 1, info), ONEPASS_OK); },
      sizeof(size_t));
}

TEST(StructSize, ErrorIsFilledAsFarAsItGoes) {
  expect_filled_as_far_as_it_goes<onepass_error>(
      [&](onepass_error* error) {
        onepass_model* model = nullptr;
        EXPECT_EQ(onepass_model_open("/nowhere", nullptr, &model, error), kIoError);
      },
      sizeof(size_t));
}

TEST(StructSize, PartialNoticesAChange) {
  Partial<onepass_error> part(offsetof(onepass_error, where));
  EXPECT_TRUE(part.untouched(part.size()));
  reinterpret_cast<unsigned char*>(part.get())[part.size() + 3] = 0;
  EXPECT_FALSE(part.untouched(part.size()));
}

}  // namespace
}  // namespace onepass::test
