#include "tools/eval/selective.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace onepass::eval {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double part(double of, double all) { return all == 0 ? kNone : of / all; }

// ---- SVG ----

constexpr double kLeft = 64, kTop = 48, kSide = 360, kLegend = 210;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", value);
  return text;
}

std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  return out;
}

double x_of(double value) { return kLeft + value * kSide; }
double y_of(double value) { return kTop + (1 - value) * kSide; }

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor + "\">" + escape(text) +
         "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return "<line class=\"" + std::string(style) + "\" x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" +
         number(x2) + "\" y2=\"" + number(y2) + "\"/>\n";
}

std::string dot(double x, double y, double radius, int colour, const std::string& note) {
  return "<circle class=\"fill" + std::to_string(colour) + "\" cx=\"" + number(x_of(x)) + "\" cy=\"" + number(y_of(y)) +
         "\" r=\"" + number(radius) + "\"><title>" + escape(note) + "</title></circle>\n";
}

// Readable on a light and on a dark page.
std::string begin(const std::string& title, const std::string& x_label, const std::string& y_label) {
  const std::string size = number(kLeft + kSide + kLegend), height = number(kTop + kSide + 60);
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + size + "\" height=\"" + height +
                    "\" viewBox=\"0 0 " + size + " " + height +
                    "\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>" + escape(title) +
                    "</title>\n<style>.page{fill:#fff}text{fill:#222}.grid{stroke:#ddd}.even{stroke:#888;"
                    "stroke-dasharray:5 4}.curve0{stroke:#0b62b0;fill:none;stroke-width:2}.curve1{stroke:#b04a0b;"
                    "fill:none;stroke-width:2}.fill0{fill:#0b62b0}.fill1{fill:#b04a0b}"
                    "@media(prefers-color-scheme:dark){.page{fill:#16181c}text{fill:#ddd}.grid{stroke:#3a3d44}"
                    ".curve0{stroke:#6fb3f2}.fill0{fill:#6fb3f2}.curve1{stroke:#f2a46f}.fill1{fill:#f2a46f}}"
                    "</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n" +
                    text_at(kLeft, 22, "start", title);
  for (int tick = 0; tick <= 10; tick += 2) {
    const double at = tick / 10.0;
    out += line(x_of(at), y_of(0), x_of(at), y_of(1), "grid") + line(x_of(0), y_of(at), x_of(1), y_of(at), "grid") +
           text_at(x_of(at), y_of(0) + 18, "middle", std::to_string(tick * 10)) +
           text_at(x_of(0) - 8, y_of(at) + 4, "end", std::to_string(tick * 10));
  }
  return out + text_at(x_of(0.5), y_of(0) + 40, "middle", x_label) + text_at(kLeft, kTop - 8, "middle", y_label);
}

std::string curve(const std::vector<std::pair<double, double>>& points, int colour) {
  std::string out = "<polyline class=\"curve" + std::to_string(colour) + "\" points=\"";
  for (const auto& [x, y] : points) out += number(x_of(x)) + "," + number(y_of(y)) + " ";
  return out + "\"/>\n";
}

std::string legend(size_t row, int colour, const std::string& text) {
  const double y = kTop + 8 + 18 * static_cast<double>(row);
  return line(x_of(1) + 14, y, x_of(1) + 36, y, colour == 0 ? "curve0" : "curve1") +
         text_at(x_of(1) + 44, y + 4, "start", text);
}

std::string percent(double value) { return number(100 * value) + " %"; }

}  // namespace

Kept keep(std::span<const Judged> texts, double threshold) {
  Kept kept;
  kept.threshold = threshold;
  double count = 0, right = 0, right_sent = 0, tp = 0, fp = 0, fn = 0;
  for (const Judged& t : texts) {
    if (!t.eligible || static_cast<double>(t.confidence) < threshold) {
      right_sent += t.right;
      continue;
    }
    ++count;
    right += t.right;
    tp += t.tp, fp += t.fp, fn += t.fn;
  }
  const auto all = static_cast<double>(texts.size());
  kept.share = part(count, all);
  kept.accuracy = part(right, count);
  kept.micro_f1 = count == 0 ? kNone : tp + fp + fn == 0 ? 0 : 2 * tp / (2 * tp + fp + fn);
  kept.accuracy_sent = part(right_sent, all - count);
  return kept;
}

