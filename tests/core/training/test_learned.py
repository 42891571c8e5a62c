"""What is trained is what is stored, for every method and every pair of methods."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from core.data.layer_inputs import LayerInputs, ValueRange
from core.encoding import Affine, Codes, Encoding, Float
from core.errors import LayerSkipped
from core.methods.base import Context, Method, Stage
from core.methods.order import why_not_after
from core.methods.params import build, specs
from core.methods.registry import all_methods
from core.model.layer import Kind, Layer
from core.pipeline import apply_steps
from core.recipe import Recipe
from core.training.learned import LearnedWeight, learn

SHAPES: dict[Kind, tuple[tuple[int, ...], int | None, int | None, int]] = {
    Kind.CONV: ((12, 8, 3, 3), 0, 1, 1),
    Kind.LINEAR: ((48, 20), 1, 0, 1),
    Kind.EMBEDDING: ((60, 24), None, None, 1),
}
METHODS = tuple(method for method in all_methods() if method.stage is Stage.WEIGHTS)
CASES = [(method, next(kind for kind in SHAPES if kind in method.kinds)) for method in METHODS]
PAIRS = [
    (first, second, next(kind for kind in SHAPES if kind in first.kinds and kind in second.kinds))
    for first in METHODS for second in METHODS
    if any(k in first.kinds and k in second.kinds for k in SHAPES) and not why_not_after(second, [first])
]  # fmt: skip
KEEPS = {"quantize:trellis"}
"""Methods whose codes stay while their scales are trained."""


def context_of(kind: Kind) -> Context:
    shape, output, entry, groups = SHAPES[kind]
    layer = Layer("w", kind, shape, "float32", 4 * int(np.prod(shape)), output, entry, groups=groups)
    ranges = ValueRange(0.0, 3.0, np.full(64, 10), 100, 640), ValueRange(-2.0, 4.0, np.full(64, 10), 0, 640)
    return Context(layer, inputs=LayerInputs(4, input_range=ranges[0], output_range=ranges[1]))


def weight_of(kind: Kind) -> np.ndarray:
    return (np.random.default_rng(3).standard_t(5, SHAPES[kind][0]) * 0.05).astype(np.float32)


def variants(method: Method) -> Iterator[object]:
    """The defaults, and every choice of every parameter alone."""
    yield method.Params()
    for spec in specs(method.Params):
        base = {other: allowed[0] for other, allowed in spec.when}
        for value in spec.choices or ((True, False) if spec.type == "boolean" else ()):
            yield build(method.Params, {**base, spec.name: value})


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * float(np.abs(wanted).max()))


def value_of(learned: LearnedWeight) -> np.ndarray:
    with torch.no_grad():
        return learned().numpy()


def structure(encoding: Encoding) -> tuple[object, ...]:
    return type(encoding).__name__, encoding.shape, *(structure(child) for child in encoding.children)


def train(learned: LearnedWeight, steps: int = 4) -> None:
    """Some steps towards another weight."""
    wanted = torch.from_numpy(np.random.default_rng(5).normal(0, 0.1, learned().shape).astype(np.float32))
    parameters = [parameter for parameter in learned.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(learned(), wanted).backward()
        optimiser.step()


def keeps_the_contract(encoding: Encoding, weight: np.ndarray, *, reassign: bool = True) -> LearnedWeight:
    learned = learn(encoding, weight, reassign=reassign)
    decoded = encoding.decode().copy()
    close(value_of(learned), decoded)
    close(learned.encoding().decode(), decoded)
    if not any(parameter.requires_grad for parameter in learned.parameters()):
        assert learned.reason
        return learned
    train(learned)
    after = learned.encoding()
    np.testing.assert_array_equal(encoding.decode(), decoded)  # the encoding itself is not touched
    close(after.decode(), value_of(learned))
    assert structure(after) == structure(encoding)
    assert after.nbytes <= encoding.nbytes
    assert not np.array_equal(after.decode(), decoded)
    return learned


@pytest.mark.parametrize(("method", "kind"), CASES, ids=lambda part: getattr(part, "key", str(part)))
def test_what_is_trained_is_what_is_stored(method: Method, kind: Kind) -> None:
    context, weight = context_of(kind), weight_of(kind)
    tried = 0
    for params in variants(method):
        if method.why_not(context.layer, params):
            continue
        try:
            encoding = method.apply(Float(weight), params, context)
        except LayerSkipped:
            continue
        learned = keeps_the_contract(encoding, weight)
        assert bool(learned.reason) == (method.key in KEEPS)
        tried += 1
    assert tried


@pytest.mark.parametrize(("first", "second", "kind"), PAIRS, ids=lambda part: getattr(part, "key", str(part)))
def test_so_it_is_for_pairs_of_steps(first: Method, second: Method, kind: Kind) -> None:
    context, weight = context_of(kind), weight_of(kind)
    try:
        encoding = second.apply(first.apply(Float(weight), first.Params(), context), second.Params(), context)
    except LayerSkipped as skipped:
        assert skipped.what
        return
    keeps_the_contract(encoding, weight)


@pytest.mark.parametrize("steps", [
    "{prune: {ratio: 0.5}}", "{low_rank: {rank: 3}}", "{filter: {scheme: dct}}",
    "{prune: {ratio: 0.5}}, {quantize: {scheme: codebook, bits: 3}}", "{low_rank: {scheme: spatial, rank: 3}}",
])  # fmt: skip
def test_gradients_are_difference_quotients(steps: str) -> None:
    """Of all forms that do not round; of codebooks, with levels that stay those of their weights, the tables'."""
    recipe = Recipe.parse(f"featherweight: 1\ndefaults: [{steps}]\n")
    kind = Kind.LINEAR if steps == "{low_rank: {rank: 3}}" else Kind.CONV
    context, encoding = context_of(kind), None
    encoding = apply_steps(context.layer, Float(weight_of(kind)), recipe.steps_for("w"), context)[0]
    assert encoding is not None
    learned = learn(encoding, reassign=False)
    aim = torch.from_numpy(np.random.default_rng(7).standard_normal(encoding.shape).astype(np.float32))
    (learned() * aim).sum().backward()
    trained = [parameter for parameter in learned.parameters() if parameter.requires_grad]
    assert trained
    for parameter in trained:
        assert parameter.grad is not None
        place = int(parameter.grad.abs().argmax())
        flat, gradient = parameter.data.view(-1), float(parameter.grad.view(-1)[place])
        values = []
        for step in (0.125, -0.25):
            flat[place] += step
            with torch.no_grad():
                values.append(float((learned().double() * aim.double()).sum()))
        flat[place] += 0.125
        assert gradient == pytest.approx((values[0] - values[1]) / 0.25, rel=1e-3)


