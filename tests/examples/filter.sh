#!/usr/bin/env bash
# Two lines through a filter, in a cross build through the emulator.   usage: filter.sh PROGRAM ARGUMENT...
set -euo pipefail
printf 'good dog\nnot bad, yeah right\n' | ${EMULATOR:+${EMULATOR//;/ }} "$@"
