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

// Options of every struct that a caller fills, of every size from its own field on: ask(options) is a call that reads
// them, and gives its status.
template <class T, class Ask>
void expect_options_of_every_size(const char* name, Ask&& ask) {
  SCOPED_TRACE(name);
  // A size that no struct has.
  for (const size_t size : {size_t{0}, sizeof(size_t) - 1, size_t{4097}, SIZE_MAX}) {
    T options = ONEPASS_INIT(T);
    options.struct_size = size;
    EXPECT_EQ(ask(&options), kInvalidArgument) << size;
  }
  // An older caller's: what lies behind it is not read.
  for (size_t size = sizeof(size_t); size <= sizeof(T); ++size) {
    Partial<T> options(size);
    EXPECT_EQ(ask(options.get()), ONEPASS_OK) << size;
    EXPECT_TRUE(options.untouched(size)) << size;
  }
  // A newer caller's: fields that are not known here must be zero.
  for (const size_t more : {size_t{1}, size_t{8}, size_t{40}}) {
    Partial<T> options(sizeof(T) + more);
    auto* bytes = reinterpret_cast<unsigned char*>(options.get());
    EXPECT_EQ(ask(options.get()), kUnsupported) << more;
    std::memset(bytes + sizeof(T), 0, more);
    EXPECT_EQ(ask(options.get()), ONEPASS_OK) << more;
    bytes[sizeof(T) + more - 1] = 1;
    EXPECT_EQ(ask(options.get()), kUnsupported) << more;
  }
}

TEST(StructSize, OptionsOfEverySize) {
  const AlignedCopy bytes(bytes_of("own_heads"));
  expect_options_of_every_size<onepass_model_options>("model", [&](const onepass_model_options* options) {
    onepass_model* model = nullptr;
    const onepass_status status = onepass_model_open_memory(bytes.data(), bytes.size(), options, &model, nullptr);
    onepass_model_close(model);
    return status;
  });
  const ModelPtr model = open_fixture();
  expect_options_of_every_size<onepass_session_options>("session", [&](const onepass_session_options* options) {
    onepass_session* session = nullptr;
    const onepass_status status = onepass_session_open(model.get(), options, &session, nullptr);
    onepass_session_close(session);
    return status;
  });
  const SessionPtr session = open_session(model);
  expect_options_of_every_size<onepass_control>("control", [&](const onepass_control* control) {
    return onepass_session_control(session.get(), control, nullptr);
  });
  ASSERT_EQ(onepass_session_control(session.get(), nullptr, nullptr), ONEPASS_OK);
  const onepass_string text = text_of("good dog");
  onepass_result result{};
  std::vector<float> scores(class_count(model.get()));
  expect_options_of_every_size<onepass_classify_options>("classify", [&](const onepass_classify_options* options) {
    return onepass_classify(session.get(), &text, 1, options, &result, scores.data(), nullptr, nullptr);
  });
  expect_options_of_every_size<onepass_policy>("policy", [&](const onepass_policy* policy) {
    onepass_verdict verdict{};
    return onepass_decide(model.get(), policy, text, &result, scores.data(), &verdict, nullptr);
  });
  const ModelPtr tokens = open_fixture("tokens");
  const SessionPtr labeller = open_session(tokens);
  expect_options_of_every_size<onepass_entity_options>("entity", [&](const onepass_entity_options* options) {
    size_t starts[2] = {};
    onepass_entity found[64];
    return onepass_find_entities(labeller.get(), &text, 1, options, nullptr, found, 64, starts, nullptr);
  });
}

TEST(StructSize, TheErrorNamesTheStruct) {
  const ModelPtr model = open_fixture();
  Partial<onepass_session_options> options(sizeof(onepass_session_options) + 8);
  onepass_session* session = nullptr;
  onepass_error error = ONEPASS_INIT(onepass_error);
  EXPECT_EQ(onepass_session_open(model.get(), options.get(), &session, &error), kUnsupported);
  EXPECT_STREQ(error.where, "onepass_session_options");
  EXPECT_NE(std::string(error.message).find("newer"), std::string::npos) << error.message;
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

TEST(StructSize, DivergenceIsFilledAsFarAsItGoes) {
  const ModelPtr model = open_fixture();
  const std::vector<float> ours(class_count(model.get()), 0.25f), theirs(class_count(model.get()), 0.75f);
  expect_filled_as_far_as_it_goes<onepass_divergence>(
      [&](onepass_divergence* divergence) {
        EXPECT_EQ(onepass_compare(model.get(), 0, ours.data(), theirs.data(), divergence, nullptr), ONEPASS_OK);
      },
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
