#!/usr/bin/env bash
# What the library adds to a C app: the app of this folder, linked with unused sections left out, and stripped. Prints
# its size, and fails above the budget.   usage: size.sh ARCHIVE BUDGET [FLAG...]
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
archive=$1 budget=$2
shift 2
app=$(mktemp)
trap 'rm -f "$app"' EXIT
cc -std=c99 -Os -I"$source/../../engine/include" "$source/app/app.c" "$archive" -Wl,--gc-sections -s -lm "$@" -o "$app"
size=$(stat -c %s "$app")
echo "$(basename "$(dirname "$archive")"): stripped C app $size bytes, budget $budget"
[ "$size" -le "$budget" ] || { echo "package: the app is larger than its budget" >&2; exit 1; }
