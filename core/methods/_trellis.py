"""The search of a trellis' symbols, in pieces that can be cancelled, and the tables of its states' values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from core.encoding import Codes, Trellis
from core.encoding.base import Array, Shape
from core.encoding.trellis import lead_of
from core.errors import InternalError
from core.kernels import in_threads
from core.progress import SILENT, Reporter

RATES = {1.0: (1, 1), 1.5: (3, 2), 2.0: (2, 1), 2.5: (5, 2), 3.0: (3, 1), 3.5: (7, 2), 4.0: (4, 1)}
"""Bits of each weight: (bits of a symbol, weights of a step)."""
STATES = (256, 1024, 4096)

_PIECE = 1 << 24  # additions between two looks at the cancel flag: some hundredths of a second
_AHEAD = 128  # steps looked ahead before a piece's symbols are decided; more changed nothing in trials
_STREAM = 1 << 17  # steps of a stream of a large weight
_TWO_FROM = 1 << 15  # steps from which both cores are given a stream
_NONE = np.empty(0, np.float32)


@dataclass(frozen=True)
class Path:
    """The best path found.

    symbols  (streams, lead + steps) uint8
    table    (states, width), symbol_bits: of the trellis
    """

    symbols: Array = field(repr=False)
    table: Array = field(repr=False)
    symbol_bits: int

    def encoding(self, shape: Shape, order: tuple[int, ...] = (), *, shared: bool = False) -> Trellis:
        return Trellis(Codes(self.symbols, self.symbol_bits), self.table, shape, order, shared)

    def states(self) -> Array:
        """The state of every step of all streams, (streams * steps,) int32."""
        streams, length = self.symbols.shape
        steps = length - lead_of(self.table.shape[0], self.symbol_bits)
        return self.encoding((streams * steps * self.table.shape[1],)).states().reshape(-1)


@dataclass(frozen=True)
class Stream:
    """A trellis to search.

    table  (states, width) float32 of float16 precision
    """

    symbol_bits: int
    table: Array = field(repr=False)

    def path(self, values: Array, importance: Array | None = None, reporter: Reporter = SILENT) -> Path:
        """The path nearest to `values`, (steps, width) float32, as one stream, or several for a large weight.

        importance  (steps,): what the squared error of each step counts
        The last stream is padded with zeros. Raises Cancelled within 0.2 s.
        """
        steps, width = values.shape
        streams = -(-steps // _STREAM) if steps > 2 * _STREAM else 2 if steps >= _TWO_FROM else 1
        length = -(-steps // streams)
        padded = np.zeros((streams * length, width), np.float32)
        padded[:steps] = values
        counts = None
        if importance is not None:
            counts = np.zeros(streams * length, np.float32)
            counts[:steps] = importance
            counts = counts.reshape(streams, length)
        return self.paths(padded.reshape(streams, length, width), counts, reporter)

    def paths(self, values: Array, importance: Array | None = None, reporter: Reporter = SILENT) -> Path:
        """The paths nearest to `values`, (streams, steps, width), one a stream; importance (streams, steps)."""
        streams, steps, width = values.shape
        if width != self.table.shape[1]:
            raise InternalError(f"steps of {width} weights for a table of {self.table.shape[1]}")
        lead = lead_of(self.table.shape[0], self.symbol_bits)
        symbols = np.empty((streams, lead + steps), np.uint8)
        done = np.zeros(streams)

        def work(stream: int) -> None:
            counts = _NONE if importance is None else importance[stream]

            def tell(share: float) -> None:
                done[stream] = share
                reporter.report(float(done.mean()))

            self._search(values[stream], counts, symbols[stream], lead, tell)

        for _ in in_threads(work, range(streams)):
            pass
        return Path(symbols, self.table, self.symbol_bits)

    def _search(
        self, values: Array, importance: Array, symbols: Array, lead: int, tell: Callable[[float], None]
    ) -> None:
        from core.kernels.trellis import trellis_path

        steps = values.shape[0]
        states, width = self.table.shape
        piece = max(256, _PIECE // (states * (1 + width)))
        table = np.ascontiguousarray(self.table.T)
        cost = np.zeros(states, np.float32)
        back = np.empty((min(steps, piece + _AHEAD), states >> self.symbol_bits), np.uint8)
        for start in range(0, steps, piece):
            stop = min(start + piece, steps)
            seen = slice(start, min(stop + _AHEAD, steps))
            before = trellis_path(
                values[seen], importance[seen], table, self.symbol_bits, stop - start, cost, back,
                symbols[lead + start : lead + stop],
            )
            if start == 0:
                places = self.symbol_bits * np.arange(lead - 1, -1, -1)
                symbols[:lead] = (before >> places) & ((1 << self.symbol_bits) - 1)
            tell(stop / steps)


def table_name(rate: float, states: int) -> str:
    return f"{rate:g}-{states}"


@cache
def normal_table(rate: float, states: int) -> Array:
    """The given table for weights of a normal distribution of variance 1: (states, width) float32.

    Fitted to random numbers once (packaging/make_trellis_tables.py), so that a file needs it only once for all layers.
    """
    import resources

    path = resources.path("trellis/tables.npz")
    try:
        with np.load(path, allow_pickle=False) as tables:
            return np.asarray(tables[table_name(rate, states)], np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise InternalError(f"the table {table_name(rate, states)} is missing", where=str(path),
                            do="install Featherweight again") from error


def fitted_table(values: Array, stream: Stream, rounds: int, reporter: Reporter) -> Array:
    """The stream's table fitted to `values`, (steps, width), by Lloyd's algorithm: (states, width) float32.

    Each state moves to the mean of the values that met it, drawn towards where it was as if by two more values, so
    that states that few values meet do not learn these by heart.
    """
    table = stream.table
    for turn in range(rounds):
        share = reporter.part(turn / rounds, (turn + 1) / rounds)
        met = Stream(stream.symbol_bits, table).path(values, reporter=share).states()[: values.shape[0]]
        counts = np.bincount(met, minlength=table.shape[0])[:, np.newaxis]
        sums = np.stack([np.bincount(met, values[:, v], table.shape[0]) for v in range(values.shape[1])], 1)
        table = ((sums + 2 * table) / (counts + 2)).astype(np.float16).astype(np.float32)
    return table
