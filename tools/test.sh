#!/usr/bin/env bash
# Installs what is missing, builds everything, and passes every test. One argument: only that part
# (release, clang, asan, tsan, arm64, package, style, dev, tidy); none: all but dev and tidy.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib/packages.sh

ensure_packages "${build_packages[@]}" "${test_packages[@]}"
export CTEST_PARALLEL_LEVEL=2

build() {
  cmake --preset "$1" >"build/$1.log" 2>&1 && cmake --build --preset "$1" >>"build/$1.log" 2>&1 ||
    { grep -E 'error|warning|FAILED|CMake Error' -A 3 "build/$1.log" | head -n 60; echo "onepass: build $1 failed: build/$1.log" >&2; return 1; }
}

preset() {
  echo "== $1 =="
  build "$1" && ctest --preset "$1"
}

package() {
  echo "== package: an app built against the installed library =="
  build release
  tests/package/test.sh build/release
}

# Not part of the default run: it takes longer than all the tests.
tidy() {
  echo "== tidy =="
  ensure_packages clang-tidy-14
  cmake --preset clang >build/clang.log
  git ls-files 'engine/*.cpp' 'formats/*.cpp' 'models/*.cpp' 'tools/*.cpp' 'kernels/ref/*.cpp' 'kernels/dispatch.cpp' 'kernels/pack/*.cpp' |
    grep -v sha256_arm | xargs -P 2 -n 4 clang-tidy-14 -p build/clang --quiet 2>/dev/null
}

style() {
  echo "== style =="
  tools/dev/check_style.sh
}

mkdir -p build
for part in ${*:-style release clang asan tsan arm64 package}; do
  case "$part" in
    release | clang | asan | tsan | arm64 | dev) preset "$part" ;;
    package) package ;;
    style) style ;;
    tidy) tidy ;;
    *) echo "usage: tools/test.sh [style|release|clang|asan|tsan|arm64|package|dev|tidy] ..." >&2; exit 2 ;;
  esac
done
echo "All tests passed."
