#!/usr/bin/env bash
# Installs a build into a temporary prefix and builds apps against it as a stranger would: a C++ and a C program by the
# CMake package, and the C program by pkg-config and the plain C compiler. Then how large that makes an app, with all
# parts of the library and with one level, tokenizer and architecture.   usage: test.sh BUILD_DIR
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

echo "== size: everything =="
archive=$(find "$scratch/prefix" -name libonepass.a)
"$source/size.sh" "$archive" 1000000 "$scratch/app_all" $(pkg-config --libs-only-other onepass)

echo "== size: one level, one tokenizer, one architecture =="
build_part() { # NAME OPTION...: a build of the runtime alone, from the same sources
  cmake -S "$source/../.." -B "$scratch/$1" -G Ninja -DCMAKE_BUILD_TYPE=MinSizeRel -DONEPASS_OPENMP=OFF -DONEPASS_TOOLS=OFF \
    -DONEPASS_BENCH=OFF -DONEPASS_TESTS=OFF "${@:2}" >/dev/null
  cmake --build "$scratch/$1" >/dev/null
}
build_part thin -DONEPASS_LEVELS=avx2 -DONEPASS_TOKENIZERS=wordpiece -DONEPASS_ARCHITECTURES=encoders -DONEPASS_WEIGHTS=int8
"$source/size.sh" "$scratch/thin/libonepass.a" 400000 "$scratch/app_thin"
text="I can't believe you did this for me, thank you!"
said=$("$scratch/app_thin" "$scratch/emotion.onepass" "$text")
[ "$said" = "$("$scratch/app_all" "$scratch/emotion.onepass" "$text")" ] || { echo "package: the thin app said: $said" >&2; exit 1; }

# What was left out is named, with the option that brings it back.
fixtures="$source/../fixtures"
"$build/tools/onepass" convert "$source/../../models/emotion" -o "$scratch/int4.onepass" --weights int4 >/dev/null
"$build/tools/onepass" convert "$fixtures/llama/smollm2" -o "$scratch/decoder.onepass" --weights int8 >/dev/null
"$build/tools/onepass" convert "$fixtures/roberta/tokens" -o "$scratch/bpe.onepass" --weights int8 >/dev/null
refused() { # FILE OPTION
  said=$("$scratch/app_thin" "$1" "$text" 2>&1) && { echo "package: the thin app read $(basename "$1")" >&2; exit 1; }
  grep -qF "$2" <<<"$said" || { echo "package: no word of $2: $said" >&2; exit 1; }
}
refused "$scratch/int4.onepass" ONEPASS_WEIGHTS
refused "$scratch/decoder.onepass" ONEPASS_ARCHITECTURES
refused "$scratch/bpe.onepass" ONEPASS_TOKENIZERS
echo "1 passed, 0 failed"
