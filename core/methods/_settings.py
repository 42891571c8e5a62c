"""Parameters that quantizers share, each declared once: which range, how to round."""

from __future__ import annotations

from typing import Any

from core.methods.params import param

_RANGES = {
    "mse": ("Least squared error", "Least squared error narrows the range where cutting the largest weights off pays; "
            "it is never worse than the full range."),
    "minmax": ("Full range", "Full range cuts nothing off."),
    "percentile": ("Percentile", "Percentile cuts off what lies outside a given share of the weights."),
    "activation": ("Weighted by inputs", "Weighted by inputs is least squared error with each weight's error counted "
                   "by how large its input is on your samples."),
}
_ROUNDINGS = {
    "balanced": ("Balanced", "Balanced moves a few weights to their second nearest level, so that errors cancel where "
                 "a channel sums over its inputs."),
    "nearest": ("Nearest", "Nearest has the smallest error of the weights alone."),
    "stochastic": ("Stochastic", "Stochastic rounds up or down by chance, right on average; for comparison, as it adds "
                   "noise."),
    "feedback": ("Error feedback", "Error feedback lets later weights make up for the errors of earlier ones, judged "
                 "by your samples: the best of all at 2 to 4 bits, and slow. Layers that sum over no inputs "
                 "(embeddings, norms) are rounded to nearest."),
}


def range_param(*choices: str, **words: Any) -> Any:
    """The parameter `range` with these choices, the first being the default."""
    return _choice("Range", _RANGES, choices, words)


def rounding_param(*choices: str, **words: Any) -> Any:
    """The parameter `rounding` with these choices, the first being the default."""
    return _choice("Rounding", _ROUNDINGS, choices, words)


def percentile_param() -> Any:
    """The parameter `percentile`, used with `range: percentile`."""
    return param(
        99.9, "Percentile", "Per cent of the weights that the range holds; the others are cut off.",
        minimum=99.0, maximum=100.0, unit="%", when={"range": ["percentile"]}, grid=(100.0, 99.9, 99.5),
    )


def _choice(title: str, known: dict[str, tuple[str, str]], choices: tuple[str, ...], words: dict[str, Any]) -> Any:
    return param(
        choices[0], title, " ".join(known[c][1] for c in choices), choices=choices,
        choice_titles=tuple(known[c][0] for c in choices), **words,
    )
