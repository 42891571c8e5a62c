"""Members as one graph: what it gives, what is stored once, and who is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from core.analysis.runtime import run, session
from core.ensembles.combining import Answer, Rule
from core.ensembles.joining import Joined, join
from core.ensembles.writing import write_joined
from core.errors import GateError, ModelFileError, ParameterError, TargetError
from core.model.readers import open_model
from tests.core.ensembles.models import CLASSES, FEATURES, classifier, rows, save


def merged(paths: Sequence[Path], rule: Rule = Rule.AVERAGE, weights: Sequence[float] | None = None) -> Joined:
    """The joined graph, written beside the members as out.onnx, checked on eight rows."""
    models = [open_model(path) for path in paths]
    feeds = [{models[0].inputs[0].name: rows(1, seed)} for seed in range(8)]
    first = session(paths[0])
    answers = [list(values) for values in zip(*(run(first, feed) for feed in feeds), strict=True)]
    joined = join(models, rule, weights, answers=answers)
    written = write_joined(joined, models, paths[0].with_name("out.onnx"), feeds)
    assert written.difference is not None and written.difference <= 1e-6
    return joined


def answer(path: Path, x: np.ndarray) -> np.ndarray:
    return run(session(path), {session(path).get_inputs()[0].name: x})[0]


def members(folder: Path, count: int = 3, **options: Any) -> list[Path]:
    return [classifier(folder / f"m{seed}.onnx", seed, **options) for seed in range(count)]


@pytest.mark.parametrize(("last", "kind"), [
    ("", Answer.VALUES), ("Softmax", Answer.PROBABILITIES), ("LogSoftmax", Answer.LOG_PROBABILITIES),
    ("Sigmoid", Answer.SEPARATE),
])  # fmt: skip
def test_average_is_the_mean_of_what_the_output_is(tmp_path: Path, last: str, kind: Answer) -> None:
    paths, x = members(tmp_path, last=last), rows(5)
    joined = merged(paths)
    assert joined.combinations[0].answer is kind
    each = np.stack([answer(path, x) for path in paths]).astype(np.float64)
    wanted = np.log(np.exp(each).mean(0)) if last == "LogSoftmax" else each.mean(0)
    np.testing.assert_allclose(answer(tmp_path / "out.onnx", x), wanted, atol=1e-5)


def test_weighted_average_counts_members_by_their_weights(tmp_path: Path) -> None:
    paths, x = members(tmp_path), rows(5)
    merged(paths, weights=[1.0, 2.0, 5.0])
    each = np.stack([answer(path, x) for path in paths])
    np.testing.assert_allclose(answer(tmp_path / "out.onnx", x), np.average(each, 0, [1, 2, 5]), atol=1e-5)


def test_vote_gives_the_majority_and_the_mean_decides_ties(tmp_path: Path) -> None:
    paths, x = members(tmp_path, 4, last="Softmax"), rows(200)
    merged(paths, Rule.VOTE)
    each = np.stack([answer(path, x) for path in paths])
    votes = np.stack([(each.argmax(-1) == c).sum(0) for c in range(CLASSES)], -1)
    tied = (votes == votes.max(-1, keepdims=True)).sum(-1) > 1
    wanted = np.where(votes == votes.max(-1, keepdims=True), each.mean(0), -1).argmax(-1)
    got = answer(tmp_path / "out.onnx", x)
    assert tied.any() and not tied.all()
    np.testing.assert_array_equal(got.argmax(-1), wanted)
    np.testing.assert_allclose(got.sum(-1), 1.0, atol=1e-5)


def test_votes_on_separate_probabilities_are_yes_or_no(tmp_path: Path) -> None:
    paths, x = members(tmp_path, 3, last="Sigmoid"), rows(50)
    merged(paths, Rule.VOTE)
    yes = np.stack([answer(path, x) >= 0.5 for path in paths]).sum(0)
    np.testing.assert_array_equal(answer(tmp_path / "out.onnx", x) >= 0.5, yes >= 2)


def test_whole_numbers_are_decided_by_majority(tmp_path: Path) -> None:
    paths = []
    for seed in range(3):
        path = classifier(tmp_path / f"m{seed}.onnx", seed)
        model = onnx.load(path)
        model.graph.node.append(helper.make_node("ArgMax", ["y"], ["label"], axis=1, keepdims=0))
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
        onnx.save(model, path)
        paths.append(path)
    x = rows(100)
    merged(paths, Rule.VOTE)
    each = np.stack([answer(path, x) for path in paths])
    got = answer(tmp_path / "out.onnx", x)
    count = (each == got).sum(0)
    assert all(count[i] >= (each[:, i] == other).sum() for i in range(100) for other in each[:, i])


def test_votes_need_classes(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="can only vote on classes"):
        join([open_model(path) for path in members(tmp_path)], Rule.VOTE)


def test_a_common_trunk_is_stored_and_computed_once(tmp_path: Path) -> None:
    paths = members(tmp_path, trunk=7)
    joined = merged(paths)
    assert joined.shared.nodes >= 4  # Gemm and Relu of two members
    assert joined.shared.nbytes >= 2 * 4 * FEATURES * 8
    assert [node.op_type for node in joined.graph.graph].count("Relu") == 1
    assert [node.op_type for node in joined.graph.graph].count("Gemm") == 1 + 3


def test_different_members_keep_their_nodes_and_their_layers_names(tmp_path: Path) -> None:
    joined = merged(members(tmp_path))
    assert [node.op_type for node in joined.graph.graph].count("Gemm") == 6
    names = {layer.name for layer in open_model(tmp_path / "out.onnx").layers}
    assert {"a.weight", "m2.a.weight", "m3.b.weight"} <= names


def test_random_operators_are_never_merged(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"], seed=1.0),
        helper.make_node("Mul", ["noise", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    wide = (("y", TensorProto.FLOAT, ["n", FEATURES]),)
    paths = [save(tmp_path / f"{i}.onnx", nodes, {"zero": np.zeros(1, np.float32)}, outputs=wide) for i in range(2)]
    joined = merged(paths)
    assert [node.op_type for node in joined.graph.graph].count("RandomNormalLike") == 2


def with_if(path: Path, seed: int) -> Path:
    """A member whose weight lies in the branches of an If that reads a value from outside."""
    rng = np.random.default_rng(seed)
    common = np.arange(FEATURES * CLASSES, dtype=np.float32).reshape(FEATURES, CLASSES)
    branches = {}
    for name, weight in (("then", common), ("else", rng.normal(size=(FEATURES, CLASSES)).astype(np.float32))):
        nodes = [
            helper.make_node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(weight)),
            helper.make_node("MatMul", ["x", "w"], ["inside"]),
        ]
        out = helper.make_tensor_value_info("inside", TensorProto.FLOAT, ["n", CLASSES])
        branches[f"{name}_branch"] = helper.make_graph(nodes, name, [], [out])
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], **branches),
    ]
    return save(path, nodes, {"zero": np.float32(0)})


def test_branches_are_joined_and_equal_tensors_in_them_stored_once(tmp_path: Path) -> None:
    paths = [with_if(tmp_path / f"{seed}.onnx", seed) for seed in (1, 2)]
    joined = merged(paths)
    assert joined.shared.nbytes >= 4 * FEATURES * CLASSES
    assert [node.op_type for node in joined.graph.graph].count("If") == 2
    assert [node.op_type for node in joined.graph.graph].count("Greater") == 1


def test_equal_branches_are_computed_once(tmp_path: Path) -> None:
    joined = merged([with_if(tmp_path / f"{name}.onnx", 1) for name in "ab"])
    assert [node.op_type for node in joined.graph.graph].count("If") == 1


def with_function(path: Path, factor: float) -> Path:
    scale = helper.make_function(
        "own", "Scale", ["a"], ["b"],
        [helper.make_node("Constant", [], ["f"], value_float=factor), helper.make_node("Mul", ["a", "f"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    wide = (("y", TensorProto.FLOAT, ["n", FEATURES]),)
    node = helper.make_node("Scale", ["x"], ["y"], domain="own")
    return save(path, [node], {}, outputs=wide, functions=[scale])


def test_functions_of_one_name_that_differ_are_both_kept(tmp_path: Path) -> None:
    joined = merged([with_function(tmp_path / f"{f}.onnx", f) for f in (2.0, 4.0)])
    assert len(joined.graph.functions) == 2
    x = rows(3)
    np.testing.assert_allclose(answer(tmp_path / "out.onnx", x), 3.0 * x, rtol=1e-6)
    assert len(merged([with_function(tmp_path / f"{n}.onnx", 2.0) for n in "ab"]).graph.functions) == 1


def test_members_of_several_opsets_are_raised_to_the_highest_and_metadata_is_kept(tmp_path: Path) -> None:
    paths = [
        classifier(tmp_path / f"{opset}.onnx", opset, opset=opset, metadata={"alphabet": "ab", "made": str(opset)})
        for opset in (11, 17)
    ]
    joined = merged(paths)
    assert joined.graph.opset_imports[""] == 17
    model = open_model(tmp_path / "out.onnx")
    assert model.metadata["alphabet"] == "ab"
    assert any("'made'" in note for note in joined.notes)


def test_one_input_and_one_output_may_have_other_names(tmp_path: Path) -> None:
    other = onnx.load(classifier(tmp_path / "b.onnx", 1))
    text = other.SerializeToString().replace(b"\x01x", b"\x01q").replace(b"\x01y", b"\x01p")
    (tmp_path / "b.onnx").write_bytes(text)
    merged([classifier(tmp_path / "a.onnx", 0), tmp_path / "b.onnx"])
    assert [port.name for port in open_model(tmp_path / "out.onnx").inputs] == ["x"]


@pytest.mark.parametrize(("options", "what"), [
    ({"outputs": (("y", TensorProto.FLOAT, ["n", CLASSES]), ("h", TensorProto.FLOAT, ["n", 8]))}, "2 outputs"),
    ({"outputs": (("y", TensorProto.FLOAT, ["n", 5]),)}, "its output 'y' is float32 n x 5"),
    ({"inputs": (("x", TensorProto.DOUBLE, ["n", FEATURES]),)}, "its input 'x' is float64"),
])  # fmt: skip
def test_members_that_do_not_fit_are_refused_with_the_difference(
    tmp_path: Path, options: dict[str, Any], what: str
) -> None:
    paths = [classifier(tmp_path / "a.onnx", 0), classifier(tmp_path / "b.onnx", 1, **options)]
    with pytest.raises(ModelFileError, match=what) as caught:
        join([open_model(path) for path in paths], Rule.AVERAGE)
    assert "b.onnx" in str(caught.value)


def test_states_are_not_averaged(tmp_path: Path) -> None:
    ports = (("x", TensorProto.FLOAT, [1, 4]), ("state", TensorProto.FLOAT, [1, 4]))
    outs = (("y", TensorProto.FLOAT, [1, 4]), ("stateN", TensorProto.FLOAT, [1, 4]))
    nodes = [helper.make_node("Add", ["x", "state"], ["stateN"]), helper.make_node("Relu", ["stateN"], ["y"])]
    paths = [save(tmp_path / f"{n}.onnx", nodes, {}, inputs=ports, outputs=outs) for n in "ab"]
    with pytest.raises(ModelFileError, match="'stateN' is a state"):
        join([open_model(path) for path in paths], Rule.AVERAGE)


def test_a_single_member_and_odd_weights_are_refused(tmp_path: Path) -> None:
    models = [open_model(path) for path in members(tmp_path, 2)]
    with pytest.raises(ModelFileError, match="at least two"):
        join(models[:1], Rule.AVERAGE)
    for weights in ([1.0], [1.0, 0.0], [1.0, float("nan")]):
        with pytest.raises(ParameterError, match="weight"):
            join(models, Rule.AVERAGE, weights)


def test_nothing_is_written_when_the_result_is_wrong_or_the_target_is_a_member(tmp_path: Path) -> None:
    models = [open_model(path) for path in members(tmp_path, 2)]
    feeds = [{"x": rows(1)}]
    with pytest.raises(TargetError, match="never overwritten"):
        write_joined(join(models, Rule.AVERAGE), models, models[1].path, feeds)
    spoiled = join(models, Rule.AVERAGE)
    factor = next(node for node in spoiled.graph.graph if node.op_type == "Sum")
    factor.replace_input_with(0, factor.inputs[1])
    with pytest.raises(GateError, match="one by one"):
        write_joined(spoiled, models, tmp_path / "out.onnx", feeds)
    assert not (tmp_path / "out.onnx").exists()


def pruned(path: Path, seed: int) -> Path:
    """A member whose weight is rebuilt from positions that a mask picks out: only the file states how many."""
    rng = np.random.default_rng(seed)
    kept = 10
    mask = np.zeros(16, bool)
    mask[rng.permutation(16)[:kept]] = True
    tensors = {
        "all": np.sort(rng.permutation(FEATURES * CLASSES)[:16]).astype(np.int64), "mask": mask,
        "values": rng.normal(size=kept).astype(np.float32), "size": np.array([FEATURES * CLASSES], np.int64),
        "shape": np.array([FEATURES, CLASSES], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Compress", ["all", "mask"], ["places"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ScatterElements", ["zeros", "places", "values"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    model = onnx.load(save(path, nodes, tensors))
    model.graph.value_info.append(helper.make_tensor_value_info("places", TensorProto.INT64, [kept]))
    onnx.save(model, path)
    return path


def test_pruned_members_are_rebuilt_when_the_file_is_loaded_not_in_every_run(tmp_path: Path) -> None:
    merged([pruned(tmp_path / f"{seed}.onnx", seed) for seed in range(3)])
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(tmp_path / "out.onnx", options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "loaded.onnx").graph.node}
    assert not kinds & {"Compress", "ScatterElements", "ConstantOfShape"}
