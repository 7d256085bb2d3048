#!/usr/bin/env python3
"""Token ids of a converted model against its source tokenizer, run by the Hugging Face tokenizers library.

    python tools/dev/check_tokens.py --onepass build/release/tools/onepass --model MODEL.onepass --tokenizer FOLDER TEXTS...

FOLDER holds the tokenizer.json that was converted; TEXTS are files of one text a line. --vocabulary FILE.ids is the list
that `onepass convert --save-vocabulary` wrote: ids are translated by it, and texts with a token that was left out are
counted and not compared. Truncation is the model's, so the reference is cut like it. Prints one JSON object, and the first
texts that differ by file and line; exit status 1 where one does. tools/dev/tokenizer_oracle.py looks for differences in
generated texts, with byte offsets.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onepass", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path)
    parser.add_argument("texts", type=Path, nargs="+")
    arguments = parser.parse_args()

    kept = None
    if arguments.vocabulary:
        kept = [int(line) for line in arguments.vocabulary.read_text().split()]
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    tokenizer.no_padding()
    info = subprocess.run([arguments.onepass, "inspect", arguments.model, "--json"], check=True, capture_output=True)
    tokenizer.enable_truncation(json.loads(info.stdout)["config"]["max_tokens"])

    places, texts = [], []
    for path in arguments.texts:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            places.append(f"{path}:{number}")
            texts.append(line)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps({"text": text}) + "\n")
        file.flush()
        command = [arguments.onepass, "tokenize", "-m", arguments.model, "-i", file.name]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")[:-1]
    assert len(lines) == len(texts)

    wrong, split = [], 0
    for place, text, line in zip(places, texts, lines):
        expected = tokenizer.encode(text).ids
        ids = [int(word) for word in line.split()]
        if kept is not None:
            ids = [kept[i] for i in ids]
            if not set(expected) <= set(kept):
                split += 1
                continue
        if ids != expected:
            wrong.append(place)
    for place in wrong[:10]:
        print(f"{place}: other ids", file=sys.stderr)
    print(json.dumps({"texts": len(texts), "texts_with_tokens_left_out": split, "texts_with_other_ids": len(wrong)}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
