"""The same model for every runtime. Slow (minutes); what is made is kept in the work folder and made again on --remake.

Every function makes one runtime's files and returns their paths; a failure is kept and reported, never worked around.
"""

import json
import pathlib
import shutil
import subprocess

import numpy as np

BASE = dict(hidden_size=768, num_attention_heads=12, intermediate_size=3072)
DEBERTA_V3 = BASE | dict(vocab_size=128100, relative_attention=True, position_buckets=256, norm_rel_ebd="layer_norm",
                         share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
                         layer_norm_eps=1e-7, max_relative_positions=-1)
# name -> (family in transformers, its config). The tokenizer is BERT's for all: passes are timed over the same ids.
SHAPES = {
    "minilm-l6": ("Bert", dict(num_hidden_layers=6, hidden_size=384, num_attention_heads=12, intermediate_size=1536)),
    "bert-base": ("Bert", BASE | dict(num_hidden_layers=12)),
    "deberta-v3-small": ("DebertaV2", DEBERTA_V3 | dict(num_hidden_layers=6)),
    "deberta-v3-base": ("DebertaV2", DEBERTA_V3 | dict(num_hidden_layers=12)),
    "modernbert-base": ("ModernBert", dict(num_hidden_layers=22, hidden_size=768, num_attention_heads=12, vocab_size=50368,
                                           intermediate_size=1152, max_position_embeddings=8192)),
}
CLASSES = 28  # of the random shapes; the first head of the emotion model has as many


def torch_model(folder):
    """logits = heads(tanh(pooler(h[CLS]))) over every head side by side, in f32; of another family as its class has it."""
    import torch
    import transformers
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    if not architecture.startswith("Bert"):

        class Logits(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = getattr(transformers, architecture).from_pretrained(folder, attn_implementation="eager")

            def forward(self, input_ids, attention_mask):
                return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

        return Logits().eval()

    config = BertConfig.from_pretrained(folder, attn_implementation="eager")
    state = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    heads = sorted({k.rsplit(".", 1)[0] for k in state if k.startswith(("heads.", "classifier."))},
                   key=lambda name: list(state).index(name + ".weight"))
    onepass = folder / "onepass.json"
    if onepass.exists():  # the order of the runtime's logits
        heads = ["heads." + head["name"] for head in json.loads(onepass.read_text())["heads"]]

    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = BertModel(config)
            weight = torch.cat([state[h + ".weight"] for h in heads])
            self.head = torch.nn.Linear(weight.shape[1], weight.shape[0])
            self.bert.load_state_dict({k.removeprefix("bert."): v for k, v in state.items()
                                       if not k.startswith(("heads.", "classifier."))})
            self.head.load_state_dict({"weight": weight, "bias": torch.cat([state[h + ".bias"] for h in heads])})

        def forward(self, input_ids, attention_mask):
            return self.head(self.bert(input_ids=input_ids, attention_mask=attention_mask).pooler_output)

    return Classifier().eval()


def folder_of(name, root, work):
    """The Hugging Face folder: the shipped model, or one of random weights."""
    emotion = root / "models" / "emotion"
    if name == "emotion":
        return emotion
    folder = work / name / "hf"
    if (folder / "model.safetensors").exists():
        return folder
    import torch
    import transformers

    torch.manual_seed(7)
    family, shape = SHAPES[name]
    config = getattr(transformers, family + "Config")(**(dict(
        vocab_size=30522, num_labels=CLASSES, problem_type="single_label_classification", initializer_range=0.05,
        pad_token_id=0) | shape))
    getattr(transformers, family + "ForSequenceClassification")(config).save_pretrained(folder)
    for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(emotion / file, folder)
    if family != "Bert":  # else the tokenizer's class would follow from the model's
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


def onnx_f32(folder, out, work):
    """Exported by torch, then fused by onnxruntime.transformers' own optimizer for BERT; the attention of other families
    is left as it is, and what ONNX Runtime fuses when it loads the graph comes on top."""
    import torch
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    model = torch_model(folder)
    ids = torch.ones(2, 9, dtype=torch.int64)
    plain = out / "plain.onnx"
    torch.onnx.export(model, (ids, ids), str(plain), input_names=["input_ids", "attention_mask"],
                      output_names=["logits"], dynamic_axes={"input_ids": {0: "batch", 1: "tokens"},
                                                             "attention_mask": {0: "batch", 1: "tokens"},
                                                             "logits": {0: "batch"}}, opset_version=17, dynamo=False)
    options = FusionOptions("bert")
    config = json.loads((folder / "config.json").read_text())
    layers = config["num_hidden_layers"]
    fused = optimizer.optimize_model(str(plain), model_type="bert", num_heads=config["num_attention_heads"],
                                     hidden_size=config["hidden_size"], optimization_options=options)
    statistics = fused.get_fused_operator_statistics()
    fused.save_model_to_file(str(out / "fused.onnx"))
    (out / "fused.json").write_text(json.dumps(statistics))
    if config["model_type"] == "bert" and statistics.get("Attention", 0) != layers:
        raise RuntimeError(f"the optimizer fused {statistics.get('Attention', 0)} of {layers} layers")
    return out / "fused.onnx"


def onnx_int8(folder, out, work, per_channel=False):
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = out / ("int8c.onnx" if per_channel else "int8.onnx")
    # DefaultTensorType: the quantizer cannot infer the types behind the fused operators.
    quantize_dynamic(str(out / "fused.onnx"), str(target), weight_type=QuantType.QInt8, per_channel=per_channel,
                     extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT})
    return target


