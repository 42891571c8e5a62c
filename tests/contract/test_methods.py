"""What every method keeps to, whatever it does. A new method is tested here without a line being written."""

from __future__ import annotations

import json
import threading
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from core.data.layer_inputs import LayerInputs, ValueRange
from core.encoding import Float
from core.encoding.counting import emitted_size
from core.errors import Cancelled, LayerSkipped, ParameterError
from core.methods.base import Context, Method, Stage
from core.methods.order import why_not_after
from core.methods.params import build, specs, to_dict
from core.methods.registry import all_methods, by_key, describe, find
from core.model.layer import Kind, Layer
from core.progress import Reporter
from core.recipe import Recipe, Step

METHODS = tuple(method for method in all_methods() if method.stage is Stage.WEIGHTS)
CASES = [(method, kind) for method in METHODS for kind in Kind if kind in method.kinds]
FORMS = ("already", "cannot multiply", "does not handle")
"""What is said of a form that a step cannot take, whatever the weights."""
PAIRS = [(first, second, kind) for first, kind in CASES for second in METHODS if kind in second.kinds]


@pytest.fixture(params=METHODS, ids=lambda method: method.key)
def method(request: pytest.FixtureRequest) -> Method:
    return request.param


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].key}-{case[1]}")
def case(request: pytest.FixtureRequest, layer_of) -> tuple[Method, Layer]:
    """A method and a layer of a kind that it claims to handle."""
    method, kind = request.param
    return method, layer_of(kind)


def measured(layer: Layer, **words) -> Context:
    """The context of a layer whose values were measured, for methods that work from samples by their defaults."""
    counts = np.full(64, 10)
    inputs = LayerInputs(
        4, input_range=ValueRange(0.0, 3.0, counts, 100, 640), output_range=ValueRange(-2.0, 4.0, counts, 0, 640)
    )
    return Context(layer, inputs=inputs, **words)


def variants(method: Method) -> list:
    """The defaults, and every choice and grid value of every parameter alone, with what makes it active."""
    found = [method.Params()]
    for spec in specs(method.Params):
        base = {other: allowed[0] for other, allowed in spec.when}
        values = spec.choices or spec.grid or ((True, False) if spec.type == "boolean" else ())
        found += [build(method.Params, {**base, spec.name: value}) for value in values]
    return found


def test_is_found_by_word_scheme_and_key(method: Method) -> None:
    assert find(method.word, method.scheme or None) is method
    assert by_key(method.key) is method


def test_tells_people_what_it_is(method: Method) -> None:
    assert method.title and method.family and method.summary.endswith(".") and method.costs.endswith(".")
    assert method.source and method.kinds
    assert set(method.saves) <= {"file", "memory", "time", "multiply-adds"} and method.saves
    assert json.loads(json.dumps(describe(method)))["key"] == method.key


def test_parameters_are_declared_whole(method: Method) -> None:
    names = {spec.name for spec in specs(method.Params)}
    for spec in specs(method.Params):
        assert spec.title
        assert spec.description
        assert spec.optional or spec.check(spec.default) == spec.default
        assert all(spec.check(value) == value for value in spec.grid)
        assert not spec.choice_titles or len(spec.choice_titles) == len(spec.choices)
        assert {other for other, _ in spec.when} <= names - {spec.name}


def test_numbers_out_of_range_are_refused_by_name(method: Method) -> None:
    for spec in specs(method.Params):
        for bound, beyond in ((spec.minimum, -1), (spec.maximum, 1)):
            if bound is not None:
                with pytest.raises(ParameterError, match=spec.name):
                    build(method.Params, {spec.name: bound + beyond})
    with pytest.raises(ParameterError, match="nonsense"):
        build(method.Params, {"nonsense": 1})


def test_parameters_are_frozen(method: Method) -> None:
    params = method.Params()
    for field in fields(params):
        with pytest.raises(FrozenInstanceError):
            setattr(params, field.name, None)


def test_goes_through_a_recipe(method: Method) -> None:
    for params in variants(method):
        recipe = Recipe(defaults=(Step(method.key, params),), layers=(("a b: #", (Step(method.key, params),)),))
        assert Recipe.parse(recipe.dump()) == recipe
        assert build(method.Params, to_dict(params)) == params


