#include "bench/support/plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace onepass::bench {

namespace {

constexpr double kLeft = 76, kTop = 52, kWidth = 540, kHeight = 380, kLegend = 330;

// Nine colours (after Okabe and Ito; the last is grey, for lines), darker on a light page and lighter on a dark one, by
// class: c for lines, f for areas. Renderers that know no media queries show the light page.
constexpr const char* kLight[] = {"#0072b2", "#b84a00", "#00755a", "#9c3a78", "#806500",
                                  "#2a9db8", "#b3261e", "#5b5bd6", "#57606a"};
constexpr const char* kDark[] = {"#58a6ff", "#ff9b50", "#3ddba6", "#f098cf", "#f0d060",
                                 "#9ad4ff", "#ff8a80", "#b4b4ff", "#9aa4af"};
constexpr int kColours = 9;

std::string style() {
  std::string light = ".page{fill:#ffffff}text{fill:#1f2328}.grid{stroke:#d8dee4}";
  std::string dark = ".page{fill:#0d1117}text{fill:#e6edf3}.grid{stroke:#30363d}";
  for (int i = 0; i < kColours; ++i) {
    const std::string n = std::to_string(i);
    light += ".c" + n + "{stroke:" + kLight[i] + "}.f" + n + "{fill:" + kLight[i] + "}";
    dark += ".c" + n + "{stroke:" + kDark[i] + "}.f" + n + "{fill:" + kDark[i] + "}";
  }
  return "<style>\n.line{fill:none;stroke-width:2}" + light + "\n@media (prefers-color-scheme:dark){" + dark +
         "}\n</style>\n";
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string pixels(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string text_at(double x, double y, const std::string& anchor, const std::string& text,
                    const std::string& more = "") {
  return "<text x=\"" + pixels(x) + "\" y=\"" + pixels(y) + "\" text-anchor=\"" + anchor + "\"" + more + ">" +
         xml_escape(text) + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, const std::string& more) {
  return "<line x1=\"" + pixels(x1) + "\" y1=\"" + pixels(y1) + "\" x2=\"" + pixels(x2) + "\" y2=\"" + pixels(y2) +
         "\" " + more + "/>\n";
}

std::string marker(int group, int shape, double x, double y) {
  const std::string fill = " class=\"f" + std::to_string(group % kColours) + "\"";
  const auto polygon = [&](std::initializer_list<std::pair<double, double>> corners) {
    std::string text = "<polygon" + fill + " points=\"";
    for (const auto& [dx, dy] : corners) text += pixels(x + dx) + "," + pixels(y + dy) + " ";
    return text + "\">";
  };
  switch (shape % 4) {
    case 1:
      return polygon({{-4.5, -4.5}, {4.5, -4.5}, {4.5, 4.5}, {-4.5, 4.5}});
    case 2:
      return polygon({{0, -6}, {5.5, 4}, {-5.5, 4}});
    case 3:
      return polygon({{0, -6}, {6, 0}, {0, 6}, {-6, 0}});
    default:
      return polygon({{-2, -5}, {2, -5}, {5, -2}, {5, 2}, {2, 5}, {-2, 5}, {-5, 2}, {-5, -2}});
  }
}

}  // namespace

double log_position(double value, double low, double high, double pixels) {
  return pixels * std::log(value / low) / std::log(high / low);
}

std::vector<double> log_ticks(double low, double high) {
  std::vector<double> ticks;
  for (double decade = std::pow(10, std::floor(std::log10(low))); decade <= high * 1.0001; decade *= 10) {
    for (const double step : {1.0, 2.0, 5.0}) {
      const double tick = decade * step;
      if (tick >= low * 0.9999 && tick <= high * 1.0001) ticks.push_back(tick);
    }
  }
  return ticks;
}

std::string xml_escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

void Plot::add(std::string name, Style style, std::vector<Point> points, int group, int shape) {
  std::erase_if(points,
                [](const Point& p) { return !(p.x > 0 && p.y > 0 && std::isfinite(p.x) && std::isfinite(p.y)); });
  if (!points.empty())
    series_.push_back({std::move(name), style, std::move(points), std::max(group, 0), std::max(shape, 0)});
}

std::string Plot::svg() const {
  if (series_.empty()) throw std::runtime_error("the plot has no point");
  double x_low = 1e300, x_high = 0, y_low = 1e300, y_high = 0;
  for (const Series& s : series_) {
    for (const Point& p : s.points) {
      x_low = std::min(x_low, p.x), x_high = std::max(x_high, p.x);
      y_low = std::min(y_low, p.y), y_high = std::max(y_high, p.y);
    }
  }
  x_low /= 1.15, x_high *= 1.15, y_low /= 1.25, y_high *= 1.25;
  const auto x = [&](double v) { return kLeft + log_position(v, x_low, x_high, kWidth); };
  const auto y = [&](double v) { return kTop + kHeight - log_position(v, y_low, y_high, kHeight); };

  const double width = kLeft + kWidth + kLegend;
  const auto in_legend = std::count_if(series_.begin(), series_.end(), [](const Series& s) {
    return s.style == Style::points || s.style == Style::line_and_points;
  });
  const double height = std::max(kTop + kHeight + 52, kTop + 20 + 18 * static_cast<double>(in_legend));
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + pixels(width) + "\" height=\"" +
                    pixels(height) + "\" viewBox=\"0 0 " + pixels(width) + " " + pixels(height) +
                    "\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>" + xml_escape(title_) +
                    "</title>\n" + style() + "<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n";
  out += text_at(kLeft, 26, "start", title_, " font-size=\"15\" font-weight=\"bold\"");
  for (const double tick : log_ticks(x_low, x_high)) {
    out += line(x(tick), kTop, x(tick), kTop + kHeight, "class=\"grid\"");
    out += text_at(x(tick), kTop + kHeight + 18, "middle", number(tick));
  }
  for (const double tick : log_ticks(y_low, y_high)) {
    out += line(kLeft, y(tick), kLeft + kWidth, y(tick), "class=\"grid\"");
    out += text_at(kLeft - 8, y(tick) + 4, "end", number(tick));
  }
  out += text_at(kLeft + kWidth / 2, kTop + kHeight + 40, "middle", x_label_);
  out += text_at(kLeft, kTop - 8, "middle", y_label_);
  double legend_y = kTop + 8;
  for (const Series& s : series_) {
    const std::string stroke = "class=\"line c" + std::to_string(s.group % kColours) + "\"" +
                               (s.style == Style::roof ? " stroke-dasharray=\"6 5\"" : "");
    if (s.style != Style::points) {
      out += "<polyline " + stroke + " points=\"";
      for (const Point& p : s.points) out += pixels(x(p.x)) + "," + pixels(y(p.y)) + " ";
      out += "\"/>\n";
    }
    if (s.style == Style::roof || s.style == Style::ceiling) {
      const bool at_end = s.style == Style::ceiling;
      const Point& p = at_end ? s.points.back() : s.points.front();
      out += text_at(x(p.x) + (at_end ? -4 : 10), y(p.y) + (at_end ? -6 : 10), at_end ? "end" : "start", s.name,
                     " font-size=\"11\"");
      continue;
    }
    for (const Point& p : s.points)
      out += marker(s.group, s.shape, x(p.x), y(p.y)) + "<title>" + xml_escape(p.note) + "</title></polygon>\n";
    if (s.style == Style::line_and_points)
      out += line(kLeft + kWidth + 14, legend_y, kLeft + kWidth + 40, legend_y, stroke);
    out += marker(s.group, s.shape, kLeft + kWidth + 27, legend_y) + "</polygon>\n";
    out += text_at(kLeft + kWidth + 48, legend_y + 4, "start", s.name);
    legend_y += 18;
  }
  return out + "</svg>\n";
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw std::runtime_error(path + ": cannot be written");
}

}  // namespace onepass::bench
