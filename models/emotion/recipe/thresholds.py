"""Thresholds for a file whose outputs are not those that the model's own thresholds were fitted on.

    python thresholds.py --onepass ONEPASS --model .. --goemotions GO int8.onepass int4.onepass > ../int4.thresholds

As export.py fits them: on dev, 0/1 labels mixed with each label's own calibrated probability, over the logits of all files
given, together. One threshold a line, for `onepass convert --thresholds`; scores of each file go to standard error.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import common as C
import numpy as np


def dev_logits(onepass: str, file: str, texts: list[str]) -> np.ndarray:
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as lines:
        for text in texts:
            lines.write(json.dumps({"text": text}) + "\n")
        lines.flush()
        command = [onepass, "classify", "-m", file, "--logits", "--json", "-i", lines.name]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return np.array([json.loads(line)["heads"]["emotion"]["logits"] for line in out.split("\n") if line])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onepass", required=True)
    parser.add_argument("--model", type=Path, required=True, help="the folder of onepass.json")
    parser.add_argument("--goemotions", type=Path, required=True)
    parser.add_argument("--mix", type=float, default=0.9)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    temperature = json.loads((arguments.model / "onepass.json").read_text())["heads"][0]["temperature"]
    dev = C.read_goemotions(arguments.goemotions, "dev")
    logits = [dev_logits(arguments.onepass, file, dev.texts) for file in arguments.files]
    fitted = C.fit_thresholds(np.concatenate(logits), np.concatenate([dev.emotion] * len(logits)), temperature,
                              arguments.mix)
    thresholds = np.array([round(float(t), 4) for t in fitted])
    print("".join(f"{t:.4f}\n" for t in thresholds), end="")
    for file, z in zip(arguments.files, logits):
        said = C.sigmoid(z / temperature) >= thresholds
        print(f"{file}: dev macro-F1 {C.label_f1(said, dev.emotion).mean():.4f}", file=sys.stderr)


if __name__ == "__main__":
    main()
