// onepass-bench model: latency of a pass, load time, memory.
#include <sys/resource.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/models/synthetic.h"
#include "bench/support/peak.h"
#include "bench/support/timing.h"
#include "engine/runtime/model.h"
#include "engine/runtime/session.h"

namespace onepass::bench {

namespace {

struct Row {
  size_t tokens;
  unsigned threads;
  Timing timing;
  double gops;
};

template <class T>
T take(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(std::string(result.error().where) + ": " + result.error().message);
  return std::move(result).value();
}

// Multiplications and additions of a pass over one text, as it is computed here: the last layer of a model that pools
// its first token computes queries, output and feed-forward for that token alone.
double operations(const Config& c, size_t tokens, size_t classes) {
  const auto d = static_cast<double>(c.width), f = static_cast<double>(c.ffn_width), t = static_cast<double>(tokens);
  const double he = static_cast<double>(c.heads) * c.head_width, kv = 2.0 * c.kv_heads * c.head_width;
  double total = 0;
  for (uint32_t l = 0; l < c.layers; ++l) {
    const bool one = l + 1 == c.layers && c.arch.pool == Pool::first_token;
    const double rows = one ? 1 : t;
    total += 2 * (rows * d * he + t * d * kv);  // Q; K and V
    total += 4 * rows * t * he;                 // scores and values
    total += 2 * rows * (he * d + 2 * d * f);   // output, feed-forward
  }
  return total + 2 * d * (c.arch.pooler != 0 ? d : 0) + 2 * d * static_cast<double>(classes);
}

bool has_int8_products(const Model& model) { return model.weights().layers[0].qkv.layout == kernels::Layout::i8_n32k4; }

// VmHWM in MB; the mapped pages that were touched are part of it.
double peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

Model open_model(const ModelOptions& o, const std::string& path) {
  if (!path.empty()) return take(Model::open(path.c_str(), {}));
  const auto weights = o.weights == "f32"   ? convert::WeightType::f32
                       : o.weights == "f16" ? convert::WeightType::f16
                                            : convert::WeightType::int8;
  const ModelContent content = take(synthetic_model(o.shape, weights));
  const std::vector<uint8_t> bytes = take(serialize_model(content));
  return take(Model::from_memory(bytes, {.mode = LoadMode::copy}));
}

double load_ms(const std::string& path, LoadMode mode, bool verify) {
  if (path.empty()) return 0;
  return 1e3 * measure([&] { take(Model::open(path.c_str(), {.mode = mode, .verify = verify})); }, 0.3, 5).median;
}

// Median latency over tokens, one line a thread count, as an SVG.
void write_plot(const std::string& path, const std::string& title, const std::vector<Row>& rows) {
  double most_ms = 0;
  size_t most_tokens = 0;
  for (const Row& r : rows) {
    most_ms = std::max(most_ms, r.timing.p90 * 1e3);
    most_tokens = std::max(most_tokens, r.tokens);
  }
  constexpr double kWidth = 560, kHeight = 320, kLeft = 60, kTop = 40;
  const auto x = [&](size_t tokens) {
    return kLeft + kWidth * static_cast<double>(tokens) / static_cast<double>(most_tokens);
  };
  const auto y = [&](double seconds) { return kTop + kHeight * (1 - seconds * 1e3 / most_ms); };
  std::ofstream svg(path);
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"660\" height=\"420\" font-family=\"sans-serif\" "
         "font-size=\"12\">\n"
      << "<rect width=\"660\" height=\"420\" fill=\"white\"/>\n<text x=\"60\" y=\"22\" font-size=\"14\">" << title
      << "</text>\n";
  for (int i = 0; i <= 4; ++i) {
    const double ms = most_ms * i / 4;
    svg << "<line x1=\"60\" x2=\"620\" y1=\"" << y(ms / 1e3) << "\" y2=\"" << y(ms / 1e3)
        << "\" stroke=\"#ddd\"/>\n<text x=\"54\" y=\"" << y(ms / 1e3) + 4 << "\" text-anchor=\"end\">"
        << std::round(ms * 100) / 100 << "</text>\n";
  }
  svg << "<text x=\"340\" y=\"400\" text-anchor=\"middle\">tokens</text>\n<text x=\"54\" y=\"28\" "
         "text-anchor=\"end\">ms</text>\n";
  static constexpr const char* kColours[] = {"#1f6feb", "#d1242f", "#1a7f37", "#8250df"};
  size_t series = 0;
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin;
    std::string points;
    for (; end < rows.size() && rows[end].threads == rows[begin].threads; ++end) {
      points += std::to_string(x(rows[end].tokens)) + "," + std::to_string(y(rows[end].timing.median)) + " ";
      svg << "<text x=\"" << x(rows[end].tokens) << "\" y=\"378\" text-anchor=\"middle\">" << rows[end].tokens
          << "</text>\n";
    }
    const char* colour = kColours[series % 4];
    svg << "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" << colour << "\" points=\"" << points
        << "\"/>\n<text x=\"80\" y=\"" << 60 + 16 * series << "\" fill=\"" << colour << "\">" << rows[begin].threads
        << " thread" << (rows[begin].threads == 1 ? "" : "s") << "</text>\n";
    ++series;
    begin = end;
  }
  svg << "</svg>\n";
  if (!svg) throw std::runtime_error(path + ": cannot write the plot");
}

}  // namespace

