"""Transfer of a digit model to other real pictures, against the same small network trained from nothing.

    python -m tests.bench.bench_transfer MODELS FOLDER [--models lenet5] [--samples 50,200,1000] [--seeds 3]

MODELS is the folder of public models; FOLDER keeps the data (`transfer_data`) and `results.jsonl`, one line a run; what
is there is not run again. Prints the table of docs/transfer.md: means over the seeds (each draws its own samples and
weights), with the standard error of the mean over seeds; all on the same test samples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from core.training.settings import TrainingSettings
from core.transfer.settings import TransferSettings
from core.transfer_job import TransferSpec, transfer_file
from tests.bench.transfer_data import build, some

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "default (8 bits)": {},
    "head only (8 bits)": {"freeze": "all", "compare": False},
    "half the channels, small": {"cut": "share", "share": 0.5, "compress": "small", "tune_epochs": 30},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", dest="names", default="lenet5")
    parser.add_argument("--samples", default="50,200,1000")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    data = build(asked.folder)
    results = asked.folder / "results.jsonl"
    known = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for task in _tasks(asked):
        if any(all(one[key] == value for key, value in task.items()) for one in known):
            continue
        known.append(task | _run(asked, data, **task))
        with results.open("a") as file:
            file.write(json.dumps(known[-1]) + "\n")
        print(json.dumps(task), [(row["name"], round(row["value"], 4)) for row in known[-1]["rows"]], flush=True)
    print(table(known))


def _tasks(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for variant in VARIANTS:
        for model in asked.names.split(","):
            for n in map(int, asked.samples.split(",")):
                for name in ("digits", "animals"):
                    for seed in range(asked.seeds):
                        yield {"variant": variant, "model": model, "n": n, "data": name, "seed": seed}


def _run(
    asked: argparse.Namespace, sets: Mapping[str, tuple[Path, Path]], *, variant: str, model: str, n: int, data: str,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    pool, test = sets[data]
    picked = some(pool, n, seed, asked.folder / f"{data}_{n}_{seed}.npz")
    spec = TransferSpec(
        str(asked.models / model / "model.onnx"), str(picked), str(asked.folder / "out.onnx"), test_path=str(test),
        settings=TransferSettings(**VARIANTS[variant]), training=TrainingSettings(seed=seed),
    )  # fmt: skip
    outcome = transfer_file(spec)
    return {"rows": [asdict(row) for row in outcome.rows], "gain": outcome.gain, "seconds": outcome.seconds,
            "kept": len(outcome.proposal.keep), "original": outcome.bytes_original}  # fmt: skip


def table(results: list[dict[str, Any]]) -> str:
    """Mean over seeds and standard error of the mean, for each variant, model, data and number of samples."""
    lines = ["| data | samples | how | transferred | kB | from nothing | kB | difference, points |", "|" + "---|" * 8]
    keys = dict.fromkeys((r["data"], r["n"], r["variant"], r["model"]) for r in results)
    for name, n, variant, model in sorted(keys):
        mine = [r for r in results if (r["data"], r["n"], r["variant"], r["model"]) == (name, n, variant, model)]
        rows = [{row["name"]: row for row in r["rows"]} for r in mine]
        first = [row["transferred"] for row in rows]
        rival = [found for row in rows if (found := row.get("from nothing, same size"))]
        gains = [100 * r["gain"][0] for r in mine if r["gain"]]
        lines.append(
            f"| {name} | {n:,} | {model}, {variant} | {_percent(first)} | {_kilobytes(first)} | "
            f"{_percent(rival) if rival else '–'} | {_kilobytes(rival) if rival else '–'} | "
            f"{_mean(gains, '+.1f') if gains else '–'} |"
        )
    return "\n".join(lines)


def _percent(rows: list[dict[str, Any]]) -> str:
    return _mean([100 * row["value"] for row in rows], ".1f")


def _kilobytes(rows: list[dict[str, Any]]) -> str:
    return f"{np.mean([row['nbytes'] for row in rows]) / 1000:.0f}"


def _mean(values: list[float], form: str) -> str:
    if len(values) < 2:
        return f"{values[0]:{form}} (one seed)"
    return f"{np.mean(values):{form}} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.1f}"


if __name__ == "__main__":
    main()