def test_labels_are_short(method: Method) -> None:
    for params in variants(method):
        assert 0 < len(method.label(params)) <= 20


@pytest.mark.parametrize("kind", Kind)
def test_says_why_not_for_other_kinds_and_locked_layers(method: Method, kind: Kind, layer_of) -> None:
    layer = layer_of(kind)
    reason = method.why_not(layer, method.Params())
    assert bool(reason) == (layer.kind not in method.kinds)
    assert method.why_not(replace(layer, locked="stored as codes"), method.Params()) == "stored as codes"


def applied(method: Method, layer, weight):
    """Each variant that the method accepts for the layer, with its encoding."""
    for params in variants(method):
        if method.why_not(layer, params):
            continue
        try:
            yield params, method.apply(Float(weight), params, measured(layer))
        except LayerSkipped as skipped:
            assert skipped.what  # a reason is given, and the defaults are never refused (below)


def test_applies_to_every_kind_it_claims(case, weight, rebuild) -> None:
    """Input unchanged, shape kept, size as counted, and stock ONNX Runtime rebuilds what `decode` says."""
    method, layer = case
    values = weight(layer)
    values.flags.writeable = False
    before = values.copy()
    found = dict(applied(method, layer, values))
    assert method.Params() in found
    for encoding in found.values():
        np.testing.assert_array_equal(values, before)
        decoded = encoding.decode()
        assert decoded.shape == layer.shape
        assert decoded.dtype == np.float32
        assert np.isfinite(decoded).all()
        opset = max(13, encoding.min_opset)
        constants = emitted_size(encoding, opset).data - encoding.nbytes - encoding.shared_bytes
        assert 0 <= constants <= 256  # small ones of nodes
        scale = np.abs(decoded).max() or 1.0
        tolerance = 1e-7 if encoding.exact else 1e-5
        np.testing.assert_allclose(rebuild(encoding, opset), decoded, rtol=0, atol=tolerance * scale)


def test_same_input_gives_the_same_bytes(case, weight) -> None:
    method, layer = case
    first, second = (dict(applied(method, layer, weight(layer))) for _ in range(2))
    assert first.keys() == second.keys()
    for params, encoding in first.items():
        np.testing.assert_array_equal(encoding.decode(), second[params].decode())
        assert encoding.describe() == second[params].describe()


def test_a_cancel_is_heard(case, weight) -> None:
    method, layer = case
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        method.apply(Float(weight(layer)), method.Params(), measured(layer, reporter=Reporter(cancel=cancel)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_skipped_with_the_reason(case, weight, bad: float) -> None:
    method, layer = case
    values = weight(layer)
    values.flat[5] = bad
    with pytest.raises(LayerSkipped, match=r"1 of .* weights are NaN or infinite"):
        method.apply(Float(values), method.Params(), measured(layer))


def test_weights_of_all_zeros_are_no_trouble(case) -> None:
    method, layer = case
    for _, encoding in applied(method, layer, np.zeros(layer.shape, np.float32)):
        assert not encoding.decode().any()


@pytest.mark.parametrize(("method", "second", "kind"), PAIRS, ids=lambda part: getattr(part, "key", str(part)))
def test_every_pair_of_steps_works_or_says_why_not(method, second, kind, layer_of, weight, rebuild) -> None:
    layer = layer_of(kind)
    first = method.apply(Float(weight(layer)), method.Params(), measured(layer))
    before = first.decode().copy()
    try:
        both = second.apply(first, second.Params(), measured(layer))
    except LayerSkipped as skipped:
        assert skipped.what
        if any(words in skipped.what for words in FORMS):
            assert why_not_after(second, [method])  # known before a weight is read
        return
    np.testing.assert_array_equal(first.decode(), before)
    assert both.nbytes < first.nbytes or second.word in ("prune", "low_rank")
    opset = max(13, both.min_opset)
    decoded = both.decode()
    np.testing.assert_allclose(rebuild(both, opset), decoded, rtol=0, atol=1e-5 * np.abs(decoded).max())
