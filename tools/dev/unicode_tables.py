#!/usr/bin/env python3
"""Writes engine/text/unicode_tables.inc: the character properties that the tokenizers need.

    unicode_tables.py [--output engine/text/unicode_tables.inc] [--report]

The properties are measured, code point by code point, on the Hugging Face tokenizers library, because identity with
it is the requirement and its tables come from several Rust crates that each carry another version of Unicode:
categories (Mn, P*, C*) are those of Unicode 8, normalisation is Unicode 9, lower case, \\w and the classes of its
regular expressions are recent. No published UnicodeData.txt gives that mixture. --report prints where each property differs from this Python's unicodedata.

What is assumed, and checked below: every property is free of context; canonical combining classes are those of
unicodedata wherever the library treats the character as non-starter (each is compared with a mark of every class).
"""

import argparse
import os
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

# Flags, in the order of enum CharFlag in engine/text/unicode.h.
REMOVED, SPACE, IDEOGRAPH, MARK, PUNCTUATION, WORD, DECOMPOSES = (1 << i for i in range(7))
LETTER, UPPER, LOWER, NUMBER, NUMERIC, COMBINING, COMPATIBILITY, NFC_INERT, NFKC_INERT = (1 << i for i in range(7, 16))

HANGUL_FIRST, HANGUL_COUNT = 0xAC00, 11172


def mapping(normalizer, name):
    """{code point: its image} where the image differs; the same alone and between letters, or the run ends."""
    changed = {}
    for c in CODE_POINTS:
        alone = normalizer.normalize_str(chr(c))
        if normalizer.normalize_str("a" + chr(c) + "b") != "a" + alone + "b":
            sys.exit(f"{name}: U+{c:04X} depends on its context")
        if alone != chr(c):
            changed[c] = alone
    return changed


def matches(pre_tokenizer, joined):
    """The code points of `joined` that the pre-tokenizer keeps."""
    kept = set()
    for _, (begin, end) in pre_tokenizer.pre_tokenize_str(joined):
        kept.update(ord(char) for char in joined[begin:end])
    return kept


def regex_class(expression, joined):
    return matches(pre_tokenizers.Split(Regex(expression + "+"), "removed", invert=True), joined)


def check_contractions():
    """(?i:'s|'t|'re|'ve|'m|'ll|'d) matches what split_pattern.cpp says, whatever folds to it."""
    pattern = pre_tokenizers.Split(Regex("(?i:'s|'t|'re|'ve|'m|'ll|'d)"), "removed", invert=True)
    folds = {c: chr(c).casefold() for c in CODE_POINTS}
    letters = {c for c in CODE_POINTS if folds[c] and set(folds[c]) <= set("streavmld")}
    for c in CODE_POINTS:
        got = [piece for piece, _ in pattern.pre_tokenize_str("'" + chr(c))]
        if bool(got) != (chr(c) in "sStTmMdD\u017f"):
            sys.exit(f"'{chr(c)} (U+{c:04X}) gives {got}")
    for a in letters:
        for b in letters:
            got = [piece for piece, _ in pattern.pre_tokenize_str("'" + chr(a) + chr(b))]
            pair = (chr(a) + chr(b)).lower()
            if chr(a) not in "sStTmMdD\u017f" and bool(got) != (pair in ("re", "ve", "ll")):
                sys.exit(f"'{chr(a)}{chr(b)} gives {got}")


