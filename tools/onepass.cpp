// The onepass command.
#include <cstdio>
#include <exception>

#include "tools/cli/common.h"

int main(int argc, char** argv) {
  CLI::App app("One forward pass of a small transformer, on this machine: convert a checkpoint, classify texts.",
               "onepass");
  app.set_version_flag("--version", onepass_version());
  app.require_subcommand(1);
  onepass::cli::add_convert(app);
  onepass::cli::add_inspect(app);
  onepass::cli::add_classify(app);
  onepass::cli::add_tokenize(app);
  onepass::cli::add_eval(app);
  try {
    app.parse(argc, argv);
    return std::fflush(stdout) == 0 ? 0 : 1;
  } catch (const CLI::ParseError& error) {
    // --help and --version arrive here too, with exit code 0.
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const onepass::cli::Failed& failed) {
    std::fprintf(stderr, "onepass: %s\n", failed.line.c_str());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "onepass: unexpected failure: %s\n", error.what());
    return 1;
  }
}