std::vector<Bin> reliability(std::span<const float> scores, std::span<const uint8_t> truth, size_t bins) {
  std::vector<Bin> out(bins);
  for (size_t i = 0; i < scores.size(); ++i) {
    const double at = std::clamp(static_cast<double>(scores[i]), 0.0, 1.0) * static_cast<double>(bins);
    Bin& bin = out[std::min(bins - 1, static_cast<size_t>(at))];
    bin.mean_score += static_cast<double>(scores[i]);
    bin.share_true += truth[i] != 0;
    ++bin.count;
  }
  for (Bin& bin : out) {
    bin.mean_score = part(bin.mean_score, static_cast<double>(bin.count));
    bin.share_true = part(bin.share_true, static_cast<double>(bin.count));
  }
  return out;
}

double calibration_error(std::span<const Bin> bins) {
  double gap = 0, count = 0;
  for (const Bin& bin : bins) {
    if (bin.count == 0) continue;
    gap += std::fabs(bin.mean_score - bin.share_true) * static_cast<double>(bin.count);
    count += static_cast<double>(bin.count);
  }
  return part(gap, count);
}

std::string trade_off_svg(const std::string& title, std::span<const Kept> curve_points, const Kept& chosen) {
  std::string out = begin(title, "texts kept local, %", "right, %");
  std::vector<std::pair<double, double>> accuracy, f1;
  for (const Kept& k : curve_points) {
    if (std::isnan(k.accuracy)) continue;
    accuracy.emplace_back(k.share, k.accuracy);
    f1.emplace_back(k.share, k.micro_f1);
  }
  out += curve(accuracy, 0) + curve(f1, 1);
  for (const Kept& k : curve_points) {
    if (std::isnan(k.accuracy)) continue;
    const std::string at = "from a confidence of " + percent(k.threshold) + ": " + percent(k.share) + " kept, ";
    out += dot(k.share, k.accuracy, 3, 0, at + "best label right for " + percent(k.accuracy));
    out += dot(k.share, k.micro_f1, 3, 1, at + "micro-F1 " + percent(k.micro_f1));
  }
  if (!std::isnan(chosen.accuracy)) {
    out += dot(chosen.share, chosen.accuracy, 6, 0, "the policy: " + percent(chosen.share) + " kept");
    out += text_at(x_of(chosen.share) + 8, y_of(chosen.accuracy) - 8, "start", "policy");
  }
  return out + legend(0, 0, "best label right") + legend(1, 1, "micro-F1 of the labels") + "</svg>\n";
}

std::string reliability_svg(const std::string& title, std::span<const Diagram> diagrams) {
  std::string out = begin(title, "said: mean score of a bin, %", "true, %");
  out += line(x_of(0), y_of(0), x_of(1), y_of(1), "even");
  for (size_t d = 0; d < diagrams.size(); ++d) {
    const int colour = static_cast<int>(d % 2);
    std::vector<std::pair<double, double>> points;
    for (const Bin& bin : diagrams[d].bins) {
      if (bin.count != 0) points.emplace_back(bin.mean_score, bin.share_true);
    }
    out += curve(points, colour);
    for (const Bin& bin : diagrams[d].bins) {
      if (bin.count == 0) continue;
      out += dot(
          bin.mean_score, bin.share_true, 3.5, colour,
          std::to_string(bin.count) + " scores: said " + percent(bin.mean_score) + ", true " + percent(bin.share_true));
    }
    char name[96];
    std::snprintf(name, sizeof(name), "%s, ECE %.4f", diagrams[d].name.c_str(), calibration_error(diagrams[d].bins));
    out += legend(d, colour, name);
  }
  return out + "</svg>\n";
}

}  // namespace onepass::eval
