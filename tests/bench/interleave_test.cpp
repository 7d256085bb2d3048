// Interleaving on a clock of the test's own: who runs when, and what is counted as its time.
#include "bench/support/interleave.h"

#include <gtest/gtest.h>

#include "bench/support/statistics.h"
#include "bench/support/team.h"

namespace onepass::bench {
namespace {

// Time passes when a contestant runs, and only then.
struct Simulated {
  double now = 0;
  double speed = 1;  // of the processor: what everything takes is divided by it
  std::string order;
  Contestant contestant(const std::string& name, double seconds) {
    return {name, [this, name, seconds] {
              now += seconds / speed;
              order += name;
            }};
  }
  std::function<double()> clock() {
    return [this] { return now; };
  }
};

TEST(Interleave, TimesAreThoseOfTheContestants) {
  Simulated s;
  const std::vector<Contestant> both = {s.contestant("a", 1e-3), s.contestant("b", 3e-3)};
  const auto seconds = interleave(both, {.seconds_each = 0.1}, s.clock());
  ASSERT_EQ(seconds.size(), 2u);
  ASSERT_EQ(seconds[0].size(), seconds[1].size());
  EXPECT_GE(seconds[0].size(), 15u);
  for (const double t : seconds[0]) EXPECT_NEAR(t, 1e-3, 1e-9);
  for (const double t : seconds[1]) EXPECT_NEAR(t, 3e-3, 1e-9);
}

TEST(Interleave, ShortCallsFillASlice) {
  Simulated s;
  const std::vector<Contestant> one = {s.contestant("a", 1e-6)};
  const auto seconds = interleave(one, {.seconds_each = 0, .slice = 1e-3, .least_rounds = 2}, s.clock());
  ASSERT_EQ(seconds[0].size(), 2u);
  EXPECT_NEAR(seconds[0][0], 1e-6, 1e-10);
  EXPECT_GE(s.order.size(), 2000u);  // 2 slices of 1000 calls
}

// In every round each runs once (and once more, untimed, before), and the first of a round changes.
TEST(Interleave, RoundsAreWholeAndTheirOrderRotates) {
  Simulated s;
  const std::vector<Contestant> three = {s.contestant("a", 1), s.contestant("b", 1), s.contestant("c", 1)};
  interleave(three, {.seconds_each = 0, .least_rounds = 3}, s.clock());
  EXPECT_EQ(s.order.substr(12), "aabbccbbccaaccaabb");  // after four warm-up calls each
}

// The reason for all this: with a processor that slows down while it runs, one contestant after the other compares
// different machines; round by round compares one.
TEST(Interleave, ASlowingProcessorDoesNotFavourWhoeverComesFirst) {
  const auto slow_down = [](Simulated& s) { s.speed = 1 / (1 + s.now); };
  Simulated s;
  const auto slowing = [&](double seconds) {
    return Contestant{"", [&s, seconds, &slow_down] {
                        slow_down(s);
                        s.now += seconds / s.speed;
                      }};
  };
  const std::vector<Contestant> equal = {slowing(1e-3), slowing(1e-3)};
  const auto seconds = interleave(equal, {.seconds_each = 1}, s.clock());
  EXPECT_NEAR(median_ratio(seconds[0], seconds[1]), 1, 0.01);

  Simulated t;
  const auto alone = [&](double) {
    const std::vector<Contestant> one = {{"", [&t, &slow_down] {
                                            slow_down(t);
                                            t.now += 1e-3 / t.speed;
                                          }}};
    return quantile(interleave(one, {.seconds_each = 1}, t.clock())[0], 0.5);
  };
  const double first = alone(0), second = alone(0);
  EXPECT_GT(second / first, 1.5);
}

TEST(Interleave, TheBudgetEndsTheRoundsAndTheLeastRoundsHold) {
  Simulated s;
  const std::vector<Contestant> slow = {s.contestant("a", 2.0)};
  EXPECT_EQ(interleave(slow, {.seconds_each = 0.1, .least_rounds = 4}, s.clock())[0].size(), 4u);
  const std::vector<Contestant> quick = {s.contestant("a", 1e-3)};
  EXPECT_EQ(interleave(quick, {.seconds_each = 1e9, .most_rounds = 30}, s.clock())[0].size(), 30u);
  EXPECT_TRUE(interleave({}, {}, s.clock()).empty());
}

TEST(Team, EveryPartRunsOnceATurn) {
  Team alone(1);
  int calls = 0;
  alone.run([&](size_t part) {
    EXPECT_EQ(part, 0u);
    ++calls;
  });
  EXPECT_EQ(calls, 1);
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "one core";
  Team team(2);
  std::vector<int> seen(2);
  for (int i = 0; i < 50; ++i) team.run([&](size_t part) { ++seen[part]; });
  EXPECT_EQ(seen, (std::vector<int>{50, 50}));
}

TEST(Team, MoreThreadsThanCoresIsAnError) { EXPECT_THROW(Team(4096), std::runtime_error); }

}  // namespace
}  // namespace onepass::bench
