# Sourced by try.sh and test.sh: installs the Debian packages that are missing, and says which.

# ensure_packages PACKAGE...
ensure_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  echo "Installing the Debian packages that are missing: ${missing[*]}" >&2
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "onepass: not root, and no sudo: install them yourself: apt-get install ${missing[*]}" >&2; return 1; }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# What the runtime, the converter and the command need.
build_packages=(cmake ninja-build g++ libc6-dev libxsimd-dev libeigen3-dev nlohmann-json3-dev libcli11-dev)
# What the tests need on top: GoogleTest, both compilers with sanitizers and fuzzers, arm64 under emulation, the reference pages.
test_packages=(git ccache pkg-config googletest clang-14 libclang-rt-14-dev clang-format-14 g++-aarch64-linux-gnu qemu-user
               libbenchmark-dev libopenblas-dev libdnnl-dev doxygen)
