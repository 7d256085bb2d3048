// The config, heads, metadata and self_test sections.
#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cmath>

#include "engine/core/cursor.h"
#include "engine/core/utf8.h"
#include "formats/onepass/contents.h"

namespace onepass::format {

namespace {

bool is_finite(float x) noexcept { return (std::bit_cast<uint32_t>(x) & 0x7F800000) != 0x7F800000; }

Status finish(const SectionBytes& section, const Cursor& cursor) noexcept {
  if (!cursor.ok()) return section_truncated(section, cursor.offset());
  if (cursor.remaining() != 0) {
    return make_error(Code::trailing_bytes, cursor.offset(), section.name, "the section goes on after its last value");
  }
  return {};
}

// A name by rule G9: 1..255 bytes of UTF-8 without NUL.
Status read_name(const SectionBytes& section, Cursor& cursor, const char* what, std::string_view* name) noexcept {
  const uint64_t at = cursor.offset();
  *name = cursor.string();
  if (!cursor.ok()) return section_truncated(section, at);
  if (is_valid_name(*name)) return {};
  if (!is_valid_utf8(*name)) return make_error(Code::bad_utf8, at, section.name, "the name of a %s is not UTF-8", what);
  return make_error(Code::bad_name, at, section.name, "the name of a %s must be 1 to 255 bytes without NUL", what);
}

// The later of two equal names, or no name. Sorted, not compared pairwise: a file may hold 65,536 labels.
Result<std::string_view> find_duplicate(std::span<const std::string_view> names, std::string_view where) noexcept {
  Array<uint32_t> order;
  if (!order.resize_uninitialized(names.size())) return no_memory(where);
  for (uint32_t i = 0; i < names.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const int by_name = names[a].compare(names[b]);
    return by_name != 0 ? by_name < 0 : a < b;
  });
  for (size_t i = 1; i < order.size(); ++i) {
    if (names[order[i - 1]] == names[order[i]]) return names[order[i]];
  }
  return std::string_view();
}

uint64_t offset_of(const SectionBytes& section, std::string_view view) noexcept {
  return section.offset + static_cast<uint64_t>(reinterpret_cast<const uint8_t*>(view.data()) - section.bytes.data());
}

const ConfigField* find_field(uint32_t key) noexcept {
  for (const ConfigField& field : config_fields()) {
    if (key >= field.key && key - field.key < field.copies) return &field;
  }
  return nullptr;
}

Status parse_labels(const SectionBytes& section, Cursor& cursor, uint32_t classes, Contents& out,
                    HeadView& head) noexcept {
  const size_t first = out.labels.size();
  for (uint32_t c = 0; c < classes; ++c) {
    std::string_view label;
    ONEPASS_TRY(read_name(section, cursor, "label", &label));
    if (!out.labels.push_back(label)) return no_memory(section.name);
  }
  head.labels = out.labels.span().subspan(first);
  ONEPASS_TRY_ASSIGN(twin, find_duplicate(head.labels, section.name));
  if (!twin.empty()) {
    return make_error(Code::duplicate_name, offset_of(section, twin), twin, "two labels of a head have this name");
  }
  return {};
}

Status parse_thresholds(const SectionBytes& section, Cursor& cursor, Contents& out, HeadView& head) noexcept {
  const uint64_t at = cursor.offset();
  const uint32_t count = cursor.u32();
  if (!cursor.ok()) return section_truncated(section, at);
  const size_t wanted = head.kind == HeadKind::multi_label ? head.labels.size() : 0;
  if (count != wanted) {
    return make_error(Code::bad_value, at, head.name, "%" PRIu32 " thresholds where the head needs %zu", count, wanted);
  }
  if (uint64_t{count} * 4 > cursor.remaining()) return section_truncated(section, at);
  const size_t first = out.floats.size();
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t value_at = cursor.offset();
    const float value = cursor.f32();
    if (!(value >= 0 && value <= 1)) {
      return make_error(Code::bad_value, value_at, head.name, "a threshold must lie between 0 and 1");
    }
    if (!out.floats.push_back(value)) return no_memory(section.name);
  }
  head.thresholds = out.floats.span().subspan(first);
  return {};
}

