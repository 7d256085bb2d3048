// onepass.hpp in a program built with -fno-exceptions, which GoogleTest is not. usage: test_... MODEL
// A program of its own: Expected::value() differs, and one program must not hold both.
#include <onepass/onepass.hpp>

#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>

#if defined(__cpp_exceptions)
#error "this file is compiled with -fno-exceptions"
#endif

namespace {

int failures = 0;

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "failed: %s\n", what);
  ++failures;
}

// Signal that ends a process which takes the value of a failure.
int signal_of_failed_value() {
  const pid_t child = fork();
  if (child == 0) {
    onepass::Model::open("/nowhere").value();
    _exit(0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return -1;
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto missing = onepass::Model::open("/nowhere");
  check(!missing && missing.error().status == 3, "a failure is a value");
  check(signal_of_failed_value() == SIGABRT, "value() of a failure aborts");
  auto model = onepass::Model::open(argv[1]);
  check(model.has_value(), "the model opens");
  if (!model) return 1;
  auto session = onepass::Session::open(*model).value();
  const auto result = session.classify("I love the happy dog!").value();
  check(result.scores("mood").size() == 9, "nine scores");
  size_t above = 0;
  for (const auto& label : result.scores("mood")) above += label.applies;
  check(result.labels("mood").size() == above, "labels are the scores that apply");
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
