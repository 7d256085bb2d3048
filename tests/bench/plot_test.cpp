// Plots: where a value comes to lie, and text that could break the document.
#include "bench/support/plot.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "bench/kernels/roofline.h"

namespace onepass::bench {
namespace {

TEST(Plot, PositionsAreLogarithmic) {
  EXPECT_EQ(log_position(1, 1, 100, 200), 0);
  EXPECT_NEAR(log_position(10, 1, 100, 200), 100, 1e-9);
  EXPECT_NEAR(log_position(100, 1, 100, 200), 200, 1e-9);
  EXPECT_LT(log_position(0.5, 1, 100, 200), 0);
}

TEST(Plot, TicksLieWithinTheAxis) {
  EXPECT_EQ(log_ticks(1, 10), (std::vector<double>{1, 2, 5, 10}));
  EXPECT_EQ(log_ticks(3, 60), (std::vector<double>{5, 10, 20, 50}));
  EXPECT_TRUE(log_ticks(2.1, 4.9).empty());
}

TEST(Plot, TextIsEscaped) { EXPECT_EQ(xml_escape("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;"); }

TEST(Plot, DrawsWhatItIsGiven) {
  Plot plot("<title>", "x", "y");
  plot.add("kept", Plot::Style::line_and_points, {{1, 1, "first & note"}, {10, 100, "second"}}, 0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  plot.add("left out", Plot::Style::points, {{0, 1, ""}, {1, -1, ""}, {nan, 1, ""}, {1, inf, ""}}, 1);
  const std::string svg = plot.svg();
  EXPECT_NE(svg.find("first &amp; note"), std::string::npos);
  EXPECT_NE(svg.find("&lt;title&gt;"), std::string::npos);
  EXPECT_NE(svg.find("prefers-color-scheme:dark"), std::string::npos);
  EXPECT_EQ(svg.find("left out"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(Plot, WithoutAPointThereIsNoPlot) {
  EXPECT_THROW(Plot("t", "x", "y").svg(), std::runtime_error);
  EXPECT_THROW(Roofline().svg({}), std::runtime_error);
  EXPECT_THROW(write_text("/nowhere/at/all.svg", "text"), std::runtime_error);
}

// A level that borrows another's kernel adds no row, and of each operation only the highest level is drawn.
TEST(Roofline, DrawsTheHighestLevelOfEachOperation) {
  Roofline roofline;
  roofline.add(kernels::Isa::avx2, "matmul_int8", {1, 2, 3}, "warm", 10, 111);
  roofline.add(kernels::Isa::avx512vnni, "matmul_int8", {1, 2, 3}, "warm", 10, 222);
  roofline.add(kernels::Isa::avx512, "matmul_f32", {1, 2, 3}, "warm", 5, 333);
  const std::string svg = roofline.svg({});
  EXPECT_EQ(svg.find("111 GOPS"), std::string::npos);
  EXPECT_NE(svg.find("222 GOPS"), std::string::npos);
  EXPECT_NE(svg.find("333 GOPS"), std::string::npos);
}

}  // namespace
}  // namespace onepass::bench
