// The writer: the same bytes as an independent encoder, the reader's rules, and a target that is never half-written.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wrestrict"  // false alarm of GCC 12 on string = "literal", its bug 105651
#endif

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "tests/formats/onepass_raw.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

namespace fs = std::filesystem;

std::string operator/(const TempFolder& folder, const std::string& name) { return (folder.path() / name).string(); }

size_t entries(const TempFolder& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()));
}

std::vector<uint8_t> load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string hex(const Digest& digest) {
  std::string out;
  for (const uint8_t b : digest) {
    char two[3];
    std::snprintf(two, sizeof(two), "%02x", b);
    out += two;
  }
  return out;
}

TEST(OnepassWrite, SameBytesAsTheIndependentEncoder) {
  const auto written = serialize_model(tiny_model());
  ASSERT_TRUE(written.ok()) << written.error().where << ": " << written.error().message;
  EXPECT_EQ(*written, raw_of(tiny_model()).encode());
}

TEST(OnepassWrite, LoadThenSaveGivesTheSameBytes) {
  const TempFolder folder;
  ASSERT_TRUE(write_model(tiny_model(), folder / "a.onepass").ok());
  const auto file = ModelFile::open((folder / "a.onepass").c_str(), {});
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_TRUE(write_model(content_of(*file), folder / "b.onepass").ok());
  EXPECT_EQ(load(folder / "a.onepass"), load(folder / "b.onepass"));
  EXPECT_EQ(load(folder / "a.onepass"), *serialize_model(tiny_model()));
  // Over itself, while it is mapped: the old file stays readable.
  ASSERT_TRUE(write_model(content_of(*file), folder / "a.onepass").ok());
  EXPECT_TRUE(file->verify().ok());
  EXPECT_EQ(load(folder / "a.onepass"), load(folder / "b.onepass"));
  EXPECT_EQ(entries(folder), 2u);
}

// tests/fixtures/formats/v1.onepass must be read for as long as version 1 is. ONEPASS_WRITE_FIXTURES=1 writes it.
TEST(OnepassWrite, GoldenFileOfVersion1) {
  const char* fixtures = std::getenv("ONEPASS_FIXTURES");
  ASSERT_NE(fixtures, nullptr) << "run through ctest";
  const std::string path = std::string(fixtures) + "/formats/v1.onepass";
  if (std::getenv("ONEPASS_WRITE_FIXTURES") != nullptr) {
    fs::create_directories(fs::path(path).parent_path());
    ASSERT_TRUE(write_model(tiny_model(), path).ok());
  }
  const auto file = ModelFile::open(path.c_str(), {});
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(hex(file->root_hash()), "d82f07535686808f1030ded1a8526c768b56b3d30fac17d1513971375cbf29c1");
  EXPECT_EQ(file->metadata().model_id, "onepass/tiny");
  EXPECT_EQ(file->heads()[0].labels[2], "fear");
  EXPECT_EQ(file->self_tests()[0].logits[2], 2.0f);
  EXPECT_EQ(load(path), *serialize_model(tiny_model())) << "the writer no longer writes version 1 as it was";
}

struct Refused {
  const char* name;
  Code code;
  const char* where;
  std::function<void(ModelContent&)> edit;
};

TEST(OnepassWrite, WhatCannotBeReadIsNotWritten) {
  const Refused rows[] = {
      {"invalid config", Code::bad_value, "layers", [](ModelContent& m) { m.config.layers = 0; }},
      {"unknown activation", Code::bad_value, "act", [](ModelContent& m) { m.config.arch.act = static_cast<Act>(99); }},
      {"no head", Code::bad_value, "heads", [](ModelContent& m) { m.heads.clear(), m.self_tests.clear(); }},
      {"65 heads", Code::limit_exceeded, "heads", [](ModelContent& m) { m.heads.resize(65), m.self_tests.clear(); }},
      {"kind of head", Code::unknown_value, "pad", [](ModelContent& m) { m.heads[1].kind = static_cast<HeadKind>(9); }},
      {"threshold NaN", Code::bad_value, "emotion",
       [](ModelContent& m) { m.heads[0].thresholds[0] = std::numeric_limits<float>::quiet_NaN(); }},
      {"two labels of one name", Code::duplicate_name, "joy", [](ModelContent& m) { m.heads[0].labels[1] = "joy"; }},
      {"metadata not UTF-8", Code::bad_utf8, "licence", [](ModelContent& m) { m.metadata.licence = "\xFF"; }},
      {"missing tensor", Code::missing_tensor, "pooler.b",
       [](ModelContent& m) { std::erase_if(m.tensors, [](const auto& t) { return t.name == "pooler.b"; }); }},
      {"extra tensor", Code::extra_tensor, "more.w",
       [](ModelContent& m) {
         m.tensors.push_back({"more.w", kernels::Layout::f32_rows, 1, 1, {0, 0, 0, 0}, {}});
       }},
      {"out of order", Code::not_canonical, "embed.position.w",
       [](ModelContent& m) { std::swap(m.tensors[0], m.tensors[1]); }},
      {"wrong shape", Code::bad_shape, "embed.token.w", [](ModelContent& m) { m.tensors[0].n += 1; }},
      {"huge shape", Code::bad_shape, "embed.token.w", [](ModelContent& m) { m.tensors[0].n = ~0ull; }},
      {"vector with two rows", Code::bad_shape, "embed.norm.w", [](ModelContent& m) { m.tensors[3].n = 2; }},
      {"wrong layout", Code::bad_dtype, "embed.token.w",
       [](ModelContent& m) { m.tensors[0].layout = kernels::Layout::i8_n32k4; }},
      {"no layout", Code::unknown_value, "embed.token.w",
       [](ModelContent& m) { m.tensors[0].layout = kernels::Layout::none; }},
      {"payload too short", Code::size_mismatch, "embed.token.w",
       [](ModelContent& m) { m.tensors[0].payload.pop_back(); }},
      {"payload too long", Code::size_mismatch, "heads.2.b",
       [](ModelContent& m) { m.tensors.back().payload.push_back(0); }},
      {"weight NaN", Code::non_finite, "heads.2.b",
       [](ModelContent& m) { std::memset(m.tensors.back().payload.data(), 0xFF, 4); }},
      {"fill fails", Code::io_error, "source",
       [](ModelContent& m) {
         m.tensors.back().fill = [](std::span<uint8_t>) {
           return Status(make_error(Code::io_error, 0, "source", "the checkpoint went away"));
         };
       }},
      {"self-test with a logit too few", Code::bad_shape, "self_test",
       [](ModelContent& m) { m.self_tests[1].logits.pop_back(); }},
      {"self-test beyond the vocabulary", Code::bad_value, "self_test",
       [](ModelContent& m) { m.self_tests[1].ids[0] = 11; }},
  };
  const TempFolder folder;
  const std::string old_target = folder / "old.onepass", new_target = folder / "new.onepass";
  ASSERT_TRUE(write_model(tiny_model(), old_target).ok());
  const auto before = load(old_target);
  for (const Refused& row : rows) {
    SCOPED_TRACE(row.name);
    ModelContent model = tiny_model();
    row.edit(model);
    const Status refused = write_model(model, new_target);
    EXPECT_STREQ(code_name(refused.code()), code_name(row.code)) << refused.error().message;
    EXPECT_STREQ(refused.error().where, row.where);
    EXPECT_FALSE(fs::exists(new_target));
    EXPECT_EQ(write_model(model, old_target).code(), row.code);
    EXPECT_EQ(serialize_model(model).code(), row.code);
    EXPECT_EQ(load(old_target), before);
    EXPECT_EQ(entries(folder), 1u);
  }
}

