#!/usr/bin/env bash
# What the library adds to a C app: the app of this folder, linked with unused sections left out, and stripped. Prints
# its size and what each part of the library takes of it, and fails above the budget.
# usage: size.sh ARCHIVE BUDGET APP [FLAG...]     APP: where the app is left; FLAG: for the linker, e.g. -fopenmp
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$source/../.." && pwd)
archive=$1 budget=$2 app=$3
shift 3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cc -std=c99 -Os -I"$root/engine/include" "$source/app/app.c" "$archive" -Wl,--gc-sections -Wl,-Map="$scratch/map" -s -lm "$@" -o "$app"

# Which folder an object's source lies in. Kernels are told apart by the level in the name of the object or of the symbol.
(cd "$root" && find engine kernels formats/onepass -name '*.cpp') >"$scratch/sources"
awk '
  function number(hex,   i, n) {
    for (i = 3; i <= length(hex); ++i) n = n * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
    return n
  }
  function part_of(section, object,   name, level) {
    if (object !~ /libonepass\.a\(/) return "the app itself"
    name = object
    sub(/.*\(/, "", name)
    sub(/\.o\)$/, "", name)
    if (section ~ /7kernels/) {
      for (level in levels) if (name ~ "_" level "\\.cpp$" || section ~ "_" level "ERK") return "kernels, " level
    }
    return name in folder ? folder[name] : "?"
  }
  BEGIN {
    split("scalar avx2 avxvnni avx512 avx512vnni amx neon dotprod i8mm", names, " ")
    for (i in names) levels[names[i]] = 1
  }
  FNR == NR {
    name = $1
    sub(/.*\//, "", name)
    folder[name] = $1 ~ /^kernels/ ? "kernels, what levels share" : $1 ~ /engine\/text/ ? "tokenizers" : \
      $1 ~ /engine\/api/ ? "C API" : $1 ~ /^formats/ ? "file reader" : $1 ~ /engine\/core/ ? "core" : "runtime"
    next
  }
  /^Linker script and memory map/ { mapped = 1 }
  !mapped { next }
  /^ \.[^ ]+$/ { section = $1; next }  # a long name: the rest is on the next line
  /^ \.[^ ]+ +0x/ { section = $1; $1 = ""; sub(/^ +/, "") }
  $1 ~ /^0x/ && $2 ~ /^0x/ && NF >= 3 {
    if (section != "" && section !~ /^\.(bss|tbss)/ && number($1) > 0) total[part_of(section, $3)] += number($2)
    section = ""
    next
  }
  { section = "" }
  END { for (part in total) if (total[part] > 0) printf "%9d  %s\n", total[part], part }
' "$scratch/sources" "$scratch/map" | sort -rn

size=$(stat -c %s "$app")
printf '%9d  stripped C app, budget %d\n' "$size" "$budget"
[ "$size" -le "$budget" ] || { echo "package: the app is larger than its budget" >&2; exit 1; }
