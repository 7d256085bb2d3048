// Compiled, never linked: what check_symbols.cmake must reject, a kernel beside an inline function that is kept.
namespace onepass::kernels {

struct Leak {
  int x;
};
[[gnu::noinline]] inline int kept(int x) noexcept { return x + 1; }
void leak_scalar(const Leak& leak) noexcept {
  int (*volatile function)(int) noexcept = kept;
  (void)function(leak.x);
}

}  // namespace onepass::kernels
