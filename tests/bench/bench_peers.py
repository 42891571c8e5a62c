"""The smallest file that stays within one point of the original: ours, and those of ONNX Runtime's quantizers and NNCF.

`python -m pytest tests/bench/bench_peers.py -m bench -s` needs the public models and their metric. Results are kept in
FEATHERWEIGHT_PEERS (default: .cache/featherweight-peers in the home folder), one file a model, and made anew where they
are missing; the last test writes the table of docs/benchmarks.md from them. NNCF gets an environment of its own there,
made by pip. Everything runs on one thread, and each ratio comes from one run on one machine.

Peers: every setting of `peer_files`, calibrated on calib.npz; from the smallest file up they are measured on all of
test.npz until one stays within a point. That picks a peer's file by the very samples in the table, which flatters it.
Ours: steps learn from calib.npz, plans are compared on one half of test.npz and the finished one is confirmed on the
other, as for a person who gives the file; figures are given for all of it and for the confirming half. That half takes
part only where it refuses a plan (a larger one is tried then).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from core.analysis.sensitivity.cells import Tier
from core.analysis.sensitivity.table import Asked, sensitivity
from core.data import Samples, load_samples
from core.exporting.export import export
from core.jobs import CALIBRATION_SAMPLES
from core.model.model import Model
from core.pipeline import compress
from core.planning.budgets import drop_budget
from core.planning.candidates import candidates, learned_settings, plan_settings
from core.planning.plan import Plan
from core.planning.planner import Wish, apart, make_plan
from core.recipe import Recipe
from tests.bench import peer_files
from tests.bench.peer_table import write_table

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

WITHIN = 0.01
DROP = "1"
"""Points that our plans may lose, in the metric that the program itself chooses for the data."""
TOOL_SECONDS = int(os.environ.get("FEATHERWEIGHT_TOOL_SECONDS", "300"))
"""After which a tool makes no further file."""
NNCF = ["nncf", "onnx", "onnx_ir", "onnxruntime"]
FOLDER = Path(os.environ.get("FEATHERWEIGHT_PEERS", Path.home() / ".cache" / "featherweight-peers"))
ROOT = Path(__file__).parents[2]

@dataclass(frozen=True)
class PeerFile:
    """A file that a tool made.

    share     of the original's bytes
    value     of the task's metric on the whole test set; nan where the file does not run
    ok        whether it stays within a point
    measured  files of this tool that were measured, from the smallest up, this one included; the others are larger
    failed    settings that gave no file or none that runs
    """

    tool: str
    words: str
    share: float
    value: float
    sqnr: float
    ok: bool
    measured: int
    made: int
    failed: int
    why: tuple[str, ...] = ()
    latency: float = float("nan")


def test_peers(name: str, folder: Path, judge: Any) -> None:
    kept = FOLDER / f"peers_{name}.json"
    if not kept.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        rows = [asdict(_tool(tool, name, folder, judge)) for tool in peer_files.TOOLS]
        kept.write_text(json.dumps(rows, indent=1))
    print()
    for row in json.loads(kept.read_text()):
        mark = "within a point" if row["ok"] else "none within a point"
        print(f"{name:11} {row['tool']:22} {row['share']:6.3f}x {row['value']:7.4f} {mark:20} {row['words']}")


def _tool(tool: str, name: str, folder: Path, judge: Any) -> PeerFile:
    """The tool's smallest file within a point of the original; else the one of the best metric."""
    work = FOLDER / "files" / name / tool.replace(" ", "_")
    shutil.rmtree(work, ignore_errors=True)
    python = _nncf_python() if tool.startswith("NNCF") else sys.executable
    made, failed = _make(python, tool, folder, work)
    original_bytes, original = (folder / "model.onnx").stat().st_size, judge.value()
    best: PeerFile | None = None
    for number, (size, words, path) in enumerate(made, start=1):
        try:
            outputs = judge.run(path)
        except Exception as error:  # noqa: BLE001  a file that does not run is one of the results
            failed.append(f"{words}: does not run: {_first_line(error)}")
            continue
        value = judge.value(outputs)
        ok = value >= original - WITHIN
        if ok or best is None or value > best.value:
            best = PeerFile(tool, words, size / original_bytes, value, judge.sqnr(outputs), ok, number, len(made), 0)
            best = replace(best, latency=judge.latency(path)) if ok else best
        if ok:
            break
    shutil.rmtree(work)
    nothing = PeerFile(tool, "", float("nan"), float("nan"), float("nan"), False, 0, len(made), 0)
    return replace(best or nothing, failed=len(failed), why=tuple(dict.fromkeys(failed))[:4])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _make(python: str, tool: str, folder: Path, work: Path) -> tuple[list[tuple[int, str, Path]], list[str]]:
    """(bytes, words, file) from the smallest up, and what gave no file; a crash ends the tool's turn."""
    command = [python, peer_files.__file__, tool, *map(str, (folder / "model.onnx", folder / "calib.npz", work))]
    made: list[tuple[int, str, Path]] = []
    failed: list[str] = []
    work.mkdir(parents=True)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TOOL_SECONDS, cwd=work,  # tools leave files where they run
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        output = done.stdout
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [""])[-1]
            failed.append(f"{tool} ended with {done.returncode}: {last[:160]}")
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        failed.append(f"{tool} was ended after {TOOL_SECONDS} s")
    for line in output.splitlines():
        if not line.startswith('{"words"'):
            continue  # the tool's own progress
        entry = json.loads(line)
        if "file" in entry:
            path = Path(entry["file"])
            size = sum(file.stat().st_size for file in (path, *path.parent.glob(f"{path.name}*data*")))
            made.append((size, entry["words"], path))
        else:
            failed.append(f"{entry['words']}: {entry['failed']}")
    return sorted(made), failed