Status parse_head(const SectionBytes& section, Cursor& cursor, Contents& out, HeadView& head) noexcept {
  ONEPASS_TRY(read_name(section, cursor, "head", &head.name));
  const uint64_t kind_at = cursor.offset();
  const uint32_t kind = cursor.u32(), classes = cursor.u32();
  if (!cursor.ok()) return section_truncated(section, kind_at);
  if (kind < 1 || kind > head_kind_count) {
    return make_error(Code::unknown_value, kind_at, head.name, "unknown kind of head %" PRIu32, kind);
  }
  head.kind = static_cast<HeadKind>(kind);
  const bool every_token = out.config.arch.pool == Pool::every_token;
  if ((head.kind == HeadKind::token_label) != every_token) {
    return make_error(Code::bad_value, kind_at, head.name,
                      every_token ? "the model pools no token, so its heads must label tokens"
                                  : "a head that labels tokens in a model that pools them");
  }
  if (classes > max_classes) {
    return make_error(Code::limit_exceeded, kind_at + 4, head.name, "%" PRIu32 " labels: at most 65,536 are allowed",
                      classes);
  }
  const bool softmax = activation_of(head.kind) == HeadActivation::softmax;
  if (classes < (softmax ? 2u : 1u)) {
    return make_error(Code::bad_value, kind_at + 4, head.name, "%" PRIu32 " labels are too few for this kind of head",
                      classes);
  }
  if (uint64_t{classes} * min_label_bytes > cursor.remaining()) return section_truncated(section, kind_at + 4);
  ONEPASS_TRY(parse_labels(section, cursor, classes, out, head));

  const uint64_t activation_at = cursor.offset();
  const uint32_t activation = cursor.u32();
  head.temperature = cursor.f32();
  if (!cursor.ok()) return section_truncated(section, activation_at);
  if (activation < 1 || activation > static_cast<uint32_t>(HeadActivation::softmax)) {
    return make_error(Code::unknown_value, activation_at, head.name, "unknown activation %" PRIu32, activation);
  }
  if (activation != static_cast<uint32_t>(activation_of(head.kind))) {
    return make_error(Code::bad_value, activation_at, head.name, "the activation does not fit the kind of head");
  }
  if (!is_finite(head.temperature) || !(head.temperature > 0)) {
    return make_error(Code::bad_value, activation_at + 4, head.name, "the temperature must be finite and above 0");
  }
  if (head.kind == HeadKind::regression && head.temperature != 1) {
    return make_error(Code::not_canonical, activation_at + 4, head.name, "a regression head has the temperature 1");
  }
  ONEPASS_TRY(parse_thresholds(section, cursor, out, head));

  const uint64_t range_at = cursor.offset();
  head.range_low = cursor.f32();
  head.range_high = cursor.f32();
  if (!cursor.ok()) return section_truncated(section, range_at);
  if (head.kind != HeadKind::regression) {
    if (std::bit_cast<uint32_t>(head.range_low) != 0 || std::bit_cast<uint32_t>(head.range_high) != 0) {
      return make_error(Code::not_canonical, range_at, head.name, "a range without a regression head");
    }
  } else if (!is_finite(head.range_low) || !is_finite(head.range_high) || !(head.range_low < head.range_high)) {
    return make_error(Code::bad_value, range_at, head.name, "the range must be finite and rise from low to high");
  }
  return {};
}

}  // namespace

Status parse_config(const SectionBytes& section, Config& config) noexcept {
  Cursor cursor(section.bytes, section.offset);
  const uint32_t count = cursor.u32();
  if (!cursor.ok()) return section_truncated(section, section.offset);
  if (count > config_field_count()) {
    return make_error(Code::limit_exceeded, section.offset, section.name, "%" PRIu32 " fields: there are only %" PRIu32,
                      count, config_field_count());
  }
  uint32_t before = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t at = cursor.offset();
    const uint32_t key = cursor.u32(), type = cursor.u32();
    const uint64_t bits = cursor.u64();
    if (!cursor.ok()) return section_truncated(section, at);
    const ConfigField* field = find_field(key);
    if (field == nullptr) {
      return make_error(Code::unknown_key, at, section.name, "unknown field %" PRIu32 ": update this program", key);
    }
    char name[max_tensor_name];
    write_tensor_name(field->name, key - field->key, name);
    if (key == before) return make_error(Code::duplicate_name, at, name, "the field is stored twice");
    if (key < before) return make_error(Code::not_canonical, at, name, "the keys of the fields must rise");
    before = key;
    const FieldType wanted = field->real ? FieldType::f64 : FieldType::integer;
    if (type != static_cast<uint32_t>(wanted)) {
      return make_error(Code::bad_type, at + 4, name, "the field has type %" PRIu32, type);
    }
    if (bits == 0) return make_error(Code::not_canonical, at + 8, name, "a field equal to 0 is not stored");
    if (!field->real && bits > field->max) {
      return make_error(Code::bad_value, at + 8, name, "%" PRIu64 ": at most %" PRIu64 " is allowed", bits, field->max);
    }
    field->set(config, key - field->key, bits);
  }
  ONEPASS_TRY(finish(section, cursor));
  if (const Status valid = validate(config); !valid.ok()) {
    Error error = valid.error();
    error.offset = section.offset;
    return error;
  }
  return {};
}

