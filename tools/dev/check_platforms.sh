#!/usr/bin/env bash
# Builds the runtime for other platforms and, where an emulator or this machine runs the result, compares its logits with
# those of this machine, bit for bit. Needs build/release; installs what is missing.
# usage: check_platforms.sh [TARGET...]     (none: all of them)
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
. tools/lib/packages.sh
out=$root/build/platforms
mkdir -p "$out"

model=$out/emotion.onepass
printf '%s\n' "I can't believe you did this for me, thank you!" "" "not bad. café 中文, 3.5 times" "what a sad day for all of us, isn't it" >"$out/texts"
[ -f "$model" ] || build/release/tools/onepass convert models/emotion -o "$model" --weights int8 >/dev/null
openmp=$(sed -n 's/^OpenMP_CXX_FLAGS:STRING=//p' build/release/CMakeCache.txt)
cc -std=c99 -O2 -Iengine/include tests/package/app/logits.c build/release/libonepass.a -lm $openmp -o "$out/here"
"$out/here" "$model" <"$out/texts" >"$out/expected" 2>/dev/null

# ziglang: a Python package with clang, and the headers and libraries of musl, Windows and macOS.
zig() {
  [ -x "$out/zig/bin/python" ] || python3 -m venv "$out/zig"
  "$out/zig/bin/python" -c 'import ziglang' 2>/dev/null || "$out/zig/bin/pip" install -q ziglang
  for tool in cc c++ ar ranlib; do
    cat >"$out/zig/$tool" <<EOF
#!/bin/sh
# Its clang takes names of processors where others take architectures.
for option; do
  shift
  case "\$option" in
    -march=armv8-a+*) option=-mcpu=generic+\${option#*+} ;;
    -march=armv8.2-a+*) option=-mcpu=generic+v8_2a+\${option#*+} ;;
  esac
  set -- "\$@" "\$option"
done
exec "$out/zig/bin/python" -m ziglang $tool "\$@"
EOF
    chmod +x "$out/zig/$tool"
  done
}

# Runs a program of WASI in node.
wasi() {
  cat >"$out/wasi.cjs" <<'EOF'
const { WASI } = require("node:wasi");
const wasi = new WASI({ version: "preview1", args: process.argv.slice(2), preopens: { "/": "/" } });
WebAssembly.instantiate(require("node:fs").readFileSync(process.argv[2]), wasi.getImportObject()).then(
  ({ instance }) => process.exit(wasi.start(instance)));
EOF
}

# check NAME SYSTEM PROCESSOR CC CXX FLAGS LINK RUN...: RUN runs the app; none: it is only built.
check() {
  local name=$1 system=$2 processor=$3 cc=$4 cxx=$5 flags=$6 link=$7 app=$out/$1/logits
  shift 7
  [ "$system" = Windows ] && app=$app.exe
  local archive=(-DCMAKE_AR="$(command -v ar)")
  [[ $cc == "$out"/zig/* ]] && archive=(-DCMAKE_AR="$out/zig/ar" -DCMAKE_RANLIB="$out/zig/ranlib")
  [[ $cc == *-gcc* ]] && archive=()
  if ! { cmake -S . -B "$out/$name" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME="$system" -DCMAKE_SYSTEM_PROCESSOR="$processor" \
      -DCMAKE_C_COMPILER="${cc%% *}" -DCMAKE_CXX_COMPILER="${cxx%% *}" -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" "${archive[@]}" \
      -DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY -DONEPASS_WARNINGS_AS_ERRORS=ON -DONEPASS_OPENMP=OFF -DONEPASS_TOOLS=OFF -DONEPASS_BENCH=OFF \
      -DONEPASS_TESTS=OFF && cmake --build "$out/$name" -j2 && "$cc" $flags -std=c99 -O2 -Iengine/include tests/package/app/logits.c \
      "$out/$name/libonepass.a" $link -o "$app"; } >"$out/$name.log" 2>&1; then
    printf '%-24s not built: %s\n' "$name" "$(grep -m 1 -E ' error: |undefined reference|CMake Error' "$out/$name.log" | cut -c 1-140)"
    failed=1
  elif [ $# -eq 0 ]; then
    printf '%-24s built and linked\n' "$name"
  elif "$@" "$app" "$model" <"$out/texts" >"$out/$name.out" 2>"$out/$name.err" && tr -d '\r' <"$out/$name.out" | cmp -s - "$out/expected"; then
    printf '%-24s the same bits, level %s\n' "$name" "$(tr -d '\r' <"$out/$name.err" | tail -n 1)"
  else
    printf '%-24s ran, other bits or none: %s\n' "$name" "$(tail -n 1 "$out/$name.err" | cut -c 1-140)"
    failed=1
  fi
}

target() {
  local z=$out/zig
  case "$1" in
    musl-x86_64) zig; check $1 Linux x86_64 $z/cc $z/c++ "-target x86_64-linux-musl" "-lm -static" env ;;
    musl-aarch64) zig; check $1 Linux aarch64 $z/cc $z/c++ "-target aarch64-linux-musl" "-lm -static" qemu-aarch64 -cpu max ;;
    musl-i686) zig; check $1 Linux i686 $z/cc $z/c++ "-target x86-linux-musl" "-lm -static" env ;;
    musl-armv7) zig; check $1 Linux armv7 $z/cc $z/c++ "-target arm-linux-musleabihf -mcpu=cortex_a9" "-lm -static" qemu-arm ;;
    musl-riscv64) zig; check $1 Linux riscv64 $z/cc $z/c++ "-target riscv64-linux-musl" "-lm -static" qemu-riscv64 ;;
    glibc-i686) ensure_packages g++-i686-linux-gnu; check $1 Linux i686 i686-linux-gnu-gcc i686-linux-gnu-g++ "-msse2 -mfpmath=sse" "-lm -static" env ;;
    glibc-armv7) ensure_packages g++-arm-linux-gnueabihf qemu-user; check $1 Linux armv7 arm-linux-gnueabihf-gcc arm-linux-gnueabihf-g++ "" "-lm -static" qemu-arm ;;
    mingw-x86_64) ensure_packages g++-mingw-w64-x86-64-win32 wine wine64; check $1 Windows x86_64 x86_64-w64-mingw32-gcc x86_64-w64-mingw32-g++ "" "-static" env WINEDEBUG=-all wine ;;
    windows-x86_64) zig; check $1 Windows x86_64 $z/cc $z/c++ "-target x86_64-windows-gnu" "" env WINEDEBUG=-all wine ;;
    windows-aarch64) zig; check $1 Windows aarch64 $z/cc $z/c++ "-target aarch64-windows-gnu" "" ;;
    macos-x86_64) zig; check $1 Darwin x86_64 $z/cc $z/c++ "-target x86_64-macos" "" ;;
    macos-aarch64) zig; check $1 Darwin aarch64 $z/cc $z/c++ "-target aarch64-macos" "" ;;
    wasm32) ensure_packages nodejs; zig; wasi; check $1 WASI wasm32 $z/cc $z/c++ "-target wasm32-wasi" "-Wl,-z,stack-size=1048576" node --no-warnings "$out/wasi.cjs" ;;
    *) echo "check_platforms.sh: no such target: $1" >&2; exit 2 ;;
  esac
}

failed=0
all=(musl-x86_64 musl-aarch64 musl-i686 musl-armv7 musl-riscv64 glibc-i686 glibc-armv7 mingw-x86_64 windows-x86_64 windows-aarch64
     macos-x86_64 macos-aarch64 wasm32)
for name in "${@:-${all[@]}}"; do target "$name"; done
exit $failed
