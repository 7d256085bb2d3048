// The built command, run as a user runs it: arguments in, exit status and two streams out.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/fixture_model.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {

using Json = nlohmann::ordered_json;

struct Ran {
  int status = -1;  // exit status, or 128 + signal
  std::string out, err;
};

struct RunOptions {
  std::string input{};         // standard input
  std::string out{};           // a file for standard output; else it is kept
  uint64_t largest_file = 0;   // bytes that a file may have (RLIMIT_FSIZE); 0: any
  bool survive_limit = false;  // a longer file is an error, not a signal
  std::string temporary{};     // folder for temporary files
  int signal = 0;              // sent after `patience`; 0: none
  std::chrono::microseconds patience{};
};

Ran run(const std::vector<std::string>& arguments, const RunOptions& options = {});

// Exit status 0 and nothing on stderr; gives stdout.
std::string run_ok(const std::vector<std::string>& arguments, const RunOptions& options = {});
// Exit status 1, one line `onepass: ...` on stderr, nothing on stdout; gives the line.
std::string run_failing(const std::vector<std::string>& arguments, const RunOptions& options = {});

std::string read_file(const std::filesystem::path& path);
std::vector<std::string> lines_of(const std::string& text);
std::vector<Json> json_lines(const std::string& text);
std::vector<std::string> keys_of(const Json& object);

// A model file, converted by the command once a program.
std::string model_file(const std::string& name, const std::string& weights = "int8");

bool contains(const std::string& text, const std::string& part);

}  // namespace onepass::test
