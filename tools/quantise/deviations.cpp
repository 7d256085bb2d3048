#include "tools/quantise/deviations.h"

#include <cstdio>

namespace onepass::quantise {

using convert::WeightType;
using kernels::Dtype;

namespace {

std::optional<Dtype> asked(WeightType type) {
  switch (type) {
    case WeightType::f32:
      return Dtype::f32;
    case WeightType::f16:
      return Dtype::f16;
    case WeightType::int8:
      return Dtype::i8;
    case WeightType::int4:
      return Dtype::i4;
    case WeightType::source:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> deviations(const convert::Options& options, const ModelContent& content) {
  std::vector<std::string> out;
  std::vector<uint32_t> classes;
  for (const HeadContent& head : content.heads) classes.push_back(static_cast<uint32_t>(head.labels.size()));
  size_t at = 0;
  const auto look = [&](const TensorNeed& need) -> Status {
    const TensorContent& tensor = content.tensors.at(at++);
    const Role role = need.spec->role;
    if ((role != Role::matrix && role != Role::table) || need.spec->scope == Scope::head) return {};
    const WeightType type =
        role == Role::table ? convert::table_type(options, need.spec->slot == Slot::embed_token) : options.weights;
    const std::string is = tensor.name + " is " + kernels::layout_name(tensor.layout);
    const auto wanted = asked(type);
    if (!wanted) {
      // As the source has it, or "quantised again".
      if (tensor.origin.find("quantised") != std::string::npos) out.push_back(is + ", from " + tensor.origin);
      return {};
    }
    if (kernels::dtype_of(tensor.layout) != *wanted) {
      out.push_back(is + ", another type than was asked for");
      return {};
    }
    if (*wanted != Dtype::i4) return {};
    const size_t group = kernels::group_size(tensor.layout);
    if (role == Role::matrix && !kernels::has_steps(tensor.layout)) out.push_back(is + ": " + tensor.origin);
    // Panels hold pairs of groups.
    if (tensor.k % (role == Role::table ? group : 2 * group) == 0) return {};
    const double bytes = static_cast<double>(kernels::packed_bytes(tensor.layout, tensor.n, tensor.k));
    char line[128];
    std::snprintf(line, sizeof(line), ", whose %zu inputs are no whole %s of %zu: padded, it takes %.2f bits a weight",
                  static_cast<size_t>(tensor.k), role == Role::table ? "groups" : "pairs of groups", group,
                  8 * bytes / static_cast<double>(tensor.n * tensor.k));
    out.push_back(is + line);
    return {};
  };
  if (!for_each_tensor(content.config, classes, look).ok()) out.push_back("the tensors could not be read");
  return out;
}

}  // namespace onepass::quantise
