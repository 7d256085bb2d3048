// An archive with every defect that check_symbols.sh looks for. Never linked.
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace onepass {
int counter;
struct AtStart {
  AtStart() { counter = std::rand(); }
} at_start;
}  // namespace onepass

namespace other {
int function() { return onepass::counter; }
}  // namespace other

extern "C" int onepass_undeclared() { return 0; }

extern "C" void leaking_function(FILE* file, char** arguments) {
  std::printf("%d\n", onepass::counter);
  std::puts(arguments[0]);
  std::fflush(stdout);
  std::fprintf(stderr, "%d\n", onepass::counter);
  if (std::fopen(arguments[0], "wb") != nullptr) std::fwrite(arguments, sizeof(*arguments), 1, file);
  if (write(1, "", 0) != 0) ++onepass::counter;
  if (socket(AF_INET, SOCK_STREAM, 0) != 0) connect(0, nullptr, 0);
  getaddrinfo(nullptr, nullptr, nullptr, nullptr);
  sendto(0, arguments, 1, 0, nullptr, 0);
  syslog(LOG_INFO, "%s", arguments[0]);
  if (creat("", 0600) != 0 && rename("", "") != 0) unlink("");
  if (getenv("HOME") != nullptr) popen("", "r");
  if (std::system("") != 0 && fork() == 0) execv("", arguments);
  if (onepass::counter == 1) std::abort();
  if (onepass::counter == 2) std::exit(1);
  if (onepass::counter == 3) _exit(1);
  if (onepass::counter == 4) std::terminate();
  if (onepass::counter == 5) throw 1;
  static int* volatile kept;
  kept = new int(1);
}