def measure():
    bert = normalizers.BertNormalizer
    clean = mapping(bert(True, False, False, False), "clean_text")
    ideograph = mapping(bert(False, True, False, False), "handle_chinese_chars")
    strip = mapping(bert(False, False, True, False), "strip_accents")
    lower = mapping(bert(False, False, False, True), "lowercase")
    nfd = mapping(normalizers.NFD(), "NFD")

    flags = dict.fromkeys(CODE_POINTS, 0)
    for c, image in clean.items():
        if image not in ("", " "):
            sys.exit(f"clean_text: U+{c:04X} becomes {image!r}")
        if image == "":
            flags[c] |= REMOVED
    for c, image in ideograph.items():
        if image != " " + chr(c) + " ":
            sys.exit(f"handle_chinese_chars: U+{c:04X} becomes {image!r}")
        flags[c] |= IDEOGRAPH
    marks = {c for c, image in strip.items() if image == "" and c not in nfd}
    for c in marks:
        flags[c] |= MARK
    for c, image in nfd.items():
        if strip.get(c, chr(c)) != "".join(x for x in image if ord(x) not in marks):
            sys.exit(f"strip_accents: U+{c:04X} is not the decomposition without marks")
        flags[c] |= DECOMPOSES

    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    for c in CODE_POINTS:
        pieces = [piece for piece, _ in pre_tokenizer.pre_tokenize_str("a" + chr(c) + "b")]
        if pieces == ["a", "b"]:
            flags[c] |= SPACE
        elif pieces == ["a", chr(c), "b"]:
            flags[c] |= PUNCTUATION
        elif pieces != ["a" + chr(c) + "b"]:
            sys.exit(f"BertPreTokenizer: U+{c:04X} gives {pieces}")
        mapped = clean.get(c) == " "
        if mapped and not flags[c] & SPACE:
            sys.exit(f"clean_text makes U+{c:04X} a space, the pre-tokenizer does not")
        if flags[c] & SPACE and not mapped and c != 0x20 and not flags[c] & REMOVED:
            sys.exit(f"U+{c:04X} is white space that clean_text keeps")

    # \w and \s of the library's regular expressions, as added tokens see them.
    word_tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    word_tokenizer.add_tokens([AddedToken("toq", single_word=True, normalized=False)])
    space_tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    space_tokenizer.add_tokens([AddedToken("toq", lstrip=True, rstrip=True, normalized=False)])
    for c in CODE_POINTS:
        before = 2 in word_tokenizer.encode(chr(c) + "toq").ids
        if before != (2 in word_tokenizer.encode("toq" + chr(c)).ids):
            sys.exit(f"U+{c:04X} is a word character on one side only")
        if not before:
            flags[c] |= WORD
        encoding = space_tokenizer.encode("a" + chr(c) + "toq" + chr(c) + "a")
        stripped = encoding.offsets[encoding.ids.index(2)] == (1, 6)
        if stripped != bool(flags[c] & SPACE):
            sys.exit(f"\\s differs from the pre-tokenizer's white space at U+{c:04X}")
    # The classes of the regular expressions of Split and ByteLevel.
    joined = "".join(map(chr, CODE_POINTS))
    for flag, expression in (
        (LETTER, r"\p{L}"),
        (UPPER, r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"),
        (LOWER, r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"),
        (NUMBER, r"\p{N}"),
    ):
        for c in regex_class(expression, joined):
            flags[c] |= flag
    spaces = regex_class(r"\s", joined)
    if spaces != {c for c in CODE_POINTS if flags[c] & SPACE} or spaces & regex_class(r"[\p{L}\p{N}]", joined):
        sys.exit("\\s of Split differs from the pre-tokenizers' white space, or meets letters and numbers")
    if regex_class(r"[^\s\p{L}\p{N}]", joined) != {c for c in CODE_POINTS if not flags[c] & (SPACE | LETTER | NUMBER)}:
        sys.exit("[^\\s\\p{L}\\p{N}] is not the rest")
    check_contractions()
    between = "a".join(map(chr, CODE_POINTS))
    for piece, _ in pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(between):
        if len(piece) == 1 and piece != "a":
            flags[ord(piece)] |= NUMERIC
    for c, image in mapping(normalizers.StripAccents(), "StripAccents").items():
        if image != "":
            sys.exit(f"StripAccents: U+{c:04X} becomes {image!r}")
        flags[c] |= COMBINING
    if mapping(normalizers.Lowercase(), "Lowercase") != lower:
        sys.exit("Lowercase is not the lower case of BertNormalizer")

    classes = combining_classes(nfd)
    nfkd = {c: normalizers.NFKD().normalize_str(chr(c)) for c in CODE_POINTS}
    nfkd = {c: image for c, image in nfkd.items() if image != nfd.get(c, chr(c))}
    for c in nfkd:
        flags[c] |= COMPATIBILITY
    pairs = compositions(nfd)
    seconds = {second for _, second in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    for c in CODE_POINTS:
        if c in classes or c in seconds:
            continue
        if normalizers.NFC().normalize_str(chr(c)) == chr(c):
            flags[c] |= NFC_INERT
        if normalizers.NFKC().normalize_str(chr(c)) == chr(c):
            flags[c] |= NFKC_INERT
    return flags, lower, nfd, classes, nfkd, pairs


def compositions(nfd):
    """{(first, second): composite}, without Hangul."""
    compose = normalizers.NFC().normalize_str
    pairs = {}
    for c, image in nfd.items():
        if HANGUL_FIRST <= c < HANGUL_FIRST + HANGUL_COUNT or compose(chr(c)) != chr(c):
            continue
        first = compose(image[:-1])
        if len(first) != 1 or compose(first + image[-1]) != chr(c):
            sys.exit(f"U+{c:04X} is not the composition of two characters")
        pairs[ord(first), ord(image[-1])] = c
    return pairs


def combining_classes(nfd):
    """{code point: class} of the non-starters, each verified against one mark of every class."""
    order = normalizers.NFD().normalize_str
    lowest, highest = "\u0334", "\u0345"  # classes 1 and 240
    nonstarters = []
    for c in CODE_POINTS:
        if c not in nfd:
            first, second = "a" + chr(c) + lowest, "a" + highest + chr(c)
            if order(first) != first or order(second) != second:
                nonstarters.append(c)
    classes = {c: unicodedata.combining(chr(c)) for c in nonstarters}
    references = {}
    for c in nonstarters:
        references.setdefault(classes[c], c)
    if 0 in references:
        sys.exit(f"U+{references[0]:04X} is a non-starter of an unknown class")
    for c in nonstarters:
        for reference_class, reference in references.items():
            for x, y, swaps in ((c, reference, classes[c] > reference_class), (reference, c, reference_class > classes[c])):
                text = "a" + chr(x) + chr(y)
                if order(text) != ("a" + chr(y) + chr(x) if swaps else text):
                    sys.exit(f"the combining class of U+{c:04X} is not {classes[c]}")
    return classes


def blocks(values, size):
    """Splits values into blocks of the size; returns (index of every block, the distinct blocks)."""
    index, distinct = [], {}
    for start in range(0, len(values), size):
        index.append(distinct.setdefault(tuple(values[start : start + size]), len(distinct)))
    return index, list(distinct)


def utf16(text):
    data = text.encode("utf-16-le")
    return [data[i] | data[i + 1] << 8 for i in range(0, len(data), 2)]


class Writer:
    def __init__(self):
        self.lines = []
        self.bytes = 0

    def array(self, ctype, width, name, values):
        self.bytes += width * len(values)
        self.lines.append(f"constexpr {ctype} {name}[{len(values)}] = {{")
        line = "   "
        for value in values:
            item = f" {value},"
            if len(line) + len(item) > 119:
                self.lines.append(line)
                line = "   "
            line += item
        self.lines += [line, "};", ""]


def generate(flags, lower, nfd, classes, nfkd, pairs):
    records, indices = {}, []
    specials = {c: image for c, image in lower.items() if len(image) != 1}
    if specials != {0x130: "i\u0307"}:
        sys.exit(f"lower case of several characters: {specials}; engine/text/unicode.cpp knows U+0130 alone")
    for c in range(0x110000):
        delta = ord(lower[c]) - c if c in lower and c not in specials else 0
        record = (delta, flags.get(c, 0), classes.get(c, 0))
        indices.append(records.setdefault(record, len(records)))
    if len(records) > 256:
        sys.exit("more than 256 distinct records: the leaves need 16 bits")

    best = None
    for low in range(3, 8):
        middle_index, leaves = blocks(indices, 1 << low)
        for middle in range(3, 9):
            top_index, middles = blocks(middle_index, 1 << middle)
            leaf_width = 1 if len(leaves) <= 256 else 2
            size = len(leaves) * (1 << low) + len(middles) * (1 << middle) * leaf_width + len(top_index)
            if len(middles) <= 256 and (best is None or size < best[0]):
                best = (size, low, middle, top_index, middles, leaves, leaf_width)
    _, low, middle, top_index, middles, leaves, leaf_width = best

    out = Writer()
    out.lines += [
        f"// Generated by tools/dev/unicode_tables.py from tokenizers {tokenizers.__version__}. Do not edit.",
        "// The look-up code and the meaning of every table are in engine/text/unicode.cpp.",
        "// clang-format off",
        f"constexpr unsigned kLeafBits = {low};",
        f"constexpr unsigned kMiddleBits = {middle};",
        "",
    ]
    out.array("CharInfo", 8, "kRecords", ["{%d, %d, %d}" % r for r in records])
    out.array("uint8_t", 1, "kTop", top_index)
    out.array("uint%d_t" % (8 * leaf_width), leaf_width, "kMiddle", [x for block in middles for x in block])
    out.array("uint8_t", 1, "kLeaf", [x for block in leaves for x in block])

    # Full canonical decompositions without Hangul: sorted keys, and where each begins in a pool of UTF-16.
    for c in range(HANGUL_FIRST, HANGUL_FIRST + HANGUL_COUNT):
        if nfd[c] != unicodedata.normalize("NFD", chr(c)):
            sys.exit(f"Hangul U+{c:04X} does not decompose by the algorithm of the standard")
    rest = sorted(c for c in nfd if not HANGUL_FIRST <= c < HANGUL_FIRST + HANGUL_COUNT)
    for suffix, width, keys in (("Bmp", 2, [c for c in rest if c < 0x10000]), ("High", 4, [c for c in rest if c >= 0x10000])):
        pool, starts = [], []
        for c in keys:
            starts.append(len(pool))
            pool += utf16(nfd[c])
            if len(nfd[c]) > 4:
                sys.exit(f"U+{c:04X} decomposes to more than four characters")
        starts.append(len(pool))
        out.array("uint%d_t" % (8 * width), width, f"kDecomposeKeys{suffix}", ["0x%X" % c for c in keys])
        out.array("uint16_t", 2, f"kDecomposeStarts{suffix}", starts)
        out.array("uint16_t", 2, f"kDecomposePool{suffix}", ["0x%X" % u for u in pool])
    # Full compatibility decompositions where they are not the canonical ones.
    pool, starts = [], []
    for c in sorted(nfkd):
        starts.append(len(pool))
        pool += utf16(nfkd[c])
    starts.append(len(pool))
    longest = max(len(image) for image in nfkd.values())
    if longest > 18:
        sys.exit(f"a compatibility decomposition of {longest} characters")
    bmp = [c for c in sorted(nfkd) if c < 0x10000]
    high = [c for c in sorted(nfkd) if c >= 0x10000]
    out.array("uint16_t", 2, "kCompatKeysBmp", ["0x%X" % c for c in bmp])
    out.array("uint32_t", 4, "kCompatKeysHigh", ["0x%X" % c for c in high])
    out.array("uint16_t", 2, "kCompatStarts", starts)
    out.array("uint16_t", 2, "kCompatPool", ["0x%X" % u for u in pool])

    # Canonical compositions: sorted by second and first character, and the composite of each.
    for suffix, ctype, width, keep in (("Bmp", "uint16_t", 2, lambda c: c < 0x10000), ("High", "uint32_t", 4, lambda c: c >= 0x10000)):
        chosen = sorted((second, first, c) for (first, second), c in pairs.items() if keep(c))
        for name, at in (("Second", 0), ("First", 1), ("Composite", 2)):
            out.array(ctype, width, f"kCompose{name}{suffix}", ["0x%X" % entry[at] for entry in chosen])
    out.lines.append(f"// {out.bytes} bytes in all.")
    return "\n".join(out.lines) + "\n", out.bytes, len(records)


def ranges(code_points):
    runs = []
    for c in sorted(code_points):
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    return " ".join(f"{a:04X}" if a == b else f"{a:04X}-{b:04X}" for a, b in runs) or "none"


def report(flags, lower, nfd, classes, nfkd, pairs):
    print(f"tokenizers {tokenizers.__version__} against unicodedata {unicodedata.unidata_version}")
    category = {c: unicodedata.category(chr(c)) for c in CODE_POINTS}
    expected = {
        "removed by clean_text": (REMOVED, lambda c: (category[c] in ("Cc", "Cf", "Co") and c not in (9, 10, 13)) or c == 0xFFFD),
        "white space": (SPACE, lambda c: chr(c).isspace()),
        "nonspacing mark": (MARK, lambda c: category[c] == "Mn"),
        "punctuation": (PUNCTUATION, lambda c: category[c][0] == "P"),
        "letter": (LETTER, lambda c: category[c][0] == "L"),
        "number": (NUMBER, lambda c: category[c][0] == "N"),
        "numeric (Digits)": (NUMERIC, lambda c: category[c][0] == "N"),
        "combining mark (StripAccents)": (COMBINING, lambda c: category[c][0] == "M"),
        "decomposes": (DECOMPOSES, lambda c: unicodedata.normalize("NFD", chr(c)) != chr(c)),
    }
    for name, (flag, predicate) in expected.items():
        ours = {c for c in CODE_POINTS if flags[c] & flag}
        theirs = {c for c in CODE_POINTS if predicate(c)}
        print(f"{name}: {len(ours)} characters; only the library: {ranges(ours - theirs)}; only unicodedata: {ranges(theirs - ours)}")
    theirs = {c for c in CODE_POINTS if unicodedata.combining(chr(c)) and c not in nfd}
    print(f"non-starters: {len(classes)}; only unicodedata: {ranges(theirs - set(classes))}")
    print(f"lower case: {len(lower)}; differs at {ranges(c for c in CODE_POINTS if chr(c).lower() != lower.get(c, chr(c)))}")
    theirs = {c for c in CODE_POINTS if unicodedata.normalize("NFKD", chr(c)) != nfkd.get(c, nfd.get(c, chr(c)))}
    print(f"compatibility decompositions: {len(nfkd)}; of unicodedata differ {ranges(theirs)}; compositions: {len(pairs)}")
    print(f"word characters: {sum(1 for c in CODE_POINTS if flags[c] & WORD)}; ideographs: {ranges(c for c in CODE_POINTS if flags[c] & IDEOGRAPH)}")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default=os.path.join(here, "../../engine/text/unicode_tables.inc"))
    parser.add_argument("--report", action="store_true", help="print the differences from unicodedata; write nothing")
    arguments = parser.parse_args()
    measured = measure()
    if arguments.report:
        report(*measured)
        return
    text, size, records = generate(*measured)
    with open(arguments.output, "w", encoding="ascii") as file:
        file.write(text)
    print(f"tokenizers {tokenizers.__version__}: {size} bytes of tables, {records} records -> {arguments.output}")


if __name__ == "__main__":
    main()
