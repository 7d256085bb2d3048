#!/usr/bin/env bash
# onepass.hpp and the archive have classes of the same name. A linker that took a function of one for that of the other
# would make programs that crash, so all that the header defines lies in a namespace of its own.
# usage: check_header.sh NM ARCHIVE OBJECT
set -euo pipefail
symbols() { "$1" "$2" 2>/dev/null | awk 'NF == 3 && $2 ~ /^[A-TV-Z]$/ { print $3 }' | grep -E '[^0-9]7onepass[^_]' | sort -u; }
object=$(symbols "$1" "$3")
count=$(wc -l <<<"$object")
[ "$count" -ge 50 ] || { echo "only $count symbols in $3: is it optimised?"; exit 1; }
if outside=$(grep -v '7onepass3cpp' <<<"$object"); then
  printf 'outside of the header'"'"'s namespace:\n%s\n' "$outside"
  exit 1
fi
if inside=$(symbols "$1" "$2" | grep '7onepass3cpp'); then
  printf 'the archive uses the header'"'"'s namespace:\n%s\n' "$inside"
  exit 1
fi
echo "$count symbols, all of the header's namespace"
