#include "formats/gguf/ggml_types.h"

namespace onepass {

namespace {

constexpr GgmlTypeInfo kTypes[] = {
    {GgmlType::f32, "F32", 1, 4},         {GgmlType::f16, "F16", 1, 2},           {GgmlType::q4_0, "Q4_0", 32, 18},
    {GgmlType::q4_1, "Q4_1", 32, 20},     {GgmlType::q5_0, "Q5_0", 32, 22},       {GgmlType::q5_1, "Q5_1", 32, 24},
    {GgmlType::q8_0, "Q8_0", 32, 34},     {GgmlType::q2_k, "Q2_K", 256, 84},      {GgmlType::q3_k, "Q3_K", 256, 110},
    {GgmlType::q4_k, "Q4_K", 256, 144},   {GgmlType::q5_k, "Q5_K", 256, 176},     {GgmlType::q6_k, "Q6_K", 256, 210},
    {GgmlType::iq4_nl, "IQ4_NL", 32, 18}, {GgmlType::iq4_xs, "IQ4_XS", 256, 136}, {GgmlType::bf16, "BF16", 1, 2},
};

struct NamedNumber {
  uint32_t number;
  const char* name;
};
constexpr NamedNumber kOthers[] = {
    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"},
    {21, "IQ3_S"}, {22, "IQ2_S"}, {24, "I8"},      {25, "I16"},    {26, "I32"},     {27, "I64"},
    {28, "F64"},   {29, "IQ1_M"}, {34, "TQ1_0"},   {35, "TQ2_0"},  {39, "MXFP4"},   {40, "NVFP4"},
};

}  // namespace

const GgmlTypeInfo* find_ggml_type(uint32_t number) noexcept {
  for (const GgmlTypeInfo& info : kTypes) {
    if (static_cast<uint32_t>(info.type) == number) return &info;
  }
  return nullptr;
}

const char* ggml_type_name(uint32_t number) noexcept {
  if (const GgmlTypeInfo* info = find_ggml_type(number)) return info->name;
  for (const NamedNumber& other : kOthers) {
    if (other.number == number) return other.name;
  }
  return nullptr;
}

const GgmlTypeInfo& info_of(GgmlType type) noexcept { return *find_ggml_type(static_cast<uint32_t>(type)); }

}  // namespace onepass
