"""Makes resources/trellis/tables.npz: the values of the trellis' states for weights of a normal distribution.

Run once, some ten minutes: `python packaging/make_trellis_tables.py`. Every table begins with the quantiles of a normal
distribution in a random order (pairs of random numbers where a step gives two weights) and is then fitted to fresh
random numbers by Lloyd's algorithm: search the best path, move each state's value to the mean of what met it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

from core.methods._trellis import RATES, STATES, Stream, table_name  # noqa: E402

ROUNDS = 10
STEPS = 400_000


def start(states: int, width: int, rng: np.random.Generator) -> np.ndarray:
    if width > 1:
        return rng.standard_normal((states, width)).astype(np.float32)
    quantiles = [NormalDist().inv_cdf((i + 0.5) / states) for i in range(states)]
    return np.array(quantiles, np.float32)[rng.permutation(states)].reshape(-1, 1)


def fitted(states: int, symbol_bits: int, width: int) -> np.ndarray:
    rng = np.random.default_rng((states, symbol_bits, width))
    table = start(states, width, rng)
    for _ in range(ROUNDS):
        values = rng.standard_normal((STEPS, width)).astype(np.float32)
        met = Stream(symbol_bits, table).path(values).states()
        counts = np.bincount(met, minlength=states)[:, np.newaxis]
        sums = np.stack([np.bincount(met, values[:, v], states) for v in range(width)], 1)
        table = ((sums + table) / (counts + 1)).astype(np.float32)
    return table.astype(np.float16)


def main() -> None:
    tables = {}
    for rate, (symbol_bits, width) in RATES.items():
        for states in STATES:
            tables[table_name(rate, states)] = fitted(states, symbol_bits, width)
            print(table_name(rate, states), flush=True)
    target = HERE / "resources" / "trellis"
    target.mkdir(exist_ok=True)
    np.savez_compressed(target / "tables.npz", **tables)


if __name__ == "__main__":
    main()