def onnx_int4(folder, out, work):
    """MatMulNBits, blocks of 32, int8 activations (accuracy_level 4). From the plain graph: Attention takes no int4."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(str(out / "plain.onnx")), block_size=32, is_symmetric=True,
                                     accuracy_level=4)
    quantizer.process()
    target = out / "int4.onnx"
    quantizer.model.save_model_to_file(str(target), False)
    return target


def gguf_file(kind, folder, out, work):
    """llama.cpp's bert with its ranking head: cls is the pooler, cls.output the classes."""
    import gguf

    model = torch_model(folder)
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    c = model.bert.config
    target = out / f"{kind}.gguf"
    writer = gguf.GGUFWriter(str(target), "bert")
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_layer_norm_eps(c.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    classes = state["head.weight"].shape[0]
    writer.add_classifier_output_labels([f"label {i}" for i in range(classes)])
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    writer.add_tokenizer_model("bert")
    writer.add_token_list([w[2:] if w.startswith("##") else w if w.startswith("[") and w.endswith("]") else "\u2581" + w
                           for w in words])
    writer.add_token_types([gguf.TokenType.CONTROL if w in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
                            else gguf.TokenType.NORMAL for w in words])
    writer.add_token_type_count(2)
    for name, word in (("bos", "[CLS]"), ("eos", "[SEP]"), ("unk", "[UNK]"), ("sep", "[SEP]"), ("pad", "[PAD]"),
                       ("mask", "[MASK]")):
        getattr(writer, f"add_{name}_token_id")(words.index(word))
    types = {"f32": gguf.GGMLQuantizationType.F32, "q8_0": gguf.GGMLQuantizationType.Q8_0,
             "q4_0": gguf.GGMLQuantizationType.Q4_0}

    def put(name, value, quantized):
        value = np.ascontiguousarray(value, dtype=np.float32)
        if quantized and kind != "f32":
            writer.add_tensor(name, gguf.quants.quantize(value, types[kind]), raw_dtype=types[kind])
        else:
            writer.add_tensor(name, value)

    e = "bert.embeddings."
    put("token_embd.weight", state[e + "word_embeddings.weight"], True)
    put("position_embd.weight", state[e + "position_embeddings.weight"], False)
    put("token_types.weight", state[e + "token_type_embeddings.weight"], False)
    for part in ("weight", "bias"):
        put(f"token_embd_norm.{part}", state[f"{e}LayerNorm.{part}"], False)
        put(f"cls.{part}", state[f"bert.pooler.dense.{part}"], False)
        put(f"cls.output.{part}", state[f"head.{part}"], False)
    names = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
             "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
             "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
    for layer in range(c.num_hidden_layers):
        for theirs, ours in names.items():
            for part in ("weight", "bias"):
                put(f"blk.{layer}.{ours}.{part}", state[f"bert.encoder.layer.{layer}.{theirs}.{part}"],
                    part == "weight" and "norm" not in ours)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def ctranslate2_int8(folder, out, work):
    """The encoder alone: CTranslate2 has no classification head; ours is applied to its pooler's output."""
    import ctranslate2
    from transformers import BertModel

    plain = out / "bert-model"
    model = torch_model(folder)
    model.bert.config.position_embedding_type = "absolute"  # which the converter asks for, and newer configs leave out
    model.bert.save_pretrained(plain)
    for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / file, plain)
    np.savez(out / "ct2-head.npz", weight=model.head.weight.detach().numpy(), bias=model.head.bias.detach().numpy())
    ctranslate2.converters.TransformersConverter(str(plain)).convert(str(out / "ct2"), quantization="int8", force=True)
    return out / "ct2"


