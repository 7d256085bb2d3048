#!/usr/bin/env python3
"""The Hugging Face tokenizers library as the oracle of engine/text.

    tokenizer_oracle.py compare  --tokenizer SOURCE --tools FOLDER [--count N] [--seed N] [--texts FILE...]
        SOURCE is a tokenizer.json or a folder with tokenizer files, FOLDER the build's tests/text. Converts the
        tokenizer, tokenises texts of FILEs (one a line), every character, huge texts, every added token and N generated
        texts with both, compares ids, byte offsets, token counts and truncation, and exits 1 at any difference.
        --section FOLDER converts what a folder has beside its tokenizer.json instead (vocab.json and merges.txt, or
        a SentencePiece model, whose exact scores the reference is then given); --pattern NAME compares the words that
        an expression of split_pattern.cpp cuts; --parts takes only some of the sources of texts.
    tokenizer_oracle.py variants --tokenizer BERT --tools FOLDER [--count N]
        The same for many configurations of WordPiece over a reduced vocabulary: normaliser flags, added tokens with
        every flag, prefixes, word lengths.
    tokenizer_oracle.py fixtures --tokenizers FOLDER --tools FOLDER --output-dir tests/fixtures/text
        Regenerates the golden fixtures of tests/text from the tokenizers of FOLDER, each reduced to a small vocabulary.
    tokenizer_oracle.py speed    --tokenizer SOURCE --tools FOLDER --texts FILE... [--rounds N]
        MB/s of both on one thread, in turns.

Invalid UTF-8 is given to the tool as it is, and to the library decoded with errors="replace".
"""

import argparse
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402



# --- the section -------------------------------------------------------------------------------------------------


