#include "formats/safetensors/checkpoint.h"

#include <algorithm>
#include <cinttypes>
#include <fstream>
#include <set>
#include <system_error>

#include "engine/core/sha256.h"
#include "engine/core/utf8.h"
#include "formats/json/json.h"

namespace onepass {

namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr size_t kMaxIndexBytes = size_t{64} << 20;
constexpr size_t kBlockBytes = size_t{1} << 20;

bool is_there(const std::filesystem::path& path) {
  std::error_code problem;
  return std::filesystem::exists(path, problem);
}

// Size and stream of a regular file; a pipe or device is refused before it is opened.
Result<uint64_t> open_file(const std::filesystem::path& path, const std::string& name, std::ifstream& stream) {
  std::error_code problem;
  if (!std::filesystem::is_regular_file(path, problem)) {
    return make_error(Code::io_error, Error::no_offset, name, "no such file, or not a regular file: %s",
                      path.string().c_str());
  }
  const uintmax_t size = std::filesystem::file_size(path, problem);
  stream.open(path, std::ios::binary);
  if (problem || !stream) {
    return make_error(Code::io_error, Error::no_offset, name, "cannot be opened; check its permissions: %s",
                      path.string().c_str());
  }
  return uint64_t{size};
}

bool read_exactly(std::ifstream& stream, uint8_t* out, size_t n) {
  stream.read(reinterpret_cast<char*>(out), static_cast<std::streamsize>(n));
  return static_cast<size_t>(stream.gcount()) == n;
}

Error changed_file(const std::string& name, uint64_t offset) {
  return make_error(Code::truncated, offset, name, "the file became shorter while it was read; download it again");
}

Error no_such_tensor(std::string_view name) {
  return make_error(Code::missing_tensor, Error::no_offset, name, "the checkpoint has no such tensor");
}

// A shard lies beside its index: its name is one path component that means the same on every system.
bool is_shard_name(std::string_view name) {
  return is_valid_name(name) && name.ends_with(".safetensors") && !name.starts_with(".") &&
         name.find_first_of("/\\:") == std::string_view::npos &&
         std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

Result<std::map<std::string, std::string>> read_weight_map(const std::filesystem::path& path) {
  ONEPASS_TRY_ASSIGN(json, read_json_file(path, kMaxIndexBytes));
  const JsonNode root(json, kIndexFile);
  ONEPASS_TRY(root.only({"metadata", "weight_map"}));
  ONEPASS_TRY(root.optional_object("metadata"));
  ONEPASS_TRY_ASSIGN(weights, root.object("weight_map"));
  std::map<std::string, std::string> map;
  for (const auto& [tensor, shard] : weights.value().get_ref<const Json::object_t&>()) {
    const JsonNode node(shard, weights.path_of(tensor));
    ONEPASS_TRY_ASSIGN(file, node.as_string());
    if (!is_shard_name(file)) {
      return make_error(Code::bad_name, Error::no_offset, node.path(),
                        "\"%.80s\" is not the plain name of a .safetensors file beside the index", file.c_str());
    }
    map.emplace(tensor, file);
  }
  if (map.size() > kMaxCheckpointTensors) {
    return make_error(Code::limit_exceeded, Error::no_offset, weights.path(),
                      "%zu tensors, of which at most %zu are read", map.size(), kMaxCheckpointTensors);
  }
  return map;
}

}  // namespace

Status Checkpoint::add_file(const std::filesystem::path& path, std::string name,
                            const std::map<std::string, std::string>* weight_map) {
  std::ifstream stream;
  ONEPASS_TRY_ASSIGN(size, open_file(path, name, stream));
  std::vector<uint8_t> prefix(static_cast<size_t>(std::min<uint64_t>(size, 8)));
  if (!read_exactly(stream, prefix.data(), prefix.size())) return changed_file(name, 0);
  ONEPASS_TRY_ASSIGN(prefix_size, safetensors_prefix_size(prefix, size, name));
  prefix.resize(static_cast<size_t>(prefix_size));  // at most 100 MB, and the file has as many
  if (!read_exactly(stream, prefix.data() + 8, prefix.size() - 8)) return changed_file(name, 8);
  ONEPASS_TRY_ASSIGN(header, parse_safetensors_header(prefix, size, name));
  for (SafetensorsEntry& entry : header.entries) {
    if (tensors_.contains(entry.name)) {
      return make_error(Code::duplicate_name, Error::no_offset, name + ": " + entry.name,
                        "the tensor is also in %s; remove one of them", files_[file_of_[entry.name]].name.c_str());
    }
    if (weight_map != nullptr) {
      const auto at = weight_map->find(entry.name);
      if (at == weight_map->end() || at->second != name) {
        return make_error(Code::extra_tensor, Error::no_offset, name + ": " + entry.name,
                          "%s says otherwise; save the checkpoint again", kIndexFile);
      }
    }
    file_of_.emplace(entry.name, files_.size());
    std::string key = entry.name;
    tensors_.emplace(std::move(key), std::move(entry));
  }
  files_.push_back({path, std::move(name), size});
  return {};
}

Result<Checkpoint> Checkpoint::open(const std::filesystem::path& folder) noexcept {
  try {
    Checkpoint checkpoint;
    const bool single = is_there(folder / kSingleFile);
    const bool sharded = is_there(folder / kIndexFile);
    if (single && sharded) {
      return make_error(Code::not_canonical, Error::no_offset, folder.string(),
                        "holds both %s and %s; remove the one that is not meant", kSingleFile, kIndexFile);
    }
    if (!single && !sharded) {
      return make_error(Code::io_error, Error::no_offset, folder.string(),
                        "holds neither %s nor %s; pickled weights (.bin, .pt) are not read: save them with "
                        "safe_serialization=True",
                        kSingleFile, kIndexFile);
    }
    if (single) {
      ONEPASS_TRY(checkpoint.add_file(folder / kSingleFile, kSingleFile, nullptr));
      return checkpoint;
    }
    ONEPASS_TRY_ASSIGN(weight_map, read_weight_map(folder / kIndexFile));
    std::set<std::string> shards;
    for (const auto& [tensor, shard] : weight_map) shards.insert(shard);
    for (const std::string& shard : shards) {
      ONEPASS_TRY(checkpoint.add_file(folder / shard, shard, &weight_map));
    }
    for (const auto& [tensor, shard] : weight_map) {
      if (checkpoint.find(tensor) == nullptr) {
        return make_error(Code::missing_tensor, Error::no_offset, shard + ": " + tensor,
                          "%s names it, but the shard lacks it; download the shard again", kIndexFile);
      }
    }
    return checkpoint;
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "checkpoint", "out of memory while opening a checkpoint");
  }
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& [name, entry] : tensors_) names.push_back(name);
  return names;
}