def _nncf_python() -> str:
    """An environment with NNCF beside the results; made when there is none."""
    python = FOLDER / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER / "venv")], check=True)
        constraints = ROOT / "packaging" / "constraints.txt"
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-c", str(constraints), *NNCF], check=True)
    return str(python)


def test_ours(name: str, folder: Path, model: Model, judge: Any) -> None:
    kept = FOLDER / f"ours_{name}.json"
    if not kept.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(_ours(name, folder, model, judge), indent=1))
    found: dict[str, Any] = json.loads(kept.read_text())
    print(
        f"\n{name:11} {found['share']:.3f}x  {found['value']:.4f} of {found['original']:.4f}, confirming half "
        f"{found['confirmed']:.4f} of {found['confirmed_original']:.4f}; predicted {found['predicted_db']} dB, "
        f"measured {found['measured_db']} dB; planned in {found['seconds']:.0f} s"
    )


def _ours(name: str, folder: Path, model: Model, judge: Any) -> dict[str, Any]:
    """Plan and export within a point, and the figures of the file."""
    start = time.perf_counter()
    calibration = load_samples(folder / "calib.npz", model.inputs).subset(CALIBRATION_SAMPLES)
    test = load_samples(folder / "test.npz", model.inputs)
    plan = _planned(model, calibration, test)
    confirming = apart(test, model)[1] or test
    seconds = time.perf_counter() - start
    target = FOLDER / f"{name}.onnx"
    report = export(model, compress(model, plan.recipe, samples=calibration), target, calibration)
    plan.recipe.save(FOLDER / f"{name}.yaml")
    outputs = judge.run(target)
    size, found = target.stat().st_size, plan.measured
    return {
        "share": size / model.file_bytes, "bytes": size, "original_bytes": model.file_bytes,
        "value": judge.value(outputs), "original": judge.value(), "sqnr": judge.sqnr(outputs),
        "confirmed": judge.value(outputs, confirming.order),
        "confirmed_original": judge.value(None, confirming.order),
        "predicted_db": plan.sqnr_predicted_db, "measured_db": found and found.sqnr_db,
        "plan_metric": found and found.metric_text, "plan_drop": found and found.drop,
        "samples": found.samples if found else 0, "met": plan.met, "evaluations": plan.evaluations,
        "seconds": seconds, "latency": judge.latency(target), "steps": _steps(plan),
        "predicted_bytes": report.bytes_predicted,
    }  # fmt: skip


def _planned(model: Model, calibration: Samples, test: Samples) -> Plan:
    weights = sum(layer.n_weights for layer in model.layers)
    settings = plan_settings(weights=weights)
    settings += learned_settings(settings, weights)
    table = sensitivity(model, calibration, Asked(Tier.FAST, settings))
    found = candidates(model, table, Recipe(model_name=model.path.name, model_sha256=model.sha256))
    return make_plan(model, table, found, Wish(drop_budget(DROP)), calibration=calibration, test=test)


def _steps(plan: Plan) -> list[list[Any]]:
    """(setting, share of the layers' bytes that had it put on), the most first."""
    taken: dict[str, int] = {}
    for layer in plan.layers:
        words = ", ".join(layer.steps) or "as it is"
        taken[words] = taken.get(words, 0) + layer.bytes_before
    total = max(1, sum(taken.values()))
    return [[words, n / total] for words, n in sorted(taken.items(), key=lambda item: -item[1])]


def test_table() -> None:
    target = ROOT / "docs" / "benchmarks.md"
    assert write_table(FOLDER, target) > 0, f"there are no results in {FOLDER}"
    print(f"wrote {target}")
