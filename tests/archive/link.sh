#!/usr/bin/env bash
# A C program and the archive, linked by the C compiler with the math library alone (and OpenMP, where it is used).
# usage: link.sh ARCHIVE HEADER EMULATOR CC [FLAG...]
set -euo pipefail
archive=$1 header=$2 emulator=$3
shift 3
source=$(dirname "$0")/link.c
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
grep -oE '\bonepass_[a-z_]+\(' "$header" | tr -d '(' | grep -v '^onepass_init$' | sort -u | while read -r name; do
  grep -qF "ADDRESS($name)" "$source" || { echo "link.c does not link $name"; exit 1; }
done
"$@" -std=c99 -Wall -Wextra -Wpedantic -Werror -I"$(dirname "$header")/.." "$source" "$archive" -lm -o "$scratch/app"
$emulator "$scratch/app" | grep -q '^io_error: /nowhere/model.onepass: cannot open the file'
