"""The runtimes, one class each, and the worker process that holds one of them.

A runtime has load(files, threads), which reads its file, and run(batch), which takes lists of ids and returns logits
as an array [texts, classes]. What can be made ahead of a call (padding, arrays) is made in prepare(batch), and is not
timed: every runtime is handed what its own API wants to see.
"""

import ctypes
import gc
import importlib.util
import json
import os
import pathlib
import platform
import sys
import time

import numpy as np


def pad(batch):
    ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(batch):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


class Torch:
    package = "torch"

    def __init__(self, how):
        self.how = how

    def load(self, files, threads):
        import torch

        import prepare

        torch.set_num_threads(threads)
        self.torch = torch
        self.model = prepare.torch_model(pathlib.Path(files["hf"]))
        if self.how == "int8":
            self.model = torch.ao.quantization.quantize_dynamic(self.model, {torch.nn.Linear}, dtype=torch.qint8)
        if self.how == "compiled":
            torch._dynamo.reset()
            self.model = torch.compile(self.model, dynamic=True)

    def prepare(self, batch):
        return [self.torch.from_numpy(x) for x in pad(batch)]

    def run(self, feed):
        with self.torch.inference_mode():
            return self.model(*feed).numpy()


class Onnx:
    package = "onnxruntime"

    def __init__(self, step):
        self.step = step

    def load(self, files, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(files[self.step], options, providers=["CPUExecutionProvider"])
        self.types = {i.name: np.int32 if "int32" in i.type else np.int64 for i in self.session.get_inputs()}

    def prepare(self, batch):
        ids, mask = pad(batch)
        return {name: value.astype(self.types[name]) for name, value in (("input_ids", ids), ("attention_mask", mask))}

    def run(self, feed):
        return self.session.run(None, feed)[0]


class OpenVino:
    package = "openvino"

    def __init__(self, step):
        self.step = step

    def load(self, files, threads):
        import openvino

        core = openvino.Core()
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1",
                    "INFERENCE_PRECISION_HINT": "f32"}
        if self.step == "ov-weights":
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = "32"
        self.request = core.compile_model(files[self.step], "CPU", settings).create_infer_request()

    def prepare(self, batch):
        ids, mask = pad(batch)
        return {"input_ids": ids, "attention_mask": mask}

    def run(self, feed):
        return next(iter(self.request.infer(feed, share_inputs=True).values()))


class CTranslate2:
    package = "ctranslate2"

    def load(self, files, threads):
        import ctranslate2

        self.encoder = ctranslate2.Encoder(files["ct2"], device="cpu", compute_type="int8", intra_threads=threads,
                                           inter_threads=1)
        head = np.load(pathlib.Path(files["ct2"]).parent / "ct2-head.npz")
        self.weight, self.bias = head["weight"], head["bias"]

    def prepare(self, batch):
        return batch

    def run(self, feed):
        pooled = np.array(self.encoder.forward_batch(feed).pooler_output)
        return pooled @ self.weight.T + self.bias


class LlamaCpp:
    package = "llama_cpp"
    quiet = None

    def __init__(self, step):
        self.step = step

    def start(self):
        import llama_cpp

        self.api = llama_cpp
        if LlamaCpp.quiet is None:  # the library keeps it for good, so it must never be freed
            LlamaCpp.quiet = llama_cpp.llama_log_callback(lambda *_: None)
            llama_cpp.llama_log_set(LlamaCpp.quiet, ctypes.c_void_p(0))
            llama_cpp.llama_backend_init()
        self.model = self.context = None
        return llama_cpp

    def load(self, files, threads):
        llama_cpp = self.start()
        options = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(files[self.step].encode(), options)
        if not self.model:
            raise RuntimeError("llama.cpp did not load " + files[self.step])
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = 2048
        context.n_seq_max = 64
        context.kv_unified = True
        context.n_threads = context.n_threads_batch = threads
        context.embeddings = True
        context.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_RANK
        self.context = llama_cpp.llama_init_from_model(self.model, context)
        if not self.context:
            raise RuntimeError("llama.cpp made no context")
        self.classes = llama_cpp.llama_model_n_cls_out(self.model)

    def prepare(self, batch):
        tokens = sum(map(len, batch))
        feed = self.api.llama_batch_init(tokens, 0, 1)
        at = 0
        for sequence, text in enumerate(batch):
            for position, token in enumerate(text):
                feed.token[at], feed.pos[at], feed.n_seq_id[at] = int(token), position, 1
                feed.seq_id[at][0], feed.logits[at] = sequence, True
                at += 1
        feed.n_tokens = at
        return feed, len(batch)

    def run(self, prepared):
        feed, count = prepared
        memory = self.api.llama_get_memory(self.context)
        if memory:
            self.api.llama_memory_clear(memory, True)
        status = self.api.llama_encode(self.context, feed)
        if status != 0:
            raise RuntimeError(f"llama_encode: {status}")
        rows = [self.api.llama_get_embeddings_seq(self.context, s)[: self.classes] for s in range(count)]
        return np.array(rows, np.float32)

    def __del__(self):
        if getattr(self, "context", None):
            self.api.llama_free(self.context)
        if getattr(self, "model", None):
            self.api.llama_model_free(self.model)


