#include "bench/support/machine.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

namespace onepass::bench {

namespace fs = std::filesystem;

namespace {

std::string first_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string after_colon(const std::string& line) {
  const size_t colon = line.find(':');
  if (colon == std::string::npos) return {};
  const size_t start = line.find_first_not_of(" \t", colon + 1);
  return start == std::string::npos ? std::string() : line.substr(start);
}

// Bytes of a "Name:   123 kB" line.
size_t kilobytes(const std::string& line) {
  const std::string text = after_colon(line);
  return text.empty() || !std::isdigit(static_cast<unsigned char>(text[0])) ? 0 : std::stoull(text) * 1024;
}

std::optional<uint64_t> number(const fs::path& path) {
  std::ifstream in(path);
  uint64_t value = 0;
  if (!(in >> value)) return std::nullopt;
  return value;
}

}  // namespace

size_t parse_cache_size(const std::string& text) {
  size_t digits = 0, value = 0;
  while (digits < text.size() && digits < 12 && std::isdigit(static_cast<unsigned char>(text[digits])))
    value = value * 10 + static_cast<size_t>(text[digits++] - '0');
  if (digits == 0) return 0;
  const std::string unit = text.substr(digits);
  if (unit.empty()) return value;
  return unit == "K" ? value << 10 : unit == "M" ? value << 20 : unit == "G" ? value << 30 : 0;
}

Machine read_machine(const std::string& root) {
  Machine m;
  m.cores = std::thread::hardware_concurrency();
  std::ifstream cpuinfo(fs::path(root) / "proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (m.cpu.empty() && line.starts_with("model name")) m.cpu = after_colon(line);
  }
  std::ifstream meminfo(fs::path(root) / "proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    if (line.starts_with("MemAvailable:")) m.memory_available = kilobytes(line);
  }
  std::error_code error;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(fs::path(root) / "sys/devices/system/cpu/cpu0/cache", error)) {
    if (first_line(entry.path() / "type") == "Instruction") continue;
    const size_t size = parse_cache_size(first_line(entry.path() / "size"));
    const std::string level = first_line(entry.path() / "level");
    if (level == "1") m.l1 = size;
    if (level == "2") m.l2 = size;
    if (level == "3") m.l3 = size;
  }
  return m;
}

EnergyCounter::EnergyCounter(std::string folder) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    // intel-rapl:0 is a package; intel-rapl:0:0 a part of it.
    if (std::count(name.begin(), name.end(), ':') != 1 || !fs::exists(entry.path() / "energy_uj", error)) continue;
    packages_.push_back(entry.path().string());
    ranges_.push_back(number(entry.path() / "max_energy_range_uj").value_or(0));
  }
}

EnergyCounter::Reading EnergyCounter::read() const {
  Reading reading;
  for (const std::string& package : packages_) {
    const std::optional<uint64_t> value = number(fs::path(package) / "energy_uj");
    if (!value) return {};
    reading.push_back(*value);
  }
  return reading;
}

double EnergyCounter::between(const Reading& before, const Reading& after) const {
  double total = 0;
  for (size_t i = 0; i < ranges_.size() && i < before.size() && i < after.size(); ++i)
    total += static_cast<double>(after[i] >= before[i] ? after[i] - before[i] : after[i] + (ranges_[i] - before[i]));
  return total;
}

Memory memory_of(const std::string& status_path) {
  std::ifstream in(status_path);
  Memory memory;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmHWM:")) memory.peak = kilobytes(line);
    if (line.starts_with("VmRSS:")) memory.resident = kilobytes(line);
  }
  return memory;
}

}  // namespace onepass::bench
