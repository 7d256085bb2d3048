#!/usr/bin/env bash
# Installs a build into a temporary prefix and builds apps against it as a stranger would: a C++ and a C program by the
# CMake package, and the C program by pkg-config and the plain C compiler.   usage: test.sh BUILD_DIR
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
"$build/tools/onepass" convert "$source/../../models/emotion" -o "$scratch/emotion.onepass" --weights int8 >/dev/null

cmake -S "$source/app" -B "$scratch/app" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$scratch/prefix" >/dev/null
cmake --build "$scratch/app" >/dev/null
export PKG_CONFIG_PATH="$scratch/prefix/lib/pkgconfig:$(echo "$scratch"/prefix/lib/*/pkgconfig)"
cc -std=c99 -O2 $(pkg-config --cflags onepass) "$source/app/app.c" $(pkg-config --libs onepass) -o "$scratch/app_pc"

for app in "$scratch/app/app" "$scratch/app/app_c" "$scratch/app_pc"; do
  said=$("$app" "$scratch/emotion.onepass" "I can't believe you did this for me, thank you!")
  grep -qx gratitude <<<"$said" || { echo "package: $(basename "$app") said: $said" >&2; exit 1; }
done
strip -o "$scratch/stripped" "$scratch/app/app"
echo "1 passed, 0 failed"
echo "archive $(stat -c %s "$(echo "$scratch"/prefix/lib*/libonepass.a "$scratch"/prefix/lib/*/libonepass.a | tr ' ' '\n' | grep -v '\*' | head -n 1)") bytes, stripped app $(stat -c %s "$scratch/stripped") bytes"
