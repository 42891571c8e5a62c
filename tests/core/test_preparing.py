"""Before weights are compressed: what is measured, what is changed, and that another process gets the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.data import load_samples
from core.data.layer_inputs import Need
from core.data.samples import Samples
from core.exporting.cut_check import check_rewriting
from core.jobs import CompressSpec, MeasureSpec, compress_file, measure_for_steps
from core.methods.base import Stage
from core.model.model import Model
from core.model.readers import open_model
from core.pipeline import compress
from core.preparing import Prepared, needs, prepare, works_from_samples
from core.recipe import Recipe, Step
from core.sample import SamplePaths

FEEDBACK = "featherweight: 1\ndefaults: [{quantize: {bits: 4, rounding: feedback}}]\n"
CUT = "featherweight: 1\ndefaults: [{prune_channels: {ratio: 0.5, criterion: activation}}, {quantize: {bits: 8}}]\n"


@pytest.fixture
def model(sample: SamplePaths) -> Model:
    return open_model(sample.model)


@pytest.fixture
def samples(model: Model, sample: SamplePaths) -> Samples:
    return load_samples(sample.data, model.inputs)


def test_only_steps_that_ask_for_samples_have_any_measured(model: Model, samples: Samples) -> None:
    plain = Recipe.parse("featherweight: 1\ndefaults: [{quantize: {bits: 8}}]\n")
    assert not works_from_samples(model, plain)
    prepared = prepare(model, plain, samples)
    assert prepared.after is None and prepared.rewriting.model is model
    steps = (Step.make("quantize", bits=4, rounding="feedback"),)
    assert needs(steps, Stage.WEIGHTS) == {Need.MOMENTS}
    assert works_from_samples(model, Recipe.parse(FEEDBACK))


def test_samples_are_split_and_never_mixed(samples: Samples) -> None:
    first, second = samples.split(64, seed=3)
    assert first.n == 64 and first.n + second.n == samples.n
    assert not set(first.order.tolist()) & set(second.order.tolist())
    again, _ = samples.split(64, seed=3)
    np.testing.assert_array_equal(again.order, first.order)
    few, rest = samples.subset(5).split(64)
    assert (few.n, rest.n) == (2, 3)
    one, same = samples.subset(1).split(64)
    assert (one.n, same.n) == (1, 1)


@pytest.mark.parametrize("text", [FEEDBACK, CUT])
def test_another_process_prepares_the_same(
    text: str, model: Model, samples: Samples, sample: SamplePaths, tmp_path: Path
) -> None:
    words = measure_for_steps(MeasureSpec(str(model.path), text, str(sample.data), str(tmp_path)))
    assert words.startswith("64 samples")
    recipe = Recipe.parse(text)
    loaded, made = Prepared.load(model, recipe, tmp_path), prepare(model, recipe, samples.split(64)[0])
    assert [layer.shape for layer in loaded.rewriting.model.layers] == [x.shape for x in made.rewriting.model.layers]
    for layer in made.rewriting.model.layers:
        steps = recipe.steps_for(layer.name)
        (ours, _), (theirs, _) = loaded.inputs(layer.name, steps), made.inputs(layer.name, steps)
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None and theirs.moments is not None:
            np.testing.assert_allclose(ours.moments, theirs.moments, rtol=1e-6)


def test_cut_layers_say_what_was_cut_and_the_graph_equals_the_masked_original(model: Model, samples: Samples) -> None:
    done = compress(model, Recipe.parse(CUT), samples=samples.split(64)[0])
    cut = [result for result in done.layers if "of" in result.note and "channels" in result.note]
    assert cut and all(result.bytes_after < result.bytes_before for result in cut)
    assert [result.name for result in done.layers] == [layer.name for layer in model.layers]
    check = check_rewriting(done.rewriting, list(samples.feeds(2)))
    assert check is not None and check.passed and "masked original" in check.text
    last = done.layers[-1]
    assert "its own channels stay" in last.note and last.encoding is not None


def test_without_samples_such_steps_leave_layers_as_they_were_and_say_so(model: Model) -> None:
    for result in compress(model, Recipe.parse(FEEDBACK)).layers:
        assert result.encoding is None or not result.skipped
    skipped = [r for r in compress(model, Recipe.parse(FEEDBACK)).layers if r.skipped]
    assert skipped and all("none are loaded" in r.skipped for r in skipped)


def test_a_graph_step_that_finds_nothing_is_told_and_the_rest_goes_on(model: Model, tmp_path: Path) -> None:
    text = "featherweight: 1\ndefaults: [quantize]\ngraph: [{replace_activation: {from: Mish, to: Relu}}]\n"
    outcome = compress_file(CompressSpec(str(model.path), text, str(tmp_path / "out.onnx")))
    assert outcome.report.trouble and "Mish" in outcome.report.trouble[0]
    assert outcome.report.bytes_after < outcome.report.bytes_before
