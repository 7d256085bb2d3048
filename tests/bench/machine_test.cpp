// What is read from the system, on folders that the test makes.
#include "bench/support/machine.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_folder.h"

namespace onepass::bench {
namespace {

namespace fs = std::filesystem;

void put(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(Machine, CacheSizes) {
  EXPECT_EQ(parse_cache_size("48K"), 49152u);
  EXPECT_EQ(parse_cache_size("480M"), 503316480u);
  EXPECT_EQ(parse_cache_size("512"), 512u);
  EXPECT_EQ(parse_cache_size(""), 0u);
  EXPECT_EQ(parse_cache_size("K"), 0u);
  EXPECT_EQ(parse_cache_size("12 apples"), 0u);
}

TEST(Machine, ReadsProcessorCachesAndMemory) {
  const test::TempFolder folder;
  const fs::path root = folder.path();
  put(root / "proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n");
  put(root / "proc/meminfo", "MemTotal:  24000000 kB\nMemAvailable:   1000 kB\n");
  const fs::path cache = root / "sys/devices/system/cpu/cpu0/cache";
  const char* rows[][3] = {
      {"1", "Data", "48K"}, {"1", "Instruction", "64K"}, {"2", "Unified", "2048K"}, {"3", "Unified", "30M"}};
  for (int i = 0; i < 4; ++i) {
    const fs::path index = cache / ("index" + std::to_string(i));
    put(index / "level", rows[i][0]), put(index / "type", rows[i][1]), put(index / "size", rows[i][2]);
  }
  const Machine m = read_machine(root.string());
  EXPECT_EQ(m.cpu, "Some CPU @ 3 GHz");
  EXPECT_EQ(m.memory_available, 1024000u);
  EXPECT_EQ(m.l1, 49152u);
  EXPECT_EQ(m.l2, 2097152u);
  EXPECT_EQ(m.l3, 31457280u);

  EXPECT_EQ(read_machine((root / "nothing").string()).l2, 0u);
}

// Packages are summed, their parts are not counted twice, and each counter wraps at its own range.
TEST(Energy, SumsPackagesAndSurvivesTheirWrap) {
  const test::TempFolder folder;
  const fs::path root = folder.path();
  EXPECT_FALSE(EnergyCounter(root.string()).readable());
  EXPECT_FALSE(EnergyCounter((root / "nothing").string()).readable());
  for (const char* name : {"intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1", "intel-rapl"}) {
    put(root / name / "energy_uj", "900\n");
    put(root / name / "max_energy_range_uj", "1000\n");
  }
  const EnergyCounter counter(root.string());
  ASSERT_TRUE(counter.readable());
  const EnergyCounter::Reading before = counter.read();
  EXPECT_EQ(before, (EnergyCounter::Reading{900, 900}));
  put(root / "intel-rapl:0" / "energy_uj", "950\n");
  EXPECT_EQ(counter.between(before, counter.read()), 50);
  put(root / "intel-rapl:1" / "energy_uj", "30\n");
  EXPECT_EQ(counter.between(before, counter.read()), 50 + 130);
  put(root / "intel-rapl:1" / "energy_uj", "not a number");
  EXPECT_FALSE(counter.readable());
}

TEST(Memory, OfThisProcess) {
  const test::TempFolder folder;
  put(fs::path(folder.path()) / "status", "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 1024 kB\n");
  const Memory m = memory_of((fs::path(folder.path()) / "status").string());
  EXPECT_EQ(m.peak, 2097152u);
  EXPECT_EQ(m.resident, 1048576u);
}

}  // namespace
}  // namespace onepass::bench
