#!/usr/bin/env bash
# check_symbols.sh on an archive with every defect that it looks for.   usage: as check_symbols.sh
set -euo pipefail
said=$("$(dirname "$0")/check_symbols.sh" "$@") && { echo "an archive full of defects passed"; exit 1; }
status=0
for line in "defined without our prefix: leaking_function" "defined without our prefix: _ZN5other8functionEv" \
  "defined but not declared: onepass_undeclared" "declared but not defined: onepass_classify" \
  "asks for: abort" "asks for: exit" "asks for: _exit" "asks for: printf" "asks for: puts" "asks for: stdout" \
  "asks for: stderr" "asks for: fprintf" "asks for: socket" "asks for: connect" "asks for: getaddrinfo" \
  "asks for: system" "asks for: fork" "asks for: execv" "asks for: fopen" "asks for: fwrite" "asks for: write" \
  "asks for: sendto" "asks for: syslog" "asks for: creat" "asks for: rename" \
  "asks for: unlink" "asks for: getenv" "asks for: popen" "asks for: _Znwm" "asks for: __cxa_throw" "asks for: _ZSt9terminatev" "visible outside: leaking_function" \
  "section: .init_array" "writable variable: _ZN7onepass7counterE"; do
  grep -qxF -- "$line" <<<"$said" || { echo "not found: $line"; status=1; }
done
if [ $status -ne 0 ]; then printf '%s\n' "$said"; fi
exit $status
