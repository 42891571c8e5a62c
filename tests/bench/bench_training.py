"""Recovery by training on the public models, through the command line as a person uses it.

    python -m tests.bench.bench_training MODELS FOLDER [--cases lenet300,lenet5] [--seeds 3] [--commands]

MODELS is the folder of public models; FOLDER keeps the trained files and `results.jsonl`, one line a run; what is there
is not run again. The best state of a run is chosen by valid.npz (or held-out samples), and test.npz is looked at once,
at the end. Prints the tables of docs/training.md: seed by seed, and means with the standard error over the seeds.
`--commands` prints the commands instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.training_cases import CASES, UNLABELLED, Case

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes"
Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--commands", action="store_true")
    asked = parser.parse_args()
    cases = [CASES[name] for name in asked.cases.split(",")]
    if asked.commands:
        print("\n".join(case.command() for case in cases))
        return
    asked.folder.mkdir(parents=True, exist_ok=True)
    known = read_results(asked.folder)
    for case in cases:
        for seed in range(asked.seeds):
            if not any((result["case"], result["seed"]) == (case.name, seed) for result in known):
                known.append(run(case, asked.models.resolve(), asked.folder.resolve(), seed))
                with (asked.folder / "results.jsonl").open("a") as file:
                    file.write(json.dumps(known[-1]) + "\n")
                print(table([known[-1]]), flush=True)
    print(table(known))
    print(means(known))


def read_results(folder: Path) -> list[Result]:
    path = folder / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(case: Case, models: Path, folder: Path, seed: int) -> Result:
    """One fine-tuning in a process of its own; raises CalledProcessError with what the command line said."""
    if case.data == "unlabelled":
        _without_labels(models / case.model / "calib.npz", folder / case.model / UNLABELLED)
    target = folder / f"{case.name.replace(' ', '-')}-{seed}.onnx"
    command = [sys.executable, "-m", "core.cli", *case.arguments(models, folder, target, seed, RECIPES)]
    command += ["--json", "--quiet", "--runs", str(folder / "runs")]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return result_of(case.name, seed, json.loads(done.stdout))


def result_of(case: str, seed: int, outcome: dict[str, Any]) -> Result:
    """What the tables need of `finetune --json`."""
    score = outcome["comparison"]["score"]
    untrained = (outcome["untrained"] or {}).get("score") or {}
    operations = [outcome["comparison"].get(f"multiply_adds_{when}") for when in ("before", "after")]
    best = [point["valid_metric"] for point in outcome["curves"] if point["epoch"] == outcome["best_epoch"]]
    return {
        "case": case, "seed": seed, "before": outcome["bytes_before"], "after": outcome["bytes_after"],
        "metric": score["words"], "original": score["reference"], "trained": score["value"],
        "untrained": untrained.get("value"), "valid": best[0] if best else None,
        "multiply_adds": operations,
        "latency": [outcome["latency_ms_before"], outcome["latency_ms_after"]], "seconds": outcome["seconds"],
        "epochs": len(outcome["curves"]), "best_epoch": outcome["best_epoch"],
    }  # fmt: skip


def _without_labels(source: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with np.load(source, allow_pickle=False) as arrays:
        np.savez(target, **{key: arrays[key] for key in arrays.files if key != "labels"})


def table(results: Sequence[Result]) -> str:
    """One line a run."""
    lines = ["| run | seed | bytes | times smaller | original | without training | trained | minutes |",
             "|" + "---|" * 8]  # fmt: skip
    lines += [
        f"| {r['case']} | {r['seed']} | {r['after']:,} | {r['before'] / r['after']:.1f} | {_percent(r['original'])} | "
        f"{_percent(r['untrained'])} | {_percent(r['trained'])} | {r['seconds'] / 60:.1f} |"
        for r in results
    ]
    return "\n".join(lines)


def means(results: Sequence[Result]) -> str:
    """Over the seeds, with the standard error of the mean; `regained`: share of what compressing alone lost."""
    lines = ["| run | seeds | times smaller | metric | original | trained | difference, points | regained |",
             "|" + "---|" * 8]  # fmt: skip
    for case in dict.fromkeys(result["case"] for result in results):
        mine = [result for result in results if result["case"] == case]
        ratio = np.mean([r["before"] / r["after"] for r in mine])
        gains = [100 * (r["trained"] - r["original"]) for r in mine]
        lines.append(
            f"| {case} | {len(mine)} | {ratio:.1f} | {mine[0]['metric']} | {_percent(mine[0]['original'])} | "
            f"{_percent(float(np.mean([r['trained'] for r in mine])))} | {np.mean(gains):+.2f} ± {_error(gains):.2f} | "
            f"{_regained(mine)} |"
        )
    return "\n".join(lines)


def _regained(results: Sequence[Result]) -> str:
    shares = [
        (r["trained"] - r["untrained"]) / (r["original"] - r["untrained"])
        for r in results if r["untrained"] is not None and r["untrained"] < r["original"]
    ]  # fmt: skip
    return f"{100 * np.mean(shares):.0f} %" if shares else "–"


def _error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"


if __name__ == "__main__":
    main()
