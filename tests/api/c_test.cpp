// The header is C99, and a C program can use all of it.
#include "tests/api/c_program.h"
#include "tests/api/handles.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

TEST(CApi, AProgramInC) {
  const TempFolder folder;
  folder.write("own_heads.onepass", bytes_of("own_heads"));
  const char* failed = c_program((folder.path() / "own_heads.onepass").c_str());
  EXPECT_EQ(failed, nullptr) << failed;
}

TEST(CApi, AProgramInCNoticesAnotherModel) {
  const TempFolder folder;
  folder.write("two_classes.onepass", bytes_of("two_classes"));
  EXPECT_NE(c_program((folder.path() / "two_classes.onepass").c_str()), nullptr);
}

TEST(CApi, LibraryFacts) {
  EXPECT_EQ(onepass_abi_version(), 1u);
  EXPECT_STREQ(onepass_version(), "0.1.0");
}

TEST(CApi, StatusNames) {
  EXPECT_STREQ(onepass_status_name(ONEPASS_OK), "ok");
  const std::map<onepass_status, std::string> stable = {
      {1, "invalid_argument"}, {2, "out_of_memory"}, {3, "io_error"},          {5, "isa_unavailable"},
      {6, "buffer_too_small"}, {7, "text_too_long"}, {9, "non_finite_result"}, {11, "left_out"},
      {20, "truncated"},       {27, "misaligned"},   {30, "hash_mismatch"},    {54, "non_finite"},
      {57, "self_test_failed"}};
  for (const auto& [number, name] : stable) EXPECT_EQ(onepass_status_name(number), name);
  // Numbers that no status has, also those that only begin to look like one when cut to 16 bits.
  for (const onepass_status number : {12u, 19u, 39u, 1000u, 65535u, 65536u, 65537u, UINT32_MAX}) {
    EXPECT_STREQ(onepass_status_name(number), "unknown") << number;
  }
}

}  // namespace
}  // namespace onepass::test
