"""A run's JSON as a table and as a plot."""

import importlib.metadata
import math
import pathlib

PACKAGES = ("torch", "transformers", "onnxruntime", "openvino", "nncf", "ctranslate2", "llama-cpp-python")


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def number(value):
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def best_of_ours(runtimes, threads, case):
    times = [r["times"][threads][case]["median_ms"] for name, r in runtimes.items()
             if name.startswith("Onepass") and case in r.get("times", {}).get(threads, {})]
    return min(times, default=None)


def ahead(out):
    """(model, threads, case, runtime, its ms, ours) wherever a peer's median is below our best."""
    found = []
    for model, entry in out["models"].items():
        for threads in map(str, out["threads"]):
            for case in entry["tokens"]:
                ours = best_of_ours(entry["runtimes"], threads, case)
                for name, r in entry["runtimes"].items():
                    timed = r.get("times", {}).get(threads, {}).get(case)
                    if ours and timed and not name.startswith("Onepass") and timed["median_ms"] < ours:
                        found.append((model, threads, case, name, timed["median_ms"], ours))
    return found


def markdown(out):
    lines = [f"{out['cpu']}; AMX {'allowed' if out['amx'] else 'refused to every process'}; "
             + ", ".join(f"{k} {v}" for k, v in out["versions"].items()) + ".", ""]
    for model, entry in out["models"].items():
        cases = list(entry["tokens"])
        for threads in map(str, out["threads"]):
            lines += [f"**{model}, {threads} thread{'' if threads == '1' else 's'}**, median ms of a pass "
                      f"(p10 to p90)", "", "| runtime | " + " | ".join(
                          f"{c} tokens" if c.isdigit() else f"{c}, {entry['tokens'][c]} tokens" for c in cases) + " |",
                      "|---|" + "---:|" * len(cases)]
            for name, r in entry["runtimes"].items():
                timed = r.get("times", {}).get(threads, {})
                if timed:
                    row = []
                    for case in cases:
                        t = timed.get(case)
                        row.append(f"{number(t['median_ms'])} ({number(t['p10_ms'])}-{number(t['p90_ms'])})"
                                   if t else "-")
                    lines.append(f"| {name} | " + " | ".join(row) + " |")
            lines.append("")
        lines += ["| runtime | largest difference of a logit | same label | load ms (the first time) | pass after it, ms | peak memory, MB "
                  "above the process before | file MB | library MB | asked for AMX |",
                  "|---|---:|---:|---:|---:|---:|---:|---:|---|"]
        for name, r in entry["runtimes"].items():
            if "error" in r:
                lines.append(f"| {name} | failed: {' '.join(r['error'].split()).replace('|', '/')} | | | | | | | |")
                continue
            a = r.get("agreement", {})
            difference = f"{a['max_difference']:.2g}" if "max_difference" in a else a.get("error", "-")
            same = f"{100 * a['same_label']:.1f} %" if "same_label" in a else "-"
            lines.append(f"| {name} | {difference} | {same} | {r['load_ms']:.1f} ({r['first_load_ms']:.0f}) | {r['first_ms']:.1f} | "
                         f"{r['peak_mb'] - r['before_mb']:.0f} | {r['file_mb']:.1f} | {r['library_mb']:.1f} | "
                         f"{'yes' if r['amx'] else 'no'} |")
        lines.append("")
    found = ahead(out)
    lines.append("Ahead of Onepass: " + ("nobody, in no case of this run." if not found else ""))
    for model, threads, case, name, theirs, ours in found:
        lines.append(f"- {model}, {threads} thread(s), {case}: {name} {number(theirs)} ms, Onepass {number(ours)} ms")
    return "\n".join(lines) + "\n"


COLOURS = (("#0072b2", "#58a6ff"), ("#57606a", "#9aa4af"))


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def svg(out):
    """One panel a model: bars of how many times longer than our best, one thread, for a short and a long text."""
    panels = []
    threads = str(out["threads"][0])
    for model, entry in out["models"].items():
        for case in ("16", "128", "32 lines"):
            ours = best_of_ours(entry["runtimes"], threads, case)
            rows = [(name, r["times"][threads][case]["median_ms"]) for name, r in entry["runtimes"].items()
                    if case in r.get("times", {}).get(threads, {})]
            if ours and rows:
                panels.append((f"{model}, {case}{' tokens' if case.isdigit() else ''}", sorted(rows, key=lambda x: x[1])))
    if not panels:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>\n'
    row_height, label, width, gap = 17, 250, 300, 60
    height = 60 + max(len(rows) for _, rows in panels) * row_height + 20
    columns = 2
    lines = -(-len(panels) // columns)
    total_width, total_height = columns * (label + width + gap) + 20, lines * height + 40
    light = ".page{fill:#fff}text{fill:#1f2328}" + "".join(f".b{i}{{fill:{c[0]}}}" for i, c in enumerate(COLOURS))
    dark = ".page{fill:#0d1117}text{fill:#e6edf3}" + "".join(f".b{i}{{fill:{c[1]}}}" for i, c in enumerate(COLOURS))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{total_width}" height="{total_height}" '
             f'viewBox="0 0 {total_width} {total_height}" font-family="sans-serif" font-size="12" role="img">',
             f"<title>One pass, {threads} thread: median ms</title>",
             f"<style>{light}@media (prefers-color-scheme:dark){{{dark}}}</style>",
             '<rect class="page" width="100%" height="100%"/>',
             f'<text x="16" y="24" font-size="15" font-weight="bold">One pass on {threads} thread, median ms, logarithmic: '
             f"{escape(out['cpu'])}, AMX {'allowed' if out['amx'] else 'off'}</text>"]
    for i, (title, rows) in enumerate(panels):
        x0, y0 = 16 + i % columns * (label + width + gap), 46 + i // columns * height
        low, high = rows[0][1] / 1.6, rows[-1][1]
        parts.append(f'<text x="{x0}" y="{y0 + 12}" font-weight="bold">{escape(title)}</text>')
        for j, (name, ms) in enumerate(rows):
            y = y0 + 24 + j * row_height
            length = max(2.0, width * math.log(ms / low) / math.log(high / low)) if high > low else width
            kind = 0 if name.startswith("Onepass") else 1
            parts.append(f'<text x="{x0 + label - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>'
                         f'<rect class="b{kind}" x="{x0 + label}" y="{y}" width="{length:.1f}" height="13"/>'
                         f'<text x="{x0 + label + length + 5:.1f}" y="{y + 11}">{number(ms)}</text>')
    return "\n".join(parts) + "\n</svg>\n"
