#!/usr/bin/env bash
# What a user of onepass.hpp defines is not what the archive defines: a linker that took one for the other would make
# programs that crash.   usage: check_header.sh NM ARCHIVE OBJECT
set -euo pipefail
symbols() { "$1" "$2" 2>/dev/null | awk 'NF == 3 && $2 ~ /^[A-TV-Z]$/ { print $3 }' | grep 7onepass | sort -u; }
object=$(symbols "$1" "$3")
count=$(wc -l <<<"$object")
[ "$count" -ge 50 ] || { echo "only $count symbols in $3: is it optimised?"; exit 1; }
shared=$(comm -12 <(symbols "$1" "$2") <(printf '%s\n' "$object"))
[ -z "$shared" ] || { printf 'defined twice:\n%s\n' "$shared"; exit 1; }
echo "$count symbols of the header, none of the archive's"
