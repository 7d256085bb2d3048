// Strict JSON: no input crashes; what is accepted says the same when it is written and read again.
#include <cstdlib>

#include "formats/json/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace onepass;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto result = parse_json(text, 1 << 16, "fuzz.json", 4096);
  if (!result.ok()) {
    const Error& error = result.error();
    if (error.code == Code::ok || error.message[0] == '\0') std::abort();
    if (error.offset != Error::no_offset && error.offset > size) std::abort();
    return 0;
  }
  const auto again = parse_json(result->dump(), 1 << 20, "again.json");
  if (!again.ok() || *again != *result) std::abort();
  const JsonNode root(*result, "fuzz.json");
  (void)root.string("a").ok();
  (void)root.optional_u64("b", 0, 9).ok();
  (void)root.optional_number("c").ok();
  (void)root.as_strings().ok();
  (void)root.only({"a", "b"}).ok();
  return 0;
}
