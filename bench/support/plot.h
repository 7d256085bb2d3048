// Plots with two logarithmic axes, as SVG that reads well on a light and on a dark page.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace onepass::bench {

// Positive numbers to pixels. Requires 0 < low < high.
double log_position(double value, double low, double high, double pixels);

// 1, 2, 5, 10, 20, ... within [low, high].
std::vector<double> log_ticks(double low, double high);

// `text` with &, <, > and quotes escaped.
std::string xml_escape(const std::string& text);

class Plot {
 public:
  enum class Style {
    points,
    line_and_points,
    roof,     // a dashed line with its name above its beginning
    ceiling,  // a line with its name above its end
  };
  struct Point {
    double x, y;
    std::string note;  // shown when the pointer rests on it
  };

  Plot(std::string title, std::string x_label, std::string y_label)
      : title_(std::move(title)), x_label_(std::move(x_label)), y_label_(std::move(y_label)) {}

  // Points that are not positive and finite are left out. Series of one `group` (>= 0) share a colour,
  // and those of one `shape` a marker, so that no two differ in colour alone.
  void add(std::string name, Style style, std::vector<Point> points, int group, int shape = 0);
  // The whole document. Throws when there is no point to draw.
  std::string svg() const;

 private:
  struct Series {
    std::string name;
    Style style;
    std::vector<Point> points;
    int group, shape;
  };
  std::string title_, x_label_, y_label_;
  std::vector<Series> series_;
};

void write_text(const std::string& path, const std::string& text);

}  // namespace onepass::bench
