#!/usr/bin/env python3
"""Golden fixtures of BPE: real vocabularies, each cut to a small part with the merges that make it, and the words that
each expression of engine/text/split_pattern.cpp cuts.

    bpe_fixtures.py --tokenizers FOLDER --tools FOLDER --output-dir tests/fixtures/text

FOLDER of --tokenizers has roberta-base, llama-3.2, qwen2.5, o200k, smollm2, modernbert, llama2, phi-3-mini and gemma-3
with their tokenizer.json (or tokenizer.derived.json); --tools is the build's tests/text. The texts are those of
tokenizer_oracle.py's generator.
"""

import argparse
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tokenizer_oracle as oracle  # noqa: E402
from unigram_fixtures import load  # noqa: E402

# name: tokenizer, first merges kept, further pieces drawn, added tokens kept
VARIANTS = {
    "roberta": ("roberta-base", 250, 60, 9),
    "llama3": ("llama-3.2", 250, 60, 6),
    "qwen2": ("qwen2.5", 200, 60, 5),
    "o200k": ("o200k", 200, 100, 9),
    "smollm2": ("smollm2", 200, 50, 5),
    "modernbert": ("modernbert", 200, 50, 16),
    "llama2": ("llama2", 250, 100, 9),
    "phi3": ("phi-3-mini", 150, 60, 6),
    "gemma3": ("gemma-3", 200, 80, 30),
}


def cut(config, first, further, added, rng):
    """The configuration with what its first merges and `further` others make, and every byte and many characters."""
    model = config["model"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    made_by = {}
    for merge in merges:
        made_by.setdefault("".join(merge), merge)
    vocab = model["vocab"]
    tokens = config["added_tokens"]
    required = {name for name in oracle.named_tokens(config["post_processor"])} | {model["unk_token"]}
    keep = [t for t in tokens if t["content"] in required]
    others = [t for t in tokens if t["content"] not in required]
    keep += others[: added // 2] + rng.sample(others[added // 2 :], max(0, min(added, len(others)) - added // 2))
    names = {t["content"] for t in tokens}
    singles = [p for p in vocab if len(p) == 1 or (p.startswith("<0x") and len(p) == 6)]
    if len(singles) > 300:
        singles = [p for p in singles if len(p) > 1 or ord(p) < 0x100 or ord(p) % 47 == 0 or p == "\u2581"]
    kept = set(singles) | {t["content"] for t in keep if t["content"] in vocab}
    queue = ["".join(m) for m in merges[:first]] + rng.sample(sorted(made_by), further)
    while queue:
        piece = queue.pop()
        if piece in kept or piece not in vocab or (piece in names and piece not in kept):
            continue
        kept.add(piece)
        queue += made_by.get(piece, ())
    order = sorted(kept, key=vocab.get)
    ids = {piece: i for i, piece in enumerate(order)}
    model["vocab"] = ids
    model["merges"] = [list(m) for m in merges if m[0] in ids and m[1] in ids and "".join(m) in ids]
    for t in sorted(keep, key=lambda t: t["id"]):
        t["id"] = ids.setdefault(t["content"], len(ids))
    model["vocab"] = {piece: ids[piece] for piece in order}
    config["added_tokens"] = sorted(keep, key=lambda t: t["id"])
    oracle.rename_ids(config["post_processor"], ids)
    return config


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)
    print(f"tokenizers {oracle.tokenizers.__version__}: {name}: {len(data)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizers", required=True)
    parser.add_argument("--tools", required=True)
    parser.add_argument("--output-dir", required=True)
    arguments = parser.parse_args()
    for name, (source, first, further, added) in VARIANTS.items():
        rng = random.Random(name)
        config = cut(load(arguments.tokenizers, source), first, further, added, rng)
        if name == "roberta":
            config["pre_tokenizer"]["add_prefix_space"] = True
            config["post_processor"]["add_prefix_space"] = True
        data = oracle.fixture(config, 420, sum(name.encode()), arguments.tools, longest=48)
        write(arguments.output_dir, f"bpe_{name}.bin", data)
    words = oracle.words_of(load(arguments.tokenizers, "o200k"))
    for name in oracle.PATTERNS:
        data = oracle.fixture(oracle.words_only(name), 500, sum(name.encode()), arguments.tools, longest=48, words=words)
        write(arguments.output_dir, f"words_{name}.bin", data)


if __name__ == "__main__":
    main()
