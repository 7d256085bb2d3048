// Threads that work on the same rows: shares, waiting, and passes that give the bits of one thread.
#include "engine/core/crew.h"

#include "engine/runtime/forward.h"
#include "tests/runtime/models.h"

namespace onepass::test {
namespace {

TEST(Crew, SharesMakeTheWhole) {
  for (const size_t count : {0u, 1u, 2u, 31u, 32u, 33u, 384u, 1000u}) {
    for (const size_t unit : {1u, 32u}) {
      for (const size_t members : {1u, 2u, 3u, 7u}) {
        size_t end = 0;
        for (size_t m = 0; m < members; ++m) {
          const Range share = Crew(m, members, nullptr).share(count, unit);
          EXPECT_EQ(share.begin, end);
          EXPECT_LE(share.begin, share.end);
          EXPECT_TRUE(share.begin % unit == 0 || share.begin == count);
          EXPECT_LE(share.end - share.begin, (count / unit + members) / members * unit + unit);
          end = share.end;
        }
        EXPECT_EQ(end, count);
      }
    }
  }
}

// Without the wait, a member would read what its neighbour has not written yet.
TEST(Crew, SyncShowsWhatOthersWrote) {
  constexpr size_t members = 3, turns = 200;
  std::vector<uint32_t> flags(members * Crew::flag_stride);
  std::vector<size_t> values(members);  // plain: a thread sanitizer sees a missing wait
  std::atomic<size_t> wrong = 0;
  const auto work = [&](size_t member, size_t count) {
    Crew crew(member, count, flags.data());
    for (size_t turn = 1; turn <= turns; ++turn) {
      values[member] = turn * (member + 1);
      crew.sync();
      for (size_t m = 0; m < count; ++m) wrong += values[m] != turn * (m + 1);
      crew.sync();
    }
  };
  run_all_together(together(members), work);
  EXPECT_EQ(wrong, 0u);
}

TEST(Crew, OneAloneNeverWaits) {
  Crew alone;
  alone.sync();
  EXPECT_TRUE(alone.alone());
  EXPECT_EQ(alone.share(7).end, 7u);
}

// Texts of lengths on both sides of those whose channels are shared, and of a chunk of rows.
TEST(Crew, PassesGiveTheBitsOfOneThread) {
  for (const char* weights : {"int8", "f32", "int4"}) {
    const Model model = open_bytes(bytes_of("own_heads", weights));
    for (const std::vector<size_t>& texts :
         {std::vector<size_t>{1}, {2}, {11}, {48}, {1, 1, 1}, {5, 9, 2}, {24, 23}, {48, 48, 48, 48, 48}}) {
      TokenBatch batch;
      for (const size_t tokens : texts) batch.add(tokens, model.config().vocab, static_cast<uint32_t>(tokens));
      std::vector<float> gold(texts.size() * model.total_classes());
      Session one = open_session(model);
      ASSERT_TRUE(one.run_ids(batch.ids, batch.starts, gold).ok());
      for (const Isa isa : available_levels()) {
        for (const unsigned threads : {2u, 3u, 8u}) {
          for (const auto start : {run_threads_together, run_fewer_together}) {
            Session session = open_session(model, {.isa = isa, .executor = {run_on_threads, nullptr, threads, start}});
            std::vector<float> logits(gold.size());
            ASSERT_TRUE(session.run_ids(batch.ids, batch.starts, logits).ok());
            EXPECT_TRUE(same_bits(logits, gold)) << kernels::isa_name(isa) << ", " << threads << " threads, " << weights
                                                 << ", " << texts.size() << " texts of " << texts[0];
          }
        }
      }
    }
  }
}

// Observers see whole stages, one at a time.
TEST(Crew, ObserversSeeWhatOneThreadLeaves) {
  const Model model = open_bytes(bytes_of("own_heads"));
  using Stages = std::vector<std::vector<float>>;
  const auto stages = [&](const Executor& executor) {
    Stages seen;
    const StageObserver observer{[](void* context, const char*, const float* rows, size_t count, size_t width) {
                                   static_cast<Stages*>(context)->emplace_back(rows, rows + count * width);
                                 },
                                 &seen};
    TokenBatch batch;
    batch.add(9, model.config().vocab, 4);
    batch.add(3, model.config().vocab, 5);
    Session session = open_session(model, {.executor = executor});
    std::vector<float> logits(2 * model.total_classes());
    EXPECT_TRUE(session.run_ids(batch.ids, batch.starts, logits, observer).ok());
    return seen;
  };
  const Stages gold = stages({}), seen = stages(together(3));
  ASSERT_EQ(seen.size(), gold.size());
  for (size_t i = 0; i < gold.size(); ++i) EXPECT_TRUE(same_bits(seen[i], gold[i])) << i;
}

}  // namespace
}  // namespace onepass::test
