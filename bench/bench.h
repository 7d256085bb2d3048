// The subcommands of onepass-bench.
#pragma once

#include <CLI/CLI.hpp>

namespace onepass::bench {

void add_model(CLI::App& app);
void add_kernels(CLI::App& app);

}  // namespace onepass::bench