def section_of(source, tools):
    """The bytes that the converter makes of a tokenizer.json (a dict) or a path."""
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(source, dict):
            path = os.path.join(folder, "tokenizer.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(source, file, ensure_ascii=False)
        else:
            path = source
        output = os.path.join(folder, "section")
        subprocess.run([os.path.join(tools, "tokenizer_section"), path, output], check=True)
        with open(output, "rb") as file:
            return file.read()


def section_without_json(folder, tools):
    """Of a folder's other files: the converter prefers a tokenizer.json, whose scores are rounded."""
    with tempfile.TemporaryDirectory() as other:
        for name in os.listdir(folder):
            if name != "tokenizer.json":
                shutil.copy(os.path.join(folder, name), other)
        return section_of(other, tools)


# --- texts -------------------------------------------------------------------------------------------------------

SCRIPTS = [
    (0x21, 0x7E), (0xA0, 0xFF), (0x100, 0x17F), (0x180, 0x24F), (0x250, 0x2AF), (0x1E00, 0x1EFF), (0x370, 0x3FF),
    (0x1F00, 0x1FFF), (0x400, 0x52F), (0x530, 0x58F), (0x590, 0x5FF), (0x600, 0x6FF), (0x700, 0x74F), (0x780, 0x7BF),
    (0x7C0, 0x7FF), (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xA7F), (0xA80, 0xAFF), (0xB00, 0xB7F), (0xB80, 0xBFF),
    (0xC00, 0xC7F), (0xC80, 0xCFF), (0xD00, 0xD7F), (0xD80, 0xDFF), (0xE00, 0xE7F), (0xE80, 0xEFF), (0xF00, 0xFFF),
    (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x139F), (0x13A0, 0x13FF), (0x1780, 0x17FF),
    (0x1800, 0x18AF), (0x1B00, 0x1B7F), (0x2000, 0x206F), (0x20A0, 0x2BFF), (0x2C00, 0x2DFF), (0x2E80, 0x303F),
    (0x3040, 0x30FF), (0x3100, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA4CF), (0xA640, 0xA69F),
    (0xA720, 0xA7FF), (0xABC0, 0xABFF), (0xAC00, 0xD7AF), (0xE000, 0xF8FF), (0xF900, 0xFAFF), (0xFB00, 0xFDFF),
    (0xFE00, 0xFE6F), (0xFE70, 0xFEFF), (0xFF00, 0xFFEF), (0x10000, 0x100FF), (0x10400, 0x1044F), (0x10D40, 0x10D8F),
    (0x11000, 0x1114F), (0x11300, 0x1137F), (0x11480, 0x115FF), (0x16E40, 0x16EBF), (0x1D100, 0x1D24F),
    (0x1D400, 0x1D7FF), (0x1E900, 0x1E95F), (0x1F000, 0x1FAFF), (0x20000, 0x2A6DF), (0x2A6E0, 0x2CEAF),
    (0x2F800, 0x2FA1F), (0xE0000, 0xE01EF), (0xF0000, 0xF0100),
]  # fmt: skip
MARKS = (
    [chr(c) for c in range(0x300, 0x370)]
    + [chr(c) for c in (0x591, 0x5B0, 0x5C1, 0x64B, 0x651, 0x670, 0x93C, 0x94D, 0x9BC, 0xF71, 0xF72, 0xF74, 0xF73)]
    + [chr(c) for c in (0x1B44, 0x1BAA, 0x302A, 0x302E, 0x302F, 0x3099, 0xA953, 0x111C0, 0x1133C, 0x1D165, 0x1D16D)]
    + [chr(c) for c in (0x20D0, 0x20DD, 0xFE20, 0x483, 0x488, 0x0344, 0x1DF5, 0x1DF6, 0x1AC1)]
)
SPACES = ["\t", "\n", "\r", " ", "\u00a0", "\u1680", "\u2003", "\u2028", "\u202f", "\u205f", "\u3000", "\x0b", "\x0c", "\x85"]
CONTROLS = [chr(c) for c in range(32)] + ["\x7f", "\x80", "\x9f", "\u00ad", "\u200b", "\u200d", "\u200e", "\u202e", "\u2060"]
CONTROLS += ["\ufeff", "\ufffd", "\ufffe", "\uffff", "\ue000", "\U000e0041", "\U0010ffff"]
EMOJI = ["👍", "😀", "❤️", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "👋🏽", "1️⃣", "☺", "✨"]
EMOJI_BASES = [*"👨👩👧👦🧑🏳🏴❤👁🐻😀🤷🧔🏃⚕⚖✈🌈🔥🗨💻♀♂☠"]
EMOJI_ENDS = ("", "\ufe0f", "\U0001f3fb", "\U0001f3ff")
RIGHT_TO_LEFT = (  # letters, marks
    ((0x5D0, 0x5EA), (0x591, 0x5C7)), ((0x620, 0x64A), (0x64B, 0x65F)), ((0x710, 0x72F), (0x730, 0x74A)),
    ((0x780, 0x7A5), (0x7A6, 0x7B0)),
)  # fmt: skip
DIRECTIONS = [" ", " ", " 12 ", "\u200f", "\u200e", "\u202b", "\u202c", "\u2067", "\u2069", "\u060c ", "\u061f", "\u0640"]
DIRECTIONS += [" abc ", "\u0664\u0662"]
CODE = ["if", "return", "x", "i++", "==", "!=", "->", "();", "{", "}", "[0]", "/*", "*/", "//", "#include", '<a href="x">', "0x1F"]
CODE += ["3.14", "_name", "camelCase", "HTTPServer", "\\n", "'c'", '"s"']
SHORT_FORMS = ["s", "t", "re", "ve", "m", "ll", "d", "S", "T", "RE", "Ve", "M", "lL", "D", "\u017f", "r", "l", "v", "", "st", "é", "s1"]
SPECIAL_CASES = ["İ", "ı", "ß", "ẞ", "Σ", "ς", "ŉ", "ǰ", "ΐ", "Ǆ", "ﬁ", "Ⅷ", "Ⓐ", "Ω", "K", "Å", "가", "각", "豈", "𝅗𝅥", "ᾳ", "ཱི"]


def random_char(rng):
    first, last = rng.choice(SCRIPTS)
    return chr(rng.randint(first, last))


class Generator:
    """Texts of many kinds; `words` are real words and pieces, `added` the contents of added tokens."""

    def __init__(self, rng, words, added):
        self.rng, self.words, self.added = rng, words, added
        self.kinds = [
            self.script, self.mixed, self.any_code_points, self.marks, self.spaces, self.controls, self.emoji,
            self.punctuation, self.real_words, self.glued, self.special, self.long_word, self.added_tokens,
            self.cased, self.joined_emoji, self.right_to_left, self.code, self.short_forms, self.numbers, self.chains,
            self.runs_of_spaces, self.conjuncts, self.broken_added_tokens, self.invalid, self.every_kind,
        ]  # fmt: skip

    def make(self):
        text = self.rng.choice(self.kinds)()
        return text if isinstance(text, bytes) else text.encode("utf-8")

    def many(self, make, low, high, joiners=(" ",)):
        parts = []
        for _ in range(self.rng.randint(low, high)):
            parts += [make(), self.rng.choice(joiners)]
        return "".join(parts)

    def script(self):
        first, last = self.rng.choice(SCRIPTS)
        word = lambda: "".join(chr(self.rng.randint(first, last)) for _ in range(self.rng.randint(1, 8)))  # noqa: E731
        return self.many(word, 1, 6, (" ", " ", "", ", "))

    def mixed(self):
        return self.many(lambda: random_char(self.rng), 1, 30, ("", "", "", " ", "a", "b"))

    def any_code_points(self):
        def char():
            c = self.rng.randrange(0x110000 - 0x800)
            return chr(c if c < 0xD800 else c + 0x800)

        return self.many(char, 1, 12, ("", "a", " ", "Z"))

    def marks(self):
        base = lambda: self.rng.choice("aeiouAEIOUöÅ가ण가ཀ  -") + "".join(  # noqa: E731
            self.rng.choice(MARKS) for _ in range(self.rng.choice((1, 2, 3, 5, 40)))
        )
        return self.many(base, 1, 5, ("", " ", "n", "\u200d"))

    def spaces(self):
        return self.many(lambda: self.rng.choice(self.words), 1, 6, SPACES)

    def controls(self):
        return self.many(lambda: self.rng.choice(self.words), 1, 6, CONTROLS)

    def emoji(self):
        return self.many(lambda: self.rng.choice(EMOJI), 1, 6, ("", " ", "ok"))

    def punctuation(self):
        return self.many(lambda: self.rng.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»“”…–—¿¡、。؟।§¶·"), 1, 12, ("", " ", "a", "##", "x"))

    def real_words(self):
        return self.many(lambda: self.rng.choice(self.words), 1, 12, (" ", " ", ", ", ". ", "'", "\n"))

    def glued(self):
        return self.many(lambda: self.rng.choice(self.words).replace("##", ""), 1, 6, ("", "", "-", " "))

    def cased(self):
        return self.many(lambda: self.rng.choice((str.upper, str.title, str.swapcase))(self.rng.choice(self.words)), 1, 8)

    def joined_emoji(self):
        def cluster():
            bases = [self.rng.choice(EMOJI_BASES) + self.rng.choice(EMOJI_ENDS) for _ in range(self.rng.choice((1, 1, 2, 3, 4)))]
            flag = "".join(chr(0x1F1E6 + self.rng.randrange(26)) for _ in range(self.rng.randint(1, 4)))
            tags = "\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in self.rng.choice(("gbeng", "gbsct", "us"))) + "\U000e007f"
            return self.rng.choice(("\u200d".join(bases), flag, tags, self.rng.choice("0123456789#*") + "\ufe0f\u20e3"))

        return self.many(cluster, 1, 6, ("", "", " ", "a", "\u200d", "\ufe0f", "!"))

    def right_to_left(self):
        def word():
            letters, marks = self.rng.choice(RIGHT_TO_LEFT)
            mark = lambda: "".join(chr(self.rng.randint(*marks)) for _ in range(self.rng.choice((0, 0, 0, 1, 2))))  # noqa: E731
            return "".join(chr(self.rng.randint(*letters)) + mark() for _ in range(self.rng.randint(1, 7)))

        return self.many(word, 1, 8, DIRECTIONS)

    def code(self):
        def line():
            indent = self.rng.choice(("", " ", "  ", "    ", "\t", "        ")) * self.rng.choice((0, 1, 1, 2, 3))
            return indent + self.many(lambda: self.rng.choice(CODE), 1, 8, ("", " ", "  "))

        return self.many(line, 1, 6, ("\n", "\r\n", "\n\n", "\r", " \n \n", "/\n/"))

    def short_forms(self):
        before = ("I", "you", "WE", " don", "'", "é", "1", "!", "\n", "中", "\u0301", "ǅ", "ʰ")
        form = lambda: self.rng.choice(before) + self.rng.choice(("'", "'", "'", "\u2019", "`")) + self.rng.choice(SHORT_FORMS)  # noqa: E731
        return self.many(form, 1, 8, ("", "", " ", "  "))

    def numbers(self):
        digit = lambda: self.rng.choice(self.rng.choice(("0123456789", "0123456789", "٠١٢٣", "०१२", "½Ⅷ²൰", "𝟘𝟙", "一二", "０９")))  # noqa: E731
        digits = lambda: "".join(digit() for _ in range(self.rng.randint(1, 13)))  # noqa: E731
        return self.many(digits, 1, 6, (" ", "", ".", ",", "-", "/", "e", "%", " $", "\n", "\u0301"))

    def chains(self):
        letters = self.rng.choice(("a", "ab", "abc", "aA", "é", "eE\u0301", "лЛ", "ก็", "가나", " \n", "-=", "01", "あ", "😀👍", "aé中"))
        return "".join(self.rng.choice(letters) for _ in range(self.rng.choice((1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 34, 63, 64, 65, 200, 700))))

    def runs_of_spaces(self):
        def run():
            word = self.rng.choice(("x", "é", "1", ".", "", "\u2581"))
            return word + self.rng.choice(SPACES + [" ", " ", " ", "\n"]) * self.rng.choice((1, 2, 3, 4, 8, 16, 17, 33, 100))

        return self.many(run, 1, 6, ("", "", "\u2581", "a"))

    def conjuncts(self):
        def syllable():
            first = self.rng.choice((0x900, 0x980, 0xA00, 0xA80, 0xB00, 0xB80, 0xC00, 0xC80, 0xD00))
            sign = lambda: self.rng.choice(("", chr(first + 0x4D), chr(first + 0x3C), chr(first + 0x3E)))  # noqa: E731
            parts = [chr(first + self.rng.randint(0x15, 0x39)) + sign() for _ in range(self.rng.randint(1, 5))]
            return self.rng.choice(("", "\u200d", "\u200c")).join(parts)

        return self.many(syllable, 1, 6, (" ", "", "\u0964", "1"))

    def broken_added_tokens(self):
        def broken():
            content = self.rng.choice(self.added)
            cut = self.rng.randint(0, len(content))
            split = content[:cut] + self.rng.choice((" ", "\u0301", "x", "\u2581")) + content[cut:]
            return self.rng.choice((content[:cut], content[cut:], split, content.upper(), content))

        return self.many(broken, 1, 6, ("", "", " ", "  ", "a", "\n"))

    def special(self):
        return self.many(lambda: self.rng.choice(SPECIAL_CASES), 1, 8, ("", " ", "a", "A", "\u0301"))

    def long_word(self):
        length = self.rng.choice((63, 64, 65, 99, 100, 101, 102, 150, 200, 400, 1023, 1024, 1025))
        char = self.rng.choice(("a", "é", "я", "中", "\u0301", "😀", "ab", "ing", "가"))
        return "x " + char * length + self.rng.choice(("", " y", "!"))

    def added_tokens(self):
        return self.many(lambda: self.rng.choice(self.added), 1, 5, ("", " ", "  ", "a", "é", "_", "\n", ".", "\u3000", "中", "[", "]", "\u0301"))

    def invalid(self):
        data = bytearray(self.many(lambda: self.rng.choice((self.script, self.real_words, self.added_tokens))(), 1, 2).encode())
        for _ in range(self.rng.randint(1, 8)):
            at = self.rng.randint(0, len(data))
            choice = self.rng.randrange(3)
            if choice == 0:
                data[at:at] = bytes([self.rng.randint(0x80, 0xFF)])
            elif choice == 1 and at < len(data):
                del data[at]
            else:
                data[at:at] = self.rng.choice((b"\xed\xa0\x80", b"\xf0\x9f", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xff", b"\0"))
        return bytes(data)

    def every_kind(self):
        parts = [self.rng.choice(self.kinds[:-2])() for _ in range(self.rng.randint(2, 4))]
        return b" ".join(p if isinstance(p, bytes) else p.encode("utf-8") for p in parts)


def huge_texts():
    for size in (1 << 10, 1 << 16, 1 << 20):
        for char in ("a", "é", "я", "中", "\u0301", "😀", "a\u0301", "ab ", "-", " ", "\u0316\u0301", "\x00", "가"):
            yield (char * (size // len(char.encode()))).encode()
        yield b"\xff" * size


def words_of_every_size(rng, words):
    """Words of 1 byte to 1 MiB: of few letters, so that merges chain, of many, of all bytes, and of pieces."""
    for power in range(21):
        for size in sorted({1 << power, (1 << power) - 1, (1 << power) + 1} if power < 14 else {1 << power}):
            yield "".join(rng.choices("ab", k=size)).encode()
            yield "".join(rng.choices("etaoinshrdlu", k=size)).encode()
            yield "".join(rng.choices("аен", k=size // 2)).encode()
            yield rng.randbytes(size)
            word, length = [], 0
            while length < size:
                word.append(rng.choice(words).strip() or "x")
                length += len(word[-1].encode())
            yield "".join(word).encode()


def every_character():
    for c in range(0x110000):
        if not 0xD800 <= c < 0xE000:
            yield chr(c).encode()
            yield ("a" + chr(c) + "b").encode()


def every_added_token(added):
    for content in added:
        for before, after in (("", ""), ("a", "b"), (" ", " "), ("  ", "\n x"), ("\u00e9", "."), ("x", content)):
            yield (before + content + after).encode()


def read_lines(paths):
    for path in paths:
        with open(path, "rb") as file:
            for line in file:
                if line.strip():
                    yield line.rstrip(b"\r\n")


PARTS = ("lines", "every character", "texts", "words", "every added", "generated", "truncated")

# --- comparison --------------------------------------------------------------------------------------------------


class Tool:
    """The built tokenize_lines as a pipe: texts in, (ids, spans, total tokens, bytes used) out."""

    def __init__(self, path, section, max_tokens=None):
        self.file = tempfile.NamedTemporaryFile(suffix=".section")
        self.file.write(section)
        self.file.flush()
        self.command = [path, self.file.name] + ([] if max_tokens is None else [str(max_tokens)])

    def run(self, texts):
        data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
        done = subprocess.run(self.command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit(f"{self.command}: {done.returncode}: {done.stderr.decode(errors='replace')}")
        words = memoryview(done.stdout).cast("I")
        at, results = 0, []
        for _ in texts:
            count = words[at]
            ids = list(words[at + 1 : at + 1 + count])
            flat = list(words[at + 1 + count : at + 1 + 3 * count])
            at += 1 + 3 * count
            results.append((ids, list(zip(flat[::2], flat[1::2])), words[at], words[at + 1]))
            at += 2
        if at != len(words):
            sys.exit("tokenize_lines wrote more than it should")
        return results


def decode_with_places(data):
    """The decoded text, and the byte offset of every character and of the end."""
    text = data.decode("utf-8", errors="replace")
    if "\ufffd" not in text:
        places, at = [], 0
        for char in text:
            places.append(at)
            code = ord(char)
            at += 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
        return text, places + [at]
    places, at = [], 0
    for char in text:
        places.append(at)
        encoded = char.encode()
        if data[at : at + len(encoded)] == encoded:
            at += len(encoded)
        else:  # a maximal subpart: the longest prefix here that decodes to one U+FFFD
            for length in (3, 2, 1):
                if at + length <= len(data) and data[at : at + length].decode(errors="replace") == "\ufffd":
                    break
            at += length
    assert at == len(data), data
    return text, places + [at]


def expected(tokenizer, data, with_special):
    text, places = decode_with_places(data)
    encoding = tokenizer.encode(text, add_special_tokens=with_special)
    spans = []
    for (begin, end), special in zip(encoding.offsets, encoding.special_tokens_mask):
        spans.append((0, 0) if special and (begin, end) == (0, 0) else (places[begin], places[end]))
    return list(encoding.ids), spans


def differences(tokenizer, tool, texts, report, max_tokens=None):
    """The number of texts with a difference; prints the first ones."""
    wrong = 0
    for text, (ids, spans, total, used) in zip(texts, tool.run(texts)):
        want_ids, want_spans = expected(tokenizer, text, True)
        problem = None
        if max_tokens is not None:
            around = len(tokenizer.encode("").ids)
            full_ids, full_spans = want_ids, want_spans
            if len(full_ids) > max_tokens:
                tokenizer.enable_truncation(max_tokens)
                want_ids, want_spans = expected(tokenizer, text, True)
                tokenizer.no_truncation()
            if total != len(full_ids):
                problem = f"total_tokens {total}, expected {len(full_ids)}"
            body = [s for s in want_spans if s != (0, 0)]
            if problem is None and used != (body[-1][1] if len(want_ids) > around and body else 0):
                problem = f"bytes_used {used}, spans {want_spans}"
        elif total != len(want_ids):
            problem = f"total_tokens {total}, expected {len(want_ids)}"
        if ids != want_ids:
            problem = f"ids {ids[:40]}, expected {want_ids[:40]}"
        elif spans != want_spans:
            problem = f"spans {spans[:40]}, expected {want_spans[:40]}"
        if problem:
            wrong += 1
            if report[0] > 0:
                report[0] -= 1
                print(f"DIFFERENCE {text[:120]!r}: {problem}", flush=True)
    return wrong


def batches(texts, count, size_limit=1 << 24):
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if len(batch) == count or size > size_limit:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def byte_alphabet():
    """{character: byte} of ByteLevel."""
    plain = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or b >= 0xAE]
    others = [b for b in range(256) if b not in plain]
    return {**{chr(b): b for b in plain}, **{chr(256 + i): b for i, b in enumerate(others)}}


BYTES = byte_alphabet()


def words_of(config):
    """The pieces as text."""
    vocab = config["model"]["vocab"]
    pieces = list(vocab) if isinstance(vocab, dict) else [piece for piece, _ in vocab]
    if "\"ByteLevel\"" in json.dumps(config["pre_tokenizer"]):
        raw = [bytes(BYTES[c] for c in p) if set(p) <= set(BYTES) else p.encode() for p in pieces]
        pieces = [p.decode("utf-8", errors="ignore") for p in raw]
    return [p.replace("\u2581", " ") for p in pieces if p and not p.startswith("[unused")]


# The expressions that the runtime knows (engine/text/split_pattern.cpp), as published in a tokenizer.json.
_CASED = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"[^\r\n\p{L}\p{N}]?", r"\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": _SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _CASED[3],
    "qwen2": _SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _CASED[3],
    "o200k": "{2}{0}*{1}+{4}?|{2}{0}+{1}*{4}?|{5}| ?[^\\s\\p{{L}}\\p{{N}}]+[\\r\\n/]*|{3}".format(*_CASED, _SHORT, r"\p{N}{1,3}"),
    "tekken": "{2}{0}*{1}+|{2}{0}+{1}*|{4}| ?[^\\s\\p{{L}}\\p{{N}}]+[\\r\\n/]*|{3}".format(*_CASED, r"\p{N}"),
}


def words_only(pattern):
    """A tokenizer.json that makes one unknown token of every word that the pattern cuts: no vocabulary hides a word."""
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": PATTERNS[pattern]}, "behavior": "Isolated", "invert": False},
        "post_processor": None, "decoder": None,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": False, "ignore_merges": False,
            "vocab": {"<unk>": 0}, "merges": [],
        },
    }  # fmt: skip


def named_tokens(processor):
    """The contents of the tokens that a post-processor names."""
    if not processor:
        return set()
    names = {processor[key][0] for key in ("cls", "sep") if key in processor} | set(processor.get("special_tokens") or {})
    return names.union(*(named_tokens(part) for part in processor.get("processors", ())))


def rename_ids(processor, ids):
    for key in ("cls", "sep"):
        if processor and key in processor:
            processor[key][1] = ids[processor[key][0]]
    for name, entry in ((processor or {}).get("special_tokens") or {}).items():
        entry["ids"] = [ids[name]]
    for part in (processor or {}).get("processors", ()):
        rename_ids(part, ids)


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def json_of(source):
    """The tokenizer.json (or tokenizer.derived.json) of a path."""
    if not os.path.isdir(source):
        return source
    for name in ("tokenizer.json", "tokenizer.derived.json"):
        if os.path.exists(os.path.join(source, name)):
            return os.path.join(source, name)
    sys.exit(f"{source}: no tokenizer.json")


def reference_of(config):
    tokenizer = Tokenizer.from_str(json.dumps(config))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def protobuf(data):
    """(field, value) of a message of protocol buffers; fixed fields as bytes."""

    def varint(at):
        value = shift = 0
        while True:
            byte = data[at]
            value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
            if byte < 0x80:
                return value, at

    at = 0
    while at < len(data):
        tag, at = varint(at)
        if tag & 7 == 0:
            value, at = varint(at)
        else:
            size, at = varint(at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            value, at = data[at : at + size], at + size
        yield tag >> 3, value


def take_scores(tokenizer, config, folder):
    """Gives the reference the exact scores of the folder's SentencePiece model: those of a tokenizer.json are rounded."""
    for name in ("spm.model", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"):
        path = os.path.join(folder, name)
        if not isinstance(config["model"]["vocab"], list) or not os.path.exists(path):
            continue
        with open(path, "rb") as file:
            pieces = [dict(protobuf(value)) for field, value in protobuf(file.read()) if field == 1]
        scores = {piece[1].decode(): struct.unpack("<f", piece[2])[0] for piece in pieces}
        vocab = [(piece, scores.get(piece, score)) for piece, score in config["model"]["vocab"]]
        tokenizer.model = tokenizers.models.Unigram(vocab, config["model"]["unk_id"], config["model"].get("byte_fallback", False))


def compare(arguments):
    path = json_of(arguments.tokenizer)
    config = load(path)
    words = words_of(config)
    added = [token["content"] for token in config["added_tokens"]]
    source = path
    if arguments.pattern:
        source = config = words_only(arguments.pattern)
    tokenizer = reference_of(config)
    if arguments.section:
        take_scores(tokenizer, config, arguments.section)
        section = section_without_json(arguments.section, arguments.tools)
    else:
        section = section_of(source, arguments.tools)
    arguments.tool = os.path.join(arguments.tools, "tokenize_lines")
    generator = Generator(random.Random(arguments.seed), words, added)
    report = [20]
    total = wrong = 0
    sources = [
        ("lines of files", read_lines(arguments.texts)),
        ("every character, alone and between letters", every_character()),
        ("texts of 1 KiB to 1 MiB", huge_texts()),
        ("words of 1 byte to 1 MiB", words_of_every_size(random.Random(arguments.seed), words)),
        ("every added token", every_added_token(added)),
        ("generated", (generator.make() for _ in range(arguments.count))),
    ]
    for name, texts in sources:
        if arguments.parts and not any(name.startswith(part) for part in arguments.parts):
            continue
        tool, start, count, bad = Tool(arguments.tool, section), time.time(), 0, 0
        for batch in batches(texts, 20000):
            bad += differences(tokenizer, tool, batch, report)
            count += len(batch)
        print(f"{name}: {count} texts, {bad} differences ({time.time() - start:.0f} s)", flush=True)
        total, wrong = total + count, wrong + bad
    for limit in (2, 3, 4, 8, 16, 64):
        if arguments.parts and "truncated" not in arguments.parts:
            break
        tool, texts = Tool(arguments.tool, section, limit), [generator.make() for _ in range(arguments.count // 200 + 100)]
        bad = differences(tokenizer, tool, texts, report, limit)
        print(f"truncated to {limit}: {len(texts)} texts, {bad} differences", flush=True)
        total, wrong = total + len(texts), wrong + bad
    print(f"tokenizers {tokenizers.__version__}: {total} texts, {wrong} differences")
    return wrong == 0


# --- configurations over a reduced vocabulary --------------------------------------------------------------------


def token(config, content, **flags):
    """Adds a token, unless it is another normalised token once normalised: the library then picks one at random."""
    folded = tokenizers.normalizers.BertNormalizer().normalize_str
    if flags.get("normalized") and any(t["normalized"] and folded(t["content"]) == folded(content) for t in config["added_tokens"]):
        return
    vocab = config["model"]["vocab"]
    extra = [t for t in config["added_tokens"] if t["id"] >= len(vocab)]
    entry = {"id": vocab.get(content, len(vocab) + len(extra)), "content": content}
    for name in ("single_word", "lstrip", "rstrip", "normalized", "special"):
        entry[name] = flags.get(name, False)
    config["added_tokens"].append(entry)


def reduced(config, size, normalizer, prefix="##", max_chars=100):
    """A tokenizer.json with the special pieces, all short ones, and a sample of the others."""
    pieces = sorted(config["model"]["vocab"], key=config["model"]["vocab"].get)
    special = [t["content"] for t in config["added_tokens"]]
    short = [p for p in pieces if p not in special and len(p.replace("##", "")) == 1 and (ord(p[-1]) < 0x500 or ord(p[-1]) % 7 == 0)]
    rest = [p for p in pieces if p not in special and p not in short and not p.startswith("[unused")]
    step = max(1, len(rest) // max(1, size - len(special) - len(short)))
    chosen = special + short + rest[::step][: size - len(special) - len(short)]
    chosen += [p for p in ("Σ", "##Σ", "É", "##é", "e\u0301", "Hello", "##LL", "\u0301", "i\u0307", "##\u0307", "中", "가") if p not in chosen]
    chosen = [prefix + p[2:] if p.startswith("##") and len(p) > 2 else p for p in chosen]
    chosen = list(dict.fromkeys(chosen))
    result = {key: config[key] for key in ("version", "truncation", "padding", "pre_tokenizer", "decoder")}
    result["added_tokens"] = []
    result["normalizer"] = {"type": "BertNormalizer", **normalizer}
    result["model"] = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": prefix,
        "max_input_chars_per_word": max_chars,
        "vocab": {piece: i for i, piece in enumerate(chosen)},
    }
    post = json.loads(json.dumps(config["post_processor"]))
    for name, entry in post["special_tokens"].items():
        entry["ids"] = [result["model"]["vocab"][name]]
    result["post_processor"] = post
    for content in special:
        token(result, content, special=True)
    return result


def flags(clean=True, chinese=True, strip=None, lower=True):
    return {"clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": strip, "lowercase": lower}


def configurations(config):
    """(name, tokenizer.json) of every configuration that `variants` compares."""
    for clean in (True, False):
        for chinese in (True, False):
            for strip in (True, False):
                for lower in (True, False):
                    name = f"clean={clean} chinese={chinese} strip={strip} lower={lower}"
                    yield name, reduced(config, 3000, flags(clean, chinese, strip, lower))
    for prefix in ("", "#", "_", "a", "\u00e9", "##x"):
        yield f"prefix {prefix!r}", reduced(config, 2000, flags(), prefix)
    for limit in (1, 2, 3, 10, 1024):
        yield f"max_input_chars {limit}", reduced(config, 2000, flags(), max_chars=limit)
    contents = ["foo", "foobar", "ba", "FOO", "h\u00e9", "\u4e2d", "a b", "Foo Bar", "[MASK]x", "\u00c9t\u00e9", " s ", "lo"]
    every = ("single_word", "lstrip", "rstrip", "normalized", "special")
    for bits in range(1 << len(every)):
        chosen = {name: bool(bits >> i & 1) for i, name in enumerate(every)}
        variant = reduced(config, 1000, flags())
        for content in contents:
            token(variant, content, **chosen)
        yield f"added tokens {chosen}", variant
    rng = random.Random(5)
    for i in range(24):
        variant = reduced(config, 1000, flags(rng.random() < 0.8, rng.random() < 0.8, None, rng.random() < 0.7))
        for content in rng.sample(contents + ["fo", "oba", "r", "bar", "o", "x", "\u00e9", "[", "]"], 12):
            token(variant, content, **{name: rng.random() < 0.4 for name in every})
        yield f"mixed added tokens {i}", variant
    variant = reduced(config, 1000, flags())
    variant["post_processor"] = None
    yield "no template", variant


def variants(arguments):
    config = load(arguments.tokenizer)
    total = wrong = 0
    for index, (name, variant) in enumerate(configurations(config)):
        tokenizer = Tokenizer.from_str(json.dumps(variant))
        added = [t["content"] for t in variant["added_tokens"]]
        generator = Generator(random.Random(index), words_of(variant), added)
        texts = [generator.make() for _ in range(arguments.count)]
        bad = differences(tokenizer, Tool(os.path.join(arguments.tools, "tokenize_lines"), section_of(variant, arguments.tools)), texts, [3])
        print(f"{name}: {len(variant['model']['vocab'])} pieces, {len(texts)} texts, {bad} differences", flush=True)
        total, wrong = total + len(texts), wrong + bad
    print(f"tokenizers {tokenizers.__version__}: {total} texts, {wrong} differences")
    return wrong == 0


# --- fixtures ----------------------------------------------------------------------------------------------------


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fixture(variant, count, seed, tools, more=(), longest=300, words=()):
    """u32 section size, section; u32 count; per text, as LEB128: size, bytes, number of tokens, and per token its id,
    begin - previous end (zigzag), end - begin. Most texts have at most `longest` bytes, none more than 300. Every added
    token is met."""
    tokenizer = Tokenizer.from_str(json.dumps(variant))
    added = [t["content"] for t in variant["added_tokens"]] or ["<unk>"]
    generator = Generator(random.Random(seed), words or words_of(variant), added)
    texts = [b"", b" ", b"\0", b"\xff", b"[SEP]", b"x[MASK]y", *more]
    while len(texts) < count:
        text = generator.make()
        if len(text) <= (longest if len(texts) % 12 else 300):
            texts.append(text)
    met = {i for text in texts for i, (begin, end) in zip(*expected(tokenizer, text, True)) if begin != end}
    texts += [token["content"].encode() for token in variant["added_tokens"] if token["id"] not in met]
    section = section_of(variant, tools)
    out = struct.pack("<I", len(section)) + section + struct.pack("<I", len(texts))
    for text in texts:
        ids, spans = expected(tokenizer, text, True)
        out += varint(len(text)) + text + varint(len(ids))
        previous = 0
        for number, (begin, end) in zip(ids, spans):
            delta = begin - previous
            out += varint(number) + varint(delta * 2 if delta >= 0 else -delta * 2 - 1) + varint(end - begin)
            previous = end
    return out


def fixtures(arguments):
    config = load(os.path.join(arguments.tokenizers, "bert-base-uncased", "tokenizer.json"))
    uncased = reduced(config, 4000, flags())
    cased = reduced(config, 2500, flags(strip=False, lower=False))
    for content, chosen in (
        ("foo", {"normalized": True}), ("Foo", {"single_word": True}), ("\u4e2d", {"normalized": True}),
        ("\u00c9t\u00e9", {"lstrip": True}), ("bar", {"rstrip": True, "normalized": True}), ("foobar", {"special": True}),
    ):  # fmt: skip
        token(cased, content, **chosen)
    plain = reduced(config, 1500, flags(False, False, True, False), prefix="_")
    os.makedirs(arguments.output_dir, exist_ok=True)
    for name, variant, count in (("uncased", uncased, 2200), ("cased", cased, 1000), ("plain", plain, 800)):
        data = fixture(variant, count, sum(name.encode()), arguments.tools)
        path = os.path.join(arguments.output_dir, f"wordpiece_{name}.bin")
        with open(path, "wb") as file:
            file.write(data)
        print(f"tokenizers {tokenizers.__version__}: {path}: {count} texts, {len(data)} bytes")
    return True


def speed(arguments):
    path = json_of(arguments.tokenizer)
    tokenizer = reference_of(load(path))
    lines = list(read_lines(arguments.texts))
    texts = [line.decode(errors="replace") for line in lines]
    data = b"".join(struct.pack("<I", len(line)) + line for line in lines)
    size = sum(map(len, lines))
    with tempfile.NamedTemporaryFile(suffix=".section") as file:
        file.write(section_of(path, arguments.tools))
        file.flush()
        command = [os.path.join(arguments.tools, "tokenize_lines"), file.name, "--time", "1"]
        best = {}

        def note(name, seconds):
            best[name] = min(best.get(name, 1e9), seconds)

        for _ in range(arguments.rounds):
            output = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout.decode()
            note("ours", size / 1e6 / float(output.split(" MB/s")[0].split()[-1]))
            for name, run in (
                ("encode", lambda: [tokenizer.encode(text) for text in texts]),
                ("encode_batch_fast", lambda: tokenizer.encode_batch_fast(texts)),
            ):
                start = time.process_time()
                run()
                note(name, time.process_time() - start)
    fastest = min(best["encode"], best["encode_batch_fast"])
    print(f"tokenizers {tokenizers.__version__}, one thread, {size} bytes, best of {arguments.rounds}:")
    for name, seconds in best.items():
        print(f"{name}: {size / seconds / 1e6:.2f} MB/s")
    print(f"ours is {fastest / best['ours']:.1f} times as fast")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = {"compare": compare, "variants": variants, "fixtures": fixtures, "speed": speed}
    parser.add_argument("command", choices=commands)
    parser.add_argument("--tokenizer")
    parser.add_argument("--tokenizers")
    parser.add_argument("--tools", required=True)
    parser.add_argument("--output-dir")
    parser.add_argument("--texts", nargs="*", default=[])
    parser.add_argument("--parts", nargs="*", choices=PARTS)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--section", help="a folder; converted is what it has beside a tokenizer.json")
    parser.add_argument("--pattern", choices=PATTERNS, help="compare the words that it cuts, not tokens")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sys.exit(0 if commands[arguments.command](arguments) else 1)


if __name__ == "__main__":
    main()
