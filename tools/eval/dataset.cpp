#include "tools/eval/dataset.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <type_traits>

#include "formats/json/json.h"

namespace onepass::eval {

namespace {

constexpr size_t kMaxBytes = size_t{1} << 30;

std::vector<std::string_view> split_at(std::string_view line, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0;;) {
    const size_t end = line.find(separator, begin);
    parts.push_back(line.substr(begin, end == std::string_view::npos ? end : end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

std::vector<std::string_view> lines_of(std::string_view text) {
  auto lines = split_at(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (auto& line : lines) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  }
  return lines;
}

template <class T>
bool parse_number(std::string_view text, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  if constexpr (std::is_floating_point_v<T>) return std::isfinite(*value);
  return true;
}

Error bad_line(const std::string& path, size_t line, const std::string& why) {
  return make_error(Code::bad_value, Error::no_offset, path, "line %zu: %s", line + 1, why.c_str());
}

// Index of a label, or npos.
size_t find_label(const Head& head, std::string_view name) {
  const auto at = std::find(head.labels.begin(), head.labels.end(), name);
  return at == head.labels.end() ? std::string_view::npos : static_cast<size_t>(at - head.labels.begin());
}

Status add_labels(Dataset& data, const Head& head, const std::string& path, size_t line,
                  const std::vector<size_t>& labels) {
  const size_t row = data.gold.size();
  data.gold.resize(row + head.labels.size());
  for (const size_t c : labels) {
    if (c >= head.labels.size()) return bad_line(path, line, "a label that the head does not have");
    data.gold[row + c] = 1;
  }
  return {};
}

Result<Dataset> read_goemotions(const std::string& path, std::string_view text, const Head& head) {
  Dataset data;
  const auto lines = lines_of(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto fields = split_at(lines[i], '\t');
    if (fields.size() < 2) return bad_line(path, i, "not text TAB label numbers");
    std::vector<size_t> labels;
    for (const std::string_view field : split_at(fields[1], ',')) {
      size_t label = 0;
      if (!parse_number(field, &label)) return bad_line(path, i, "a label number that is no number");
      labels.push_back(label);
    }
    ONEPASS_TRY(add_labels(data, head, path, i, labels));
    data.texts.emplace_back(fields[0]);
  }
  return data;
}

Result<Dataset> read_emobank(const std::string& path, std::string_view text, const std::string& split,
                             const Head& head) {
  if (head.labels.size() != 3) return bad_line(path, 0, "EmoBank has three dimensions, the head has another number");
  ONEPASS_TRY_ASSIGN(rows, parse_csv(text, path));
  const std::vector<std::string> columns = {"id", "split", "V", "A", "D", "text"};
  if (rows.empty() || rows[0] != columns) return bad_line(path, 0, "the columns must be id,split,V,A,D,text");
  Dataset data;
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].size() != columns.size()) return bad_line(path, i, "not six columns");
    if (rows[i][1] != split) continue;
    for (size_t c = 2; c < 5; ++c) {
      double value = 0;
      if (!parse_number(std::string_view(rows[i][c]), &value)) return bad_line(path, i, "a value that is no number");
      data.values.push_back((value - 3) / 2);
    }
    data.texts.push_back(rows[i][5]);
  }
  if (data.texts.empty()) return bad_line(path, 0, "no rows of the split " + split);
  return data;
}

Result<Dataset> read_tsv(const std::string& path, std::string_view text, const Head& head) {
  Dataset data;
  const auto lines = lines_of(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto fields = split_at(lines[i], '\t');
    if (fields.size() < 2) return bad_line(path, i, "not text TAB labels");
    const auto entries = fields[1].empty() ? std::vector<std::string_view>() : split_at(fields[1], ',');
    if (head.kind == ONEPASS_REGRESSION) {
      if (entries.size() != head.labels.size()) return bad_line(path, i, "another number of values than the head has");
      for (const std::string_view entry : entries) {
        double value = 0;
        if (!parse_number(entry, &value)) return bad_line(path, i, "a value that is no number");
        data.values.push_back(value);
      }
    } else {
      std::vector<size_t> labels;
      labels.reserve(entries.size());
      for (const std::string_view entry : entries) labels.push_back(find_label(head, entry));
      ONEPASS_TRY(add_labels(data, head, path, i, labels));
    }
    data.texts.emplace_back(fields[0]);
  }
  return data;
}

Result<Dataset> read_jsonl(const std::string& path, std::string_view text, const Head& head) {
  Dataset data;
  const auto lines = lines_of(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string where = path + " line " + std::to_string(i + 1);
    ONEPASS_TRY_ASSIGN(json, parse_json(lines[i], kMaxBytes, where));
    const JsonNode node(json, where);
    ONEPASS_TRY_ASSIGN(line_text, node.string("text"));
    if (head.kind == ONEPASS_REGRESSION) {
      ONEPASS_TRY_ASSIGN(values, node.object("values"));
      for (const std::string_view label : head.labels) {
        ONEPASS_TRY_ASSIGN(value, values.number(label));
        data.values.push_back(value);
      }
    } else {
      ONEPASS_TRY_ASSIGN(array, node.array("labels"));
      ONEPASS_TRY_ASSIGN(names, array.as_strings());
      std::vector<size_t> labels;
      labels.reserve(names.size());
      for (const std::string& name : names) labels.push_back(find_label(head, name));
      ONEPASS_TRY(add_labels(data, head, path, i, labels));
    }
    data.texts.push_back(line_text);
  }
  return data;
}

}  // namespace

Result<std::vector<std::vector<std::string>>> parse_csv(std::string_view text, std::string_view where) noexcept {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row;
  std::string field;
  bool quoted = false;
  const auto end_field = [&] {
    row.push_back(std::move(field));
    field.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += '"';
        ++i;
      } else {
        quoted = false;
      }
    } else if (c == '"' && field.empty()) {
      quoted = true;
    } else if (c == ',') {
      end_field();
    } else if (c == '\n') {
      if (!field.empty() && field.back() == '\r') field.pop_back();
      end_field();
      rows.push_back(std::move(row));
      row.clear();
    } else {
      field += c;
    }
  }
  if (quoted) return make_error(Code::bad_syntax, text.size(), where, "a quoted field does not end");
  if (!field.empty() || !row.empty()) {
    end_field();
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<Dataset> read_dataset(const std::string& path, const std::string& format, const std::string& split,
                             const Head& head) noexcept {
  ONEPASS_TRY_ASSIGN(text, read_text_file(path, kMaxBytes));
  const bool regression = head.kind == ONEPASS_REGRESSION;
  if ((format == "goemotions" && regression) || (format == "emobank" && !regression)) {
    return make_error(Code::invalid_argument, Error::no_offset, path, "the format %s does not fit the head %.*s",
                      format.c_str(), static_cast<int>(head.name.size()), head.name.data());
  }
  Result<Dataset> data = format == "goemotions" ? read_goemotions(path, text, head)
                         : format == "emobank"  ? read_emobank(path, text, split, head)
                         : format == "jsonl"    ? read_jsonl(path, text, head)
                                                : read_tsv(path, text, head);
  if (data.ok() && data->texts.empty()) {
    return make_error(Code::bad_value, Error::no_offset, path, "no labelled texts");
  }
  return data;
}

}  // namespace onepass::eval
