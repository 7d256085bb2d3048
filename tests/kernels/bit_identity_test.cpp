// Every kernel that this machine can run gives the bits of the reference, reads and writes nothing beyond its
// operands, and leaves nothing unwritten. One test per row of kernel_list.inc.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/kernels/problems.h"

namespace onepass::test {
namespace {

template <class Args>
void expect_every_level_matches_reference() {
  const auto list = kernels_of<Args>();
  ASSERT_EQ(list.front().isa, kernels::Isa::scalar);
  for (const Case& c : Problem<Args>::cases()) {
    for (const Flush flush : {Flush::front, Flush::back}) {
      Problem<Args> expected(c, flush);
      list.front().run(expected.args());
      for (const Kernel<Args>& kernel : list) {
        if (!kernels::isa_available(kernel.isa)) continue;
        Problem<Args> actual(c, flush);
        kernel.run(actual.args());
        const auto got = actual.outputs(), want = expected.outputs();
        for (size_t i = 0; i < got.size(); ++i) {
          ASSERT_EQ(difference(got[i], want[i]), "")
              << kernels::isa_name(kernel.isa) << ", " << c.text() << (flush == Flush::front ? ", front" : ", back");
        }
      }
    }
  }
  for (const Kernel<Args>& kernel : list) {
    if (!kernels::isa_available(kernel.isa)) {
      std::cout << "[ UNTESTED ] " << kernels::isa_name(kernel.isa) << ": this machine lacks it\n";
    }
  }
}

#define ONEPASS_OP(op, Args) \
  TEST(EveryLevelMatchesReference, op) { expect_every_level_matches_reference<kernels::Args>(); }
#include "kernels/kernel_list.inc"

// Threads split the channels of a product: any split gives the bits of the whole.
template <class Args>
void expect_ranges_make_the_whole(size_t multiple) {
  for (const Kernel<Args>& kernel : kernels_of<Args>()) {
    if (!kernels::isa_available(kernel.isa)) continue;
    for (const Case& c : {Case{13, 32 * 5 + 7, 37, 0}, Case{1, 96, 64, 0}, Case{27, 32 * 4 + 17, 12, 1},
                          Case{13, 32 * 3 + 9, 24, 16 | 32}}) {
      Problem<Args> whole(c, Flush::back);
      kernel.run(whole.args());
      for (size_t step = multiple; step < c.b; step += multiple) {
        Problem<Args> parts(c, Flush::back);
        Args args = parts.args();
        for (size_t begin = 0; begin < c.b; begin += step) {
          args.n_begin = begin;
          args.n_end = begin + step < c.b ? begin + step : c.b;
          kernel.run(args);
        }
        // Rows are split too, each alone.
        Problem<Args> rows(c, Flush::back);
        for (size_t m = 0; m < c.a; ++m) {
          Args row = rows.args();
          row.a += m * row.a_stride;
          row.c += m * row.c_stride;
          if constexpr (requires { row.a_scale; }) row.a_scale += m;
          if constexpr (requires { row.peak; }) row.peak = row.peak != nullptr ? row.peak + m * 16 : nullptr;
          row.m = 1;
          kernel.run(row);
        }
        for (size_t i = 0; i < whole.outputs().size(); ++i) {
          ASSERT_EQ(difference(parts.outputs()[i], whole.outputs()[i]), "") << kernels::isa_name(kernel.isa) << step;
          ASSERT_EQ(difference(rows.outputs()[i], whole.outputs()[i]), "") << kernels::isa_name(kernel.isa);
        }
      }
    }
  }
}

TEST(Ranges, MatmulI8) { expect_ranges_make_the_whole<kernels::MatmulI8>(32); }
TEST(Ranges, MatmulI4) { expect_ranges_make_the_whole<kernels::MatmulI4>(32); }
TEST(Ranges, MatmulI4Z) { expect_ranges_make_the_whole<kernels::MatmulI4Z>(32); }
TEST(Ranges, MatmulF32) { expect_ranges_make_the_whole<kernels::MatmulF32>(16); }

// A range writes its own channels and no others.
TEST(Ranges, LeaveOtherChannelsAlone) {
  for (const Kernel<kernels::MatmulI8>& kernel : kernels_of<kernels::MatmulI8>()) {
    if (!kernels::isa_available(kernel.isa)) continue;
    Problem<kernels::MatmulI8> problem({5, 100, 16, 0}, Flush::back);
    kernels::MatmulI8 args = problem.args();
    args.n_begin = 32;
    args.n_end = 64;
    kernel.run(args);
    for (size_t m = 0; m < args.m; ++m) {
      for (size_t n = 0; n < args.n; ++n) {
        const bool written = std::bit_cast<uint32_t>(args.c[m * args.c_stride + n]) != kPoisonBits;
        ASSERT_EQ(written, n >= 32 && n < 64) << kernels::isa_name(kernel.isa) << " " << m << "," << n;
      }
    }
  }
}

// Attention on some of the queries gives the bits of attention on all of them.
template <class Args>
void expect_queries_make_the_whole(const Case& c) {
  for (const Kernel<Args>& kernel : kernels_of<Args>()) {
    if (!kernels::isa_available(kernel.isa)) continue;
    Problem<Args> whole(c, Flush::back), parts(c, Flush::back);
    kernel.run(whole.args());
    for (size_t q = 0; q < c.a; ++q) {
      Args args = parts.args();
      args.q += q * args.q_stride;
      args.out += q * args.out_stride;
      args.q_count = 1;
      args.window.first += q;
      kernel.run(args);
    }
    ASSERT_EQ(difference(parts.outputs()[0], whole.outputs()[0]), "") << kernels::isa_name(kernel.isa) << c.text();
  }
}

TEST(Ranges, AttentionF32) {
  using P = Problem<kernels::AttentionF32>;
  for (const unsigned variant : {0u, 0u | P::causal, P::causal | P::one_sided, 0u | P::local, 0u | P::capped,
                                 P::key_terms | P::query_terms | P::biased}) {
    expect_queries_make_the_whole<kernels::AttentionF32>({19, 37, 32, variant});
    expect_queries_make_the_whole<kernels::AttentionF32>({50, 270, 16, variant});
  }
}
TEST(Ranges, AttentionI8) {
  using P = Problem<kernels::AttentionI8>;
  for (const unsigned variant :
       {0u, 0u | P::causal, P::causal | P::one_sided, 0u | P::local, P::key_terms | P::query_terms | P::biased,
        P::key_terms | P::query_terms | P::local, P::capped | P::causal}) {
    expect_queries_make_the_whole<kernels::AttentionI8>({19, 137, 32, variant});
  }
}

}  // namespace
}  // namespace onepass::test
