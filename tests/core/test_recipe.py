"""Recipes: the file of the design, precedence, round trips, and every problem told at once."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ParameterError, RecipeError, TargetError
from core.methods.base import Stage
from core.methods.order import why_not_after
from core.methods.params import build, specs
from core.methods.registry import all_methods, by_key
from core.model.readers import open_model
from core.patterns import why_not_safe
from core.recipe import Recipe, Step, read_text

EXAMPLE = """\
featherweight: 1
model: {name: lenet5.onnx, sha256: 0123456789}
defaults: [{quantize: {bits: 8}}]
layers:                     # exact name > re:pattern > defaults; null leaves the layer alone
  conv1.weight: null
  "re:fc\\\\d":
    - prune: {ratio: 0.9, criterion: magnitude}
    - quantize: {bits: 4, scheme: codebook}      # scheme: affine, codebook, trellis
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(text)
    return caught.value.problems


def test_the_example_of_the_design() -> None:
    recipe = Recipe.parse(EXAMPLE)
    assert (recipe.model_name, recipe.model_sha256) == ("lenet5.onnx", "0123456789")
    assert recipe.steps_for("conv1.weight") == ()
    assert [step.label() for step in recipe.steps_for("fc1.weight")] == ["prune 90 %", "16 levels"]
    assert [step.label() for step in recipe.steps_for("conv2.weight")] == ["int8"]


def test_an_exact_name_wins_over_patterns_and_the_first_pattern_over_later_ones() -> None:
    recipe = Recipe.parse("""
featherweight: 1
defaults: float16
layers:
  "re:a": [{quantize: {bits: 7}}]
  "re:ab": [{quantize: {bits: 6}}]
  abc: {quantize: {bits: 5}}
  "re:x": null
""")
    labels = {name: [s.label() for s in recipe.steps_for(name)] for name in ("abc", "abd", "ba", "x1", "b")}
    assert labels == {"abc": ["int5"], "abd": ["int7"], "ba": ["fp16"], "x1": [], "b": ["fp16"]}


@pytest.mark.parametrize(
    "text", ["prune", "- prune", "[prune]", "[{prune: null}]", "[{prune: {}}]", "{prune: {ratio: 0.8}}"]
)
def test_ways_to_write_one_step(text: str) -> None:
    recipe = Recipe.parse(f"featherweight: 1\ndefaults:\n  {text}\n")
    assert recipe.defaults == (Step.make("prune"),)


def test_dump_is_short_and_plain_yaml() -> None:
    recipe = Recipe.parse(EXAMPLE)
    assert recipe.dump() == """\
featherweight: 1
model: {name: lenet5.onnx, sha256: "0123456789"}
defaults:
  - quantize: {bits: 8}
layers:
  conv1.weight: null
  "re:fc\\\\d":
    - prune: {ratio: 0.9}
    - quantize: {bits: 4, scheme: codebook}
"""
    assert yaml.safe_load(recipe.dump())["layers"]["re:fc\\d"][0] == {"prune": {"ratio": 0.9}}


@st.composite
def steps(draw, graph: bool = False) -> Step:
    method = draw(st.sampled_from([m for m in all_methods() if (m.stage is Stage.GRAPH) == graph]))
    values = {}
    for spec in specs(method.Params):
        if spec.choices:
            values[spec.name] = draw(st.sampled_from(spec.choices))
        elif spec.type == "boolean":
            values[spec.name] = draw(st.booleans())
        elif spec.type == "integer":
            values[spec.name] = draw(st.integers(int(spec.minimum), int(spec.maximum)))
        elif spec.type == "string":
            values[spec.name] = draw(st.text(st.characters(codec="utf-8"), max_size=8))
        else:
            values[spec.name] = draw(st.floats(spec.minimum, spec.maximum))
    return Step(method.key, build(method.Params, values))


names = st.text(st.characters(codec="utf-8"), max_size=12).filter(lambda name: not name.startswith("re:"))
keys = names | st.sampled_from(["no", "1e3", "null", "~", "12", "2:4", "onnx::MatMul_3", "re:fc\\d", "re:.*", "a: #b"])


def in_order(found: list[Step]) -> tuple[Step, ...]:
    """The steps that may follow those before them."""
    kept: list[Step] = []
    for step in found:
        if not why_not_after(by_key(step.method), [by_key(s.method) for s in kept]):
            kept.append(step)
    return tuple(kept)


