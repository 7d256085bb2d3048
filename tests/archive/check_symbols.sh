#!/usr/bin/env bash
# What an archive of ours defines and asks for, one line a defect.   usage: check_symbols.sh NM READELF ARCHIVE HEADER
set -euo pipefail
nm=$1 readelf=$2 archive=$3 header=$4
allowed=$(dirname "$0")/allowed_symbols.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
defects=0

# defect WHAT: the names on stdin are each a defect.
defect() {
  while read -r name; do
    echo "$1: $name"
    defects=$((defects + 1))
  done
}

"$nm" "$archive" 2>/dev/null >"$scratch/nm"
awk 'NF == 3 && $2 ~ /^[A-TV-Z]$/ { print $3 }' "$scratch/nm" | sort -u >"$scratch/defined"
awk 'NF == 2 && $1 ~ /^[Uwv]$/ { print $2 }' "$scratch/nm" | sort -u | comm -23 - "$scratch/defined" >"$scratch/undefined"
[ -s "$scratch/defined" ] || { echo "no symbols: $archive"; exit 1; }

# Names that no app can have by chance: onepass_..., or members of namespace onepass or of a struct onepass_...
defect "defined without our prefix" < <(grep -Ev '^(onepass_[a-z0-9_]+|_Z(GV|TV|TS|TI)?Z*N[VKRO]*(7onepass|[0-9]+onepass_).*)$' "$scratch/defined" || true)

# The exact set of functions that the header declares.
grep -oE '\bonepass_[a-z_]+\(' "$header" | tr -d '(' | grep -v '^onepass_init$' | sort -u >"$scratch/declared"
grep -E '^onepass_' "$scratch/defined" >"$scratch/public" || true
defect "declared but not defined" < <(comm -23 "$scratch/declared" "$scratch/public")
defect "defined but not declared" < <(comm -13 "$scratch/declared" "$scratch/public")

patterns=$(sed -e 's/#.*//' -e 's/ *$//' -e '/^$/d' -e 's/\*$/.*/' "$allowed" | paste -sd '|')
defect "asks for" < <(grep -Ev "^($patterns)\$" "$scratch/undefined" || true)

# A shared library that holds the archive shows the header's functions and nothing else.
defect "visible outside" < <("$readelf" -sW "$archive" 2>/dev/null |
  awk '$5 ~ /^(GLOBAL|WEAK)$/ && $6 == "DEFAULT" && $7 != "UND" { print $8 }' | grep -Ev '^onepass_' | sort -u || true)

# Nothing runs before main, and nothing is remembered between calls but which SHA-256 the processor has: an atomic
# pointer that every thread sets to the same value. (Names with $ mark data for disassemblers of arm64.)
known=_ZZN7onepass18sha256_blocks_bestEvE6chosen
defect "section" < <("$readelf" -SW "$archive" 2>/dev/null | grep -oE '\.(init_array|ctors|fini_array|dtors|tbss|tdata)\b' | sort -u || true)
defect "writable variable" < <(awk 'NF == 3 && $2 ~ /^[BbCSs]$/ { print $3 }' "$scratch/nm" | sort -u | grep -vE "^($known(\\.[0-9]+)?|\\\$[a-z].*)\$" || true)

[ "$defects" -eq 0 ] || { echo "$defects defects in $(basename "$archive")"; exit 1; }
echo "$(wc -l <"$scratch/defined") symbols defined, $(wc -l <"$scratch/undefined") asked for"
