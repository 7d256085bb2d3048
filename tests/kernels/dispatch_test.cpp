// The level asked for is the level that runs.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <set>

#include "tests/kernels/problems.h"

namespace onepass::kernels {
namespace {

TEST(Dispatch, NamesAreThoseOfTheCommandLine) {
  const char* const names[] = {"scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "amx", "neon", "dotprod", "i8mm"};
  for (unsigned i = 0; i < isa_count; ++i) {
    EXPECT_STREQ(isa_name(static_cast<Isa>(i)), names[i]);
    Isa isa = Isa::scalar;
    EXPECT_TRUE(isa_from_name(names[i], &isa));
    EXPECT_EQ(static_cast<unsigned>(isa), i);
  }
  EXPECT_STREQ(isa_name(static_cast<Isa>(isa_count)), "unknown");
  Isa isa = Isa::avx2;
  for (const char* name : {"", "avx", "AVX2", "avx2 ", "avx512vnni2"}) {
    EXPECT_FALSE(isa_from_name(name, &isa)) << name;
    EXPECT_EQ(isa, Isa::avx2);
  }
}

TEST(Dispatch, ScalarIsAlwaysThere) {
  EXPECT_TRUE(isa_available(Isa::scalar));
  EXPECT_TRUE(isa_available(best_isa()));
  EXPECT_FALSE(isa_available(static_cast<Isa>(isa_count)));
  EXPECT_EQ(kernel_table(static_cast<Isa>(isa_count)), nullptr);
}

TEST(Dispatch, TablesAreThereExactlyWhereTheLevelIs) {
  for (unsigned i = 0; i < isa_count; ++i) {
    const auto isa = static_cast<Isa>(i);
    const KernelTable* table = kernel_table(isa);
    EXPECT_EQ(table != nullptr, isa_available(isa)) << isa_name(isa);
    EXPECT_EQ(table, kernel_table(isa)) << isa_name(isa);
    if (table == nullptr) continue;
    EXPECT_EQ(table->isa, isa);
    EXPECT_LE(isa, best_isa());
#define ONEPASS_OP(op, Args) EXPECT_NE(table->op, nullptr) << isa_name(isa) << " " #op;
#include "kernels/kernel_list.inc"
  }
}

// Where a row says that a level has its own kernel, the table of that level holds that very function.
TEST(Dispatch, TableHoldsTheLevelAskedFor) {
#define ONEPASS_KERNEL(op, Args, level)                                             \
  if (const KernelTable* table = kernel_table(Isa::level); table != nullptr) {      \
    EXPECT_EQ(table->op, static_cast<void (*)(const Args&) noexcept>(op##_##level)) \
        << #op " of " #level " is another function";                                \
  }
#include "kernels/kernel_list.inc"
}

// Levels without an own kernel use that of the level below, and never the reference where there is better.
TEST(Dispatch, EmptySlotsFallToTheLevelBelow){
#define ONEPASS_OP(op, Args)                                                      \
  {                                                                               \
    std::set<void (*)(const Args&) noexcept> own;                                 \
    for (const auto& kernel : test::kernels_of<Args>()) own.insert(kernel.run);   \
    for (unsigned i = 1; i < isa_count; ++i) {                                    \
      const KernelTable* table = kernel_table(static_cast<Isa>(i));               \
      if (table == nullptr) continue;                                             \
      EXPECT_TRUE(own.contains(table->op)) << #op " of " << isa_name(table->isa); \
      EXPECT_NE(table->op, op##_scalar) << #op " of " << isa_name(table->isa);    \
    }                                                                             \
  }
#include "kernels/kernel_list.inc"
}

// The test run may name what the machine has (ONEPASS_EXPECT_ISA=neon under a given qemu processor).
TEST(Dispatch, BestLevelIsTheExpectedOne) {
  EXPECT_TRUE(isa_available(best_isa()));
  for (unsigned level = static_cast<unsigned>(best_isa()) + 1; level < isa_count; ++level) {
    EXPECT_FALSE(isa_available(static_cast<Isa>(level))) << isa_name(static_cast<Isa>(level));
  }
  if (const char* expected = std::getenv("ONEPASS_EXPECT_ISA")) {
    EXPECT_STREQ(isa_name(best_isa()), expected);
  }
}

}  // namespace
}  // namespace onepass::kernels