some = st.lists(steps(), min_size=1, max_size=3).map(in_order)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(steps(), max_size=2).map(in_order), st.dictionaries(keys, some | st.none(), max_size=4), names, names
)
def test_every_recipe_comes_back_as_it_was(defaults, layers, name, sha256) -> None:
    recipe = Recipe(defaults, tuple(layers.items()), name, sha256)
    text = recipe.dump()
    assert Recipe.parse(text) == recipe
    assert Recipe.parse(text).dump() == text
    assert yaml.safe_load(text)["featherweight"] == 1  # other programs can read it too


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ("[{quantize: {bits: 8}}, {prune: {ratio: 0.5}}]", "put prune before quantize"),
        ("[{quantize: {bits: 8}}, {quantize: {bits: 4}}]", "use quantize once"),
        ("[{prune: {ratio: 0.5}}, low_rank]", "use prune or low_rank, not both"),
        ("[low_rank, {quantize: {scheme: static}}]", "use low_rank or quantize static, not both"),
        ("[{quantize: {scheme: nbits}}, filter]", "use quantize nbits or filter, not both"),
        ("[{quantize: {bits: 8}}, {quantize: {scheme: dynamic}}]", "use quantize once"),
    ],
)
def test_steps_in_an_order_without_sense_are_refused_with_advice(steps: str, reason: str) -> None:
    assert any(reason in problem for problem in problems(f"featherweight: 1\ndefaults: {steps}\n"))


def test_all_problems_are_told_at_once_with_their_lines() -> None:
    found = problems("""\
featherweight: 1
colour: red
model: {name: a, size: 3}
defaults: prun
layers:
  a: [{prune: {ratio: 2, pattern: 2:5, speed: 1}}, {quantize: {bits: 9, scheme: magic}}]
  a: null
  b: [{quantize: {bits: 4.5, scheme: codebook}, prune: {}}, 7]
  "re:(a": float16
  "re:(a+)+": float16
graph:
  - replace_weather: {from: Rain, to: Sun}
""")
    assert [text.split(":")[0] for text in found] == [f"line {n}" for n in (2, 3, 4, 6, 6, 6, 6, 7, 8, 8, 9, 10, 12)]
    text = "\n".join(found)
    for piece in ("unknown key 'colour'", "unknown key 'size'", "no method 'prun'", "ratio is 2", "from 0 to 1",
                  "pattern is '2:5'", "unknown parameter 'speed'", "no scheme 'magic'", "'a' is there twice",
                  "a step is one method", "no method '7'", "no regular expression", "take forever",
                  "no method 'replace_weather'"):
        assert piece in text, piece


@pytest.mark.parametrize(("text", "piece"), [
    ("", "empty"), ("- 1", "expected keys and values"), ("layers: {}", "version is missing"),
    ("featherweight: 2", "version 2"), ("featherweight: true", "version True"), ("featherweight: '1'", "version '1'"),
    ("featherweight: 1\ndefaults: 3: 4", "not YAML"), ("\x00", "not YAML"), ("[" * 3000, "not YAML"),
    ("featherweight: 1\nlayers: [1]", "expected keys"), ("featherweight: 1\ngraph: {a: b}", "expected a list"),
    ("featherweight: 1\ndefaults: [{prune: {ratio: .nan}}]", "ratio is '.nan'"),
    ("featherweight: 1\ndefaults: [{prune: {ratio: [1]}}]", "expected a single value"),
    ("featherweight: !!python/object/apply:os.getcwd []", "version"),
    ("featherweight: 1\ndefaults: [{prune: {ratio: !!python/name:os.getcwd x}}]", "is not allowed"),
    ("featherweight: 1\ndefaults: &a [*a]", "a step is one method"),
    ("featherweight: 1\nlayers: {[a]: null}", "a key is no text"),
])
def test_text_that_is_no_recipe(text: str, piece: str) -> None:
    assert piece in "; ".join(problems(text))


