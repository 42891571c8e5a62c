"""The planning job and `featherweight-cli plan`."""

from __future__ import annotations

import json
import pickle
import threading
from pathlib import Path

import pytest

from core import cli
from core.errors import Cancelled, FeatherweightError, RecipeError
from core.plan_job import PlanSpec, plan_file
from core.planning.plan import Plan
from core.progress import Progress, Reporter
from core.recipe import Recipe, Step

PLAN_KEYS = {"recipe", "bytes_predicted", "output_sqnr_db", "layers", "front"}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A cache of the tests' own."""
    monkeypatch.setattr("core.analysis.sensitivity.table.cache_folder", lambda: folder)


def run(*arguments: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(["plan", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_json_has_the_promised_keys_and_the_recipe_compresses_to_the_size(
    path: Path, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, target = tmp_path / "r.yaml", tmp_path / "out.onnx"
    code, out, err = run(
        path, "--data", data_path, "--size", "25%", "-o", recipe, "--json", "--quiet", capsys=capsys
    )  # fmt: skip
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert set(data) >= PLAN_KEYS
    assert data["output_sqnr_db"]["measured"] is True
    assert data["bytes_predicted"] <= 0.25 * path.stat().st_size
    assert cli.main(["compress", str(path), "--recipe", str(recipe), "--data", str(data_path), "-o", str(target),
                     "--json", "--quiet"]) == 0  # fmt: skip
    assert target.stat().st_size == pytest.approx(data["bytes_predicted"], rel=0.01)


def test_text_says_what_is_predicted_and_what_measured(
    path: Path, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(path, "--data", data_path, "--sqnr", "25", "-o", tmp_path / "r.yaml", capsys=capsys)
    assert code == 0
    assert "output SQNR, measured:" in out
    assert "a.weight" in out
    code, out, _ = run(path, "--size", "30%", "-o", tmp_path / "r2.yaml", capsys=capsys)
    assert code == 0
    assert "Nothing was measured" in out
    assert "SQNR, measured:" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "lots"], "25%"), (["--size", "1kB"], "smallest file is"), (["--sqnr", "30"], "--data"),
        (["--size", "25%", "--families", "magic"], "Quantization"), (["--size", "25%", "--minutes", "0"], "minutes"),
        (["--size", "25%", "--pin", "nolayer"], "nolayer"),
    ],
)  # fmt: skip
def test_bad_input_is_a_sentence(
    path: Path, tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(path, *arguments, "-o", tmp_path / "r.yaml", "--quiet", capsys=capsys)
    assert (code, out) == (2, "")
    assert words in err
    assert not (tmp_path / "r.yaml").exists()


@pytest.mark.parametrize(
    ("budgets", "words"),
    [([], "--size"), (["--size", "25%", "--sqnr", "30", "--drop", "1"], "3 budgets"),
     (["--latency", "0.5x"], "faster"), (["--size", "25%", "--multiply-adds", "lots"], "60%")],
)  # fmt: skip
def test_one_or_two_budgets_are_wanted(
    path: Path, tmp_path: Path, budgets: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(path, *budgets, "-o", tmp_path / "r.yaml", "--quiet", capsys=capsys)
    assert (code, out) == (2, "")
    assert words in err


def test_the_job_and_its_outcome_pickle(path: Path, data_path: Path) -> None:
    spec = pickle.loads(pickle.dumps(PlanSpec(str(path), "size", "25%", str(data_path))))
    plan = pickle.loads(pickle.dumps(plan_file(spec)))
    assert plan.met
    assert plan.candidates.recipe(plan.candidates.steps(plan.options)).layers


def test_a_cancelled_plan_is_kept_and_told(path: Path, data_path: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    told: list[Plan] = []

    def watch(progress: Progress) -> None:
        if isinstance(progress.part, Plan):
            told.append(progress.part)
            stop.set()

    spec = PlanSpec(str(path), "size", "25%", str(data_path), target=str(tmp_path / "r.yaml"))
    with pytest.raises(Cancelled) as caught:
        plan_file(spec, Reporter(watch, stop))
    assert "r.yaml" in str(caught.value)
    assert Recipe.load(tmp_path / "r.yaml") == told[-1].recipe


def test_a_pinned_layer_keeps_the_steps_of_the_recipe(path: Path, data_path: Path) -> None:
    steps = (Step.make("prune", ratio=0.5),)
    text = Recipe().with_steps({"a.weight": steps}).dump()
    plan = plan_file(PlanSpec(str(path), "size", "40%", str(data_path), recipe_text=text, pinned=("a.weight",)))
    assert plan.recipe.steps_for("a.weight") == steps
    with pytest.raises(RecipeError, match=r"a\.weight"):
        plan_file(PlanSpec(str(path), "size", "40%", pinned=("a.weigh",)))


def test_an_unknown_goal_is_told(path: Path) -> None:
    with pytest.raises(FeatherweightError, match="size, latency, multiply_adds, sqnr, drop"):
        plan_file(PlanSpec(str(path), "beauty", "1"))


def test_a_budget_given_twice_is_refused(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(path, "--size", "50%", "--size", "10%", "-o", tmp_path / "r.yaml", capsys=capsys)
    assert ended.value.code == 2
    assert "--size is given twice" in capsys.readouterr().err
