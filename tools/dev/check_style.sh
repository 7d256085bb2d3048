#!/usr/bin/env bash
# Formatting, and the directions in which the rooms may include each other.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail=0
git ls-files '*.cpp' '*.h' '*.hpp' | xargs clang-format-14 --dry-run -Werror || fail=1

# forbid ROOM PATTERN: no file below ROOM includes a header that matches.
forbid() {
  if git grep -nE "#include \"($2)" -- "$1"; then
    echo "onepass: $1 must not include the lines above: see docs/README.md, Rooms" >&2
    fail=1
  fi
}
forbid 'kernels/*' '(engine|formats|models|tools|bench|tests)/'
forbid 'engine/*' '(formats/(safetensors|huggingface|json|gguf|onepass/writer)|models|tools|bench|tests)/'
forbid 'formats/*' '(models|tools|bench|tests|engine/(api|blocks|runtime))/'
forbid 'models/*' '(engine/(api|blocks|runtime|text)|formats/(safetensors|onepass|gguf)|tools|bench|tests)/'

long=$(git ls-files '*.cpp' '*.h' '*.hpp' '*.py' | xargs wc -l | awk '$1 > 800 && $2 != "total" {print}')
if [ -n "$long" ]; then
  printf 'onepass: files over 800 lines:\n%s\n' "$long" >&2
  fail=1
fi
exit $fail
