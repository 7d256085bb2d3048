#!/usr/bin/env python3
"""Golden fixtures of Unigram: real SentencePiece vocabularies and character maps, each cut to a small part.

    unigram_fixtures.py --tokenizers FOLDER --tools FOLDER --output-dir tests/fixtures/text

FOLDER of --tokenizers has deberta-v3, xlm-roberta, albert and t5-small with their tokenizer.json (or
tokenizer.derived.json); --tools is the build's tests/text. The texts are those of tokenizer_oracle.py's generator, and
the hardest lines for character maps: clusters of five and six bytes, removed and inserted characters in a row.
"""

import argparse
import base64
import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tokenizer_oracle as oracle  # noqa: E402

META = "\u2581"


def rules_of(blob):
    """{bytes: replacement} of a character map."""
    size = struct.unpack_from("<I", blob)[0]
    units = struct.unpack_from(f"<{size // 4}I", blob, 4)
    pool = blob[4 + size :]
    rules, stack = {}, [(b"", (units[0] >> 10) << ((units[0] & 512) >> 6))]
    while stack:
        key, base = stack.pop()
        for byte in range(1, 256):
            at = base ^ byte
            if at >= len(units) or units[at] & (1 << 31 | 0xFF) != byte:
                continue
            child = at ^ ((units[at] >> 10) << ((units[at] & 512) >> 6))
            if units[at] & 256:
                begin = units[child] & ~(1 << 31)
                rules[key + bytes([byte])] = pool[begin : pool.index(0, begin)]
            stack.append((key + bytes([byte]), child))
    return rules


def charsmap(rules):
    """A character map of these rules: a double array, filled first fit in its last blocks."""
    children = {}
    for key in rules:
        for i in range(len(key)):
            children.setdefault(key[:i], set()).add(key[i])
    pool, places = b"", {}
    for value in sorted(set(rules.values())):
        places[value] = len(pool)
        pool += value + b"\0"
    units, used, bases = {0: 0}, {0}, set()
    queue = [(b"", 0)]
    while queue:
        key, at = queue.pop(0)
        labels = sorted(children.get(key, ())) + ([0] if key in rules else [])
        first = max(0, max(used) - 512) & ~255
        base = next(b for b in range(first, 1 << 21) if b not in bases and not any(b ^ c in used for c in labels))
        bases.add(base)
        units[at] = units.get(at, 0) | (at ^ base) << 10 | (256 if key in rules else 0)
        for label in labels:
            used.add(base ^ label)
            if label:
                units[base ^ label] = label
                queue.append((key + bytes([label]), base ^ label))
            else:
                units[base] = 1 << 31 | places[rules[key]]
    size = (max(used) | 255) + 1
    return struct.pack(f"<{size + 1}I", 4 * size, *(units.get(i, 0) for i in range(size))) + pool


def cut_charsmap(node):
    """The Precompiled step with every control, space and Latin rule, and a sample of the others."""
    rules = rules_of(base64.b64decode(node["precompiled_charsmap"]))
    chosen = {}
    for i, (key, value) in enumerate(sorted(rules.items())):
        text = key.decode()
        if (len(text) == 1 and (ord(text) < 0xC8 or text.isspace() or 0x2000 <= ord(text) < 0x2070)) or not value or i % 151 == 0:
            chosen[key] = value
    node["precompiled_charsmap"] = base64.b64encode(charsmap(chosen)).decode()
    return [key.decode() for key in chosen]


def cut(config, count, rng):
    """The configuration with `count` pieces: what is special, single characters, and a sample of the others."""
    vocab = config["model"]["vocab"]
    added = {t["content"] for t in config["added_tokens"]}
    unk = vocab[config["model"]["unk_id"]][0]
    kept = [p for p in vocab if p[0] in added or p[0] == unk]
    rest = [p for p in vocab if p[0] not in added and p[0] != unk]
    single = [p for p in rest if len(p[0].replace(META, "")) <= 1 and (ord(p[0][-1]) < 0x250 or ord(p[0][-1]) % 5 == 0)][: count // 3]
    names = {p[0] for p in single}
    others = [p for p in rest if p[0] not in names]
    kept += single + others[: count // 3] + rng.sample(others[count // 3 :], count - count // 3 - len(kept) - len(single))
    ids = {p[0]: i for i, p in enumerate(kept)}
    config["model"]["vocab"] = kept
    config["model"]["unk_id"] = ids[unk]
    for t in config["added_tokens"]:
        if t["content"] not in ids:
            ids[t["content"]] = len(ids)
        t["id"] = ids[t["content"]]
    config["added_tokens"].sort(key=lambda t: t["id"])
    for name, entry in (config["post_processor"] or {}).get("special_tokens", {}).items():
        entry["ids"] = [ids[name]]
    return config


def load(folder, name):
    for file in ("tokenizer.json", "tokenizer.derived.json"):
        path = os.path.join(folder, name, file)
        if os.path.exists(path):
            return oracle.load(path)
    sys.exit(f"no tokenizer.json in {folder}/{name}")


def steps(node):
    return [] if not node else [s for part in node.get("normalizers", []) for s in steps(part)] or [node]


def hard_texts(keys, rng):
    """Texts of what the map changes, between what it does not."""
    extra = ["\u0301", "\u0323", "\u200d", "\ufe0f", "\r\n", "\n", " ", "\x01", "a", "\u00a9", "\u0915", "\u094d", "\u0600", "\U0001f600", "  "]
    for _ in range(220):
        yield "".join(rng.choice(keys if rng.random() < 0.5 else extra) for _ in range(rng.randint(1, 9))).encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizers", required=True)
    parser.add_argument("--tools", required=True)
    parser.add_argument("--output-dir", required=True)
    arguments = parser.parse_args()
    bytes_ = load(arguments.tokenizers, "t5-small")
    bytes_["model"]["byte_fallback"] = True
    bytes_["pre_tokenizer"] = {"type": "Metaspace", "replacement": META, "prepend_scheme": "first", "split": False}
    variants = {
        "deberta": (load(arguments.tokenizers, "deberta-v3"), 700),
        "xlm_roberta": (load(arguments.tokenizers, "xlm-roberta"), 900),
        "albert": (load(arguments.tokenizers, "albert"), 600),
        "t5": (load(arguments.tokenizers, "t5-small"), 600),
        "bytes": (bytes_, 400),
    }
    for name, (config, count) in variants.items():
        rng = random.Random(name)
        keys = [key for step in steps(config["normalizer"]) if step["type"] == "Precompiled" for key in cut_charsmap(step)]
        if name in ("t5", "bytes"):
            config["added_tokens"] = [t for t in config["added_tokens"] if "extra_id" not in t["content"] or t["content"] == "<extra_id_0>"]
            config["model"]["vocab"] = [p for p in config["model"]["vocab"] if "extra_id" not in p[0] or p[0] == "<extra_id_0>"]
        config = cut(config, count, rng)
        if name == "bytes":
            config["model"]["vocab"] += [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]
        data = oracle.fixture(config, 560, sum(name.encode()), arguments.tools, list(hard_texts(keys, rng)), 48)
        path = os.path.join(arguments.output_dir, f"unigram_{name}.bin")
        with open(path, "wb") as file:
            file.write(data)
        print(f"tokenizers {oracle.tokenizers.__version__}: {path}: {len(data)} bytes")


if __name__ == "__main__":
    main()
