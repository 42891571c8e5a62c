"""Each method on one Linear weight of 100 MB: time, and peak memory beyond the weight itself.

The yardstick in the same run: rounding the weight to int8 with one scale by plain numpy. Every method runs in a fresh
process, so that its peak is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from core.methods.base import Stage
from core.methods.registry import all_methods
from core.model.layer import Kind

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

SIDE = 5120  # 5120 x 5120 float32 are 105 MB
CHILD = """
import json, resource, sys, threading, time
import numpy as np
from core.data.layer_inputs import LayerInputs, ValueRange
from core.encoding import Float
from core.errors import LayerSkipped
from core.kernels import warm
from core.methods.base import Context
from core.methods.registry import by_key
from core.model.layer import Kind, Layer
from core.progress import Reporter

key, side = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
weight = rng.standard_normal((side, side), np.float32)
weight *= np.float32(0.02)
kind = Kind.LINEAR if key == "plain" or Kind.LINEAR in by_key(key).kinds else Kind.EMBEDDING
layer = Layer("w", kind, weight.shape, "float32", weight.nbytes, 1, 0)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
if key == "plain":
    start, before = time.perf_counter(), peak()
    scale = np.abs(weight).max() / 127
    codes = np.rint(weight / scale).astype(np.int8)
    print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak() - before, "told": 0, "skipped": ""}))
    sys.exit()
method = by_key(key)
params = method.Params()
inputs = None
if method.needs(params):
    x = rng.standard_normal((2 * side, side), np.float32)
    moments = (x.T @ x / len(x))[None]
    span = ValueRange(-4.0, 4.0, np.ones(2048, np.int64), 0, 2048)
    inputs = LayerInputs(64, len(x), np.zeros((1, side), np.float32), np.diagonal(moments[0])[None].copy(), moments,
                         gradient_square=weight**2, input_range=span, output_range=span)
    del x
warm()
told = []
start, before = time.perf_counter(), peak()
try:
    found = method.apply(Float(weight), params, Context(layer, inputs=inputs, reporter=Reporter(told.append)))
    skipped = ""
except LayerSkipped as error:
    skipped = error.what
print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak() - before, "told": len(told),
                  "skipped": skipped}))
"""


def measured(key: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, key, str(SIDE)], capture_output=True, text=True, check=True, timeout=900
    )
    return json.loads(done.stdout)


def test_every_method_on_100_mb() -> None:
    plain = measured("plain")
    print(f"\n{'method':24} {'seconds':>8} {'x plain':>8} {'peak MB':>8} {'progress':>8}")
    print(f"{'numpy int8, one scale':24} {plain['seconds']:8.2f} {1:8.1f} {plain['peak'] / 1e6:8.0f}")
    for method in all_methods():
        if method.stage is not Stage.WEIGHTS or not method.kinds & {Kind.LINEAR, Kind.EMBEDDING}:
            continue
        row = measured(method.key)
        print(
            f"{method.key:24} {row['seconds']:8.2f} {row['seconds'] / plain['seconds']:8.1f} "
            f"{row['peak'] / 1e6:8.0f} {row['told']:8d} {row['skipped']}"
        )
        assert row["told"] > 0 or row["skipped"] or row["seconds"] < 1, f"{method.key} told no progress"
