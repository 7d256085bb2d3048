// onepass-bench model: latency of a pass, load time, memory, energy.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/models/synthetic.h"
#include "bench/models/work.h"
#include "bench/support/interleave.h"
#include "bench/support/machine.h"
#include "bench/support/peak.h"
#include "bench/support/plot.h"
#include "bench/support/progress.h"
#include "bench/support/statistics.h"
#include "bench/support/team.h"
#include "engine/runtime/model.h"
#include "engine/runtime/session.h"

namespace onepass::bench {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

template <class T>
T take(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(std::string(result.error().where) + ": " + result.error().message);
  return std::move(result).value();
}

double mb(size_t bytes) { return static_cast<double>(bytes) / 1e6; }

// A file of random weights that is gone when the run ends.
class TemporaryModel {
 public:
  TemporaryModel(const std::string& shape, const std::string& weights) {
    path_ = (fs::temp_directory_path() / ("onepass-bench-" + std::to_string(getpid()) + ".onepass")).string();
    const Status status = write_model(take(synthetic_model(shape, weights)), path_);
    if (!status.ok()) throw std::runtime_error(std::string(status.error().where) + ": " + status.error().message);
  }
  ~TemporaryModel() {
    std::error_code error;
    fs::remove(path_, error);
  }
  TemporaryModel(const TemporaryModel&) = delete;
  TemporaryModel& operator=(const TemporaryModel&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The type of the products' weights.
std::string weights_of(const Model& model) {
  const std::string layout = kernels::layout_name(model.weights().layers[0].qkv.layout);
  return layout.starts_with("i8") ? "int8" : layout.starts_with("i4") ? "int4" : layout.substr(0, layout.find('_'));
}

struct Texts {
  std::string name;
  std::vector<uint32_t> starts;  // of each, and the end
  std::vector<uint32_t> ids;
};

Texts make_texts(const std::string& name, const std::vector<uint32_t>& lengths, uint32_t vocab) {
  Texts texts{name, {0}, {}};
  for (const uint32_t length : lengths) texts.starts.push_back(texts.starts.back() + length);
  for (uint32_t t = 0; t < texts.starts.back(); ++t) texts.ids.push_back((t * 7919 + 1000) % vocab);
  return texts;
}

// 32 lines as people type them in a chat, template tokens included: 6 to 43 tokens, 512 in all.
const std::vector<uint32_t> kChatLines = {9, 14, 6,  22, 11, 17, 31, 8,  13, 19, 7, 43, 10, 16, 12, 25,
                                          6, 15, 20, 9,  28, 11, 8,  18, 14, 35, 7, 12, 21, 10, 24, 11};

struct Row {
  size_t texts, tokens;
  unsigned threads;
  Summary time;
  double gops, peak_gops, percent;
  double energy_mj;  // 0: not measured
};

double run_once(Session& session, const Texts& texts, std::vector<float>& logits) {
  const Status status = session.run_ids(texts.ids, texts.starts, logits);
  if (!status.ok()) throw std::runtime_error(std::string(status.error().where) + ": " + status.error().message);
  return logits[0];
}

Session make_session(const Model& model, kernels::Isa isa, unsigned threads) {
  return take(Session::create(model, {.isa = isa, .executor = threads > 1 ? openmp_executor(threads) : Executor{}}));
}

// The memory of a fresh process that opens the file, mapped and with hashes skipped, and runs one text.
struct PassMemory {
  size_t peak = 0;   // of the process
  size_t added = 0;  // above what it had before it opened the model
};
PassMemory pass_memory(const std::string& path, kernels::Isa isa, uint32_t tokens) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    PassMemory memory;
    try {
      const size_t before = memory_of("/proc/self/status").resident;
      const Model model = take(Model::open(path.c_str(), {.mode = LoadMode::map, .verify = false}));
      Session session = make_session(model, isa, 1);
      std::vector<float> logits(model.total_classes());
      run_once(session, make_texts("", {tokens}, model.config().vocab), logits);
      memory.peak = memory_of("/proc/self/status").peak;
      memory.added = memory.peak - std::min(before, memory.peak);
    } catch (const std::exception&) {
      memory = {};
    }
    const bool written = write(ends[1], &memory, sizeof memory) == sizeof memory;
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  PassMemory memory;
  if (child < 0 || read(ends[0], &memory, sizeof memory) != sizeof memory) memory = {};
  close(ends[0]);
  if (child > 0) waitpid(child, nullptr, 0);
  return memory;
}

// Bytes of the tensors that every pass reads: all but tables, of which a text reads a few rows.
size_t read_bytes(const Model& model) {
  size_t bytes = 0;
  for (const TensorView& tensor : model.file().tensors()) {
    if (slot_specs()[static_cast<size_t>(tensor.slot)].role != Role::table) bytes += tensor.bytes;
  }
  return bytes;
}

struct LoadTimes {
  double mapped_ms, copied_ms, verified_ms;
};
LoadTimes load_times(const std::string& path) {
  const auto open = [&](LoadMode mode, bool verify) {
    return [&path, mode, verify] { take(Model::open(path.c_str(), {.mode = mode, .verify = verify})); };
  };
  const std::vector<Contestant> ways = {{"mapped", open(LoadMode::map, false)},
                                        {"copied", open(LoadMode::copy, false)},
                                        {"verified", open(LoadMode::map, true)}};
  const auto seconds = interleave(ways, {.seconds_each = 0.2, .least_rounds = 5});
  return {1e3 * quantile(seconds[0], 0.5), 1e3 * quantile(seconds[1], 0.5), 1e3 * quantile(seconds[2], 0.5)};
}

// Millijoules of one call, from at least a quarter of a second of them: the counter steps every millisecond.
double energy_of(const EnergyCounter& counter, const std::function<void()>& call, double seconds) {
  const auto calls = static_cast<size_t>(0.25 / seconds) + 1;
  const EnergyCounter::Reading before = counter.read();
  for (size_t i = 0; i < calls; ++i) call();
  return counter.between(before, counter.read()) / 1e3 / static_cast<double>(calls);
}

std::string plot_of(const std::string& title, const std::vector<Row>& rows) {
  Plot plot("One pass: " + title, "tokens", "ms");
  std::vector<unsigned> threads;
  for (const Row& r : rows) {
    if (std::find(threads.begin(), threads.end(), r.threads) == threads.end()) threads.push_back(r.threads);
  }
  for (size_t i = 0; i < threads.size(); ++i) {
    std::vector<Plot::Point> points;
    for (const Row& r : rows) {
      if (r.threads != threads[i] || r.texts != 1) continue;
      char note[80];
      std::snprintf(note, sizeof note, "%zu tokens: %.3g ms", r.tokens, r.time.median * 1e3);
      points.push_back({static_cast<double>(r.tokens), r.time.median * 1e3, note});
    }
    plot.add(std::to_string(threads[i]) + (threads[i] == 1 ? " thread" : " threads"), Plot::Style::line_and_points,
             points, static_cast<int>(i), static_cast<int>(i));
  }
  return plot.svg();
}

}  // namespace

void run_model(const ModelOptions& o) {
  kernels::Isa isa = kernels::best_isa();
  if (!o.isa.empty() && !kernels::isa_from_name(o.isa.c_str(), &isa))
    throw std::runtime_error(o.isa + ": no such level");
  if (!kernels::isa_available(isa)) throw std::runtime_error(o.isa + ": this machine does not have this level");
  std::unique_ptr<TemporaryModel> temporary;
  if (o.model.empty()) temporary = std::make_unique<TemporaryModel>(o.shape, o.weights);
  const std::string path = temporary ? temporary->path() : o.model;

  // Before a pass has touched the pages of this very file.
  const Model model = take(Model::open(path.c_str(), {}));
  std::vector<uint32_t> lengths;
  for (const uint32_t tokens : o.tokens) {
    if (tokens <= model.config().max_tokens) lengths.push_back(tokens);
  }
  if (lengths.empty()) {
    throw std::runtime_error("--tokens: this model reads " + std::to_string(model.config().max_tokens) +
                             " tokens at most");
  }
  const PassMemory memory = pass_memory(path, isa, *std::max_element(lengths.begin(), lengths.end()));
  const LoadTimes load = load_times(path);

  const uint32_t vocab = model.config().vocab;
  std::vector<Texts> all;
  for (const uint32_t tokens : lengths) all.push_back(make_texts(std::to_string(tokens) + " tokens", {tokens}, vocab));
  const uint32_t chat_tokens = std::accumulate(kChatLines.begin(), kChatLines.end(), 0u);
  if (o.batch) {
    all.push_back(make_texts("32 chat lines", kChatLines, vocab));
    if (chat_tokens <= model.config().max_tokens &&
        std::find(lengths.begin(), lengths.end(), chat_tokens) == lengths.end())
      all.push_back(make_texts(std::to_string(chat_tokens) + " tokens", {chat_tokens}, vocab));
  }

  const std::string weights = weights_of(model);
  const bool integer = weights.starts_with("int");
  const PeakLoop loop = peak_loop(isa, integer ? Arithmetic::int8 : Arithmetic::f32);
  const double file_mb = mb(model.file().file_size()), round_trip = round_trip_ns();
  const EnergyCounter energy;
  const std::string name = o.model.empty() ? o.shape : o.model;
  if (!o.json) {
    std::printf("%s, %s, %s, file %.1f MB\n", name.c_str(), weights.c_str(), kernels::isa_name(isa), file_mb);
    std::printf("load %.2f ms mapped, %.2f ms copied, %.2f ms mapped with hashes\n", load.mapped_ms, load.copied_ms,
                load.verified_ms);
    std::printf(
        "peak memory of a process that opens it, mapped, and runs %u tokens: %.1f MB, %.1f MB of it after the "
        "open began; %.1f MB more than the weights that a pass reads\n",
        *std::max_element(lengths.begin(), lengths.end()), mb(memory.peak), mb(memory.added),
        mb(memory.peak) - mb(read_bytes(model)));
    std::printf("round trip between two cores %.0f ns%s\n", round_trip,
                energy.readable() ? "" : "; no energy counter can be read here");
    std::printf("%-14s %7s %10s %10s %10s %7s %10s %8s %8s %6s%s\n", "text", "threads", "median ms", "min ms", "p90 ms",
                "spread", "tokens/s", "GOPS", "peak", "%", energy.readable() ? "      mJ" : "");
  }

  std::vector<Row> rows;
  Progress progress(all.size() * o.threads.size());
  for (const unsigned threads : o.threads) {
    Session session = make_session(model, isa, threads);
    for (const Texts& texts : all) {
      progress.step(texts.name + ", " + std::to_string(threads) + (threads == 1 ? " thread" : " threads"));
      const size_t count = texts.starts.size() - 1, tokens = texts.ids.size();
      std::vector<float> logits(count * model.total_classes());
      const std::function<void()> pass = [&] { run_once(session, texts, logits); };
      std::vector<Contestant> contestants = {{"pass", pass}};
      // One thread's peak, times the threads: two loops side by side would need threads of their own, which the
      // session's would have to share their cores with.
      if (loop.run != nullptr) contestants.push_back({"peak", loop.run});
      const auto seconds = interleave(contestants, {.seconds_each = o.seconds});
      double operations = 0;
      for (size_t b = 0; b < count; ++b)
        operations += pass_operations(model.config(), texts.starts[b + 1] - texts.starts[b], model.total_classes());
      Row row{count, tokens, threads, summarize(seconds[0]), 0, 0, 0, 0};
      row.gops = operations / row.time.median / 1e9;
      if (loop.run != nullptr) {
        const double peak_operations = loop.operations * threads;
        row.peak_gops = peak_operations / quantile(seconds[1], 0.5) / 1e9;
        row.percent = 100 * median_ratio(seconds[1], seconds[0]) * operations / peak_operations;
      }
      if (energy.readable()) row.energy_mj = energy_of(energy, pass, row.time.median);
      rows.push_back(row);
      progress.clear();
      if (o.json) {
        Json out = {{"runtime", "onepass"},
                    {"model", name},
                    {"weights", weights},
                    {"isa", kernels::isa_name(isa)},
                    {"batch", count},
                    {"tokens", tokens},
                    {"threads", threads},
                    {"median_ms", rounded(row.time.median * 1e3, 4)},
                    {"p10_ms", rounded(row.time.p10 * 1e3, 4)},
                    {"p90_ms", rounded(row.time.p90 * 1e3, 4)},
                    {"min_ms", rounded(row.time.min * 1e3, 4)},
                    {"spread_percent", rounded(row.time.spread_percent(), 1)},
                    {"samples", row.time.samples},
                    {"outliers", row.time.outliers},
                    {"tokens_per_s", rounded(static_cast<double>(tokens) / row.time.median, 1)},
                    {"gops", rounded(row.gops, 1)},
                    {"peak_gops", rounded(row.peak_gops, 1)},
                    {"percent_of_peak", rounded(row.percent, 1)},
                    {"round_trip_ns", rounded(round_trip, 1)},
                    {"load_ms", rounded(load.mapped_ms, 3)},
                    {"load_copied_ms", rounded(load.copied_ms, 3)},
                    {"load_verified_ms", rounded(load.verified_ms, 3)},
                    {"peak_rss_mb", rounded(mb(memory.peak), 1)},
                    {"model_rss_mb", rounded(mb(memory.added), 1)},
                    {"read_weights_mb", rounded(mb(read_bytes(model)), 1)},
                    {"file_mb", rounded(file_mb, 2)}};
        if (energy.readable()) out["energy_mj"] = rounded(row.energy_mj, 3);
        std::printf("%s\n", out.dump().c_str());
      } else {
        std::printf("%-14s %7u %10.3f %10.3f %10.3f %6.1f%% %10.0f %8.1f %8.0f %6.1f", texts.name.c_str(), threads,
                    row.time.median * 1e3, row.time.min * 1e3, row.time.p90 * 1e3, row.time.spread_percent(),
                    static_cast<double>(tokens) / row.time.median, row.gops, row.peak_gops, row.percent);
        if (energy.readable()) std::printf(" %8.2f", row.energy_mj);
        std::printf("\n");
      }
      std::fflush(stdout);
    }
  }
  if (!o.plot.empty()) write_text(o.plot, plot_of(name + ", " + weights + ", " + kernels::isa_name(isa), rows));
}

}  // namespace onepass::bench
