"""What decides a transfer beside the settings of its trainings: declared once, with words for forms and options."""

from __future__ import annotations

from dataclasses import dataclass

from core.methods.params import param

AUTO, NONE, ALL, LISTED = "auto", "none", "all", "listed"
UNUSED, SHARE = "unused", "share"
INT8, SMALL, OWN, SIZE = "int8", "small", "recipe", "size"

RECIPES = {
    INT8: "featherweight: 1\ndefaults: [{quantize: {bits: 8}}]\n",
    SMALL: "featherweight: 1\ndefaults: [{prune: {ratio: 0.7}}, {quantize: {scheme: codebook, bits: 4}}]\n",
}
"""Named recipes: 8 bits, which costs next to nothing; and pruning with a shared codebook (Han et al., "Deep
Compression", ICLR 2016)."""


@dataclass(frozen=True)
class TransferSettings:
    """How a model is transferred; trainings have their own settings."""

    hidden: int = param(
        0, "Hidden units", "Of a hidden layer in the new head; 0: one Linear layer. A hidden layer helps where the old "
        "features fit badly and there are many samples.", minimum=0, maximum=16_384,
    )
    head_epochs: int = param(
        60, "Epochs of the head", "The new head is trained alone at first, on features worked out once.",
        minimum=1, maximum=10_000,
    )
    freeze: str = param(
        AUTO, "Keep as they are", "Layers that are not trained. By measure: the first layers, as far as the new data "
        "hardly pulls at their weights. All: only the new head is trained.",
        choices=(AUTO, NONE, ALL, LISTED), choice_titles=("By measure", "None", "All", "Chosen layers"),
    )
    settled: float = param(
        0.25, "Kept below", "Layers whose relative gradient is below this share of the largest are kept (Lee et al., "
        "2023).", minimum=0.0, maximum=1.0, percent=True, unit="%", when={"freeze": [AUTO]},
    )
    slower: float = param(
        0.3, "Learning rate of old layers", "Of those that are trained on, as a share of the head's learning rate.",
        minimum=0.0001, maximum=1.0, percent=True, unit="%", when={"freeze": [AUTO, NONE, LISTED]},
    )
    cut: str = param(
        UNUSED, "Cut channels", "Unused: those that hardly change on the new samples. A share: the least used of all "
        "layers.", choices=(UNUSED, SHARE, NONE), choice_titles=("Unused ones", "A share", "None"),
    )
    threshold: float = param(
        0.05, "Unused below", "Use of a channel (1 is its layer's average) below which it is cut.", minimum=0.0,
        maximum=1.0, when={"cut": [UNUSED]},
    )
    share: float = param(
        0.25, "Share to cut", "Of all channels that can be cut, the least used first.", minimum=0.01, maximum=0.95,
        percent=True, unit="%", when={"cut": [SHARE]},
    )
    compress: str = param(
        INT8, "Compress", "8 bits cost next to nothing. Small: 70 % pruned, 16 shared levels. Then what is stored is "
        "trained again.",
        choices=(INT8, SMALL, SIZE, OWN, NONE), choice_titles=("8 bits", "Small", "To a size", "By a recipe", "No"),
    )
    tune_epochs: int = param(
        10, "Epochs after compressing", "In which what is stored is trained, to take back what compressing cost.",
        minimum=1, maximum=10_000, when={"compress": [INT8, SMALL, SIZE, OWN]},
    )
    compare: bool = param(
        True, "Compare with a fresh start", "Also train the same small network from random weights on the same data, "
        "to see what the transfer is worth. Takes about as long again.",
    )


DEFAULT_TRANSFER = TransferSettings()
