#!/usr/bin/env python3
"""The same models and texts in other runtimes, side by side in one run: see docs/performance.md, Peers.

    python3 -m venv /opt/peers-venv && /opt/peers-venv/bin/pip install -r bench/peers/requirements.txt
    /opt/peers-venv/bin/python bench/peers/peers.py prepare --build build/release
    /opt/peers-venv/bin/python bench/peers/peers.py run --build build/release --out peers

Each runtime lives in a process of its own, so that memory and threads are its own; one of them runs at a time. Before
anything is timed, every runtime's logits are compared with PyTorch's in f32. A round runs every runtime once for every
case; times are medians over rounds. Tokenising is not part of any time: all are handed the same ids. Runtimes that
pad are handed the padded batch. `run` twice, with and without --amx, compares like with like on a machine with AMX.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

import report  # noqa: E402
import runtimes  # noqa: E402
import texts  # noqa: E402


def say(text):
    if sys.stderr.isatty():
        print("\r\033[K" + text, end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


class Worker:
    """A runtime's process. After an error it is closed, and its runtime is reported with that error."""

    def __init__(self, name, amx, environment, log):
        env = dict(os.environ, PYTHONPATH=str(HERE), TOKENIZERS_PARALLELISM="false", **environment)
        self.name, self.error = name, None
        self.process = subprocess.Popen([sys.executable, str(HERE / "runtimes.py"), name, "amx" if amx else "plain"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env, text=True)

    def ask(self, **order):
        if self.error:
            return None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            answer = json.loads(line) if line else {"error": f"the process ended with {self.process.wait()}"}
        except (OSError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        if "error" in answer:
            self.error = answer["error"]
            self.close()
            return None
        return answer

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def agreement(logits, reference, classes):
    """Largest difference of a logit, and the share of texts with the same top label of the first head."""
    import numpy as np

    worst, same, count = 0.0, 0, 0
    for mine, theirs in zip(logits, reference):
        mine, theirs = np.array(mine), np.array(theirs)
        if mine.shape != theirs.shape or not np.isfinite(mine).all():
            return {"error": f"logits of shape {mine.shape} instead of {theirs.shape}, or not finite"}
        worst = max(worst, float(np.abs(mine - theirs).max()))
        same += int((mine[:, :classes].argmax(1) == theirs[:, :classes].argmax(1)).sum())
        count += len(mine)
    return {"max_difference": worst, "same_label": same / count, "texts": count}


def measure(workers, cases, budget, results):
    """Rounds over all cases and workers, until the budget of each (case, worker) is spent."""
    samples = {w.name: {case: [] for case in cases} for w in workers}
    for case in cases:
        calls, spent, rounds = {}, 0.0, 0
        alive = [w for w in workers if not w.error]
        for w in alive:
            answer = w.ask(do="time", case=case, calls=1)
            if answer:
                calls[w.name] = max(1, min(200, int(0.02 / max(answer["seconds"], 1e-6))))
        while rounds < 5 or (spent < budget * len(alive) and rounds < 60):
            for i in range(len(alive)):
                w = alive[(i + rounds) % len(alive)]
                answer = w.ask(do="time", case=case, calls=calls.get(w.name, 1))
                if answer:
                    samples[w.name][case].append(answer["seconds"])
                    spent += answer["seconds"] * calls[w.name]
            rounds += 1
            alive = [w for w in alive if not w.error]
            if not alive or (rounds >= 3 and spent > 4 * budget * len(alive)):
                break
    for w in workers:
        for case, seconds in samples[w.name].items():
            if seconds and not w.error:
                ordered = sorted(s * 1e3 for s in seconds)
                results.setdefault(w.name, {})[case] = {
                    "median_ms": statistics.median(ordered), "min_ms": ordered[0],
                    "p10_ms": ordered[int(0.1 * (len(ordered) - 1))],
                    "p90_ms": ordered[int(0.9 * (len(ordered) - 1) + 0.999)], "samples": len(ordered)}


def run(options):
    from transformers import AutoTokenizer

    out = {"cpu": report.cpu_name(), "machine": platform.machine(), "amx": options.amx, "threads": options.threads,
           "versions": report.versions(), "models": {}}
    wanted = [n for n in runtimes.RUNTIMES if not options.only or any(o.lower() in n.lower() for o in options.only)]
    log = open(options.work / "workers.log", "w", encoding="utf-8")  # noqa: SIM115
    library = next(options.build.rglob("libonepass-peer.so"), None)
    if library is None:
        raise SystemExit(f"peers.py: {options.build}: no libonepass-peer.so; build the target onepass-peer")
    os.environ["ONEPASS_PEER"] = str(library)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(options.work / "inductor")
    for model in options.models:
        record = options.work / model / "made.json"
        if not record.exists():
            raise SystemExit(f"peers.py: {model} is not prepared: run `peers.py prepare` first")
        files = json.loads(record.read_text())
        cases = {case: batch for case, batch in texts.cases(AutoTokenizer.from_pretrained(files["hf"])).items()
                 if not options.lengths or (case if case.isdigit() else "lines") in options.lengths}
        entry = {"tokens": {case: sum(map(len, batch)) for case, batch in cases.items()}, "runtimes": {}}
        out["models"][model] = entry
        say(f"{model}: the reference")
        with_reference = Worker("PyTorch f32", False, {}, log)
        with_reference.ask(do="load", files=files, threads=2, first=next(iter(cases.values())))
        answer = with_reference.ask(do="logits", batches=list(cases.values()))
        if answer is None:
            raise SystemExit(f"peers.py: the reference failed: {with_reference.error}")
        reference = answer["logits"]
        with_reference.close()

        workers = []
        for name in wanted:
            _, step, off = runtimes.RUNTIMES[name]
            if str(files.get(step, "error: not made")).startswith("error"):
                entry["runtimes"][name] = {"error": files.get(step, "error: not made").removeprefix("error: ")}
                continue
            workers.append(Worker(name, options.amx, {} if options.amx else off, log))
        for threads in options.threads:
            for w in workers:
                say(f"{model}: {w.name}, {threads} thread(s), load and logits")
                loaded = w.ask(do="load", files=files, threads=threads, first=next(iter(cases.values())))
                about = entry["runtimes"].setdefault(w.name, {"times": {}})
                if loaded and threads == options.threads[0]:
                    # Once more: the first time also reads the disk, and starts what the library starts once.
                    about.update({"first_" + key: value for key, value in loaded.items() if key == "load_ms"})
                    about.update(w.ask(do="load", files=files, threads=threads, first=next(iter(cases.values()))) or loaded)
                    logits = w.ask(do="logits", batches=list(cases.values()))
                    about["agreement"] = agreement(logits["logits"], reference, 28) if logits else {}
                    about.update(w.ask(do="memory") or {})
                    about["file_mb"] = size_mb(files[runtimes.RUNTIMES[w.name][1]])
                w.ask(do="prepare", cases=cases)
            say(f"{model}: timing {len(workers)} runtimes, {threads} thread(s)")
            results = {}
            started = time.perf_counter()
            measure(workers, list(cases), options.seconds, results)
            say(f"{model}: {threads} thread(s) took {time.perf_counter() - started:.0f} s")
            for name, timed in results.items():
                entry["runtimes"][name]["times"][str(threads)] = timed
        for w in workers:
            if w.error:
                entry["runtimes"].setdefault(w.name, {})["error"] = w.error
            w.close()
        write(out, options.out)  # after each model: an interrupted run keeps what it has
    say("")
    return out


def size_mb(path):
    path = pathlib.Path(path)
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    if path.suffix == ".xml":
        files.append(path.with_suffix(".bin"))
    return sum(f.stat().st_size for f in files) / 1e6


def write(out, stem):
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(out, indent=1) + "\n")
    stem.with_suffix(".md").write_text(report.markdown(out))
    stem.with_suffix(".svg").write_text(report.svg(out))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("prepare", "convert the models for every runtime"), ("run", "check, then time"),
                       ("report", "the table and the plot of a run's JSON again")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--out", type=pathlib.Path, default=pathlib.Path("peers"), help="stem of the results")
        if name == "report":
            continue
        command.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
        command.add_argument("--work", type=pathlib.Path, default=pathlib.Path.home() / ".cache" / "onepass-peers")
        command.add_argument("--models", nargs="+", default=["emotion", "bert-base"],
                             choices=["emotion", "minilm-l6", "bert-base", "deberta-v3-small", "deberta-v3-base",
                                      "modernbert-base"])
        if name == "prepare":
            command.add_argument("--remake", action="store_true", help="convert again for the other runtimes too")
        else:
            command.add_argument("--threads", nargs="+", type=int, default=[1, 2])
            command.add_argument("--seconds", type=float, default=0.3, help="measured time of a case of a runtime")
            command.add_argument("--lengths", nargs="+", help="cases to time: 16 32 128 512 lines (default: all)")
            command.add_argument("--only", nargs="+", help="runtimes whose names contain one of these")
            command.add_argument("--amx", action="store_true", help="let every runtime use AMX where it does")
    options = parser.parse_args()
    if options.command == "report":
        write(json.loads(options.out.with_suffix(".json").read_text()), options.out)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    if options.command == "prepare":
        import prepare

        command = next((p for p in options.build.rglob("onepass") if p.is_file() and os.access(p, os.X_OK)), None)
        if command is None:
            raise SystemExit(f"peers.py: {options.build}: no onepass command; build it first")
        for model in options.models:
            made = prepare.prepare(model, ROOT, options.work, str(command), options.remake, say)
            for step, path in made.items():
                if str(path).startswith("error"):
                    print(f"{model}: {step}: {path}")
        return
    write(run(options), options.out)
    print(options.out.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
