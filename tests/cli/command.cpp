#include "tests/cli/command.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace onepass::test {

namespace {

// ONEPASS_COMMAND: the command's path, after an emulator and its options where there is one.
std::vector<std::string> command_words() {
  const char* words = std::getenv("ONEPASS_COMMAND");
  if (words == nullptr) throw std::runtime_error("ONEPASS_COMMAND is not set");
  std::istringstream stream(words);
  return {std::istream_iterator<std::string>(stream), {}};
}

void replace_descriptor(int number, const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags, 0600);
  if (fd < 0 || dup2(fd, number) < 0) _exit(126);
  close(fd);
}

}  // namespace

Ran run(const std::vector<std::string>& arguments, const RunOptions& options) {
  const TempFolder folder;
  const std::string in = folder.path() / "in", err = folder.path() / "err";
  const std::string out = options.out.empty() ? std::string(folder.path() / "out") : options.out;
  folder.write("in", options.input);
  std::vector<std::string> words = command_words();
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) {
    replace_descriptor(0, in, O_RDONLY);
    replace_descriptor(1, out, O_WRONLY | O_CREAT);
    replace_descriptor(2, err, O_WRONLY | O_CREAT);
    if (options.largest_file != 0) {
      const rlimit limit{options.largest_file, options.largest_file};
      setrlimit(RLIMIT_FSIZE, &limit);
      const rlimit no_core{0, 0};
      setrlimit(RLIMIT_CORE, &no_core);
      if (options.survive_limit) signal(SIGXFSZ, SIG_IGN);
    }
    if (!options.temporary.empty()) setenv("TMPDIR", options.temporary.c_str(), 1);
    execv(argv[0], argv.data());
    execvp(argv[0], argv.data());
    _exit(127);
  }
  if (options.signal != 0) {
    std::this_thread::sleep_for(options.patience);
    kill(child, options.signal);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) throw std::runtime_error("cannot wait for the command");
  Ran ran;
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (options.out.empty()) ran.out = read_file(out);
  ran.err = read_file(err);
  return ran;
}

std::string run_ok(const std::vector<std::string>& arguments, const RunOptions& options) {
  const Ran ran = run(arguments, options);
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.err, "");
  return ran.out;
}

std::string run_failing(const std::vector<std::string>& arguments, const RunOptions& options) {
  const Ran ran = run(arguments, options);
  EXPECT_EQ(ran.status, 1) << ran.err;
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err.find("onepass: "), 0u) << ran.err;
  EXPECT_EQ(ran.err.find('\n'), ran.err.size() - 1) << "not one line: " << ran.err;
  return ran.err;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> out;
  for (const std::string& line : lines_of(text)) out.push_back(Json::parse(line));
  return out;
}

std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

std::string model_file(const std::string& name, const std::string& weights) {
  static const TempFolder folder;
  const std::string path = folder.path() / (name + "-" + weights + ".onepass");
  if (!std::filesystem::exists(path)) {
    run_ok({"convert", fixture_path("bert/" + name), "-o", path, "--weights", weights});
  }
  return path;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace onepass::test
