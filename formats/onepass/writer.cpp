#include "formats/onepass/writer.h"

#include <bit>
#include <cstring>
#include <map>

#include "engine/core/cursor.h"
#include "engine/core/sha256.h"
#include "formats/onepass/atomic_file.h"
#include "formats/onepass/verify.h"

namespace onepass {

using format::Contents;
using format::SectionId;

namespace {

class Encoder {
 public:
  void u32(uint64_t value) { little_endian(value, 4); }
  void u64(uint64_t value) { little_endian(value, 8); }
  void f32(float value) { u32(std::bit_cast<uint32_t>(value)); }
  void bytes(std::span<const uint8_t> b) { out_.insert(out_.end(), b.begin(), b.end()); }
  void string(std::string_view s) {
    u32(s.size());
    out_.insert(out_.end(), s.begin(), s.end());
  }
  std::vector<uint8_t> take() { return std::move(out_); }

 private:
  void little_endian(uint64_t value, int n) {
    for (int i = 0; i < n; ++i) out_.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
  std::vector<uint8_t> out_;
};

std::vector<uint8_t> encode_config(const Config& config) {
  Encoder out;
  uint32_t count = 0;
  const auto each_stored = [&](auto&& f) {
    for (const ConfigField& field : config_fields()) {
      for (uint32_t i = 0; i < field.copies; ++i) {
        if (const uint64_t bits = field.get(config, i); bits != 0) f(field, field.key + i, bits);
      }
    }
  };
  each_stored([&](const ConfigField&, uint32_t, uint64_t) { ++count; });
  out.u32(count);
  each_stored([&](const ConfigField& field, uint32_t key, uint64_t bits) {
    out.u32(key);
    out.u32(static_cast<uint32_t>(field.real ? format::FieldType::f64 : format::FieldType::integer));
    out.u64(bits);
  });
  return out.take();
}

std::vector<uint8_t> encode_heads(const std::vector<HeadContent>& heads) {
  Encoder out;
  out.u32(heads.size());
  for (const HeadContent& head : heads) {
    out.string(head.name);
    out.u32(static_cast<uint32_t>(head.kind));
    out.u32(head.labels.size());
    for (const std::string& label : head.labels) out.string(label);
    out.u32(static_cast<uint32_t>(format::activation_of(head.kind)));
    out.f32(head.temperature);
    out.u32(head.thresholds.size());
    for (const float t : head.thresholds) out.f32(t);
    out.f32(head.range_low);
    out.f32(head.range_high);
  }
  return out.take();
}

std::vector<uint8_t> encode_metadata(const MetadataContent& metadata) {
  Encoder out;
  uint32_t count = 0;
  for (size_t i = 0; i < format::metadata_key_count; ++i) count += !format::metadata_value(metadata, i).empty();
  out.u32(count);
  for (size_t i = 0; i < format::metadata_key_count; ++i) {
    const std::string& value = format::metadata_value(metadata, i);
    if (value.empty()) continue;
    out.string(format::metadata_keys[i]);
    out.string(value);
  }
  return out.take();
}

std::vector<uint8_t> encode_self_tests(const std::vector<SelfTestContent>& tests) {
  Encoder out;
  out.u32(tests.size());
  for (const SelfTestContent& test : tests) {
    out.u32(test.ids.size());
    for (const uint32_t id : test.ids) out.u32(id);
    for (const float logit : test.logits) out.f32(logit);
  }
  return out.take();
}

struct Place {
  uint64_t offset = 0, bytes = 0;  // in the weights
};

constexpr uint64_t align(uint64_t value, uint64_t alignment) { return (value + alignment - 1) & ~(alignment - 1); }

// A file in the making: the part before the weights, and where each tensor goes.
struct Plan {
  std::vector<uint8_t> head;
  std::vector<uint64_t> hash_at;  // of each tensor, in head
  Contents contents;              // views into head
  uint64_t file_size = 0;

