#!/usr/bin/env python3
"""Configurations that no published tokenizer has, against the Hugging Face tokenizers library: random sequences of
normalisers and pre-tokenisers, with added tokens of every flag, before models of each kind.

    tokenizer_variants.py --tokenizers FOLDER --tools FOLDER [--variants N] [--count TEXTS] [--seed N]

FOLDER of --tokenizers has gpt2, t5-small, albert and xlm-roberta; --tools is the build's tests/text. What the converter
refuses by name is counted, not compared. Exits 1 at any difference.
"""

import argparse
import copy
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tokenizer_oracle as oracle  # noqa: E402
from unigram_fixtures import load, steps  # noqa: E402

BEHAVIOURS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
CONTENTS = ("<x>", "[MASK]", "foo", " bar", "tok ", "\u00e9t", "\u4e2d", "1", "a b", "\u2581z", "--", "\U0001f600")


def normalizer(rng, charsmaps):
    kind = rng.choice(("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "Replace", "Replace", "Prepend", "Strip", "Bert", "Precompiled"))
    if kind == "Replace":
        pattern = rng.choice(({"String": " "}, {"String": "a"}, {"String": "``"}, {"String": "\u00e9"}, {"String": "ab"}, {"Regex": " {2,}"}))
        return {"type": kind, "pattern": pattern, "content": rng.choice(("", " ", "\u2581", "xy", "\u4e2d", "\u0301"))}
    if kind == "Prepend":
        return {"type": kind, "prepend": rng.choice((" ", "\u2581", "ab", "\u00e9"))}
    if kind == "Strip":
        return {"type": kind, "strip_left": rng.random() < 0.7, "strip_right": rng.random() < 0.7}
    if kind == "Bert":
        return {"type": "BertNormalizer", "clean_text": rng.random() < 0.7, "handle_chinese_chars": rng.random() < 0.7,
                "strip_accents": rng.choice((None, True, False)), "lowercase": rng.random() < 0.6}  # fmt: skip
    if kind == "Precompiled":
        return {"type": kind, "precompiled_charsmap": rng.choice(charsmaps)}
    return {"type": kind}


def pre_tokenizer(rng):
    kind = rng.choice(("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation", "Digits", "Metaspace", "Metaspace", "Split", "Split", "Pattern"))
    if kind == "Punctuation":
        return {"type": kind, "behavior": rng.choice(BEHAVIOURS)}
    if kind == "Digits":
        return {"type": kind, "individual_digits": rng.random() < 0.5}
    if kind == "Metaspace":
        return {"type": kind, "replacement": rng.choice("\u2581\u2581_"), "prepend_scheme": rng.choice(("always", "first", "never")), "split": rng.random() < 0.6}
    if kind == "Split":
        return {"type": kind, "pattern": {"String": rng.choice((" ", "a", "ab", "\u00e9", "\u2581", "--", "\n"))},
                "behavior": rng.choice(BEHAVIOURS), "invert": rng.random() < 0.3}  # fmt: skip
    if kind == "Pattern":
        removed = rng.random() < 0.3
        return {"type": "Split", "pattern": {"Regex": rng.choice(list(oracle.PATTERNS.values()))},
                "behavior": "Removed" if removed else "Isolated", "invert": removed}  # fmt: skip
    return {"type": kind}


def sequence(kind, key, parts):
    return None if not parts else parts[0] if len(parts) == 1 else {"type": kind, key: parts}


def variant(rng, bases, charsmaps):
    base = rng.choice(list(bases))
    config = copy.deepcopy(bases[base])
    config["normalizer"] = sequence("Sequence", "normalizers", [normalizer(rng, charsmaps) for _ in range(rng.choice((0, 1, 1, 2, 3)))])
    parts = [pre_tokenizer(rng) for _ in range(rng.choice((0, 1, 1, 2)))]
    if base == "gpt2":
        prefix, trim = rng.random() < 0.5, rng.random() < 0.5
        parts = parts[:1] + [{"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": rng.random() < 0.5}]
        config["post_processor"] = {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": True}
    config["pre_tokenizer"] = sequence("Sequence", "pretokenizers", parts)
    vocab = config["model"]["vocab"]
    ids = set(vocab) if isinstance(vocab, dict) else {piece for piece, _ in vocab}
    size = len(vocab)
    for content in rng.sample(CONTENTS, rng.randint(0, 6)):
        if content not in ids:
            config["added_tokens"].append({"id": size, "content": content, **{flag: rng.random() < 0.4 for flag in FLAGS}})
            size += 1
    return base, config


def bases_of(folder):
    """Small models: bytes, words as they are cut, pieces with scores, word pieces."""
    gpt2 = load(folder, "gpt2")
    gpt2["added_tokens"] = []
    t5 = load(folder, "t5-small")
    t5["model"]["vocab"] = t5["model"]["vocab"][:4000]
    t5.update(added_tokens=[], post_processor=None)
    letters = "abcdefghijklmnopqrstuvwxyz\u00e9\u4e2d0123456789!-,.\u2581_ "
    pieces = ["[UNK]", *letters, *("##" + c for c in letters), "##ing", "the", "un", "##able"]
    wordpiece = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 20,
                 "vocab": {piece: i for i, piece in enumerate(pieces)}}  # fmt: skip
    words = oracle.words_only("gpt2")
    return {"gpt2": gpt2, "t5": t5, "words": words, "wordpiece": {**words, "model": wordpiece}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizers", required=True)
    parser.add_argument("--tools", required=True)
    parser.add_argument("--variants", type=int, default=200)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    bases = bases_of(arguments.tokenizers)
    words = oracle.words_of(load(arguments.tokenizers, "gpt2"))
    charsmaps = [s["precompiled_charsmap"] for name in ("albert", "xlm-roberta", "t5-small") for s in steps(load(arguments.tokenizers, name)["normalizer"]) if s["type"] == "Precompiled"]
    rng = random.Random(arguments.seed)
    compared = refused = wrong = 0
    for number in range(arguments.variants):
        base, config = variant(rng, bases, charsmaps)
        generator = oracle.Generator(random.Random(rng.random()), words, [t["content"] for t in config["added_tokens"]] or ["<x>"])
        texts = [text for text in (generator.make() for _ in range(arguments.count)) if len(text) < 2000]
        shown = {key: config[key] for key in ("normalizer", "pre_tokenizer", "added_tokens")}
        try:
            section = oracle.section_of(config, arguments.tools)
        except subprocess.CalledProcessError:
            refused += 1
            print(f"variant {number} ({base}) is refused", flush=True)
            continue
        tool = oracle.Tool(os.path.join(arguments.tools, "tokenize_lines"), section)
        bad = oracle.differences(oracle.reference_of(config), tool, texts, [2])
        compared, wrong = compared + len(texts), wrong + bad
        if bad:
            print(f"variant {number} ({base}): {bad} differences: {json.dumps(shown)[:1500]}", flush=True)
    print(f"tokenizers {oracle.tokenizers.__version__}: {arguments.variants} variants, {refused} refused, {compared} texts, {wrong} differences")
    sys.exit(0 if wrong == 0 else 1)


if __name__ == "__main__":
    main()
