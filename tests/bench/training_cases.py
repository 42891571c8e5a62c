"""What recovery by training is measured on: model, recipe, data and settings of each row of docs/training.md."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DIGITS = ("--augmentation", "elastic", "--patience", "0")
"""Pictures changed a little each time: 7,000 digits are few."""
SHARED = ("--stages", "in turn", *DIGITS, "--distill-share", "20%")
"""Prune and train, then share levels and train; the labels teach more than the original, which is to be surpassed."""
UNLABELLED = "unlabelled.npz"
"""A model's calib.npz without labels, made by the benchmark in a folder of its own."""


@dataclass(frozen=True)
class Case:
    """One row: a fine-tuning by the command line.

    recipe    file in docs/recipes; "" trains the model as it is
    data      "train": the model's train.npz, the best state chosen by valid.npz. "unlabelled": its calib.npz without
              labels, of which some are held out
    settings  options of `featherweight-cli finetune`
    """

    name: str
    model: str
    recipe: str
    data: str
    settings: tuple[str, ...] = field(default=())

    def arguments(self, models: Path, made: Path, target: Path, seed: int, recipes: Path) -> list[str]:
        """Of the command line, without the program's name."""
        folder = models / self.model
        found = ["finetune", str(folder / "model.onnx")]
        found += ["--recipe", str(recipes / self.recipe)] if self.recipe else []
        if self.data == "unlabelled":
            found += ["--data", str(made / self.model / UNLABELLED)]
        else:
            found += ["--data", str(folder / "train.npz"), "--valid", str(folder / "valid.npz")]
        return [*found, "--test", str(folder / "test.npz"), "-o", str(target), "--seed", str(seed), *self.settings]

    def command(self) -> str:
        """As a person types it in the model's folder, the recipe beside it."""
        folder = Path()
        arguments = self.arguments(folder, folder, Path("out.onnx"), 0, folder)
        plain = (a.removeprefix(f"{self.model}/") for a in arguments)
        return shlex.join(["featherweight-cli", *plain])


def _epochs(count: int, *settings: str) -> tuple[str, ...]:
    return ("--epochs", str(count), *settings)


_ALL = (
    Case("lenet300", "lenet300", "lenet300-deep-compression.yaml", "train", _epochs(150, *SHARED)),
    Case("lenet5", "lenet5", "lenet5-deep-compression.yaml", "train", _epochs(45, *SHARED)),
    Case("lenet5 smallest", "lenet5", "lenet5-smallest.yaml", "train", _epochs(45, *SHARED)),
    Case("vit", "vit_digits", "vit_digits-deep-compression.yaml", "train", _epochs(9, "--stages", "in turn", *DIGITS)),
    Case("ternary", "lenet5", "lenet5-ternary.yaml", "train", _epochs(20, *DIGITS)),
    Case("binary", "lenet5", "lenet5-binary.yaml", "train", _epochs(20, *DIGITS)),
    Case("channels", "lenet5", "lenet5-half-channels.yaml", "train", _epochs(20, *DIGITS)),
    Case("rec", "ppocr_rec", "4-bit.yaml", "unlabelled",
         _epochs(6, "--batch", "16", "--learning-rate", "5e-4", "--temperature", "1", "--patience", "0")),
    Case("minilm", "minilm", "4-bit.yaml", "unlabelled",
         _epochs(10, "--batch", "16", "--learning-rate", "5e-5", "--patience", "0")),
    Case("lenet300 as it is", "lenet300", "", "train", _epochs(150, *DIGITS, "--distill-share", "20%")),
    Case("lenet5 as it is", "lenet5", "", "train", _epochs(45, *DIGITS, "--distill-share", "20%")),
    Case("vit as it is", "vit_digits", "", "train", _epochs(9, *DIGITS)),
)  # fmt: skip
CASES: Mapping[str, Case] = {case.name: case for case in _ALL}