const SafetensorsEntry* Checkpoint::find(std::string_view name) const noexcept {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

const std::vector<uint64_t>* Checkpoint::shape(std::string_view name) const noexcept {
  const SafetensorsEntry* entry = find(name);
  return entry == nullptr ? nullptr : &entry->shape;
}

std::optional<GgmlType> Checkpoint::stored_type(std::string_view name) const noexcept {
  const SafetensorsEntry* entry = find(name);
  if (entry == nullptr) return std::nullopt;
  switch (entry->dtype) {
    case SafetensorsType::f32:
      return GgmlType::f32;
    case SafetensorsType::f16:
      return GgmlType::f16;
    case SafetensorsType::bf16:
      return GgmlType::bf16;
    default:
      return std::nullopt;
  }
}

template <class F>
Status Checkpoint::for_each_block(const SafetensorsEntry& entry, F&& f) const {
  const File& file = files_[file_of_.find(entry.name)->second];
  std::ifstream stream;
  ONEPASS_TRY(open_file(file.path, file.name, stream));
  stream.seekg(static_cast<std::streamoff>(entry.begin));
  const size_t size = size_of(entry.dtype);
  const auto elements = static_cast<size_t>(entry.elements);
  std::vector<uint8_t> block(std::min<size_t>(kBlockBytes, elements * size));
  for (size_t done = 0; done < elements;) {
    const size_t count = std::min(elements - done, block.size() / size);
    if (!read_exactly(stream, block.data(), count * size)) {
      return changed_file(file.name + ": " + entry.name, entry.begin + done * size);
    }
    ONEPASS_TRY(f(std::span<const uint8_t>(block).first(count * size), done));
    done += count;
  }
  return {};
}

Result<std::vector<float>> Checkpoint::read_f32(std::string_view name) const noexcept {
  try {
    const SafetensorsEntry* entry = find(name);
    if (entry == nullptr) return no_such_tensor(name);
    const std::string where = files_[file_of_.find(name)->second].name + ": " + entry->name;
    std::vector<float> values(static_cast<size_t>(entry->elements));
    ONEPASS_TRY(for_each_block(*entry, [&](std::span<const uint8_t> bytes, size_t done) {
      const auto out = std::span(values).subspan(done, bytes.size() / size_of(entry->dtype));
      return convert_to_f32(entry->dtype, bytes, out, done, where);
    }));
    if (values.empty())
      ONEPASS_TRY(convert_to_f32(entry->dtype, {}, {}, 0, where));  // the dtype is checked all the same
    return values;
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, name, "out of memory while reading a tensor");
  }
}

Result<std::vector<uint32_t>> Checkpoint::read_i32(std::string_view name) const noexcept {
  try {
    const SafetensorsEntry* entry = find(name);
    if (entry == nullptr) return no_such_tensor(name);
    if (entry->dtype != SafetensorsType::i32) {
      return make_error(Code::bad_dtype, entry->begin, name, "the tensor is %s where I32 is expected",
                        name_of(entry->dtype));
    }
    std::vector<uint32_t> values(static_cast<size_t>(entry->elements));
    ONEPASS_TRY(for_each_block(*entry, [&](std::span<const uint8_t> bytes, size_t done) -> Status {
      for (size_t i = 0; i < bytes.size(); ++i) values[done + i / 4] |= uint32_t{bytes[i]} << (8 * (i % 4));
      return {};
    }));
    return values;
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, name, "out of memory while reading a tensor");
  }
}

Result<std::array<uint8_t, 32>> Checkpoint::source_hash() const noexcept {
  try {
    Sha256 hash;
    std::vector<uint8_t> block(kBlockBytes);
    for (const File& file : files_) {
      std::ifstream stream;
      ONEPASS_TRY_ASSIGN(size, open_file(file.path, file.name, stream));
      if (size != file.size) return changed_file(file.name, size);
      for (uint64_t done = 0; done < size;) {
        const auto n = static_cast<size_t>(std::min<uint64_t>(block.size(), size - done));
        if (!read_exactly(stream, block.data(), n)) return changed_file(file.name, done);
        hash.update(std::span(block).first(n));
        done += n;
      }
    }
    return hash.finish();
  } catch (...) {
    return make_error(Code::out_of_memory, Error::no_offset, "checkpoint", "out of memory while hashing a checkpoint");
  }
}

}  // namespace onepass
