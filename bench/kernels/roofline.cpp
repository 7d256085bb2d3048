#include "bench/kernels/roofline.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include "bench/support/interleave.h"
#include "bench/support/statistics.h"

namespace onepass::bench {

namespace {

constexpr int kGrey = 8;  // of Plot's colours

}  // namespace

void Roofline::measure_roofs(const Machine& machine, const std::vector<kernels::Isa>& levels) {
  const size_t l1 = machine.l1 != 0 ? machine.l1 : 32 << 10, l2 = machine.l2 != 0 ? machine.l2 : 1 << 20;
  bandwidths_ = {{"L1", l1 / 2, 0}, {"L2", l2 / 2, 0}, {"L3", 4 * l2, 0}};
  // More than the whole L3, where that leaves most of the memory to others.
  const size_t beyond = machine.l3 + machine.l3 / 4;
  if (machine.l3 != 0 && beyond < machine.memory_available / 3) bandwidths_.push_back({"memory", beyond, 0});
  auto buffer = std::make_shared<Array<uint8_t>>();
  while (!buffer->resize(bandwidths_.back().bytes)) bandwidths_.pop_back();
  for (size_t i = 0; i < buffer->size(); i += 64) (*buffer)[i] = static_cast<uint8_t>(i >> 6);

  uint64_t sink = 0;
  std::vector<Contestant> contestants;
  for (const Bandwidth& b : bandwidths_) {
    contestants.push_back({b.name, [&sink, buffer, read = reader(), bytes = b.bytes] {
                             sink ^= read(buffer->data(), bytes);
                             // Kept: without a use the compiler may leave the reads out.
                             asm volatile("" : "+r"(sink));
                           }});
  }
  std::vector<PeakLoop> loops;
  for (const kernels::Isa isa : levels) {
    for (const Arithmetic arithmetic : {Arithmetic::int8, Arithmetic::f32}) {
      const PeakLoop loop = peak_loop(isa, arithmetic);
      const bool seen = std::any_of(loops.begin(), loops.end(), [&](const PeakLoop& l) { return l.run == loop.run; });
      if (loop.run == nullptr || seen) continue;
      loops.push_back(loop);
      peaks_.push_back({loop.instructions, 0, arithmetic == Arithmetic::int8});
      contestants.push_back({loop.instructions, loop.run});
    }
  }
  const auto seconds = interleave(contestants, {.seconds_each = 0.1, .least_rounds = 9});
  for (size_t i = 0; i < bandwidths_.size(); ++i)
    bandwidths_[i].gb_per_s = static_cast<double>(bandwidths_[i].bytes) / quantile(seconds[i], 0.5) / 1e9;
  for (size_t i = 0; i < peaks_.size(); ++i)
    peaks_[i].gops = loops[i].operations / quantile(seconds[bandwidths_.size() + i], 0.5) / 1e9;
}

double Roofline::bandwidth(const std::string& name) const {
  for (const Bandwidth& b : bandwidths_) {
    if (b.name == name) return b.gb_per_s;
  }
  return 0;
}

std::string Roofline::describe() const {
  std::string out = "one thread reads";
  char text[160];
  for (const Bandwidth& b : bandwidths_) {
    std::snprintf(text, sizeof text, "%s %s %.0f GB/s (%.3g MB)", &b == bandwidths_.data() ? "" : ",", b.name.c_str(),
                  b.gb_per_s, static_cast<double>(b.bytes) / 1e6);
    out += text;
  }
  out += "\none thread computes in registers";
  for (const Peak& p : peaks_) {
    std::snprintf(text, sizeof text, "%s %s %.0f GOPS", &p == peaks_.data() ? "" : ";", p.name.c_str(), p.gops);
    out += text;
  }
  return out + "\n";
}

void Roofline::add(kernels::Isa isa, const std::string& op, Shape shape, const std::string& cache, double intensity,
                   double gops) {
  char text[160];
  std::snprintf(text, sizeof text, "%s %s, weights %s: %.0f GOPS at %.1f operations a byte", op.c_str(),
                shape.text().c_str(), cache.c_str(), gops, intensity);
  points_.push_back({isa, op, cache, text, intensity, gops});
}

std::string Roofline::svg(const Machine& machine) const {
  if (points_.empty()) throw std::runtime_error("the plot has no point: no operation was counted in GOPS");
  // Of each operation, the highest level that has a kernel of its own.
  const auto drawn = [&](const Point& p) {
    return std::none_of(points_.begin(), points_.end(), [&](const Point& q) { return q.op == p.op && q.isa > p.isa; });
  };
  double low = points_[0].intensity, high = low;
  for (const Point& p : points_) low = std::min(low, p.intensity), high = std::max(high, p.intensity);
  std::vector<Peak> peaks;  // of each arithmetic, the highest
  for (const Peak& p : peaks_) {
    const auto same = std::find_if(peaks.begin(), peaks.end(), [&](const Peak& q) { return q.int8 == p.int8; });
    if (same == peaks.end())
      peaks.push_back(p);
    else if (p.gops > same->gops)
      *same = p;
  }
  double top = 0;
  for (const Peak& p : peaks) top = std::max(top, p.gops);
  low = std::min(low / 2, 1.0), high *= 2;

  Plot plot("Roofline: one thread on " + machine.cpu, "operations a byte moved", "GOPS");
  char text[120];
  for (size_t i = 0; i < bandwidths_.size(); ++i) {
    const Bandwidth& b = bandwidths_[i];
    std::snprintf(text, sizeof text, "%s, %.0f GB/s", b.name.c_str(), b.gb_per_s);
    std::string name = text;
    // Roofs that would lie on each other are drawn once, under both names.
    while (i + 1 < bandwidths_.size() && bandwidths_[i + 1].gb_per_s > 0.8 * b.gb_per_s) {
      ++i;
      std::snprintf(text, sizeof text, "; %s, %.0f GB/s", bandwidths_[i].name.c_str(), bandwidths_[i].gb_per_s);
      name += text;
    }
    const double ridge = top / b.gb_per_s;
    if (ridge <= low) continue;
    const double end = std::min(ridge, high);
    plot.add(name, Plot::Style::roof, {{low, low * b.gb_per_s, ""}, {end, end * b.gb_per_s, ""}}, kGrey);
  }
  for (const Peak& p : peaks) {
    std::snprintf(text, sizeof text, "%s, %.0f GOPS", p.name.c_str(), p.gops);
    plot.add(text, Plot::Style::ceiling, {{low, p.gops, ""}, {high, p.gops, ""}}, kGrey);
  }
  std::vector<std::string> ops, caches;
  const auto number = [](std::vector<std::string>& names, const std::string& name) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at != names.end()) return static_cast<int>(at - names.begin());
    names.push_back(name);
    return static_cast<int>(names.size()) - 1;
  };
  std::vector<std::pair<std::string, std::string>> done;
  for (const Point& p : points_) {
    if (!drawn(p) || std::find(done.begin(), done.end(), std::pair(p.op, p.cache)) != done.end()) continue;
    done.emplace_back(p.op, p.cache);
    std::vector<Plot::Point> series;
    for (const Point& q : points_) {
      if (drawn(q) && q.op == p.op && q.cache == p.cache) series.push_back({q.intensity, q.gops, q.note});
    }
    const int colour = number(ops, p.op), shape = number(caches, p.cache);
    const char* from = p.cache == "l2" ? ", weights from L3" : p.cache == "l3" ? ", weights from memory" : ", warm";
    plot.add(p.op + " " + kernels::isa_name(p.isa) + from, Plot::Style::points, series, colour % kGrey, shape);
  }
  return plot.svg();
}

}  // namespace onepass::bench
