"""Samples of a model with state: what it gives for one sample is what it is fed with the next.

Data of such a model holds the states that the original had. A changed model makes other states, and its errors add up
along a sequence, so it must be run on its own: one step at a time on recorded states tells too little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]

FEWEST = 2
"""So many samples must continue the ones before them: a single one may be chance."""
PROBED = 8
"""Samples that are run to learn whether there are states at all."""
_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Sequences:
    """Which inputs are states, and where a sequence goes on.

    states  {name of an input: number of the output that is fed to it}; {} for a model without state
    goes_on (n,) bool: whether the sample's states are what the original gave for the sample before
    """

    states: dict[str, int]
    goes_on: Array

    def feed(self, samples: Samples, index: int, before: Sequence[Array] | None) -> dict[str, Array]:
        """Inputs of a sample, with the model's own states where its sequence goes on.

        before  all outputs that the model gave for the sample before; None for the first
        """
        feed = samples.feed(index)
        if before is not None and self.goes_on[index]:
            feed |= {name: before[output] for name, output in self.states.items()}
        return feed


def find_sequences(samples: Samples, outputs: Sequence[Sequence[Array]]) -> Sequences:
    """The states among the inputs: those whose recorded values are an output of the sample before.

    outputs  what the original gave for samples 0, 1, ...: all outputs of each. Only samples that stood next to each
             other in the data are compared; at least half of them must continue each other.
    """
    n = min(samples.n, len(outputs))
    nothing = Sequences({}, np.zeros(samples.n, bool))
    neighbours = [i for i in range(1, n) if samples.order[i] == samples.order[i - 1] + 1]
    if len(neighbours) < FEWEST:
        return nothing
    states: dict[str, int] = {}
    goes_on = np.zeros(samples.n, bool)
    goes_on[neighbours] = True
    for name in samples.input_names:
        for output in range(len(outputs[0])):
            same = _continuing(samples, outputs, neighbours, name, output)
            if same.sum() >= max(FEWEST, len(neighbours) / 2):
                states[name] = output
                goes_on[neighbours] &= same
                break
    return Sequences(states, goes_on) if states else nothing


def keeps_state(samples: Samples, first: Sequence[Array], run: Callable[[dict[str, Array]], Sequence[Array]]) -> bool:
    """Whether the model has states that the samples were recorded with, told from the first few.

    first  all outputs of the original for sample 0
    run    runs the original; only asked for models with an output that could be fed to an input
    """
    feed = samples.feed(0)
    shapes = {(array.dtype.str, array.shape) for array in map(np.asarray, first) if array.dtype.kind == "f"}
    if not any((array.dtype.str, array.shape) in shapes for array in feed.values()):
        return False
    probed = samples.part(0, PROBED)
    return bool(find_sequences(probed, [first, *(run(probed.feed(i)) for i in range(1, probed.n))]).states)


def _continuing(
    samples: Samples, outputs: Sequence[Sequence[Array]], neighbours: Sequence[int], name: str, output: int
) -> Array:
    """Whether the input of each of these samples is that output of the sample before it."""
    same = np.zeros(len(neighbours), bool)
    for place, index in enumerate(neighbours):
        fed, gave = samples.feed(index)[name], np.asarray(outputs[index - 1][output])
        if fed.dtype != gave.dtype or fed.shape != gave.shape or fed.dtype.kind != "f":
            break
        same[place] = np.allclose(fed, gave, rtol=_TOLERANCE, atol=_TOLERANCE * float(np.abs(gave).max(initial=0.0)))
        if not same.any() and place >= PROBED:
            break  # no state: the other samples need not be read
    return same