  void store(uint64_t at, const Digest& hash) { std::memcpy(head.data() + at, hash.data(), hash.size()); }
};

// Only vectors have one dimension; a tensor that the model lacks is left for the reader's check to name.
std::map<std::string, bool> vectors_by_name(const ModelContent& content) {
  std::map<std::string, bool> result;
  std::vector<uint32_t> classes;
  for (const HeadContent& head : content.heads) classes.push_back(static_cast<uint32_t>(head.labels.size()));
  (void)for_each_tensor(content.config, classes, [&](const TensorNeed& need) noexcept -> Status {
    result[need.name] = need.spec->role == Role::vector;
    return {};
  }).ok();
  return result;
}

std::vector<uint8_t> encode_directory(const ModelContent& content, const std::vector<Place>& places,
                                      std::vector<uint64_t>& hash_at) {
  const auto vectors = vectors_by_name(content);
  Encoder out;
  uint64_t size = 4;
  out.u32(content.tensors.size());
  for (size_t i = 0; i < content.tensors.size(); ++i) {
    const TensorContent& tensor = content.tensors[i];
    const auto known = vectors.find(tensor.name);
    const bool vector = known != vectors.end() && known->second && tensor.n == 1;
    out.string(tensor.name);
    out.u32(static_cast<uint32_t>(kernels::dtype_of(tensor.layout)));
    out.u32(static_cast<uint32_t>(tensor.layout));
    out.u32(vector ? 1 : 2);
    if (!vector) out.u64(tensor.n);
    out.u64(tensor.k);
    out.u64(places[i].offset);
    out.u64(places[i].bytes);
    out.bytes(Digest{});
    size += 4 + tensor.name.size() + 12 + (vector ? 8 : 16) + 16 + 32;
    hash_at.push_back(size - 32);
  }
  return out.take();
}

// Lays the file out and has the reader's functions check all of it but the hashes and the payloads.
Status make_plan(const ModelContent& content, Plan& plan) {
  ONEPASS_TRY(validate(content.config));
  if (content.heads.size() > max_model_heads) {
    return make_error(Code::limit_exceeded, Error::no_offset, "heads", "%zu heads: at most 64 are allowed",
                      content.heads.size());
  }
  for (size_t i = 0; i < content.self_tests.size(); ++i) {
    size_t classes = 0;
    for (const HeadContent& head : content.heads) classes += head.labels.size();
    const size_t logits = content.config.logit_rows(content.self_tests[i].ids.size(), 1) * classes;
    if (content.self_tests[i].logits.size() != logits) {
      return make_error(Code::bad_shape, Error::no_offset, "self_test", "self-test %zu has %zu logits, not %zu", i,
                        content.self_tests[i].logits.size(), logits);
    }
  }
  std::vector<Place> places;
  uint64_t weights = 0;
  for (const TensorContent& tensor : content.tensors) {
    if (tensor.n == 0 || tensor.k == 0 || tensor.n >= uint64_t{1} << 31 || tensor.k >= uint64_t{1} << 31 ||
        tensor.n * tensor.k > format::max_tensor_elements) {
      return make_error(Code::bad_shape, Error::no_offset, tensor.name,
                        "dimensions must be 1 to 2^31-1, elements at most 2^36");
    }
    const Place place{
        align(weights, format::tensor_alignment),
        kernels::packed_bytes(tensor.layout, static_cast<size_t>(tensor.n), static_cast<size_t>(tensor.k))};
    weights = place.offset + place.bytes;
    places.push_back(place);
  }

  const std::vector<uint8_t> sections[] = {encode_config(content.config),
                                           encode_heads(content.heads),
                                           content.tokenizer,
                                           encode_metadata(content.metadata),
                                           encode_directory(content, places, plan.hash_at),
                                           encode_self_tests(content.self_tests)};
  Encoder table;
  std::vector<uint8_t> body;
  uint64_t end = format::table_bytes;
  const auto entry = [&](size_t i, uint64_t size) {
    const uint64_t offset = align(end, format::sections[i].alignment);
    table.u32(i + 1);
    table.u32(0);
    table.u64(offset);
    table.u64(size);
    table.bytes(Digest{});
    table.u64(0);
    end = offset + size;
    return offset;
  };
  for (size_t i = 0; i + 1 < format::section_count; ++i) {
    const uint64_t offset = entry(i, sections[i].size());
    body.resize(static_cast<size_t>(offset - format::table_bytes));
    body.insert(body.end(), sections[i].begin(), sections[i].end());
    if (i + 1 == static_cast<size_t>(SectionId::tensors)) {
      for (uint64_t& at : plan.hash_at) at += offset;
    }
  }
  entry(format::section_count - 1, weights);
  plan.file_size = end;

  Encoder head;
  head.bytes(format::magic);
  head.u32(format::version);
  head.u32(format::endian_tag);
  head.u32(0);
  head.u32(format::section_count);
  head.u64(plan.file_size);
  head.bytes(Digest{});
  head.bytes(table.take());
  head.bytes(body);
  plan.head = head.take();
  ONEPASS_TRY_ASSIGN(checked, format::parse_section_table(plan.head, plan.file_size));
  return format::parse_contents(plan.head, checked, plan.contents);
}

// Checks and writes one tensor at a time, then the part before the weights, which holds their hashes.
// write(offset, bytes) -> Status; what is never written must read as zero.
template <class Write>
Status write_plan(const ModelContent& content, Plan& plan, Write&& write) {
  std::vector<uint8_t> scratch;
  for (size_t i = 0; i < content.tensors.size(); ++i) {
    const TensorContent& tensor = content.tensors[i];
    TensorView& view = plan.contents.tensors[i];
    std::span<const uint8_t> payload = tensor.payload;
    if (tensor.fill) {
      scratch.assign(static_cast<size_t>(view.bytes), 0);
      ONEPASS_TRY(tensor.fill(scratch));
      payload = scratch;
    }
    if (payload.size() != view.bytes) {
      return make_error(Code::size_mismatch, Error::no_offset, tensor.name,
                        "the payload has %zu bytes, shape and layout need %llu", payload.size(),
                        static_cast<unsigned long long>(view.bytes));
    }
    view.data = payload.data();
    ONEPASS_TRY(format::check_tensor_values(view));
    view.hash = sha256(payload);
    plan.store(plan.hash_at[i], view.hash);
    ONEPASS_TRY(write(view.offset, payload));
  }
  format::SectionTable& table = plan.contents.table;
  const auto hash_at = [](size_t section) {
    return format::header_bytes + section * format::table_entry_bytes + format::table_hash_offset;
  };
  const std::span<const uint8_t> head(plan.head);
  for (size_t i = 0; i + 1 < format::section_count; ++i) {
    const auto& section = table.at[i];
    plan.store(hash_at(i),
               sha256(head.subspan(static_cast<size_t>(section.offset), static_cast<size_t>(section.size))));
  }
  plan.store(hash_at(format::section_count - 1), format::weights_hash_of(plan.contents.tensors.span()));
  plan.store(format::root_hash_offset, format::root_hash_of(head));
  return write(0, head);
}

}  // namespace

Status write_model(const ModelContent& content, const std::string& path) {
  Plan plan;
  ONEPASS_TRY(make_plan(content, plan));
  AtomicFile file;
  ONEPASS_TRY(file.open(path));
  ONEPASS_TRY(write_plan(content, plan,
                         [&](uint64_t offset, std::span<const uint8_t> bytes) { return file.write(offset, bytes); }));
  return file.commit();
}

Result<std::vector<uint8_t>> serialize_model(const ModelContent& content) {
  Plan plan;
  ONEPASS_TRY(make_plan(content, plan));
  std::vector<uint8_t> out(static_cast<size_t>(plan.file_size));
  ONEPASS_TRY(write_plan(content, plan, [&](uint64_t offset, std::span<const uint8_t> bytes) {
    if (!bytes.empty()) std::memcpy(out.data() + offset, bytes.data(), bytes.size());
    return Status();
  }));
  return out;
}

ModelContent content_of(const ModelFile& file) {
  ModelContent content;
  content.config = file.config();
  for (const HeadView& view : file.heads()) {
    HeadContent head;
    head.name = view.name;
    head.kind = view.kind;
    head.labels.assign(view.labels.begin(), view.labels.end());
    head.thresholds.assign(view.thresholds.begin(), view.thresholds.end());
    head.temperature = view.temperature;
    head.range_low = view.range_low;
    head.range_high = view.range_high;
    content.heads.push_back(std::move(head));
  }
  content.tokenizer.assign(file.tokenizer_section().begin(), file.tokenizer_section().end());
  for (size_t i = 0; i < format::metadata_key_count; ++i) {
    format::metadata_value(content.metadata, i) = format::metadata_value(file.metadata(), i);
  }
  for (const TensorView& view : file.tensors()) {
    TensorContent tensor;
    tensor.name = view.name;
    tensor.layout = view.layout;
    tensor.n = view.n;
    tensor.k = view.k;
    tensor.fill = [data = view.data](std::span<uint8_t> out) {
      std::memcpy(out.data(), data, out.size());
      return Status();
    };
    content.tensors.push_back(std::move(tensor));
  }
  for (const SelfTestView& view : file.self_tests()) {
    content.self_tests.push_back({{view.ids.begin(), view.ids.end()}, {view.logits.begin(), view.logits.end()}});
  }
  return content;
}

}  // namespace onepass
