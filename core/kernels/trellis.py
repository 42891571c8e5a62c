"""The search of the trellis encoding: the path through the states whose values are nearest to given numbers (Viterbi).

Source: Forney, "The Viterbi algorithm", Proc. IEEE 1973; the trellis is that of Tseng et al., "QTIP: Quantization with
Trellises and Incoherence Processing", NeurIPS 2024.
"""

from __future__ import annotations

import numba
import numpy as np

from core.kernels._types import F1, F2, OUT_F1, OUT_U8, OUT_U8_1, f4, i8

_PATH = i8(F2, F1, F2, i8, i8, OUT_F1, OUT_U8, OUT_U8_1)


@numba.njit(_PATH, nogil=True, cache=True, error_model="numpy", fastmath=True)
def trellis_path(values, importance, table, bits, keep, cost, back, symbols):
    """The best path for `values` from where `cost` lets it begin; returns the state before its first step.

    values      (n, width) float32: what each step is to come near to
    importance  (n,) what the squared error of each step counts, or of no elements: all alike
    table       (width, states) float32; the step that shifts `bits` new bits into state s gives column s
    keep        steps to decide, at most n: those behind only help to choose
    cost        (states,) float32: in: what it costs to begin in each state; out: 0 in the state after step `keep` and
                1e30 in all others, so that the next call goes on from there
    back        scratch, at least (n, states >> bits)
    symbols     (keep,) the bits that each step shifts in

    After each step the costs are those of the best path into each state. All predecessors of a state differ only in the
    `bits` bits that leave it, so the least of them is found once for all states that share the rest.
    """
    n, width = values.shape
    states = cost.size
    fan = 1 << bits
    shared = states >> bits
    least = np.empty(shared, np.float32)
    came = np.empty(shared, np.int32)
    spread = np.empty(states, np.float32)
    weighted = importance.size > 0
    for t in range(n):
        for g in range(shared):
            least[g] = cost[g]
            came[g] = 0
        for j in range(1, fan):
            start = j * shared
            for g in range(shared):
                c = cost[start + g]
                less = c < least[g]
                least[g] = c if less else least[g]
                came[g] = j if less else came[g]
        floor = least[0]
        for g in range(1, shared):
            floor = min(floor, least[g])
        for g in range(shared):
            back[t, g] = came[g]
            least[g] -= floor  # costs stay small, so that float32 tells them apart
        count = importance[t] if weighted else f4(1.0)
        for g in range(shared):
            before = least[g]
            for s in range(fan):
                spread[g * fan + s] = before
        wanted = values[t, 0]
        for i in range(states):
            miss = wanted - table[0, i]
            cost[i] = spread[i] + count * miss * miss
        for v in range(1, width):
            wanted = values[t, v]
            for i in range(states):
                miss = wanted - table[v, i]
                cost[i] += count * miss * miss
    best = 0
    for i in range(1, states):
        if cost[i] < cost[best]:
            best = i
    state = np.int64(best)
    after = state
    for t in range(n - 1, -1, -1):
        if t == keep - 1:
            after = state
        if t < keep:
            symbols[t] = state & (fan - 1)
        state = np.int64(back[t, state >> bits]) * shared + (state >> bits)
    for i in range(states):
        cost[i] = f4(1e30)
    cost[after] = f4(0.0)
    return state
