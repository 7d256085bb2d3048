#!/usr/bin/env bash
# The sizes of the model in this folder's card: int8.onepass, int4.onepass and smallest.onepass.
#   models/emotion/build.sh ONEPASS FOLDER [TEXTS]
# ONEPASS is the command, FOLDER where the files go, TEXTS those that int4 is calibrated with (default: calibration.txt).
set -euo pipefail

[ $# -ge 2 ] && [ $# -le 3 ] || { echo "usage: models/emotion/build.sh ONEPASS FOLDER [TEXTS]" >&2; exit 2; }
model=$(cd "$(dirname "$0")" && pwd)
onepass=$1 out=$2 texts=${3:-$model/calibration.txt}
mkdir -p "$out"
# No text has the tokens that BERT's vocabulary keeps free.
used=$out/used.ids
grep -vn '^\[unused' "$model/vocab.txt" | awk -F: '{print $1 - 1}' >"$used"

"$onepass" convert "$model" -o "$out/int8.onepass" --weights int8
"$onepass" convert "$model" -o "$out/int4.onepass" --weights int4 --positions int8 --trim-vocabulary "$used" \
  --thresholds "$model/int4.thresholds" \
  --calibration "$texts" --calibration-texts 2048
"$onepass" convert "$model" -o "$out/smallest.onepass" --weights int4 --trim-vocabulary "$model/smallest.ids" \
  --calibration "$texts" --calibration-texts 2048
