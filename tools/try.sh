#!/usr/bin/env bash
# What does a text express? Builds the onepass command and the shipped model, the first time, and asks it.
#   tools/try.sh "I can't believe you did this for me, thank you!"
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib/packages.sh

[ $# -gt 0 ] || { echo "usage: tools/try.sh \"some text\" ..." >&2; exit 2; }

build=build/try
model=$build/emotion.onepass
command=$build/tools/onepass

mkdir -p build
if [ ! -x "$command" ]; then
  ensure_packages "${build_packages[@]}"
  echo "Building the onepass command (about a minute, once) ..." >&2
  { cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DONEPASS_TESTS=OFF -DONEPASS_BENCH=OFF &&
      cmake --build "$build" --target onepass-cli; } >"$build.log" 2>&1 ||
    { tail -n 30 "$build.log" >&2; echo "onepass: the build failed: the whole log is $build.log" >&2; exit 1; }
fi
if [ ! -f "$model" ] || [ models/emotion/model.safetensors -nt "$model" ] || [ "$command" -nt "$model" ]; then
  echo "Converting the shipped model to int8 ..." >&2
  "$command" convert models/emotion -o "$model" --weights int8 >"$build.convert.log"
fi
exec "$command" classify -m "$model" "$@"
