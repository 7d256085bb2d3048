#include <algorithm>
#include <cmath>
#include <cstdio>

#include "formats/json/json.h"
#include "tools/quantise/search.h"

namespace onepass::quantise {

namespace {

template <class... Args>
std::string text(const char* format, Args... args) {
  char line[256];
  std::snprintf(line, sizeof(line), format, args...);
  return line;
}

std::string escaped(const std::string& raw) {
  std::string out;
  for (const char c : raw) {
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : std::string(1, c);
  }
  return out;
}

const char* class_of(kernels::Layout layout) {
  switch (kernels::dtype_of(layout)) {
    case kernels::Dtype::i8:
      return "i8";
    case kernels::Dtype::i4:
      return kernels::group_size(layout) == 64 ? "i4w" : "i4";
    default:
      return "f16";
  }
}

}  // namespace

std::string effects_table(const std::vector<Effect>& effects) {
  std::string out = text("%-24s %-13s %10s %6s %12s %12s %12s\n", "tensor", "layout", "bytes", "bits", "sensitivity",
                         "mean |d|", "max |d|");
  for (const Effect& e : effects) {
    out += text("%-24s %-13s %10llu %6.3f %12.3e %12.3e %12.3e\n", e.tensor.c_str(), kernels::layout_name(e.layout),
                static_cast<unsigned long long>(e.bytes), e.bits_per_weight, e.sensitivity, e.mean_difference,
                e.max_difference);
  }
  return out;
}

std::string effects_json(const std::vector<Effect>& effects) {
  Json all = Json::array();
  for (const Effect& e : effects) {
    Json one;
    one["tensor"] = e.tensor;
    one["layout"] = kernels::layout_name(e.layout);
    one["bytes"] = e.bytes;
    one["bits_per_weight"] = e.bits_per_weight;
    one["sensitivity"] = e.sensitivity;
    one["mean_difference"] = e.mean_difference;
    one["max_difference"] = e.max_difference;
    all.push_back(one);
  }
  return all.dump(1) + "\n";
}

std::string effects_svg(const std::vector<Effect>& effects, const std::string& title) {
  constexpr double kLeft = 190, kWidth = 520, kTop = 56, kRow = 18;
  std::vector<std::string> tensors;
  double low = 1e300, high = 0;
  for (const Effect& e : effects) {
    if (std::find(tensors.begin(), tensors.end(), e.tensor) == tensors.end()) tensors.push_back(e.tensor);
    if (!(e.sensitivity > 0) || !std::isfinite(e.sensitivity)) continue;
    low = std::min(low, e.sensitivity);
    high = std::max(high, e.sensitivity);
  }
  if (!(high > 0)) low = high = 1;
  const double first = std::floor(std::log10(low)), last = std::max(std::ceil(std::log10(high)), first + 1);
  const auto x_of = [&](double value) { return kLeft + (std::log10(value) - first) / (last - first) * kWidth; };
  const double bottom = kTop + kRow * static_cast<double>(tensors.size());
  std::string out = text(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 730 %.0f\" font-family=\"sans-serif\" "
      "font-size=\"11\">\n",
      bottom + 40);
  out +=
      "<style>text{fill:#222}.rule{stroke:#8886}.f16{fill:#7a7a7a}.i8{fill:#0072b2}.i4{fill:#d55e00}.i4w{fill:none;"
      "stroke:#d55e00;stroke-width:1.6}@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>\n";
  out += "<text x=\"8\" y=\"18\" font-size=\"14\">" + escaped(title) + "</text>\n";
  const std::pair<const char*, const char*> names[] = {
      {"f16", "f16"}, {"i8", "int8"}, {"i4", "int4, groups of 32"}, {"i4w", "int4, groups of 64"}};
  double at = kLeft;
  for (const auto& [mark, name] : names) {
    out += text("<circle cx=\"%.0f\" cy=\"38\" r=\"4\" class=\"%s\"/><text x=\"%.0f\" y=\"42\">%s</text>\n", at, mark,
                at + 8, name);
    at += 130;
  }
  for (double decade = first; decade <= last; decade += 1) {
    const double x = kLeft + (decade - first) / (last - first) * kWidth;
    out += text("<line x1=\"%.1f\" y1=\"%.0f\" x2=\"%.1f\" y2=\"%.0f\" class=\"rule\"/>", x, kTop - 8, x, bottom);
    out += text("<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">1e%.0f</text>\n", x, bottom + 14, decade);
  }
  for (size_t row = 0; row < tensors.size(); ++row) {
    const double y = kTop + kRow * (static_cast<double>(row) + 0.5);
    out +=
        text("<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">", kLeft - 10, y + 4) + escaped(tensors[row]) + "</text>";
    for (const Effect& e : effects) {
      if (e.tensor != tensors[row] || !(e.sensitivity > 0) || !std::isfinite(e.sensitivity)) continue;
      out += text("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" class=\"%s\"><title>", x_of(e.sensitivity), y,
                  class_of(e.layout));
      out += escaped(e.tensor) + text(" in %s, %.3f bits: %.3e</title></circle>", kernels::layout_name(e.layout),
                                      e.bits_per_weight, e.sensitivity);
    }
    out += "\n";
  }
  out += text(
      "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">mean squared change of the logits, in units of their "
      "variance</text>\n</svg>\n",
      kLeft + kWidth / 2, bottom + 32);
  return out;
}

}  // namespace onepass::quantise
