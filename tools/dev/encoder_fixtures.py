#!/usr/bin/env python3
"""Tiny random checkpoints of every encoder family but BERT, with the reference implementation's answers.

    python tools/dev/encoder_fixtures.py tests/fixtures [family ...]

As bert_fixtures.py; the families are rows of FAMILIES. hidden.0 is what the first layer reads, hidden.1 ... what each
layer leaves, and the last one the final norm's where the architecture has one. Seeds are fixed.

A case named "tokens" is a ...ForTokenClassification: its logits are a row a token, and entities.json holds what
TokenClassificationPipeline makes of each text, for every aggregation: lists of [label, score, begin, end], in bytes.
"""

import argparse
import json
import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import transformers
from fixture_parts import TEXTS, VOCAB, randomize, save_config, save_expected, save_weights
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertTokenizerFast, PreTrainedTokenizerFast, TokenClassificationPipeline

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


@dataclass
class Family:
    """How the classes of a family are named, and where its layers are. `base` is the encoder within a classifier."""

    name: str
    classes: str
    layers: str
    base: str = ""
    final_norm: str = ""
    after_pad: bool = False  # positions begin after the padding's id
    shared: dict = field(default_factory=dict)  # of every config


@dataclass
class Case:
    family: str
    name: str
    config: dict
    classes: int = 2
    problem: str = SINGLE
    half: bool = False
    texts: list = field(default_factory=lambda: TEXTS)
    tokenizer: str = "wordpiece"

    @property
    def labels_tokens(self) -> bool:
        return self.name == "tokens"


def sizes(layers: int, width: int, heads: int, ffn: int, **more) -> dict:
    return {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": ffn,
            "max_position_embeddings": 40} | more


def distil_sizes(layers: int, width: int, heads: int, ffn: int, **more) -> dict:
    return {"n_layers": layers, "dim": width, "n_heads": heads, "hidden_dim": ffn, "max_position_embeddings": 40} | more