def openvino_weights(folder, out, work):
    """Weights int8 (nncf.compress_weights), activations quantised by the plugin as it runs, in groups of 32."""
    import nncf
    import openvino as ov

    model = ov.convert_model(str(out / "plain.onnx"))
    model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    ov.save_model(model, str(out / "ov-weights.xml"), compress_to_fp16=False)
    return out / "ov-weights.xml"


def openvino_ptq(folder, out, work):
    """Weights and activations int8 with fixed scales (nncf.quantize for transformers), calibrated on the chat lines."""
    import nncf
    import openvino as ov
    from transformers import AutoTokenizer

    import texts

    lines = [ids for name in ("32 lines", "128") for ids in texts.cases(AutoTokenizer.from_pretrained(folder))[name]]
    feeds = [{"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)} for ids in lines]
    model = ov.convert_model(str(out / "plain.onnx"))
    model = nncf.quantize(model, nncf.Dataset(feeds), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(feeds),
                          fast_bias_correction=True)
    ov.save_model(model, str(out / "ov-ptq.xml"), compress_to_fp16=False)
    return out / "ov-ptq.xml"


def onepass_file(weights, folder, out, command):
    target = out / f"{weights}.onepass"
    extra = ["--kind", "labels=single_label"] if not (folder / "onepass.json").exists() else []
    for options in (extra, []):
        done = subprocess.run([command, "convert", str(folder), "-o", str(target), "--weights", weights, *options],
                              capture_output=True, text=True)
        if done.returncode == 0:
            return target
    raise RuntimeError(done.stderr.strip()[-300:])


BERT_ALONE = ("gguf", "ct2", "ov")  # what is written for BERT here
STEPS = {  # in an order in which each finds what it needs
    "onnx-f32": onnx_f32, "onnx-int8": onnx_int8, "onnx-int8-channels": lambda *a: onnx_int8(*a, per_channel=True), "onnx-int4": onnx_int4,
    "gguf-q8_0": lambda *a: gguf_file("q8_0", *a), "gguf-q4_0": lambda *a: gguf_file("q4_0", *a),
    "ct2": ctranslate2_int8, "ov-weights": openvino_weights, "ov-ptq": openvino_ptq,
}


def prepare(name, root, work, command, remake, say):
    """Files by step; a step that failed has an 'error: ...' in place of its path."""
    folder = folder_of(name, root, work)
    out = work / name
    out.mkdir(parents=True, exist_ok=True)
    record = out / "made.json"
    made = json.loads(record.read_text()) if record.exists() and not remake else {}
    for step, make in STEPS.items():
        if step in made and pathlib.Path(made[step]).exists():
            continue
        if step.startswith(BERT_ALONE) and SHAPES.get(name, ("Bert",))[0] != "Bert":
            made[step] = "error: not made for this family"
            continue
        say(f"{name}: making {step}")
        try:
            made[step] = str(make(folder, out, work))
        except Exception as error:  # pylint: disable=broad-except
            made[step] = f"error: {type(error).__name__}: {str(error).strip().splitlines()[0][:300] if str(error) else ''}"
        record.write_text(json.dumps(made, indent=1))
    for weights in ("int8", "int4", "f32"):  # always anew: the converter is ours
        try:
            made[f"onepass-{weights}"] = str(onepass_file(weights, folder, out, command))
        except RuntimeError as error:
            made[f"onepass-{weights}"] = f"error: {error}"
    made["hf"] = str(folder)
    record.write_text(json.dumps(made, indent=1))
    return made
