// onepass-bench kernels: the speed of single kernels, beside the machine's limits and what libraries reach.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/kernels/baselines.h"
#include "bench/kernels/problems.h"
#include "bench/kernels/roofline.h"
#include "bench/support/interleave.h"
#include "bench/support/machine.h"
#include "bench/support/peak.h"
#include "bench/support/progress.h"
#include "bench/support/statistics.h"
#include "bench/support/team.h"

namespace onepass::bench {

namespace {

using kernels::Isa;
using Json = nlohmann::ordered_json;

// Copies of a call's weights, taken in turn by everything that is timed together: what a call reads was last read as
// long ago as the set is large.
class WeightSet {
 public:
  WeightSet(const Array<uint8_t>& weights, size_t bytes) : weights_(weights) {
    stride_ = kernels::round_up(weights.size(), 64);
    copies_ = stride_ == 0 ? 1 : std::max<size_t>(1, bytes / stride_);
    if (copies_ == 1) return;
    if (!pool_.resize(copies_ * stride_)) throw std::runtime_error("out of memory for the cold weights");
    for (size_t i = 0; i < copies_; ++i) std::memcpy(pool_.data() + i * stride_, weights.data(), weights.size());
  }
  const uint8_t* next() {
    if (copies_ == 1) return weights_.data();
    at_ = (at_ + 1) % copies_;
    return pool_.data() + at_ * stride_;
  }
  size_t bytes() const { return copies_ * stride_; }

