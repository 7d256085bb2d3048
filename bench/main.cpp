// onepass-bench: how fast, and how far from the machine's limit.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <memory>

#include "bench/bench.h"
#include "bench/models/synthetic.h"

namespace onepass::bench {
namespace {

void add_model(CLI::App& app) {
  auto options = std::make_shared<ModelOptions>();
  CLI::App* command = app.add_subcommand("model", "Latency of one pass, load time, memory");
  auto* model = command->add_option("-m,--model", options->model, "A .onepass file");
  auto* shape =
      command->add_option("--shape", options->shape, "Random weights of a known shape, by way of a temporary file")
          ->check(CLI::IsMember(shape_names()));
  shape->excludes(model);
  command->add_option("--weights", options->weights, "With --shape")
      ->check(CLI::IsMember(weight_names()))
      ->capture_default_str();
  command->add_option("--tokens", options->tokens, "Lengths of the text")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--threads", options->threads, "Thread counts")
      ->delimiter(',')
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->add_flag("--batch", options->batch, "Also 32 chat lines of mixed length, beside one text as long as all");
  command->add_option("--isa", options->isa, "Instruction-set level (default: the best that the machine has)");
  command->add_option("--seconds", options->seconds, "Measured time of each row")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--plot", options->plot, "Write an SVG of latency over length");
  command->add_flag("--json", options->json, "One JSON object a row");
  command->callback([options] {
    if (options->model.empty() && options->shape.empty())
      throw CLI::ValidationError("model", "give -m FILE or --shape NAME");
    run_model(*options);
  });
}

void add_kernels(CLI::App& app) {
  auto options = std::make_shared<KernelsOptions>();
  CLI::App* command = app.add_subcommand("kernels", "Speed of single kernels");
  command->add_option("--op", options->ops, "Operations, or kernels of kernel_list.inc (default: all)")->delimiter(',');
  command
      ->add_option("--shape", options->shapes,
                   "MxNxK: a product [M,K] x [N,K]; attention of M tokens, N heads, K wide; else M rows, N wide")
      ->delimiter(',');
  command->add_option("--isa", options->isa, "Instruction-set level (default: every level that the machine has)");
  command->add_option("--threads", options->threads, "Thread counts, each thread on a core of its own")
      ->delimiter(',')
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command
      ->add_option("--cache", options->caches,
                   "Where weights come from: warm (the same again and again), l2, l3 (copies that do not fit it)")
      ->delimiter(',')
      ->check(CLI::IsMember({"warm", "l2", "l3"}))
      ->capture_default_str();
  command->add_flag("--baselines", options->baselines, "Beside the same products in OpenBLAS, Eigen and oneDNN");
  command->add_option("--seconds", options->seconds, "Measured time of each row")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--plot", options->plot, "Write an SVG roofline of the one-thread rows");
  command->add_flag("--json", options->json, "One JSON object a row");
  command->callback([options] { run_kernels(*options); });
}

}  // namespace
}  // namespace onepass::bench

int main(int argc, char** argv) {
  CLI::App app("Speed of passes and kernels, beside the machine's own limit.", "onepass-bench");
  app.require_subcommand(1);
  onepass::bench::add_model(app);
  onepass::bench::add_kernels(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "onepass-bench: %s\n", error.what());
    return 1;
  }
}
