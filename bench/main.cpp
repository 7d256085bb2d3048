// onepass-bench: how fast, and how far from the machine's limit.
#include <cstdio>
#include <exception>

#include "bench/bench.h"

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