class LlamaCppWords(LlamaCpp):
    """A decoder: the logits of the last token, of the whole vocabulary. `cache` is the type of keys and values."""

    def __init__(self, step, cache="f16"):
        super().__init__(step)
        self.cache = cache

    def load(self, files, threads):
        self.start()
        self.model = self.api.llama_model_load_from_file(files[self.step].encode(), self.api.llama_model_default_params())
        if not self.model:
            raise RuntimeError("llama.cpp did not load " + files[self.step])
        context = self.api.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = 2048
        context.n_threads = context.n_threads_batch = threads
        if self.cache == "f32":
            context.type_k = context.type_v = 0  # GGML_TYPE_F32
            context.flash_attn_type = 0
        self.context = self.api.llama_init_from_model(self.model, context)
        if not self.context:
            raise RuntimeError("llama.cpp made no context")
        self.classes = self.api.llama_vocab_n_tokens(self.api.llama_model_get_vocab(self.model))

    def prepare(self, batch):
        if len(batch) != 1:
            raise ValueError("one text at a time")
        feed, _ = super().prepare(batch)
        for at in range(feed.n_tokens):
            feed.logits[at] = at + 1 == feed.n_tokens
        return feed

    def run(self, feed):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        status = self.api.llama_decode(self.context, feed)
        if status != 0:
            raise RuntimeError(f"llama_decode: {status}")
        return np.array([self.api.llama_get_logits_ith(self.context, -1)[: self.classes]], np.float32)


class Onepass:
    package = None

    def __init__(self, weights, isa=None):
        self.weights, self.isa = weights, isa

    def load(self, files, threads):
        self.library = ctypes.CDLL(os.environ["ONEPASS_PEER"])
        self.library.onepass_peer_open.restype = ctypes.c_void_p
        self.library.onepass_peer_isa.restype = ctypes.c_char_p
        for name in ("close", "isa", "classes"):
            getattr(self.library, "onepass_peer_" + name).argtypes = [ctypes.c_void_p]
        self.library.onepass_peer_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t,
                                                  ctypes.c_void_p]
        message = ctypes.create_string_buffer(400)
        isa = self.isa.encode() if self.isa else None
        self.peer = self.library.onepass_peer_open(files["onepass-" + self.weights].encode(), isa, threads, 0, message,
                                                   400)
        if not self.peer:
            raise RuntimeError(message.value.decode())
        self.classes = self.library.onepass_peer_classes(self.peer)

    def prepare(self, batch):
        ids = np.array([i for text in batch for i in text], np.uint32)
        starts = np.cumsum([0] + [len(text) for text in batch]).astype(np.uint32)
        return ids, starts, np.zeros((len(batch), self.classes), np.float32)

    def run(self, feed):
        ids, starts, logits = feed
        status = self.library.onepass_peer_run(self.peer, ids.ctypes.data, starts.ctypes.data, len(starts) - 1,
                                               logits.ctypes.data)
        if status != 0:
            raise RuntimeError(f"onepass: status {status}")
        return logits

    def __del__(self):
        if getattr(self, "peer", None):
            self.library.onepass_peer_close(self.peer)


# Without --amx Linux refuses AMX to every worker (refuse_amx below), which all of them bear. The variables tell those
# that have one, so that no library takes what the processor reports for what it may use.
ONEDNN = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI", "DNNL_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
MKL = {"MKL_ENABLE_INSTRUCTIONS": "AVX512_E1"}

# name -> (the runtime, with AMX allowed or not; the step of prepare.py that makes its file; environment without AMX)
RUNTIMES = {
    "Onepass int8": (lambda amx: Onepass("int8", None if amx else "avx512vnni"), "onepass-int8", {}),
    "Onepass int4": (lambda amx: Onepass("int4", None if amx else "avx512vnni"), "onepass-int4", {}),
    "Onepass f32": (lambda amx: Onepass("f32", None if amx else "avx512vnni"), "onepass-f32", {}),
    "ONNX Runtime f32, fused": (lambda amx: Onnx("onnx-f32"), "onnx-f32", {}),
    "ONNX Runtime int8, fused": (lambda amx: Onnx("onnx-int8"), "onnx-int8", {}),
    "ONNX Runtime int8, fused, per channel": (lambda amx: Onnx("onnx-int8-channels"), "onnx-int8-channels", {}),
    "ONNX Runtime int4": (lambda amx: Onnx("onnx-int4"), "onnx-int4", {}),
    "OpenVINO int8, nncf.quantize": (lambda amx: OpenVino("ov-ptq"), "ov-ptq", ONEDNN),
    "OpenVINO int8 weights": (lambda amx: OpenVino("ov-weights"), "ov-weights", ONEDNN),
    "CTranslate2 int8": (lambda amx: CTranslate2(), "ct2", {**ONEDNN, **MKL}),
    "llama.cpp Q8_0": (lambda amx: LlamaCpp("gguf-q8_0"), "gguf-q8_0", {}),
    "llama.cpp Q4_0": (lambda amx: LlamaCpp("gguf-q4_0"), "gguf-q4_0", {}),
    "PyTorch f32": (lambda amx: Torch("eager"), "hf", {**ONEDNN, **MKL}),
    "PyTorch f32, compiled": (lambda amx: Torch("compiled"), "hf", {**ONEDNN, **MKL}),
    "PyTorch int8, dynamic": (lambda amx: Torch("int8"), "hf", {**ONEDNN, **MKL}),
}

