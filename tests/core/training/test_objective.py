"""What is minimised, and what is refused before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from core.data import Samples
from core.errors import DataError, ParameterError
from core.training import losses
from core.training.objective import Objective, Probe
from core.training.settings import TrainingSettings
from tests.core.training.fakes import CLASSES, made_samples


def objective(
    samples: Samples, output: Any, answer: Any = None, metadata: dict[str, str] | None = None, **settings: Any
) -> Objective:
    outputs = {"logits": torch.as_tensor(np.asarray(output, np.float32))}
    answers = None if answer is None else {"logits": torch.as_tensor(np.asarray(answer, np.float32))}
    return Objective(TrainingSettings(**settings), samples, Probe(outputs, answers), metadata or {})


LOGITS = np.random.default_rng(5).normal(size=(4, CLASSES)).astype(np.float32)


def test_auto_learns_from_both_where_there_are_classes(tmp_path: Path) -> None:
    samples = made_samples(tmp_path)
    assert objective(samples, LOGITS, LOGITS).learns_from == "both"
    assert objective(samples, LOGITS).learns_from == "labels"
    assert objective(made_samples(tmp_path, labels=None), LOGITS, LOGITS).learns_from == "distill"


def test_probabilities_and_logits_give_the_same_losses(tmp_path: Path) -> None:
    samples, places = made_samples(tmp_path), np.arange(4)
    logits, other = torch.from_numpy(LOGITS), torch.from_numpy(LOGITS[::-1].copy())
    found = []
    for make in (lambda x: x, lambda x: torch.softmax(x, -1)):
        made = objective(samples, make(logits), make(other))
        found.append(made({"logits": make(logits)}, made.label_loss(samples), places, {"logits": make(other)}))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_the_terms_are_weighted(tmp_path: Path) -> None:
    samples, places = made_samples(tmp_path), np.arange(4)
    logits, other = torch.from_numpy(LOGITS), torch.from_numpy(LOGITS[::-1].copy())
    made = objective(samples, LOGITS, LOGITS, distill_share=0.25, temperature=2.0)
    labels = torch.from_numpy(np.asarray(samples.labels)[:4])
    own = functional.cross_entropy(logits, labels, reduction="none")
    ours, theirs = torch.log_softmax(logits / 2, -1), torch.log_softmax(other / 2, -1)
    taught = 4.0 * (theirs.exp() * (theirs - ours)).sum(-1)
    torch.testing.assert_close(
        made({"logits": logits}, made.label_loss(samples), places, {"logits": other}), 0.75 * own + 0.25 * taught
    )


@pytest.mark.parametrize("loss", ["labels", "auto"])
def test_labels_out_of_range_are_named(tmp_path: Path, loss: str) -> None:
    labels = np.arange(120) % CLASSES
    labels[7] = CLASSES
    with pytest.raises(DataError, match=r"label of sample 7 is 3, .*3 classes apart \(0 to 2\); 1 of 120"):
        objective(made_samples(tmp_path, labels=labels), LOGITS, loss=loss)


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    samples = made_samples(tmp_path, labels=np.full(120, 2))
    with pytest.raises(DataError, match="all 120 samples are of class 2"):
        objective(samples, LOGITS)
    assert objective(samples, LOGITS, LOGITS, loss="distill").learns_from == "distill"


def test_labels_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="how the model spells text is not known"):
        objective(made_samples(tmp_path, labels=np.array(["a"] * 120)), LOGITS, LOGITS, loss="labels")
    wide = made_samples(tmp_path, labels=np.zeros((120, 5), np.float32))
    with pytest.raises(DataError, match="a label holds 5 numbers"):
        objective(wide, LOGITS, loss="labels")


def test_without_an_original_there_is_nothing_to_distill(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="there is none"):
        objective(made_samples(tmp_path), LOGITS, loss="distill")


def test_float_labels_are_met(tmp_path: Path) -> None:
    labels = np.random.default_rng(2).normal(size=(120, CLASSES)).astype(np.float32)
    samples = made_samples(tmp_path, labels=labels)
    made = objective(samples, LOGITS, loss="labels")
    found = made({"logits": torch.from_numpy(LOGITS)}, made.label_loss(samples), np.arange(4), None)
    np.testing.assert_allclose(found.numpy(), ((LOGITS - labels[:4]) ** 2).mean(1), rtol=1e-5)


def test_rare_classes_count_as_much(tmp_path: Path) -> None:
    labels = np.array([0] * 100 + [1] * 15 + [2] * 5)
    weights = losses.balanced_weights(labels, CLASSES)
    assert [float(weights[c] * np.sum(labels == c)) for c in range(3)] == pytest.approx([40.0] * 3)
    samples = made_samples(tmp_path, labels=labels)
    plain, made = objective(samples, LOGITS), objective(samples, LOGITS, class_weights="balanced")
    outputs, places = {"logits": torch.from_numpy(LOGITS)}, np.array([0, 1, 100, 119])
    ratio = made(outputs, made.label_loss(samples), places, None) / plain(
        outputs, plain.label_loss(samples), places, None
    )
    np.testing.assert_allclose(ratio.numpy(), [0.4, 0.4, 120 / 45, 8.0], rtol=1e-5)


def test_text_is_learned_through_the_alphabet_of_the_file(tmp_path: Path) -> None:
    samples = made_samples(tmp_path, labels=np.array(["ab"] * 120))
    steps = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
    made = objective(samples, steps, metadata={"character": "a\nb"}, loss="labels")
    found = made({"logits": steps}, made.label_loss(samples), np.arange(4), None)
    logs = torch.log_softmax(steps, -1)
    paths = torch.zeros(4)  # all ways to read "ab" from six steps
    for path in np.stack(np.meshgrid(*[range(3)] * 6), -1).reshape(-1, 6):
        kept = [k for i, k in enumerate(path) if k and (i == 0 or k != path[i - 1])]
        if kept == [1, 2]:
            paths += logs[:, range(6), path].sum(1).exp()
    torch.testing.assert_close(found, -paths.log() / 2, rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match="has 'c', which the model's alphabet lacks"):
        objective(made_samples(tmp_path, 90, labels=np.array(["abc"] * 90)), steps, metadata={"character": "a\nb"},
                  loss="labels")  # fmt: skip


def test_embeddings_keep_size_and_direction(tmp_path: Path) -> None:
    samples = made_samples(tmp_path, labels=None)
    values = torch.randn(4, 32, generator=torch.Generator().manual_seed(0)) * 50.0
    outputs = {"vector": values}
    made = Objective(TrainingSettings(), samples, Probe(outputs, outputs), {})
    assert made(outputs, None, np.arange(4), outputs).abs().max() < 1e-6
    doubled = made({"vector": 2.0 * values}, None, np.arange(4), outputs)
    assert float(doubled.mean()) == pytest.approx(1.0, rel=1e-4)  # whatever the unit is


def test_features_that_fit_nowhere_are_refused(tmp_path: Path) -> None:
    samples, logits = made_samples(tmp_path), torch.from_numpy(LOGITS)
    with pytest.raises(ParameterError, match="no layer gives an output of the same shape"):
        Objective(
            TrainingSettings(features=1.0), samples,
            Probe({"logits": logits}, {"logits": logits, "h": torch.ones(4, 8)}, {"h": torch.ones(4, 7)}), {},
        )  # fmt: skip
