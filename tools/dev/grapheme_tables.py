#!/usr/bin/env python3
"""Writes engine/text/grapheme_tables.inc: the character classes that grapheme clusters follow from.

    grapheme_tables.py [--output engine/text/grapheme_tables.inc]

The classes are measured, code point by code point, on the Precompiled normaliser of the Hugging Face tokenizers
library, whose clusters are the only ones that count. A map that turns every character into "1" shows them: a cluster of
fewer than six bytes becomes one "1", a longer one becomes one "1" for each of its characters. Regional indicators
have no class of their own: two of them have eight bytes, so that no result depends on how they pair.

The rules themselves (UAX 29) are then checked, on random texts, in Python's form of engine/text/grapheme.h.
"""

import argparse
import os
import random
import struct
import sys

import tokenizers
from tokenizers import normalizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# The order of enum GraphemeClass in engine/text/grapheme.h.
OTHER, CR, LF, CONTROL, EXTEND, ZWJ, PREPEND, SPACING, PICTOGRAPH, L, V, T, LV, LVT = range(14)
CONSONANT, LINKED, LINKER = 16, 32, 48  # the conjunct's part of the class
MARK, JOINER = "\u0301", "\u200d"


def everything():
    """A charsmap that maps every character but NUL to "1"."""
    units = [0] * 1536
    value = 1280

    def put(block, label, target, leaf):
        at = block ^ label
        units[at] = label | (at ^ target) << 10 | leaf << 8

    units[0] = 256 << 10
    for label in range(1, 0x80):
        put(256, label, value, 1)
    for first, last, block in ((0xC0, 0xE0, 512), (0xE0, 0xF0, 768), (0xF0, 0xF8, 1024)):
        for label in range(first, last):
            put(256, label, block, 0)
    for label in range(0x80, 0xC0):
        put(512, label, value, 1)
        put(768, label, 512, 0)
        put(1024, label, 768, 0)
    units[value] = 1 << 31
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + b"1\0"


def measure():
    normalizer = normalizers.Precompiled(everything())

    def is_(count, text):
        return len(normalizer.normalize_str(text)) == count

    classes = {}
    for point in CODE_POINTS:
        c = chr(point)
        if is_(1, "a" + c):
            joins = is_(5, "\U0001F600" + c + JOINER + "\u00a9" + MARK)
            kind = ZWJ if c == JOINER else EXTEND if joins else SPACING
            if is_(4, "\u0915" + c + "\u0915" + MARK):
                kind |= LINKER
            elif is_(5, "\u0915" + c + "\u094d\u0915" + MARK):
                kind |= LINKED
        elif c in "\r\n":
            kind = CR if c == "\r" else LF
        elif is_(2, c + MARK + MARK):
            kind = CONTROL
        elif is_(1, c + "a"):
            kind = PREPEND
        elif is_(4, c + JOINER + "\u00a9" + MARK):
            kind = PICTOGRAPH
        else:
            left = tuple(is_(3, c + next_ + MARK) for next_ in "\u1100\u1161\u11a8")
            right = tuple(is_(3, "\u0600" + last + c) for last in "\u1100\u1161\u11a8")
            signature = left + right
            hangul = {
                (1, 1, 0, 1, 0, 0): L, (0, 1, 1, 1, 1, 0): V, (0, 0, 1, 0, 1, 1): T, (0, 1, 1, 1, 0, 0): LV, (0, 0, 1, 1, 0, 0): LVT,
            }  # fmt: skip
            if any(signature) and signature not in hangul:
                sys.exit(f"U+{point:04X}: no class of Hangul syllables behaves like {signature}")
            kind = hangul.get(signature, OTHER)
            if is_(4, c + "\u094d\u0915" + MARK):
                kind |= CONSONANT
        classes[point] = kind
    return classes


def clusters(text, classes):
    """Lengths in characters; the same state machine as GraphemeBreaker."""
    lengths, start, pictograph, conjunct = [], 0, 0, 0
    for i, c in enumerate(text):
        now, part = classes[ord(c)] & 15, classes[ord(c)] & 48
        if i:
            last = classes[ord(text[i - 1])] & 15
            if last == CR and now == LF:
                joined = True
            elif last in (CR, LF, CONTROL) or now in (CR, LF, CONTROL):
                joined = False
            else:
                joined = (
                    now in (EXTEND, ZWJ, SPACING)
                    or last == PREPEND
                    or (last == L and now in (L, V, LV, LVT))
                    or (last in (V, LV) and now in (V, T))
                    or (last in (T, LVT) and now == T)
                    or (now == PICTOGRAPH and pictograph == 2)
                    or (part == CONSONANT and conjunct == 2)
                )
            if not joined:
                lengths.append(i - start)
                start = i
        pictograph = 1 if now == PICTOGRAPH or (now == EXTEND and pictograph == 1) else 2 if now == ZWJ and pictograph == 1 else 0
        conjunct = 1 if part == CONSONANT else 2 if part == LINKER and conjunct else conjunct if part == LINKED else 0
    return lengths + [len(text) - start] if text else lengths


def check(classes):
    normalizer = normalizers.Precompiled(everything())
    generator = random.Random(1)
    members = {}
    for point, kind in classes.items():
        members.setdefault(kind, []).append(point)
    kinds = sorted(members)
    for _ in range(400000):
        text = "".join(chr(generator.choice(members[generator.choice(kinds)])) for _ in range(generator.randint(1, 9)))
        text = text.replace("\0", "")
        want, at = 0, 0
        for length in clusters(text, classes):
            want += 1 if len(text[at : at + length].encode()) < 6 else length
            at += length
        if len(normalizer.normalize_str(text)) != want:
            sys.exit(f"the rules do not give the library's clusters of {ascii(text)}")
    print({kind: len(points) for kind, points in sorted(members.items())})


def rows(values, per_line=24):
    return "".join("    " + ", ".join(map(str, values[i : i + per_line])) + ",\n" for i in range(0, len(values), per_line))


def blocks(values, size):
    """(index of the block at each place, the different blocks in a row)."""
    seen, pool, index = {}, [], []
    for i in range(0, len(values), size):
        block = tuple(values[i : i + size])
        if block not in seen:
            seen[block] = len(seen)
            pool += block
        index.append(seen[block])
    return index, pool


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    parser.add_argument("--output", default=os.path.join(root, "engine", "text", "grapheme_tables.inc"))
    arguments = parser.parse_args()
    classes = measure()
    check(classes)
    values = [classes.get(c, OTHER) for c in range(0x110000)]
    leaf, leaves = blocks(values, 16)
    middle, middles = blocks(leaf, 32)
    if max(middle) > 255 or max(middles) > 65535:
        sys.exit("the tables outgrew their types")
    with open(arguments.output, "w", encoding="ascii") as file:
        file.write(f"// Generated by tools/dev/grapheme_tables.py from tokenizers {tokenizers.__version__}. Do not edit.\n")
        file.write("// The look-up code and the meaning of every table are in engine/text/grapheme.cpp.\n// clang-format off\n")
        file.write(f"constexpr uint8_t kTop[{len(middle)}] = {{\n{rows(middle, 32)}}};\n")
        file.write(f"constexpr uint16_t kMiddle[{len(middles)}] = {{\n{rows(middles, 32)}}};\n")
        file.write(f"constexpr uint8_t kLeaf[{len(leaves)}] = {{\n{rows(leaves, 32)}}};\n")
    print(f"{arguments.output}: {len(middle) + 2 * len(middles) + len(leaves)} bytes of tables")


if __name__ == "__main__":
    main()