 private:
  const Array<uint8_t>& weights_;
  Array<uint8_t> pool_;
  size_t stride_ = 0, copies_ = 1, at_ = 0;
};

struct Cache {
  std::string name;  // warm, l2, l3: what the weights do not fit
  size_t bytes;
};

std::vector<Cache> caches_of(const KernelsOptions& o, const Machine& machine) {
  const size_t l2 = machine.l2 != 0 ? machine.l2 : 1 << 20;
  std::vector<Cache> out;
  for (const std::string& name : o.caches) {
    if (name == "warm") out.push_back({name, 0});
    if (name == "l2") out.push_back({name, 4 * l2});
    if (name == "l3") {
      // A third of what is free: other work on the machine keeps its memory.
      const size_t wanted = machine.l3 + machine.l3 / 4;
      if (machine.l3 == 0 || wanted > machine.memory_available / 3) {
        std::fprintf(
            stderr, "onepass-bench: cache l3 is left out: its size is unknown, or 1.25 times it does not fit memory\n");
        continue;
      }
      out.push_back({name, wanted});
    }
  }
  return out;
}

std::vector<Isa> levels_of(const std::string& name) {
  std::vector<Isa> levels;
  if (!name.empty()) {
    Isa isa{};
    if (!kernels::isa_from_name(name.c_str(), &isa)) throw std::runtime_error(name + ": no such level");
    if (!kernels::isa_available(isa)) throw std::runtime_error(name + ": this machine does not have this level");
    return {isa};
  }
  for (unsigned level = 0; level < kernels::isa_count; ++level) {
    const auto isa = static_cast<Isa>(level);
    if (kernels::isa_available(isa) && isa != Isa::scalar) levels.push_back(isa);
  }
  return levels.empty() ? std::vector<Isa>{Isa::scalar} : levels;
}

// The own kernel of a level, or of one that it stands on: the same function is not timed twice.
bool same_kernel(const std::string& kernel, Isa a, Isa b) {
  const kernels::KernelTable &x = *kernels::kernel_table(a), &y = *kernels::kernel_table(b);
#define ONEPASS_OP(op, Args) \
  if (kernel == #op) return x.op == y.op;
#include "kernels/kernel_list.inc"
  return false;
}

struct Run {
  const KernelsOptions& options;
  Machine machine;
  std::vector<Isa> levels;
  double round_trip = 0;
  Roofline roofline;
};

struct Measured {
  Summary time;
  double gops = 0, gb_per_s = 0;
  double peak = 0, percent = 0;  // 0: no loop for this level
  const char* instructions = "";
  double intensity = 0;  // operations a byte
  double roof = 0;       // what the peak and the memory that cold weights come from allow one thread
};

void print_row(const Run& run, const Operation& op, Shape s, const Cache& cache, size_t set_bytes, unsigned threads,
               Isa isa, const Measured& m, const Json& baselines) {
  if (run.options.json) {
    Json row = {{"op", op.name},
                {"isa", kernels::isa_name(isa)},
                {"m", s.m},
                {"n", s.n},
                {"k", s.k},
                {"threads", threads},
                {"weights", cache.name == "warm" ? "warm" : "cold_" + cache.name},
                {"weight_set_mb", rounded(static_cast<double>(set_bytes) / 1e6, 3)},
                {"median_us", rounded(m.time.median * 1e6, 3)},
                {"min_us", rounded(m.time.min * 1e6, 3)},
                {"p10_us", rounded(m.time.p10 * 1e6, 3)},
                {"p90_us", rounded(m.time.p90 * 1e6, 3)},
                {"spread_percent", rounded(m.time.spread_percent(), 1)},
                {"samples", m.time.samples},
                {"outliers", m.time.outliers},
                {"gops", rounded(m.gops, 1)},
                {"gb_per_s", rounded(m.gb_per_s, 1)},
                {"intensity", rounded(m.intensity, 2)},
                {"peak_gops", rounded(m.peak, 1)},
                {"percent_of_peak", rounded(m.percent, 1)},
                {"peak_instructions", m.instructions}};
    if (m.roof > 0) {
      row["roof_gops"] = rounded(m.roof, 1);
      row["percent_of_roof"] = rounded(100 * m.gops / m.roof, 1);
    }
    if (threads > 1) row["round_trip_ns"] = rounded(run.round_trip, 1);
    if (!baselines.empty()) row["baselines"] = baselines;
    std::printf("%s\n", row.dump().c_str());
    std::fflush(stdout);
    return;
  }
  std::printf("%-13s %-10s %4zu %5zu %5zu  %-4s %u %10.2f %10.2f %5.1f%%", op.name, kernels::isa_name(isa), s.m, s.n,
              s.k, cache.name.c_str(), threads, m.time.median * 1e6, m.time.min * 1e6, m.time.spread_percent());
  if (m.gops > 0)
    std::printf(" %8.1f %6.1f%%", m.gops, m.percent);
  else
    std::printf(" %8s %7s", "-", "-");
  std::printf(" %8.1f", m.gb_per_s);
  for (const auto& [name, gops] : baselines.items()) {
    if (gops.is_number()) std::printf("  %s %.0f", name.substr(0, name.find('_')).c_str(), gops.get<double>());
  }
  std::printf("\n");
  std::fflush(stdout);
}

// One operation at one shape: every level, every peak and every baseline in the same rounds.
void measure_shape(Run& run, const Operation& op, Shape s, const Cache& cache, unsigned threads, Progress& progress) {
  const Problem problem = op.make(s);
  if (cache.bytes != 0 && problem.weights.size() == 0) return;
  WeightSet set(problem.weights, cache.bytes);
  std::optional<Team> team;
  if (threads > 1) team.emplace(threads);
  const auto on_team = [&](const std::function<void(size_t)>& task) {
    if (team)
      team->run(task);
    else
      task(0);
  };

  std::vector<Contestant> contestants;
  struct Level {
    Isa isa;
    size_t kernel, peak;
    PeakLoop loop;
  };
  std::vector<Level> levels;
  for (const Isa isa : run.levels) {
    const bool seen =
        std::any_of(levels.begin(), levels.end(), [&](const Level& l) { return same_kernel(op.kernel, l.isa, isa); });
    if (seen && run.options.isa.empty()) continue;
    Level level{isa, contestants.size(), 0, peak_loop(isa, op.arithmetic)};
    // Not looked up in the call: kernel_table() asks the processor, which under a hypervisor takes 20 us and more.
    contestants.push_back({kernels::isa_name(isa), [&, &t = *kernels::kernel_table(isa)] {
                             const uint8_t* weights = set.next();
                             const std::function<void(size_t)> task = [&](size_t part) {
                               problem.call(t, weights, part, threads);
                             };
                             on_team(task);
                           }});
    if (level.loop.run != nullptr) {
      level.peak = contestants.size();
      contestants.push_back({"peak", [&on_team, loop = level.loop.run] {
                               const std::function<void(size_t)> task = [loop](size_t) { loop(); };
                               on_team(task);
                             }});
    }
    levels.push_back(level);
  }
  std::vector<Baseline> others;
  const size_t first_other = contestants.size();
  if (run.options.baselines && op.product && threads == 1) others = baselines(s, cache.bytes);
  for (const Baseline& b : others) contestants.push_back({b.name, b.call});

  const auto seconds = interleave(contestants, {.seconds_each = run.options.seconds});
  Json baseline_gops = Json::object();
  for (size_t i = 0; i < others.size(); ++i) {
    baseline_gops[others[i].name] = rounded(problem.operations / quantile(seconds[first_other + i], 0.5) / 1e9, 1);
  }
  if (!others.empty() && !onednn_description().empty()) baseline_gops["onednn"] = onednn_description();
  progress.clear();
  for (const Level& level : levels) {
    Measured m;
    m.time = summarize(seconds[level.kernel]);
    m.gops = problem.operations / m.time.median / 1e9;
    m.gb_per_s = problem.bytes / m.time.median / 1e9;
    m.intensity = problem.operations / problem.bytes;
    if (level.loop.run != nullptr) {
      const double peak_operations = level.loop.operations * threads;
      m.peak = peak_operations / quantile(seconds[level.peak], 0.5) / 1e9;
      m.percent = 100 * median_ratio(seconds[level.peak], seconds[level.kernel]) * problem.operations / peak_operations;
      m.instructions = level.loop.instructions;
      const double bandwidth = run.roofline.bandwidth(cache.name == "l2" ? "L3" : cache.name == "l3" ? "memory" : "");
      if (threads == 1 && bandwidth > 0) m.roof = std::min(m.peak, bandwidth * m.intensity);
    }
    print_row(run, op, s, cache, set.bytes(), threads, level.isa, m, baseline_gops);
    if (problem.operations > 0 && threads == 1)
      run.roofline.add(level.isa, op.name, s, cache.name, problem.operations / problem.bytes, m.gops);
  }
}

}  // namespace

void run_kernels(const KernelsOptions& o) {
  Run run{o, read_machine(), levels_of(o.isa), 0, {}};
  std::vector<const Operation*> ops;
  for (const std::string& name : o.ops) {
    for (const Operation* op : find_operations(name)) ops.push_back(op);
  }
  if (ops.empty()) {
    for (const Operation& op : operations()) ops.push_back(&op);
  }
  std::vector<Shape> shapes;
  for (const std::string& text : o.shapes) shapes.push_back(parse_shape(text));
  const std::vector<Cache> caches = caches_of(o, run.machine);
  limit_onednn(run.levels.back());
  run.round_trip = round_trip_ns();

  size_t steps = 1;
  for (const Operation* op : ops)
    steps += (shapes.empty() ? op->shapes.size() : shapes.size()) * caches.size() * o.threads.size();
  Progress progress(steps);
  progress.step("the machine's limits");
  run.roofline.measure_roofs(run.machine, run.levels);
  progress.clear();
  if (!o.json) {
    std::printf("%s, %u cores, L2 %.1f MB, L3 %.0f MB; round trip between two cores %.0f ns\n", run.machine.cpu.c_str(),
                run.machine.cores, static_cast<double>(run.machine.l2) / 1e6, static_cast<double>(run.machine.l3) / 1e6,
                run.round_trip);
    std::printf("%s", run.roofline.describe().c_str());
    if (o.baselines && !onednn_description().empty())
      std::printf("baselines on one thread, GOPS: OpenBLAS f32, Eigen f32, %s\n", onednn_description().c_str());
    for (const Cache& cache : caches) {
      if (cache.bytes != 0)
        std::printf("%s: the weights of successive calls are copies, %.0f MB of them, more than fit that cache\n",
                    cache.name.c_str(), static_cast<double>(cache.bytes) / 1e6);
    }
    std::printf("%-13s %-10s %4s %5s %5s  %-4s %s %10s %10s %6s %8s %7s %8s\n", "operation", "level", "M", "N", "K",
                "wgts", "T", "median us", "min us", "spread", "GOPS", "of peak", "GB/s");
  }
  for (const Operation* op : ops) {
    for (const Shape s : shapes.empty() ? op->shapes : shapes) {
      for (const Cache& cache : caches) {
        for (const unsigned threads : o.threads) {
          progress.step(std::string(op->name) + " " + s.text() + " " + cache.name + ", " + std::to_string(threads) +
                        (threads == 1 ? " thread" : " threads"));
          measure_shape(run, *op, s, cache, threads, progress);
        }
      }
    }
  }
  progress.clear();
  if (!o.plot.empty()) write_text(o.plot, run.roofline.svg(run.machine));
}

}  // namespace onepass::bench