void run_model(const ModelOptions& o) {
  const std::string name = o.model.empty() ? o.shape : o.model;
  kernels::Isa isa = kernels::best_isa();
  if (!o.isa.empty() && !kernels::isa_from_name(o.isa.c_str(), &isa))
    throw std::runtime_error(o.isa + ": no such level");
  // Load times first: before the pages of this very file have been touched by a pass.
  const double verified_ms = load_ms(o.model, LoadMode::map, true);
  const double mapped_ms = load_ms(o.model, LoadMode::map, false);
  const double copied_ms = load_ms(o.model, LoadMode::copy, false);
  const Model model = open_model(o, o.model);
  const bool int8 = has_int8_products(model);
  const double peak = peak_gops(isa, int8 ? Arithmetic::int8 : Arithmetic::f32);
  const double file_mb = static_cast<double>(model.file().file_size()) / 1e6;
  if (!o.json) {
    std::printf("%s, %s, file %.1f MB", name.c_str(), kernels::isa_name(isa), file_mb);
    if (!o.model.empty())
      std::printf(", load %.2f ms mapped, %.2f ms copied, %.2f ms mapped with hashes", mapped_ms, copied_ms,
                  verified_ms);
    std::printf(", peak %.0f GOPS a thread\n%8s %8s %10s %10s %10s %12s %8s %6s\n", peak, "tokens", "threads",
                "median ms", "min ms", "p90 ms", "tokens/s", "GOPS", "% peak");
  }
  std::vector<Row> rows;
  for (const unsigned threads : o.threads) {
    Session session =
        take(Session::create(model, {.isa = isa, .executor = threads > 1 ? openmp_executor(threads) : Executor{}}));
    for (const uint32_t tokens : o.tokens) {
      if (tokens > model.config().max_tokens) continue;
      std::vector<uint32_t> ids(tokens);
      for (uint32_t t = 0; t < tokens; ++t) ids[t] = (t * 7919 + 1000) % model.config().vocab;
      const uint32_t starts[] = {0, tokens};
      std::vector<float> logits(model.total_classes());
      const Timing timing = measure([&] {
        const Status status = session.run_ids(ids, starts, logits);
        if (!status.ok()) throw std::runtime_error(status.error().message);
      });
      const double gops = operations(model.config(), tokens, model.total_classes()) / timing.median / 1e9;
      rows.push_back({tokens, threads, timing, gops});
      const double percent = peak > 0 ? 100 * gops / (peak * threads) : 0;
      if (o.json) {
        std::printf(
            "{\"runtime\":\"onepass\",\"model\":\"%s\",\"weights\":\"%s\",\"isa\":\"%s\",\"tokens\":%u,\"threads\":%u,"
            "\"median_ms\":%.4f,"
            "\"p90_ms\":%.4f,\"min_ms\":%.4f,\"tokens_per_s\":%.1f,\"gops\":%.1f,\"peak_gops\":%.1f,\"percent_of_"
            "peak\":%.1f,"
            "\"load_ms\":%.3f,\"peak_rss_mb\":%.1f,\"file_mb\":%.2f}\n",
            name.c_str(),
            int8              ? "int8"
            : o.model.empty() ? o.weights.c_str()
                              : "float",
            kernels::isa_name(isa), tokens, threads, timing.median * 1e3, timing.p90 * 1e3, timing.min * 1e3,
            tokens / timing.median, gops, peak * threads, percent, mapped_ms, peak_rss_mb(), file_mb);
      } else {
        std::printf("%8u %8u %10.3f %10.3f %10.3f %12.0f %8.1f %6.1f\n", tokens, threads, timing.median * 1e3,
                    timing.min * 1e3, timing.p90 * 1e3, tokens / timing.median, gops, percent);
      }
    }
  }
  if (!o.json) std::printf("peak memory of this process %.1f MB\n", peak_rss_mb());
  if (!o.plot.empty()) write_plot(o.plot, name + ", " + kernels::isa_name(isa), rows);
}

}  // namespace onepass::bench