# Of decoders.py, beside those of ours.
DECODERS = {
    "llama.cpp Q8_0, last token": (lambda amx: LlamaCppWords("gguf-q8_0"), "gguf-q8_0", {}),
    "llama.cpp Q4_0, last token": (lambda amx: LlamaCppWords("gguf-q4_0"), "gguf-q4_0", {}),
}


def status_mb(key):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def refuse_amx():
    """From here on Linux denies this process AMX: arch_prctl(ARCH_REQ_XCOMP_PERM, ...) fails with EPERM."""
    if platform.machine() != "x86_64":
        return

    class Filter(ctypes.Structure):
        _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.POINTER(Filter))]

    load, equal, answer = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
    rules = (Filter * 6)(Filter(load, 0, 0, 0), Filter(equal, 0, 3, 158), Filter(load, 0, 0, 16),
                         Filter(equal, 0, 1, 0x1023), Filter(answer, 0, 0, 0x00050001), Filter(answer, 0, 0, 0x7FFF0000))
    program = Program(6, rules)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp: cannot refuse AMX; run with --amx")


def uses_amx():
    """Whether this process has asked Linux for AMX's tile registers (ARCH_GET_XCOMP_PERM, bit 18)."""
    mask = ctypes.c_ulonglong(0)
    if ctypes.CDLL(None).syscall(158, 0x1022, ctypes.byref(mask)) != 0:
        return False
    return bool(mask.value >> 18 & 1)


def package_mb(package):
    """What the library takes on disk, its Python files and shared libraries; llama.cpp's lie within its package."""
    if package is None:
        return os.path.getsize(os.environ["ONEPASS_PEER"]) / 1e6
    spec = importlib.util.find_spec(package)
    root = pathlib.Path(spec.origin).parent
    roots = [root, *root.parent.glob(package + ".libs"), *(root.parent / "lib").glob("libllama*")]
    return sum(f.stat().st_size for r in roots for f in ([r] if r.is_file() else r.rglob("*")) if f.is_file()) / 1e6


def worker(name, amx):
    """Answers one JSON line to each on stdin. What libraries print goes to stderr, the parent's log."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    # llama-cpp-python 0.3.36 ends in ggml_backend_amx_mul_mat with a segmentation fault when it may use AMX here.
    if not amx or name.startswith("llama.cpp"):
        refuse_amx()
    make = (RUNTIMES | DECODERS)[name][0]
    runtime, feeds = None, {}
    if make(amx).package:
        __import__(make(amx).package)  # its import is not part of the load time
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if order["do"] == "load":
                runtime, feeds = None, {}
                gc.collect()
                pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts from what is resident now
                before = status_mb("VmRSS")
                runtime = make(amx)
                start = time.perf_counter()
                runtime.load(order["files"], order["threads"])
                first = runtime.prepare(order["first"])
                loaded = time.perf_counter()
                runtime.run(first)
                answer = {"load_ms": (loaded - start) * 1e3, "first_ms": (time.perf_counter() - loaded) * 1e3,
                          "before_mb": before}
            elif order["do"] == "memory":
                answer = {"peak_mb": status_mb("VmHWM"), "amx": uses_amx(), "library_mb": package_mb(runtime.package)}
            elif order["do"] == "logits":
                answer = {"logits": [runtime.run(runtime.prepare(b)).astype(float).tolist() for b in order["batches"]]}
            elif order["do"] == "prepare":
                feeds = {case: runtime.prepare(batch) for case, batch in order["cases"].items()}
                for feed in feeds.values():
                    runtime.run(feed)
                answer = {}
            else:  # time: one untimed call, then some
                feed = feeds[order["case"]]
                runtime.run(feed)
                start = time.perf_counter()
                for _ in range(order["calls"]):
                    runtime.run(feed)
                answer = {"seconds": (time.perf_counter() - start) / order["calls"]}
        except Exception as error:  # pylint: disable=broad-except
            answer = {"error": f"{type(error).__name__}: {str(error).strip()[:300]}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    worker(sys.argv[1], sys.argv[2] == "amx")
