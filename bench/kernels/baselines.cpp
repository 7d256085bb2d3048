#include "bench/kernels/baselines.h"

#include <cblas.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#ifdef ONEPASS_HAS_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace onepass::bench {

void eigen_product_plain(const float* a, const float* w, float* c, size_t m, size_t n, size_t k);
#if defined(__x86_64__)
void eigen_product_avx2(const float* a, const float* w, float* c, size_t m, size_t n, size_t k);
void eigen_product_avx512(const float* a, const float* w, float* c, size_t m, size_t n, size_t k);
#endif

EigenProduct eigen_product() {
#if defined(__x86_64__)
  if (kernels::isa_available(kernels::Isa::avx512)) return eigen_product_avx512;
  if (kernels::isa_available(kernels::Isa::avx2)) return eigen_product_avx2;
#endif
  return eigen_product_plain;
}

namespace {

std::vector<float> numbers(size_t count) {
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>((i * 2654435761u >> 7) % 2001) / 1000.0f - 1.0f;
  return out;
}

struct Floats {
  std::vector<float> a, w, c;
};

#ifdef ONEPASS_HAS_ONEDNN

std::string isa_text = "its default";

// u8 activations, s8 weights packed ahead into the order that the primitive asks for, s32 sums.
Baseline onednn(Shape s, size_t cold_bytes) {
  using namespace dnnl;
  struct State {
    engine cpu{engine::kind::cpu, 0};
    dnnl::stream stream{cpu};
    matmul primitive;
    memory source, result;
    std::vector<memory> weights;
    size_t next = 0;
  };
  auto state = std::make_shared<State>();
  const auto m = static_cast<memory::dim>(s.m), n = static_cast<memory::dim>(s.n), k = static_cast<memory::dim>(s.k);
  const memory::desc source({m, k}, memory::data_type::u8, memory::format_tag::ab);
  const memory::desc plain({k, n}, memory::data_type::s8, memory::format_tag::ba);
  const memory::desc any({k, n}, memory::data_type::s8, memory::format_tag::any);
  const memory::desc result({m, n}, memory::data_type::s32, memory::format_tag::ab);
  const matmul::primitive_desc described(matmul::desc(source, any, result), state->cpu);
  state->primitive = matmul(described);
  state->source = memory(source, state->cpu);
  state->result = memory(result, state->cpu);
  std::memset(state->source.get_data_handle(), 3, s.m * s.k);
  memory unpacked(plain, state->cpu);
  std::memset(unpacked.get_data_handle(), 5, s.n * s.k);
  memory first(described.weights_desc(), state->cpu);
  reorder(unpacked, first).execute(state->stream, unpacked, first);
  state->stream.wait();
  const size_t bytes = described.weights_desc().get_size();
  const size_t copies = std::max<size_t>(1, cold_bytes / bytes);
  state->weights.push_back(first);
  for (size_t i = 1; i < copies; ++i) {
    state->weights.emplace_back(described.weights_desc(), state->cpu);
    std::memcpy(state->weights.back().get_data_handle(), first.get_data_handle(), bytes);
  }
  return {"onednn_u8s8s32_gops", [state] {
            const memory& w = state->weights[state->next];
            state->next = (state->next + 1) % state->weights.size();
            state->primitive.execute(
                state->stream, {{DNNL_ARG_SRC, state->source}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, state->result}});
            state->stream.wait();
          }};
}

#endif

}  // namespace

void limit_onednn([[maybe_unused]] kernels::Isa isa) {
#ifdef ONEPASS_HAS_ONEDNN
  // oneDNN runs its threads on GCC's OpenMP, whichever this program was compiled with.
  if (void* gomp = dlopen("libgomp.so.1", RTLD_NOW | RTLD_NOLOAD)) {
    if (void* set = dlsym(gomp, "omp_set_num_threads")) reinterpret_cast<void (*)(int)>(set)(1);
    dlclose(gomp);
  }
  using dnnl::cpu_isa;
  struct Level {
    kernels::Isa isa;
    cpu_isa most;
    const char* name;
  };
  static constexpr Level kLevels[] = {{kernels::Isa::avx2, cpu_isa::avx2, "avx2"},
                                      {kernels::Isa::avxvnni, cpu_isa::avx2_vnni, "avx2_vnni"},
                                      {kernels::Isa::avx512, cpu_isa::avx512_core, "avx512_core"},
                                      {kernels::Isa::avx512vnni, cpu_isa::avx512_core_vnni, "avx512_core_vnni"},
                                      {kernels::Isa::amx, cpu_isa::avx512_core_amx, "avx512_core_amx"}};
  for (const Level& level : kLevels) {
    if (level.isa == isa && dnnl::set_max_cpu_isa(level.most) == dnnl::status::success) isa_text = level.name;
  }
#endif
}

std::string onednn_description() {
#ifdef ONEPASS_HAS_ONEDNN
  const dnnl_version_t* v = dnnl_version();
  return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch) + ", " +
         isa_text;
#else
  return {};
#endif
}

std::vector<Baseline> baselines(Shape s, size_t cold_bytes) {
  std::vector<Baseline> out;
  if (cold_bytes == 0) {
    auto f = std::make_shared<Floats>(Floats{numbers(s.m * s.k), numbers(s.n * s.k), numbers(s.m * s.n)});
    openblas_set_num_threads(1);
    const auto m = static_cast<int>(s.m), n = static_cast<int>(s.n), k = static_cast<int>(s.k);
    out.push_back({"openblas_f32_gops", [f, m, n, k] {
                     cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, f->a.data(), k, f->w.data(), k, 0,
                                 f->c.data(), n);
                   }});
    out.push_back({"eigen_f32_gops", [f, s, product = eigen_product()] {
                     product(f->a.data(), f->w.data(), f->c.data(), s.m, s.n, s.k);
                   }});
  }
#ifdef ONEPASS_HAS_ONEDNN
  out.push_back(onednn(s, cold_bytes));
#endif
  return out;
}

}  // namespace onepass::bench