TEST(OnepassWrite, FillGivesTheSameBytesAndOneTensorAtATime) {
  ModelContent model = tiny_model();
  size_t calls = 0;
  for (TensorContent& t : model.tensors) {
    t.fill = [payload = t.payload, &calls](std::span<uint8_t> out) {
      ++calls;
      EXPECT_EQ(out.size(), payload.size());
      std::memcpy(out.data(), payload.data(), out.size());
      return Status();
    };
    t.payload.clear();
  }
  const auto written = serialize_model(model);
  ASSERT_TRUE(written.ok()) << written.error().message;
  EXPECT_EQ(*written, *serialize_model(tiny_model()));
  EXPECT_EQ(calls, model.tensors.size());
}

TEST(OnepassWrite, TargetsThatCannotBeWritten) {
  const TempFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(write_model(tiny_model(), folder / "missing/a.onepass").code(), Code::io_error);
  EXPECT_EQ(write_model(tiny_model(), folder / ".").code(), Code::io_error);
  EXPECT_EQ(write_model(tiny_model(), folder / "fifo").code(), Code::io_error);
  EXPECT_EQ(write_model(tiny_model(), "/dev/null").code(), Code::io_error);
  EXPECT_EQ(write_model(tiny_model(), folder / std::string(300, 'x')).code(), Code::io_error);
  EXPECT_EQ(entries(folder), 1u);
}

TEST(OnepassWrite, FullDiskLeavesTheOldFile) {
  const TempFolder folder;
  const std::string path = folder / "a.onepass";
  ASSERT_TRUE(write_model(tiny_model(), path).ok());
  const auto before = load(path);
  struct rlimit old_limit {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small = {20000, old_limit.rlim_max};  // behind the first tensors
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status refused = write_model(tiny_model(), path);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(refused.code(), Code::io_error);
  EXPECT_EQ(load(path), before);
  EXPECT_EQ(entries(folder), 1u);
}

TEST(OnepassWrite, AKilledWriterLeavesTheOldFile) {
  const TempFolder folder;
  const std::string path = folder / "a.onepass";
  ASSERT_TRUE(write_model(tiny_model(), path).ok());
  const auto before = load(path);
  const int nameless = open((folder / ".").c_str(), O_TMPFILE | O_WRONLY, 0600);
  const bool has_nameless_files = nameless >= 0;
  if (has_nameless_files) close(nameless);
  for (size_t die_at = 0; die_at < tiny_model().tensors.size(); die_at += 7) {
    const pid_t child = fork();
    if (child == 0) {
      ModelContent model = tiny_model();
      model.tensors[die_at].fill = [](std::span<uint8_t>) {
        raise(SIGKILL);
        return Status();
      };
      (void)write_model(model, path).ok();
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(load(path), before);
    if (has_nameless_files) {
      EXPECT_EQ(entries(folder), 1u);
    }
  }
}

TEST(OnepassWrite, PermissionsFollowTheUmask) {
  const TempFolder folder;
  const mode_t old_mask = umask(027);
  const Status written = write_model(tiny_model(), folder / "a.onepass");
  umask(old_mask);
  ASSERT_TRUE(written.ok());
  struct stat info {};
  ASSERT_EQ(stat((folder / "a.onepass").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

}  // namespace
}  // namespace onepass::test
