"""The table of docs/benchmarks.md between its marks, written from what `bench_peers` measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
NO_QUANTIZER = "ORT float16"
"""Listed, but not one of the tools that the bar names."""
MODELS = (
    "lenet300", "lenet5", "vit_digits", "ppocr_cls", "ppocr_det", "ppocr_rec", "silero_vad", "magika", "minilm"
)  # fmt: skip

Row = dict[str, Any]


def write_table(results: Path, target: Path) -> int:
    """Put the tables between the marks of `target`; gives how many models are in them."""
    found = [(name, _read(results / f"ours_{name}.json"), _read(results / f"peers_{name}.json")) for name in MODELS]
    known = [(name, ours, peers or []) for name, ours, peers in found if ours is not None]
    text = target.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    lines = [*_summary(known), "", *_settings(known), "", *_peers(known)]
    target.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
    return len(known)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def best_peer(peers: list[Row]) -> Row | None:
    """The smallest file of the quantizers that stays within a point."""
    fitting = [row for row in peers if row["ok"] and row["tool"] != NO_QUANTIZER]
    return min(fitting, key=lambda row: float(row["share"]), default=None)


def _summary(known: list[tuple[str, Row, list[Row]]]) -> Iterator[str]:
    yield (
        "| model | ours | best peer | ours / peer | metric: original | ours, all | ours, confirming half | SQNR | "
        "predicted, measured | time | planned in |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for name, ours, peers in known:
        peer = best_peer(peers)
        told = f"{peer['share']:.3f} ({peer['tool']})" if peer else "none" if peers else "not measured"
        ratio = f"{ours['share'] / peer['share']:.2f}" if peer else "-"
        lost = f"{100 * (ours['confirmed_original'] - ours['confirmed']):+.2f} points lost"
        yield (
            f"| {name} | {ours['share']:.3f} | {told} | {ratio} | {ours['original']:.4f} | {ours['value']:.4f} | "
            f"{ours['confirmed']:.4f} ({lost}) | {ours['sqnr']:.1f} dB | {_db(ours['predicted_db'])}, "
            f"{_db(ours['measured_db'])} | {ours['latency']:.2f}x | {ours['seconds']:.0f} s |"
        )


def _settings(known: list[tuple[str, Row, list[Row]]]) -> Iterator[str]:
    yield "| model | plan's metric, points lost when confirmed (samples) | what most of the weights became |"
    yield "|---|---|---|"
    for name, ours, _ in known:
        steps = "; ".join(f"{words} {share:.0%}" for words, share in ours["steps"][:4])
        met = "" if ours["met"] else ", missed"
        yield f"| {name} | {ours['plan_metric']}, {ours['plan_drop']:.2f} ({ours['samples']}){met} | {steps} |"


def _peers(known: list[tuple[str, Row, list[Row]]]) -> Iterator[str]:
    yield "| model | tool | smallest file within a point | metric | SQNR | time | files made, failed |"
    yield "|---|---|---|---|---|---|---|"
    for name, _, peers in known:
        for row in peers:
            counts = f"{row['made']}, {row['failed']}"
            if row["ok"]:
                time = f"{row['latency']:.2f}x"
                yield (
                    f"| {name} | {row['tool']} | {row['share']:.3f}: {row['words']} | {row['value']:.4f} | "
                    f"{row['sqnr']:.1f} dB | {time} | {counts} |"
                )
            elif row["words"]:
                best = f"none; the best has {row['value']:.4f} at {row['share']:.3f}"
                yield f"| {name} | {row['tool']} | {best}: {row['words']} | {row['value']:.4f} | | | {counts} |"
            else:
                why = row["why"][0].replace("|", "/") if row["why"] else "nothing was made"
                yield f"| {name} | {row['tool']} | no file runs: {why} | | | | {counts} |"


def _db(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} dB"
