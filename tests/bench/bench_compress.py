"""How fast a large model is compressed and what memory that takes, against ONNX Runtime's own dynamic quantization.

Every contestant works in a process of its own. Prints times, ratios and peaks; asserts nothing on time.
Run it with `python -m pytest tests/bench/bench_compress.py -m bench -s`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

import core

pytestmark = [pytest.mark.bench, pytest.mark.models]
ROOT = Path(core.__file__).parents[1]
ROUNDS = 3
INT8 = "featherweight: 1\\ndefaults: [{quantize: {bits: 8, granularity: channel}}]\\n"

SETUP = """
import json, resource, sys, time
from pathlib import Path
model, target, data = map(Path, sys.argv[1:])
"""
REPORT = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kilobytes
print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak, "bytes": target.stat().st_size}))
"""
WAYS = {
    "onnxruntime quantize_dynamic, per channel": """
from onnxruntime.quantization import QuantType, quantize_dynamic
start = time.perf_counter()
quantize_dynamic(model, target, per_channel=True, weight_type=QuantType.QInt8)
""",
    "ours: open, compress, assemble, write": f"""
from core import kernels
from core.exporting.export import write_graph
from core.exporting.staging import staged
from core.exporting.writer import assemble
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe
kernels.warm()  # an import, as onnxruntime's is
start = time.perf_counter()
opened = open_model(model)
done = compress(opened, Recipe.parse("{INT8}"))
assembly = assemble(opened, {{r.name: r.encoding for r in done.layers if r.encoding is not None}})
opened.release()
with staged(target) as stage:
    write_graph(assembly.graph, stage)
    stage.commit()
""",
    "ours: the whole job with gate, comparison, latency": f"""
from core.jobs import CompressSpec, compress_file
start = time.perf_counter()
compress_file(CompressSpec(str(model), "{INT8}", str(target), str(data)))
""",
    "imports alone": """
import onnx_ir, onnx
from core import kernels
kernels.warm()
target.write_bytes(b"")
start = time.perf_counter()
""",
}


@dataclass(frozen=True)
class Run:
    """Wall clock seconds without imports, the process's peak of resident memory with everything, bytes written."""

    seconds: float
    peak: int
    bytes: int


def run(way: str, model: Path, target: Path, data: Path) -> Run:
    script = textwrap.dedent(SETUP + WAYS[way] + REPORT)
    command = [sys.executable, "-W", "ignore", "-c", script, str(model), str(target), str(data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def test_int8_over_a_model_of_90_mb(models_dir: Path, tmp_path: Path) -> None:
    model, data = models_dir / "minilm" / "model.onnx", models_dir / "minilm" / "calib.npz"
    size = model.stat().st_size
    print(f"\nint8 per channel over {size / 1e6:.0f} MB, median of {ROUNDS}")
    found: dict[str, list[Run]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):  # in turn, so that a busy machine slows all of them
        for way, runs in found.items():
            runs.append(run(way, model, tmp_path / "out.onnx", data))
    theirs = statistics.median(r.seconds for r in next(iter(found.values())))
    for way, runs in found.items():
        seconds, peak = statistics.median(r.seconds for r in runs), max(r.peak for r in runs)
        speed = f"{seconds:.2f} s ({theirs / seconds:.1f} x as fast as theirs), " if runs[0].bytes else ""
        memory = f"peak {peak / 1e6:.0f} MB (model + {(peak - size) / 1e6:.0f})"
        print(f"{way}: {speed}{memory}, file {runs[0].bytes / 1e6:.2f} MB")
