"""What is compared on the same folds, from how a person writes it."""

from __future__ import annotations

import pytest

from core.errors import ParameterError
from core.training.settings import TrainingSettings
from core.training.variants import parse, regularisations

BASE = TrainingSettings(epochs=10, seed=3)


def test_each_part_is_a_variant_of_the_base() -> None:
    trial = parse("weight_decay=1e-4, dropout=20%,l1=1e-5+patience=3", BASE)
    assert [variant.words for variant in trial.variants] == [
        "the base settings", "weight decay 0.0001", "dropout 20 %", "L1 penalty 1e-05 and patience 3",
    ]  # fmt: skip
    assert trial.settings(0, 0) == BASE
    last = trial.settings(3, 2)
    assert (last.l1, last.patience, last.epochs, last.seed) == (1e-5, 3, 10, 5)


def test_an_exponent_with_a_plus_is_one_number() -> None:
    assert parse("clip_norm=1e+2+patience=2", BASE).variants[1].changes == {"clip_norm": 100.0, "patience": 2}


def test_choices_are_told_by_their_titles() -> None:
    assert parse("augmentation=affine", BASE).variants[1].words == "augmentation: shift, turn and scale"


def test_nothing_gives_the_base_alone() -> None:
    assert len(parse("", BASE).variants) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour=red", "'colour' is no setting"), ("dropout", "'dropout' gives no value"),
        ("dropout=2", "dropout is 2"), ("dropout=much", "dropout is 'much'"), ("seed=3", "'seed' is no setting"),
        ("l1=0", "the same as the base settings"), ("l1=1e-4,l1=0.0001", "the same as"),
        (",".join(f"l1={n}e-6" for n in range(1, 15)), "14 variants"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(text: str, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        parse(text, BASE)


def test_all_regularisations_stand_against_none() -> None:
    trial = regularisations(TrainingSettings(weight_decay=0.1, dropout=0.5, epochs=10), pictures=True)
    none = trial.settings(0, 0)
    assert (none.weight_decay, none.dropout, none.patience, none.augmentation) == (0.0, 0.0, 0, "none")
    names = [tuple(variant.changes) for variant in trial.variants]
    assert names == [(), ("weight_decay",), ("l1",), ("dropout",), ("augmentation",), ("patience",)]
    assert len(regularisations(BASE, pictures=False).variants) == 5
