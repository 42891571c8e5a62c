"""Reports of real compressions: what they say, that nothing in them leads elsewhere, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from core import cli
from core.analysis import comparison
from core.analysis.sensitivity.cells import Cell, Sensitivity, Tier
from core.analysis.sensitivity.table import Asked, sensitivity
from core.data import load_samples
from core.errors import DataError, ParameterError, TargetError
from core.jobs import CompressOutcome, CompressSpec, compress_file
from core.model.readers import open_model
from core.planning.budgets import Budget, Goal
from core.planning.candidates import candidates
from core.planning.plan import Plan
from core.planning.planner import Wish, make_plan
from core.progress import Reporter
from core.recipe import Recipe, Step
from core.report_job import ReportSpec, report_file, write_report
from core.reporting.report import report_page
from core.reporting.subject import Subject, of_outcome
from core.sample import SamplePaths

INT4 = "featherweight: 1\ndefaults: [{quantize: {bits: 4}}]\nlayers: {conv1.weight: null}\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "LATENCY_SECONDS", 0.05)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> CompressOutcome:
    from core.sample import sample_paths

    target = tmp_path_factory.mktemp("report") / "out.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "LATENCY_SECONDS", 0.05)
        paths = sample_paths()
        return compress_file(CompressSpec(str(paths.model), INT4, str(target), str(paths.data), limit=20))


@pytest.fixture
def a_plan(mlp_path: Path, tmp_path: Path) -> Plan:
    """A measured plan of a small model."""
    x = np.random.default_rng(1).normal(0, 1, (24, 16)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    model = open_model(mlp_path)
    learn, test = load_samples(tmp_path / "data.npz", model.inputs).split(12)
    settings = tuple((Step.make("quantize", bits=bits),) for bits in (8, 4))
    table = sensitivity(model, learn, Asked(Tier.MEASURED, settings, everything=True), cache=tmp_path)
    wish = Wish(Budget(Goal.SIZE, model.file_bytes * 0.6), evaluations=3)
    return make_plan(model, table, candidates(model, table, Recipe()), wish, calibration=learn, test=test)


def words(text: str) -> str:
    """All that a reader sees, on one line; fails when the page is not well-formed."""
    body = ElementTree.fromstring(text).find("body")
    assert body is not None
    return " ".join(" ".join(body.itertext()).split())


def test_what_a_report_says(outcome: CompressOutcome) -> None:
    found = words(report_page(of_outcome(outcome, "model.onnx", INT4)))
    report, compared = outcome.report, outcome.comparison
    assert compared is not None and compared.accuracy_after is not None and outcome.latency is not None
    for text in (
        f"{report.bytes_before:,} B", f"{report.bytes_after:,} B", f"{report.bytes_predicted:,} B",
        f"{100 * compared.accuracy_after:.2f} %", f"{compared.output_sqnr_db:.1f} dB",
        f"{outcome.latency.runs:,} runs of each file", "20 of 500 samples of test.npz", "onnxruntime 1.",
        "Featherweight 0",
        "Only 20 samples were measured: one changed answer is 5 points.", "conv1.weight: null",
        "left as it was", "No step worked from samples",
    ):  # fmt: skip
        assert text in found, text
    for layer in outcome.layers:
        assert f"{layer.name} {layer.kind}" in found
    for error in outcome.accumulated:
        assert error.accumulated_sqnr_db is not None


def test_a_stranger_s_names_stay_text(outcome: CompressOutcome) -> None:
    evil = "</pre><script src='http://a/b'>x</script>\x01"
    layers = [dataclasses.replace(outcome.layers[-1], name=evil, skipped=evil), *outcome.layers[:-1]]
    text = report_page(of_outcome(dataclasses.replace(outcome, layers=tuple(layers)), evil, evil))
    tree = ElementTree.fromstring(text)
    assert not list(tree.iter("script")) and text.count("<pre>") == 1
    assert not [e for e in tree.iter() if any(key in ("src", "href") or key.startswith("on") for key in e.attrib)]
    assert "1 layer could not be compressed as asked" in words(text)


def test_without_data_a_report_says_so(outcome: CompressOutcome) -> None:
    bare = dataclasses.replace(outcome, comparison=None, latency=None, live=(), accumulated=())
    found = words(report_page(of_outcome(bare, "model.onnx", INT4)))
    assert "what it costs in quality was not measured" in found and "Where the error comes from" not in found


def test_the_plan_and_the_sensitivity(outcome: CompressOutcome, a_plan: Plan) -> None:
    step = Step.make("quantize", bits=4)
    cells = (Cell("fc1.weight", (step,), 10, 0.5, 2), Cell("fc2.weight", (step,), 10, 0.0, 1))
    table = Sensitivity("", 8, "kl", cells)
    text = report_page(of_outcome(outcome, "model.onnx", INT4, a_plan, table))
    found = words(text)
    assert "other plans, predicted" in found and "Whole plans: file size against output error" in found
    assert "fc1.weight" in found and "Values are predicted or measured on 8 samples" in found


def test_the_job_leaves_the_report_alone_behind(sample: SamplePaths, tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    subject = report_file(ReportSpec(str(sample.model), str(target), INT4, data_path=str(sample.data), limit=10))
    assert isinstance(subject, Subject) and subject.live and list(tmp_path.iterdir()) == [target]
    assert f"{subject.bytes_after:,} B" in words(target.read_text(encoding="utf-8"))


def test_a_file_that_is_there(sample: SamplePaths, outcome: CompressOutcome, tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    spec = ReportSpec(str(sample.model), str(target), compressed=outcome.path, data_path=str(sample.data), limit=10)
    report_file(spec)
    found = words(target.read_text(encoding="utf-8"))
    assert "model.onnx and out.onnx" in found and "Where the error comes from" in found and "Recipe" not in found
    with pytest.raises(DataError, match="needs samples"):
        report_file(dataclasses.replace(spec, data_path=None))
    with pytest.raises(ParameterError, match="of a recipe or of a compressed file"):
        report_file(dataclasses.replace(spec, recipe_text=INT4))


def test_a_target_that_cannot_be_written_is_refused_first(sample: SamplePaths, tmp_path: Path) -> None:
    for target in (str(sample.model), str(sample.data), str(tmp_path), str(tmp_path / "none" / "r.html")):
        told: list[object] = []
        with pytest.raises(TargetError):
            report_file(ReportSpec(str(sample.model), target, INT4, data_path=str(sample.data)), Reporter(told.append))
        assert not told


def test_a_full_disk_leaves_the_report_before(
    outcome: CompressOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from core.exporting import staging

    def full(_self: object, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "r.html"
    target.write_text("before")
    monkeypatch.setattr(staging.Staging, "write", full)
    with pytest.raises(TargetError, match="the disk is full, nothing was written"):
        write_report(of_outcome(outcome, "m", ""), target)
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def command(*argv: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.main([str(argument) for argument in argv])
        return code, *capfd.readouterr()

    return command


def test_the_commands(run: Run, sample: SamplePaths, tmp_path: Path) -> None:
    recipe, page, small = tmp_path / "r.yaml", tmp_path / "r.html", tmp_path / "small.onnx"
    recipe.write_text(INT4)
    code, out, error = run("report", sample.model, "--recipe", recipe, "-o", page, "--json", "--quiet")
    assert (code, error) == (0, "") and json.loads(out)["bytes_after"] < 30_000
    assert "was not measured" in page.read_text(encoding="utf-8")
    beside = tmp_path / "c.html"
    code, out, _ = run("compress", sample.model, "--recipe", recipe, "-o", small, "--report", beside, "--quiet")
    assert code == 0 and small.is_file() and "Checks of the file" in beside.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ([], "there is nothing to report on; give either --recipe"),
        (["small.onnx"], "comparing two files needs samples; give --data"),
        (["small.onnx", "--recipe", "r.yaml"], "both --recipe and a compressed file are given"),
        (["small.onnx", "--data", "d.npz", "--calib", "c.npz"], "--calib goes with --recipe"),
        (["--recipe", "none.yaml"], "none.yaml"),
    ],
)
def test_bad_use_of_the_command(run: Run, sample: SamplePaths, tmp_path: Path, more: list[str], sentence: str) -> None:
    code, out, error = run("report", sample.model, *more, "-o", tmp_path / "r.html", "--quiet")
    assert code == 2 and out == "" and sentence in error and error.count("\n") == 1
    assert not (tmp_path / "r.html").exists()
