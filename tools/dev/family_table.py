#!/usr/bin/env python3
"""The table of docs/families.md: how near every family's fixtures come to transformers.

    ONEPASS_FIXTURES=tests/fixtures build/release/tests/models/test_models \
        --gtest_filter='*Reference*:*StayNear*' --gtest_output=json:models.json
    python tools/dev/family_table.py models.json
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

KEYS = ("max_difference", "mean_difference", "rows", "same")


def main() -> None:
    found: dict = defaultdict(lambda: defaultdict(list))
    for suite in json.loads(Path(sys.argv[1]).read_text())["testsuites"]:
        for test in suite["testsuite"]:
            if "max_difference" in test:
                family = test["value_param"].strip('"').split("/")[0]
                found[family][test["name"].split("/")[0]].append({k: float(test[k]) for k in KEYS})
    print("| Family | Checkpoints | f32, at most | f16, at most | int8, mean | same label | int4, mean | same label |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for family, tests in sorted(found.items()):
        exact, half = tests["F32LogitsEqualTheReference"], tests["F16WeightsStayNear"]
        cells = [family, str(len(exact)), f"{max(t['max_difference'] for t in exact):.1f}e-6",
                 f"{max(t['max_difference'] for t in half) / 1e6:.4f}"]
        for kind in ("Int8WeightsStayNear", "Int4WeightsStayNear"):
            mean = sum(t["mean_difference"] for t in tests[kind]) / len(tests[kind]) / 1e6
            cells += [f"{mean:.3f}", f"{sum(t['same'] for t in tests[kind]):.0f} of {sum(t['rows'] for t in tests[kind]):.0f}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
