// Writes a fixture's .onepass file for the tests that are no GoogleTest program. usage: write_model NAME WEIGHTS OUT
#include <cstdio>
#include <fstream>

#include "tests/support/fixture_model.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto bytes = onepass::test::fixture_model(argv[1], argv[2]);
  std::ofstream file(argv[3], std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return file.flush() ? 0 : 1;
}
