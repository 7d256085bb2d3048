#include "formats/huggingface/heads.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <unordered_set>

#include "engine/core/utf8.h"

namespace onepass {

namespace {

struct KindName {
  const char* name;
  const char* problem_type;  // of transformers
  HeadKind kind;
};
constexpr KindName kKinds[] = {
    {"single_label", "single_label_classification", HeadKind::single_label},
    {"multi_label", "multi_label_classification", HeadKind::multi_label},
    {"regression", "regression", HeadKind::regression},
    {"token_label", nullptr, HeadKind::token_label},
};

// A decimal number as Python's str(int) writes it, below `limit`.
bool parse_index(std::string_view text, size_t limit, size_t& index) {
  if (text.empty() || text.size() > 8 || (text.size() > 1 && text[0] == '0')) return false;
  index = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    index = index * 10 + static_cast<size_t>(c - '0');
  }
  return index < limit;
}

Result<std::vector<std::string>> read_id2label(const JsonNode& id2label) {
  const auto& members = id2label.value().get_ref<const Json::object_t&>();
  if (members.size() > kMaxHeadLabels) {
    return make_error(Code::limit_exceeded, Error::no_offset, id2label.path(),
                      "%zu labels, of which at most %zu are read", members.size(), kMaxHeadLabels);
  }
  std::vector<std::string> labels(members.size());
  // Keys are unique and "1" has no second spelling, so indexes below size() are all different: none is missing.
  for (const auto& [key, value] : members) {
    const JsonNode node(value, id2label.path_of(key));
    size_t index = 0;
    if (!parse_index(key, labels.size(), index)) {
      return make_error(Code::bad_value, Error::no_offset, node.path(),
                        "the keys must be the numbers from 0 to %zu, each once", labels.size() - 1);
    }
    ONEPASS_TRY_ASSIGN(label, node.as_string());
    labels[index] = std::move(label);
  }
  return labels;
}

Result<HeadKind> read_problem_type(const JsonNode& config) {
  ONEPASS_TRY_ASSIGN(type, config.optional_string("problem_type"));
  if (!type.has_value()) {
    return make_error(Code::missing_key, Error::no_offset, config.path_of("problem_type"),
                      "it does not say what the head's numbers mean; pass --kind %s=single_label, multi_label or "
                      "regression",
                      kClassifierHead.data());
  }
  for (const KindName& row : kKinds) {
    if (row.problem_type != nullptr && *type == row.problem_type) return HeadKind{row.kind};
  }
  return make_error(Code::unknown_value, Error::no_offset, config.path_of("problem_type"),
                    "\"%.40s\" is none of single_label_classification, multi_label_classification, regression",
                    type->c_str());
}

Result<HeadSpec> read_head(const JsonNode& config, std::optional<HeadKind> kind) {
  HeadSpec head;
  head.name = kClassifierHead;
  ONEPASS_TRY_ASSIGN(count, config.optional_u64("num_labels", 1, kMaxHeadLabels));
  ONEPASS_TRY_ASSIGN(id2label, config.optional_object("id2label"));
  if (id2label.has_value()) {
    ONEPASS_TRY_ASSIGN(labels, read_id2label(*id2label));
    head.labels = std::move(labels);
    if (count.has_value() && *count != head.labels.size()) {
      return make_error(Code::bad_value, Error::no_offset, config.path_of("num_labels"),
                        "%" PRIu64 ", but id2label names %zu; make them agree", *count, head.labels.size());
    }
  } else {
    for (uint64_t i = 0; i < count.value_or(2); ++i) head.labels.push_back("LABEL_" + std::to_string(i));
  }
  if (kind.has_value()) {
    head.kind = *kind;
  } else {
    ONEPASS_TRY_ASSIGN(found, read_problem_type(config));
    head.kind = found;
  }
  if (head.kind == HeadKind::multi_label) head.thresholds.assign(head.labels.size(), kDefaultThreshold);
  ONEPASS_TRY(check_head(head, config.path_of("id2label")));
  return head;
}

Status check_labels(const HeadSpec& head, const std::string& where) {
  if (head.labels.empty() || head.labels.size() > kMaxHeadLabels) {
    return make_error(Code::bad_value, Error::no_offset, where, "%zu labels; a head has 1 to %zu", head.labels.size(),
                      kMaxHeadLabels);
  }
  std::unordered_set<std::string_view> seen;
  for (const std::string& label : head.labels) {
    if (!is_valid_name(label)) {
      return make_error(Code::bad_name, Error::no_offset, where,
                        "a label has %zu bytes or a NUL; it must have 1 to 255 bytes of UTF-8", label.size());
    }
    if (!seen.insert(label).second) {
      return make_error(Code::duplicate_name, Error::no_offset, where, "the label \"%.80s\" occurs twice; rename one",
                        label.c_str());
    }
  }
  // The softmax over one number is 1 whatever the text says.
  if (head.kind == HeadKind::single_label && head.labels.size() < 2) {
    return make_error(Code::bad_value, Error::no_offset, where,
                      "a single_label head needs two labels; pass --kind %s=multi_label or regression",
                      head.name.c_str());
  }
  if (head.kind == HeadKind::token_label && head.labels.size() < 2) {
    return make_error(Code::bad_value, Error::no_offset, where, "a head that labels tokens needs two labels");
  }
  return {};
}

Status check(const HeadSpec& head, const std::string& where) {
  const bool plain = std::all_of(head.name.begin(), head.name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  if (head.name.empty() || head.name.size() > 64 || !plain) {
    return make_error(Code::bad_name, Error::no_offset, where,
                      "the head's name \"%.64s\" must be 1 to 64 of the characters A-Z a-z 0-9 _ -", head.name.c_str());
  }
  ONEPASS_TRY(check_labels(head, where));
  const size_t thresholds = head.kind == HeadKind::multi_label ? head.labels.size() : 0;
  if (head.thresholds.size() != thresholds) {
    return make_error(Code::bad_value, Error::no_offset, where, "%zu thresholds where a %s head of %zu labels has %zu",
                      head.thresholds.size(), name_of(head.kind), head.labels.size(), thresholds);
  }
  for (const float t : head.thresholds) {
    if (!(t >= 0 && t <= 1)) {
      return make_error(Code::bad_value, Error::no_offset, where, "a threshold of %g; it must lie in [0, 1]",
                        static_cast<double>(t));
    }
  }
  if (!(head.temperature > 0) || !std::isfinite(head.temperature)) {
    return make_error(Code::bad_value, Error::no_offset, where, "a temperature of %g; it must be finite and above 0",
                      static_cast<double>(head.temperature));
  }
  if (head.range.has_value()) {
    const auto [low, high] = *head.range;
    if (head.kind != HeadKind::regression) {
      return make_error(Code::bad_value, Error::no_offset, where, "a range belongs to a regression head");
    }
    if (!std::isfinite(low) || !std::isfinite(high) || !(low < high)) {
      return make_error(Code::bad_value, Error::no_offset, where, "the range %g to %g must be finite and ascending",
                        static_cast<double>(low), static_cast<double>(high));
    }
  }
  return {};
}

}  // namespace

const char* name_of(HeadKind kind) noexcept {
  for (const KindName& row : kKinds) {
    if (row.kind == kind) return row.name;
  }
  return "unknown";
}

std::optional<HeadKind> find_head_kind(std::string_view name) noexcept {
  for (const KindName& row : kKinds) {
    if (name == row.name) return row.kind;
  }
  return std::nullopt;
}

Status check_head(const HeadSpec& head, const std::string& where) noexcept {
  try {
    return check(head, where);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, where, "out of memory while checking a head");
  }
}

Result<HeadSpec> read_classifier_head(const JsonNode& config, std::optional<HeadKind> kind) noexcept {
  try {
    return read_head(config, kind);
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, config.path(), "out of memory while reading labels");
  }
}

}  // namespace onepass
