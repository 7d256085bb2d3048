#!/usr/bin/env python3
"""A checkpoint of a published model's shape with random weights and a real tokenizer, for compare_reference.py.

    python tools/dev/random_checkpoint.py deberta-v3-small TOKENIZER OUT [--labels 5]

TOKENIZER is a folder with tokenizer.json (or tokenizer.derived.json, in its place), or with spm.model, spiece.model or
vocab.txt for the converter; its files are copied. Weights are of a size that makes every part matter (fixture_parts.py).
"""

import argparse
import shutil
import zlib
from pathlib import Path

import torch
import transformers
from fixture_parts import randomize, save_config


def sizes(layers: int, width: int, heads: int, ffn: int, vocab: int, positions: int = 512, **more) -> dict:
    return {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": ffn,
            "vocab_size": vocab, "max_position_embeddings": positions} | more


DEBERTA_V3 = {"relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm", "share_att_key": True,
              "pos_att_type": "p2c|c2p", "position_biased_input": False, "type_vocab_size": 0, "layer_norm_eps": 1e-7,
              "max_relative_positions": -1}
ROBERTA = {"type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5}

SHAPES = {
    "minilm-l6": ("Bert", sizes(6, 384, 12, 1536, 30522)),
    "electra-small": ("Electra", sizes(12, 256, 4, 1024, 30522, embedding_size=128)),
    "albert-base": ("Albert", sizes(12, 768, 12, 3072, 30000, embedding_size=128)),
    "distilbert-base": ("DistilBert", {"n_layers": 6, "dim": 768, "n_heads": 12, "hidden_dim": 3072}),
    "distilroberta-base": ("Roberta", sizes(6, 768, 12, 3072, 50265, 514, **ROBERTA)),
    "xlm-roberta-minilm": ("XLMRoberta", sizes(6, 384, 12, 1536, 250002, 514, **ROBERTA)),
    "mpnet-base": ("MPNet", sizes(12, 768, 12, 3072, 30527, 514, pad_token_id=1)),
    "deberta-v3-xsmall": ("DebertaV2", sizes(12, 384, 6, 1536, 128100, **DEBERTA_V3)),
    "deberta-v3-small": ("DebertaV2", sizes(6, 768, 12, 3072, 128100, **DEBERTA_V3)),
    "deberta-v3-base": ("DebertaV2", sizes(12, 768, 12, 3072, 128100, **DEBERTA_V3)),
    "modernbert-base": ("ModernBert", sizes(22, 768, 12, 1152, 50368, 8192)),
    "nomic-bert": ("NomicBert", sizes(12, 768, 12, 3072, 30528, 2048)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--labels", type=int, default=5)
    arguments = parser.parse_args()
    family, config = SHAPES[arguments.shape]
    config = getattr(transformers, family + "Config")(
        **config, num_labels=arguments.labels, problem_type="single_label_classification")
    config.architectures = [family + "ForSequenceClassification"]
    model = getattr(transformers, config.architectures[0])(config)
    randomize(model, zlib.crc32(arguments.shape.encode()))
    arguments.output.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(arguments.output)
    save_config(config, arguments.labels, arguments.output)
    for name in ("tokenizer.json", "tokenizer.derived.json", "tokenizer_config.json", "vocab.txt", "vocab.json",
                 "merges.txt", "spm.model", "spiece.model", "added_tokens.json", "special_tokens_map.json"):
        if (arguments.tokenizer / name).exists():
            shutil.copyfile(arguments.tokenizer / name, arguments.output / name.replace(".derived", ""))
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{arguments.output}: {arguments.shape}, {parameters / 1e6:.1f} million parameters")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
