#include "formats/json/serde_number.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>

namespace onepass {

namespace {

constexpr int kMaxPower = 308;

double power_of_ten(int exponent) {
  const std::string text = "1e" + std::to_string(exponent);
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

double serde_number(std::string_view text) {
  size_t pos = 0;
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) ++pos;
  uint64_t digits = 0;
  int64_t exponent = 0;
  const auto fits = [&](char c) { return digits <= (UINT64_MAX - static_cast<uint64_t>(c - '0')) / 10; };
  bool full = false;  // what follows the first 19 or 20 digits is cut off
  for (; pos < text.size() && is_digit(text[pos]); ++pos) {
    full = full || !fits(text[pos]);
    if (full) {
      ++exponent;
    } else {
      digits = digits * 10 + static_cast<uint64_t>(text[pos] - '0');
    }
  }
  if (pos < text.size() && text[pos] == '.') {
    for (++pos; pos < text.size() && is_digit(text[pos]); ++pos) {
      full = full || !fits(text[pos]);
      if (full) continue;
      digits = digits * 10 + static_cast<uint64_t>(text[pos] - '0');
      --exponent;
    }
  }
  if (pos < text.size() && (text[pos] == 'e' || text[pos] == 'E')) {
    ++pos;
    const bool below = pos < text.size() && text[pos] == '-';
    if (pos < text.size() && (text[pos] == '-' || text[pos] == '+')) ++pos;
    int64_t given = 0;
    for (; pos < text.size() && is_digit(text[pos]); ++pos) {
      if (given < INT32_MAX) given = given * 10 + (text[pos] - '0');
    }
    exponent += below ? -given : given;
  }
  auto value = static_cast<double>(digits);
  while (exponent < -kMaxPower && value != 0) {
    value /= power_of_ten(kMaxPower);
    exponent += kMaxPower;
  }
  if (value != 0) {
    const int power = static_cast<int>(exponent > kMaxPower ? kMaxPower : exponent);
    value = power >= 0 ? value * power_of_ten(power) : value / power_of_ten(-power);
  }
  return negative ? -value : value;
}

}  // namespace onepass