Status parse_heads(const SectionBytes& section, Contents& out) noexcept {
  Cursor cursor(section.bytes, section.offset);
  const uint32_t count = cursor.u32();
  if (!cursor.ok()) return section_truncated(section, section.offset);
  if (count == 0) return make_error(Code::bad_value, section.offset, section.name, "a model needs at least one head");
  if (count > max_model_heads) {
    return make_error(Code::limit_exceeded, section.offset, section.name, "%" PRIu32 " heads: at most 64 are allowed",
                      count);
  }
  if (count * min_head_bytes > cursor.remaining()) return section_truncated(section, section.offset);
  // Room for all that the sections can hold: views into these arrays must not move.
  const size_t most_floats = (section.bytes.size() + static_cast<size_t>(out.table[SectionId::self_test].size)) / 4;
  if (!out.heads.reserve(count) || !out.labels.reserve(section.bytes.size() / min_label_bytes) ||
      !out.floats.reserve(most_floats)) {
    return no_memory(section.name);
  }
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t at = cursor.offset();
    HeadView head;
    ONEPASS_TRY(parse_head(section, cursor, out, head));
    for (const HeadView& other : out.heads) {
      if (other.name == head.name) {
        return make_error(Code::duplicate_name, at, head.name, "two heads have this name");
      }
    }
    out.total_classes += static_cast<uint32_t>(head.labels.size());
    if (!out.heads.push_back(head)) return no_memory(section.name);
  }
  return finish(section, cursor);
}

Status parse_metadata(const SectionBytes& section, Metadata& metadata) noexcept {
  Cursor cursor(section.bytes, section.offset);
  const uint32_t count = cursor.u32();
  if (!cursor.ok()) return section_truncated(section, section.offset);
  if (count > metadata_key_count) {
    return make_error(Code::limit_exceeded, section.offset, section.name, "%" PRIu32 " keys: there are only %zu", count,
                      metadata_key_count);
  }
  size_t next = 0;  // the smallest key that may follow
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t at = cursor.offset();
    const std::string_view key = cursor.string();
    const uint64_t value_at = cursor.offset();
    const std::string_view value = cursor.string();
    if (!cursor.ok()) return section_truncated(section, at);
    size_t index = 0;
    while (index < metadata_key_count && metadata_keys[index] != key) ++index;
    if (index == metadata_key_count) {
      return make_error(Code::unknown_key, at, section.name, "unknown key in the metadata: update this program");
    }
    if (index < next) {
      const bool twice = index + 1 == next;
      return make_error(twice ? Code::duplicate_name : Code::not_canonical, at, key,
                        twice ? "the key is stored twice" : "the keys of the metadata must rise");
    }
    next = index + 1;
    if (value.empty()) return make_error(Code::not_canonical, value_at, key, "an empty value is not stored");
    if (value.size() > max_metadata_value) {
      return make_error(Code::limit_exceeded, value_at, key, "%zu bytes: at most 1 MiB is allowed", value.size());
    }
    if (!is_valid_utf8(value)) return make_error(Code::bad_utf8, value_at, key, "the value is not UTF-8");
    if (value.find('\0') != std::string_view::npos) {
      return make_error(Code::bad_value, value_at, key, "the value holds a NUL");
    }
    metadata_value(metadata, index) = value;
  }
  return finish(section, cursor);
}

Status parse_self_tests(const SectionBytes& section, Contents& out) noexcept {
  Cursor cursor(section.bytes, section.offset);
  const uint32_t count = cursor.u32();
  if (!cursor.ok()) return section_truncated(section, section.offset);
  if (count > max_self_tests) {
    return make_error(Code::limit_exceeded, section.offset, section.name,
                      "%" PRIu32 " self-tests: at most 64 are allowed", count);
  }
  // The logits share the array that parse_heads reserved.
  if (!out.self_tests.reserve(count) || !out.ids.reserve(section.bytes.size() / 4)) return no_memory(section.name);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t at = cursor.offset();
    const uint32_t tokens = cursor.u32();
    if (!cursor.ok()) return section_truncated(section, at);
    if (tokens < 1 || tokens > out.config.max_tokens) {
      return make_error(Code::bad_value, at, section.name,
                        "self-test %" PRIu32 " has %" PRIu32 " tokens, not 1 to %" PRIu32, i, tokens,
                        out.config.max_tokens);
    }
    const uint64_t logits = uint64_t{out.total_classes} * out.config.logit_rows(tokens, 1);
    if ((uint64_t{tokens} + logits) * 4 > cursor.remaining()) return section_truncated(section, at);
    const size_t first_id = out.ids.size(), first_logit = out.floats.size();
    for (uint32_t t = 0; t < tokens; ++t) {
      const uint64_t id_at = cursor.offset();
      const uint32_t id = cursor.u32();
      if (id >= out.config.vocab) {
        return make_error(Code::bad_value, id_at, section.name,
                          "self-test %" PRIu32 ": token %" PRIu32 " is not in the vocabulary", i, id);
      }
      if (!out.ids.push_back(id)) return no_memory(section.name);
    }
    for (uint64_t c = 0; c < logits; ++c) {
      const uint64_t logit_at = cursor.offset();
      const float logit = cursor.f32();
      if (!is_finite(logit)) {
        return make_error(Code::non_finite, logit_at, section.name,
                          "self-test %" PRIu32 " has a logit that is not finite", i);
      }
      if (!out.floats.push_back(logit)) return no_memory(section.name);
    }
    const SelfTestView test{out.ids.span().subspan(first_id), out.floats.span().subspan(first_logit)};
    if (!out.self_tests.push_back(test)) return no_memory(section.name);
  }
  return finish(section, cursor);
}

}  // namespace onepass::format
