"""Small tokenizers of the kinds that decoders have: the components are those of the released tokenizer.json files, the
vocabulary is trained on a few lines. Every one has <s>, </s> and <pad>."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE

LINES = [
    "The cat is happy. the cat is not good, the dog is not bad: thank you, you're very good and very happy",
    "What is the dog? It is a good dog, isn't it? I love it and I hate it. naïve café, 1234 and 2.5",
    "hating loved sadly very sad what thank you love hate the cat the dog the cat not",
]
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
LOWER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = rf"{LOWER}{SHORT}|{UPPER}{SHORT}|\p{{N}}{{1,3}}|{REST}"
TEKKEN = rf"{LOWER}|{UPPER}|\p{{N}}|{REST}"


def trained(pre_tokenizer, normalizer, alphabet: list, pieces: int) -> tuple[dict, list]:
    """Vocabulary and merges of a model of `pieces` pieces beside the alphabet."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    characters = alphabet or sorted({c for line in LINES for c in normalizer.normalize_str(line)})
    trainer = trainers.BpeTrainer(vocab_size=len(characters) + pieces, initial_alphabet=alphabet, show_progress=False,
                                  limit_alphabet=len(characters))
    tokenizer.train_from_iterator(LINES, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(m) for m in model["merges"]]


def add_special(tokenizer: Tokenizer, bos: bool) -> Tokenizer:
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    return tokenizer


def byte_level(pattern: str | None, bos: bool, nfc: bool = False, ignore_merges: bool = False) -> Tokenizer:
    """Pieces are bytes: GPT-2's and those after it."""
    if pattern is None:
        steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    else:
        steps = [pre_tokenizers.Split(Regex(pattern), "isolated"),
                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    pre_tokenizer = pre_tokenizers.Sequence(steps)
    vocab, merges = trained(pre_tokenizer, None, pre_tokenizers.ByteLevel.alphabet(), 40)
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    return add_special(tokenizer, bos)


def sentencepiece(prepend: bool) -> Tokenizer:
    """Pieces are characters, with the bytes of unknown ones: Llama 2 (with a space before the text) and Gemma."""
    space = normalizers.Replace(" ", "▁")
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), space]) if prepend else space
    split = pre_tokenizers.Split(" ", "merged_with_previous")
    vocab, merges = trained(pre_tokenizers.Split("▁", "merged_with_next"), normalizer, [], 40)
    pieces = SPECIAL + [f"<0x{b:02X}>" for b in range(256)] + sorted(vocab, key=vocab.get)
    tokenizer = Tokenizer(BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=merges, unk_token="<unk>",
                              fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizer
    if not prepend:
        tokenizer.pre_tokenizer = split
    return add_special(tokenizer, bos=True)


TOKENIZERS = {
    "llama3": lambda: byte_level(LLAMA3, bos=True, ignore_merges=True),
    "qwen2": lambda: byte_level(QWEN2, bos=False, nfc=True),
    "smollm2": lambda: byte_level(None, bos=False),
    "o200k": lambda: byte_level(O200K, bos=False),
    "tekken": lambda: byte_level(TEKKEN, bos=True),
    "llama2": lambda: sentencepiece(prepend=True),
    "gemma": lambda: sentencepiece(prepend=False),
}