def test_growing_aliases_do_no_harm() -> None:
    lines = ["featherweight: 1", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert len(problems("\n".join([*lines, "defaults: *a11"]))) <= 30


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="no UTF-8"):
        read_text(tmp_path / "bytes.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"#" * 4_000_001)
    with pytest.raises(RecipeError, match="larger than 4 MB"):
        read_text(tmp_path / "huge.yaml")


def test_saving_replaces_the_file_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    Recipe().save(path)
    recipe = Recipe.parse(EXAMPLE)
    recipe.save(path)
    assert Recipe.load(path) == recipe
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(TargetError, match="folder does not exist"):
        recipe.save(tmp_path / "missing" / "recipe.yaml")
    assert stat.S_ISREG(path.stat().st_mode)


def test_with_steps_keeps_only_entries_that_say_something() -> None:
    int8, int4 = (Step.make("quantize", bits=bits) for bits in (8, 4))
    recipe = Recipe(defaults=(int8,))
    changed = recipe.with_steps({"a": [int4], "b": None, "c": [int8]})
    assert changed.layers == (("a", (int4,)), ("b", None))
    assert changed.steps_for("b") == ()
    assert changed.with_steps({"a": [int8], "b": (int8,)}) == recipe
    assert Recipe().with_steps({"a": None}) == Recipe()
    assert recipe.layers == ()


def test_check_lists_entries_that_mean_no_layer(mlp_path: Path) -> None:
    model = open_model(mlp_path)
    Recipe(layers=(("fc1.weight", None), ("re:fc", None))).check(model)
    with pytest.raises(RecipeError) as caught:
        Recipe(layers=(("fc1.wieght", None), ("re:conv", None), ("fc2.weight", None))).check(model)
    assert caught.value.problems == (
        "there is no layer 'fc1.wieght' (did you mean 'fc1.weight' or 'fc2.weight'?)", "'re:conv' matches no layer"
    )


def test_steps_are_made_by_word_scheme_or_key() -> None:
    assert Step.make("quantize", scheme="codebook", bits=3) == Step.make("quantize:codebook", bits=3)
    assert Step.make("quantize").method == "quantize:affine"
    assert by_key(Step.make("prune", ratio=0.6).method).word == "prune"
    assert pickle.loads(pickle.dumps(Step.make("prune", ratio=0.6))) == Step.make("prune", ratio=0.6)
    for wrong in (("melt", {}), ("quantize", {"scheme": "x"}), ("prune", {"ratio": 7}), ("prune", {"x": 1})):
        with pytest.raises(ParameterError):
            Step.make(wrong[0], **wrong[1])


@pytest.mark.parametrize("pattern", ["fc\\d", "layer\\.\\d+\\.attn\\.[qkv]\\.weight", "(conv|fc)1", ".*bias", "a{2,3}",
                                     "[(*+]+", "(?:conv|fc)\\d+\\.weight", "x\\(a+\\)+", "(?P<n>ab)?c", "(ab){2}"])
def test_usual_patterns_are_allowed(pattern: str) -> None:
    assert why_not_safe(pattern) == ""


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)*b", "((a*))*", "(?:x\\d+)+", "([a-z]+){5,}", "(a{9,}b)*",
                                     ".*.*.*.*.*x", "a" * 201, "(", "[a", "a**", "(?P<n>a+)+"])
def test_patterns_that_could_hang_or_fail_are_refused(pattern: str) -> None:
    assert why_not_safe(pattern)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_instead_of_waiting_for_ever(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match="this is a pipe"):
        Recipe.load(tmp_path / "recipe.yaml")


def test_an_infinite_whole_number_is_a_problem_like_any_other() -> None:
    with pytest.raises(RecipeError, match="line 2: defaults: low_rank: rank is inf; give a whole number"):
        Recipe.parse("featherweight: 1\ndefaults: [{low_rank: {by: rank, rank: 1e999}}]\n")


@pytest.mark.parametrize(("pattern", "says"), [("[", "is no regular expression"), ("(a+)+", "can take forever")])
def test_a_bad_pattern_of_nodes_is_told_with_its_line(pattern: str, says: str) -> None:
    (problem,) = problems(f"featherweight: 1\ngraph:\n- replace_activation:\n    nodes: 're:{pattern}'\n")
    assert problem.startswith(f"line 4: graph: replace_activation: nodes is 're:{pattern}', which ") and says in problem


def test_thousands_of_problems_are_one_readable_sentence() -> None:
    text = "featherweight: 1\nlayers:\n" + "".join(f"  layer{i}: [{{nothing: {{}}}}]\n" for i in range(5000))
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(text)
    assert len(caught.value.problems) == 5000
    assert str(caught.value).endswith("and 4,970 more.")
    assert len(str(caught.value)) < 15_000


@pytest.mark.parametrize("name", ["re:fc", "re:(", "name:fc", "name:re:fc", "n" * 1100, "é" * 1020, '"\n' * 400, "? x"])
@pytest.mark.parametrize("steps", [(), (Step.make("quantize", bits=4),)])
def test_what_is_written_for_any_name_is_read_and_means_that_layer_alone(name: str, steps: tuple[Step, ...]) -> None:
    recipe = Recipe(defaults=(Step.make("float16"),)).with_steps({name: steps})
    read = Recipe.parse(recipe.dump())
    assert read == recipe
    assert read.steps_for(name) == steps
    assert read.steps_for("fc") == read.steps_for("fc.weight") == recipe.defaults
    assert read.with_steps({name: recipe.defaults}).layers == ()


def test_a_name_may_be_marked_as_one() -> None:
    recipe = Recipe.parse("featherweight: 1\nlayers: {'name:fc': float16}\n")
    assert [step.label() for step in recipe.steps_for("fc")] == ["fp16"]
    assert recipe.with_steps({"fc": None}).layers == ()