@pytest.mark.parametrize("steps", ["{quantize: {scheme: codebook, bits: 3}}",
                                   "{prune: {ratio: 0.5}}, {quantize: {scheme: codebook, bits: 3}}"])  # fmt: skip
def test_levels_can_stay_those_of_their_weights(steps: str) -> None:
    recipe, context = Recipe.parse(f"featherweight: 1\ndefaults: [{steps}]\n"), context_of(Kind.CONV)
    encoding = apply_steps(context.layer, Float(weight_of(Kind.CONV)), recipe.steps_for("w"), context)[0]
    assert encoding is not None
    learned = keeps_the_contract(encoding, weight_of(Kind.CONV), reassign=False)
    before, after = encoding.decode(), learned.encoding().decode()
    for level in np.unique(before):
        assert np.unique(after[before == level]).size == 1


def test_the_scales_gradient_is_that_of_learned_step_sizes() -> None:
    """Inside the range the rounding error (Esser et al., 2020, equation 3), over the root of the number of weights
    times the largest code; times the scale, as a factor of it is what is trained."""
    codes = np.array([-7, -2, 0, 3, 7], np.int8)
    encoding = Affine(Codes(codes, 8, signed=True), np.array(0.5, np.float32))
    weight = np.array([-3.6, -1.1, 0.1, 1.4, 3.4], np.float32)
    learned = learn(encoding, weight)
    learned().sum().backward()
    gain, latent = learned.tables_and_scales()[0], next(p for n, p in learned.named_parameters() if n == "weight")
    expected = 0.5 * float((codes - weight / 0.5).sum()) / np.sqrt(5 * 7)
    assert float(gain.grad) == pytest.approx(expected, rel=1e-4)
    assert latent.grad.tolist() == [1.0] * 5