FAMILIES = {f.name: f for f in [
    Family("bert", "Bert", "encoder.layer", "bert"),
    Family("distilbert", "DistilBert", "transformer.layer", "distilbert"),
    Family("roberta", "Roberta", "encoder.layer", "roberta", after_pad=True, shared={"type_vocab_size": 1, "pad_token_id": 0}),
    Family("xlm_roberta", "XLMRoberta", "encoder.layer", "roberta", after_pad=True, shared={"type_vocab_size": 1, "pad_token_id": 0}),
    Family("camembert", "Camembert", "encoder.layer", "roberta", after_pad=True, shared={"type_vocab_size": 1, "pad_token_id": 0}),
    Family("electra", "Electra", "encoder.layer", "electra"),
    Family("modernbert", "ModernBert", "layers", "model", "final_norm", shared={
        "pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}),
    Family("mpnet", "MPNet", "encoder.layer", "mpnet", after_pad=True, shared={"pad_token_id": 1}),
    Family("deberta_v2", "DebertaV2", "encoder.layer", "deberta", shared={
        "relative_attention": True, "position_biased_input": False, "norm_rel_ebd": "layer_norm",
        "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16, "type_vocab_size": 0,
        "max_relative_positions": -1}),
    Family("nomic_bert", "NomicBert", "layers", "nomic_bert"),
    Family("albert", "Albert", "encoder.albert_layer_groups", "albert"),
]}

LONG = ["good bad " * 75, "the cat is not " * 9, "a", "hating loved sadly " * 3 + "x"]
MARKED = TEXTS + ["Anna-Maria Ögren met Dr. 王 in  Köln\u00a0on 3.1., he said: \U0001f600\U0001f3fd happy cat",
                  "the cat dog cat   the dog is not good", "unhappily sadly lovely"]
PADDED = TEXTS[:4] + ["good [PAD] cat [PAD][PAD] dog"] + TEXTS[5:]

CASES = [
    Case("distilbert", "two_classes", distil_sizes(2, 24, 3, 40)),
    Case("distilbert", "one_value", distil_sizes(1, 16, 1, 20), 1, REGRESSION),
    Case("distilbert", "relu_multi_label", distil_sizes(2, 33, 3, 17, activation="relu"), 5, MULTI),
    Case("distilbert", "heads_of_one", distil_sizes(3, 12, 12, 31), 3),
    Case("distilbert", "f16_wide_head", distil_sizes(1, 35, 1, 48), 12, half=True),
    Case("roberta", "two_classes", sizes(2, 24, 3, 40), texts=PADDED),
    Case("roberta", "padding_id_1", sizes(2, 20, 5, 33, pad_token_id=1), 3, texts=PADDED),
    Case("roberta", "one_value", sizes(1, 17, 1, 21), 1, REGRESSION),
    Case("roberta", "two_types_tanh_gelu", sizes(3, 12, 2, 30, type_vocab_size=2, hidden_act="gelu_new"), 28, MULTI),
    Case("roberta", "f16_eps", sizes(1, 36, 4, 30, layer_norm_eps=1e-5), 4, half=True, texts=PADDED),
    Case("xlm_roberta", "two_classes", sizes(2, 18, 3, 25), texts=PADDED),
    Case("xlm_roberta", "one_value_padding_id_1", sizes(1, 15, 3, 22, pad_token_id=1), 1, REGRESSION, texts=PADDED),
    Case("xlm_roberta", "relu_multi_label", sizes(3, 12, 4, 19, hidden_act="relu"), 7, MULTI),
    Case("xlm_roberta", "f16_eps_two_types", sizes(1, 26, 2, 31, layer_norm_eps=1e-5, type_vocab_size=2), 3, half=True,
         texts=PADDED),
    Case("camembert", "multi_label", sizes(1, 22, 2, 35, pad_token_id=1), 4, MULTI, texts=PADDED),
    Case("camembert", "heads_of_one", sizes(2, 11, 11, 28), 3, texts=PADDED),
    Case("camembert", "tanh_gelu_one_value", sizes(3, 14, 7, 23, hidden_act="gelu_new"), 1, REGRESSION),
    Case("camembert", "f16_wide_head", sizes(1, 35, 1, 18, pad_token_id=1), 28, MULTI, half=True, texts=PADDED),
    Case("electra", "narrow_embeddings", sizes(2, 24, 4, 40, embedding_size=13)),
    Case("electra", "equal_widths", sizes(1, 20, 5, 33, embedding_size=20), 3),
    Case("electra", "wide_embeddings", sizes(1, 16, 2, 20, embedding_size=37), 1, REGRESSION),
    Case("electra", "relu_multi_label", sizes(3, 12, 3, 31, embedding_size=8, hidden_act="relu"), 6, MULTI),
    Case("electra", "f16", sizes(2, 28, 7, 45, embedding_size=16), 2, half=True),
    Case("albert", "one_group", sizes(3, 24, 3, 40, embedding_size=11)),
    Case("albert", "two_groups", sizes(4, 20, 5, 33, embedding_size=20, num_hidden_groups=2), 3),
    Case("albert", "gelu", sizes(2, 17, 1, 21, embedding_size=9, hidden_act="gelu"), 1, REGRESSION),
    Case("albert", "every_layer_its_own", sizes(2, 16, 4, 30, embedding_size=8, num_hidden_groups=2), 7, MULTI),
    Case("modernbert", "window_3", sizes(5, 12, 3, 20, local_attention=7)),
    Case("modernbert", "mean_every_second", sizes(3, 12, 2, 17, local_attention=2, classifier_pooling="mean",
                                                  global_attn_every_n_layers=2), 3),
    Case("modernbert", "biases", sizes(3, 16, 4, 12, local_attention=9, norm_bias=True, attention_bias=True,
                                       mlp_bias=True, classifier_bias=True, classifier_activation="silu"), 1,
         REGRESSION),
    Case("modernbert", "all_global_silu", sizes(2, 18, 1, 31, hidden_activation="silu", global_attn_every_n_layers=1),
         5, MULTI),
    Case("modernbert", "f16_window_10", sizes(4, 20, 2, 18, local_attention=20), 28, MULTI, half=True),
    Case("nomic_bert", "two_classes", sizes(2, 24, 3, 40)),
    Case("nomic_bert", "one_value", sizes(1, 16, 1, 21), 1, REGRESSION),
    Case("nomic_bert", "gelu", sizes(2, 20, 5, 33, hidden_act="gelu", type_vocab_size=1), 3),
    Case("nomic_bert", "wide_heads", sizes(2, 17, 3, 24, head_dim=10), 4, MULTI),
    Case("nomic_bert", "f16_theta", sizes(2, 28, 2, 30, rope_parameters={"rope_type": "default", "rope_theta": 77.0}),
         2, half=True),
    Case("mpnet", "two_classes", sizes(2, 24, 3, 40), texts=PADDED),
    Case("mpnet", "one_value", sizes(1, 17, 1, 21), 1, REGRESSION),
    Case("mpnet", "long_texts", sizes(2, 16, 4, 20, max_position_embeddings=220), 3, texts=LONG),
    Case("mpnet", "gelu_new_multi_label", sizes(3, 12, 2, 30, hidden_act="gelu_new"), 6, MULTI, texts=PADDED),
    Case("mpnet", "f16", sizes(2, 20, 5, 33, layer_norm_eps=1e-5), 2, half=True, texts=PADDED),
    Case("deberta_v2", "v3", sizes(2, 24, 3, 40)),
    Case("deberta_v2", "own_products", sizes(2, 20, 2, 33, share_att_key=False, norm_rel_ebd="none"), 3),
    Case("deberta_v2", "c2p_alone_no_buckets", sizes(2, 16, 4, 20, pos_att_type=["c2p"], position_buckets=-1,
                                                     max_relative_positions=12), 1, REGRESSION),
    Case("deberta_v2", "p2c_alone_types_positions", sizes(
        1, 18, 3, 25, pos_att_type=["p2c"], share_att_key=False, position_biased_input=True, type_vocab_size=2,
        position_buckets=5, pooler_hidden_act="tanh"), 5, MULTI),
    Case("deberta_v2", "long_texts", sizes(2, 16, 2, 20, max_position_embeddings=150), 2, texts=LONG),
    Case("deberta_v2", "f16_wide_head", sizes(2, 28, 1, 45), 4, half=True),
    Case("bert", "tokens", sizes(2, 24, 3, 40), 4, texts=MARKED),
    Case("distilbert", "tokens", distil_sizes(1, 20, 2, 33), 5, texts=MARKED),
    Case("roberta", "tokens", sizes(2, 20, 2, 33), 4, texts=MARKED, tokenizer="bytes"),
    Case("xlm_roberta", "tokens", sizes(1, 18, 3, 25), 4, texts=MARKED, tokenizer="pieces"),
    Case("camembert", "tokens", sizes(1, 16, 2, 21), 3, texts=MARKED, tokenizer="pieces"),
    Case("electra", "tokens", sizes(1, 20, 4, 30, embedding_size=13), 5, texts=MARKED),
    Case("albert", "tokens", sizes(2, 20, 5, 33, embedding_size=9), 4, texts=MARKED, tokenizer="pieces"),
    Case("mpnet", "tokens", sizes(1, 24, 3, 40), 4, texts=MARKED),
    Case("deberta_v2", "tokens", sizes(2, 20, 2, 33), 5, texts=MARKED, tokenizer="pieces"),
    Case("modernbert", "tokens", sizes(3, 16, 2, 21, local_attention=6), 4, texts=MARKED, tokenizer="bytes"),
    Case("nomic_bert", "tokens", sizes(2, 20, 2, 24), 4, texts=MARKED),
    Case("albert", "f16_wide_embeddings", sizes(3, 15, 3, 50, embedding_size=26), 2, half=True),
]


LABELS = ["O", "B-PER", "I-PER", "LOC", "date-time"]


def make_tokenizer(kind: str, path: Path) -> PreTrainedTokenizerFast:
    """Writes tokenizer.json: WordPiece, BPE of bytes, or Unigram with the words' beginnings marked."""
    specials = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]",
                "mask_token": "[MASK]"}
    inputs = {"model_input_names": ["input_ids", "attention_mask"]}
    if kind == "wordpiece":
        (path / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
        BertTokenizerFast(vocab=str(path / "vocab.txt")).backend_tokenizer.save(str(path / "tokenizer.json"))
        (path / "vocab.txt").unlink()
    else:
        special = [f"[{n}]" for n in ("PAD", "UNK", "CLS", "SEP", "MASK")]
        if kind == "bytes":
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False,
                                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
            tokenizer.train_from_iterator(MARKED, trainer)
            tokenizer.decoder = decoders.ByteLevel()
        else:
            words = ["\u2581" + w for w in ["the", "cat", "dog", "is", "not", "good", "happy", "An", "D", "he", "un", ""]]
            pieces = words + ["na", "ly", "sad", "love", "happi", "ing", "-", ".", ",", "!"] + list(
                "abcdefghijklmnopqrstuvwxyzKM13")
            vocab = [(t, 0.0) for t in special] + [(p, -1.0 - 0.13 * i) for i, p in enumerate(pieces)]
            tokenizer = Tokenizer(models.Unigram(vocab, unk_id=1))
            tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
            tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
            tokenizer.add_special_tokens(special)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", special.index("[CLS]")), ("[SEP]", special.index("[SEP]"))])
        tokenizer.save(str(path / "tokenizer.json"))
    return PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"), **specials, **inputs)


@torch.no_grad()
def spread_labels(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, texts: list) -> None:
    """Centres the classifier, so that every label is some token's. Rounded: the same weights on any machine."""
    model.eval()
    logits = torch.cat([model(**tokenizer(t, truncation=True, max_length=32, return_tensors="pt")).logits[0] for t in texts])
    model.classifier.weight.mul_(torch.round(2 / logits.std(0).mean(), decimals=1))
    logits = torch.cat([model(**tokenizer(t, truncation=True, max_length=32, return_tensors="pt")).logits[0] for t in texts])
    model.classifier.bias.sub_(torch.round(logits.mean(0), decimals=1))


def save_entities(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, texts: list, folder: Path) -> None:
    pipeline = TokenClassificationPipeline(model=model, tokenizer=tokenizer, task="token-classification")
    found = {}
    for strategy in ("none", "simple", "first", "average", "max"):
        found[strategy] = [[[e.get("entity", e.get("entity_group")), float(e["score"]),
                             *(len(text[: e[end]].encode()) for end in ("start", "end"))]
                            for e in pipeline(text, aggregation_strategy=strategy)] if text else [] for text in texts]
    (folder / "entities.json").write_text(json.dumps(found, indent=None, separators=(",", ":")))


def module_at(model: torch.nn.Module, path: str) -> torch.nn.Module:
    for part in path.split("."):
        model = getattr(model, part)
    return model


class Stages:
    """What the first layer reads and every layer writes, of one call."""

    def __init__(self, model: torch.nn.Module, family: Family):
        base = module_at(model, family.base)
        self.rows = []
        for layer in module_at(base, family.layers):
            layer.register_forward_pre_hook(self.before, with_kwargs=True)
            layer.register_forward_hook(self.after)
        if family.final_norm:
            module_at(base, family.final_norm).register_forward_hook(self.after)

    def before(self, _, args, kwargs) -> None:
        if not self.rows:
            self.rows.append((args[0] if args else kwargs["hidden_states"])[0].numpy().copy())

    def after(self, _, __, output) -> None:
        self.rows.append((output[0] if isinstance(output, tuple) else output)[0].numpy().copy())


def make(case: Case, root: Path) -> None:
    family = FAMILIES[case.family]
    folder = root / case.family / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer(case.tokenizer, folder)
    config = getattr(transformers, family.classes + "Config")(
        **({"vocab_size": len(tokenizer), "num_labels": case.classes, "problem_type": case.problem} | family.shared |
           case.config))
    name = family.classes + ("ForTokenClassification" if case.labels_tokens else "ForSequenceClassification")
    config.architectures = [name]
    config._attn_implementation = "eager"
    model = getattr(transformers, name)(config)
    randomize(model, zlib.crc32((case.family if case.labels_tokens else folder.name).encode()))
    if case.labels_tokens:
        spread_labels(model, tokenizer, case.texts)
    tensors = {n: p.detach().numpy() for n, p in model.state_dict().items() if "position_ids" not in n}
    if case.half:
        tensors = {n: t.astype(np.float16) for n, t in tensors.items()}
    model.load_state_dict({n: torch.from_numpy(t.astype(np.float32)) for n, t in tensors.items()}, strict=False)
    model.eval()
    if case.labels_tokens:
        config.problem_type = None
        config.id2label = dict(enumerate(LABELS[: case.classes]))
    save_config(config, case.classes, folder, LABELS if case.labels_tokens else None)
    save_weights(tensors, folder)

    limit = config.max_position_embeddings - (config.pad_token_id + 1 if family.after_pad else 0)
    stages = Stages(model, family)
    ids, starts, logits, hidden = [], [0], [], []
    for text in case.texts:
        encoded = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
        stages.rows = []
        with torch.no_grad():
            out = model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
        ids += encoded["input_ids"][0].tolist()
        starts.append(len(ids))
        hidden.append(stages.rows)
        logits.append(out.logits[0].numpy())
    if case.labels_tokens:
        tokenizer.model_max_length = limit
        save_entities(model, tokenizer, case.texts, folder)
    save_expected(folder, case.texts, ids, starts, logits, list(zip(*hidden)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("families", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("transformers", transformers.__version__)
    for case in CASES:
        if arguments.families and case.family not in arguments.families:
            continue
        make(case, arguments.output)
        size = sum(f.stat().st_size for f in (arguments.output / case.family / case.name).iterdir())
        print(f"{case.family}/{case.name}: {size} bytes")


if __name__ == "__main__":
    main()
