"""Channel steps: what is cut, what is refused with which reason, and that the cut equals the masked original."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from core.analysis.runtime import run, session
from core.data.layer_inputs import LayerInputs, Need
from core.errors import Cancelled
from core.model.change import Change
from core.model.model import Model
from core.model.readers import open_model
from core.progress import Reporter
from core.recipe import Step
from core.rewriting.cuts import measurements, plan_cuts

node = helper.make_node
Make = Callable[..., Path]


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 0.4, shape).astype(np.float32)


def step(ratio: float = 0.5, **values: object) -> Step:
    return Step.make("prune_channels", **{"ratio": ratio, "round_to": 1, **values})


def chain(make_model: Make, **replaced: np.ndarray) -> Path:
    """conv (8) -> batch norm -> Relu -> deep (8, depthwise) -> point (6) -> Relu -> mean -> fc (4)."""
    weights = {"conv": random(8, 3, 3, 3), "conv.bias": random(8), "scale": np.linspace(0.2, 1.6, 8, dtype=np.float32),
               "shift": random(8), "mean": random(8), "variance": np.ones(8, np.float32), "deep": random(8, 1, 1, 1),
               "point": random(6, 8, 1, 1), "fc": random(4, 6), "fc.bias": random(4), **replaced}  # fmt: skip
    nodes = [
        node("Conv", ["x", "conv", "conv.bias"], ["a"], name="conv"),
        node("BatchNormalization", ["a", "scale", "shift", "mean", "variance"], ["b"], name="bn"),
        node("Relu", ["b"], ["c"]),
        node("Conv", ["c", "deep"], ["d"], group=8, name="deep"),
        node("Conv", ["d", "point"], ["e"], name="point"),
        node("Relu", ["e"], ["f"]),
        node("GlobalAveragePool", ["f"], ["g"]),
        node("Flatten", ["g"], ["h"]),
        node("Gemm", ["h", "fc", "fc.bias"], ["y"], transB=1, name="fc"),
    ]
    return make_model(nodes, weights, {"x": ["batch", 3, 6, 6]}, {"y": ["batch", 4]})


ONES = {"deep": np.ones((8, 1, 1, 1), np.float32), "point": np.ones((6, 8, 1, 1), np.float32)}
FEED = {"x": random(3, 3, 6, 6)}


def outputs(graph: ir.Model) -> np.ndarray:
    return run(session(ir.serde.serialize_model(graph).SerializeToString()), FEED)[0]


def both(model: Model, change: Change) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of the cut model and of the masked original."""
    smaller, masked = model.graph(), model.graph()
    change.apply(smaller)
    change.reference(masked)
    return outputs(smaller), outputs(masked)


def shapes(model: Model, change: Change) -> dict[str, tuple[int, ...]]:
    graph = model.graph()
    change.apply(graph)
    return {name: tuple(value.shape.numpy()) for name, value in graph.graph.initializers.items()}


def test_a_step_cuts_its_layer_and_all_that_is_coupled(make_model: Make) -> None:
    model = open_model(chain(make_model))
    plan = plan_cuts(model, {"conv": step()})
    assert plan.cut == {"conv": (4, 8), "deep": (4, 8)}
    assert plan.skipped == {}
    assert "cut with conv" in plan.notes["deep"]
    assert plan.change is not None
    assert plan.change.exact
    assert plan.change.lines() == ("Channels 8 -> 4: conv, and 7 tensors with them",)
    found = shapes(model, plan.change)
    assert found["conv"] == (4, 3, 3, 3)
    assert found["mean"] == (4,)
    assert found["deep"] == (4, 1, 1, 1)
    assert found["point"] == (6, 4, 1, 1)
    smaller, masked = both(model, plan.change)
    np.testing.assert_allclose(smaller, masked, rtol=0, atol=1e-6 * np.abs(masked).max())
    assert np.abs(smaller - outputs(model.graph())).max() > 1e-3  # something did go


def test_a_change_goes_through_pickle(make_model: Make) -> None:
    model = open_model(chain(make_model))
    change = plan_cuts(model, {"conv": step(), "point": step(0.34)}).change
    again = pickle.loads(pickle.dumps(change))
    assert again.lines() == change.lines()
    np.testing.assert_array_equal(both(model, again)[0], both(model, change)[0])


def test_cutting_reads_and_copies_no_tensor_that_stays(make_model: Make) -> None:
    model = open_model(chain(make_model))
    change = plan_cuts(model, {"point": step()}).change
    graph = model.graph()
    before = {name: value.const_value for name, value in graph.graph.initializers.items()}
    change.apply(graph)
    after = {name: value.const_value for name, value in graph.graph.initializers.items()}
    assert {name for name in before if before[name] is not after[name]} == {"point", "fc"}


def test_the_smallest_channels_go(make_model: Make) -> None:
    weights = random(8, 3, 3, 3)
    weights[[1, 4, 6]] *= 0.01
    path = chain(make_model, conv=weights, **ONES)
    for criterion in ("l1", "l2"):
        change = plan_cuts(open_model(path), {"conv": step(0.375, criterion=criterion)}).change
        assert change.cuts[0].kept == (0, 2, 3, 5, 7)


def test_batch_norm_scales_decide_where_asked(make_model: Make) -> None:
    model = open_model(chain(make_model))
    assert plan_cuts(model, {"conv": step(criterion="bn_scale")}).change.cuts[0].kept == (4, 5, 6, 7)
    assert "no batch norm" in plan_cuts(model, {"point": step(criterion="bn_scale")}).skipped["point"]


def statistics(**values: np.ndarray) -> Callable[[str], LayerInputs | None]:
    return lambda name: LayerInputs(samples=4, **values) if name == "conv" else None


def test_measured_outputs_decide_where_asked(make_model: Make) -> None:
    model = open_model(chain(make_model, **ONES))
    square = np.float32([5, 1, 5, 1, 5, 1, 5, 1])
    found = statistics(output_mean=square, output_square=square, active=np.float32([0, 0.5, 0, 0.01, 0.9, 1, 1, 0]))
    assert plan_cuts(model, {"conv": step(criterion="activation")}, found).change.cuts[0].kept == (0, 2, 4, 6)
    idle = plan_cuts(model, {"conv": Step.make("prune_channels", criterion="activity")}, found).change
    assert idle.cuts[0].kept == (1, 3, 4, 5, 6)
    busy = Step.make("prune_channels", criterion="activity", threshold=0.02)
    assert plan_cuts(model, {"conv": busy}, found).change.cuts[0].kept == (1, 4, 5, 6)


def test_gradients_decide_where_asked(make_model: Make) -> None:
    model = open_model(chain(make_model, conv=np.ones((8, 3, 3, 3), np.float32)))
    square = np.ones((8, 3, 3, 3), np.float32) * np.arange(8, dtype=np.float32)[::-1, None, None, None]
    plan = plan_cuts(model, {"conv": step(criterion="taylor")}, statistics(gradient_square=square))
    assert plan.change.cuts[0].kept == (0, 1, 2, 3)


@pytest.mark.parametrize("criterion", ["activation", "taylor", "activity"])
def test_without_samples_the_reason_is_told(criterion: str, make_model: Make) -> None:
    plan = plan_cuts(open_model(chain(make_model)), {"conv": Step.make("prune_channels", criterion=criterion)})
    assert plan.change is None
    assert "works from samples" in plan.skipped["conv"]


def test_statistics_that_are_nan_are_told(make_model: Make) -> None:
    found = statistics(output_mean=np.zeros(8, np.float32), output_square=np.full(8, np.nan, np.float32),
                       active=np.zeros(8, np.float32))  # fmt: skip
    plan = plan_cuts(open_model(chain(make_model)), {"conv": step(criterion="activation")}, found)
    assert "NaN" in plan.skipped["conv"]


def test_random_is_the_same_for_the_same_seed(make_model: Make) -> None:
    model = open_model(chain(make_model))
    one, two, other = (plan_cuts(model, {"conv": step(criterion="random")}, seed=seed).change for seed in (1, 1, 2))
    assert one.cuts == two.cuts
    assert one.cuts != other.cuts


@pytest.mark.parametrize(
    ("units", "ratio", "round_to", "kept"),
    [(32, 0.25, 8, 24), (32, 0.3, 8, 24), (32, 0.3, 16, 22), (33, 0.05, 8, 32), (32, 0.9, 8, 8), (6, 0.5, 8, 3)],
)
def test_counts_are_rounded_up_unless_that_would_undo_the_cut(units, ratio, round_to, kept, make_model: Make) -> None:
    nodes = [node("MatMul", ["x", "a"], ["h"]), node("MatMul", ["h", "b"], ["y"])]
    path = make_model(nodes, {"a": random(4, units), "b": random(units, 3)}, {"x": ["n", 4]}, {"y": ["n", 3]})
    plan = plan_cuts(open_model(path), {"a": step(ratio, round_to=round_to)})
    assert plan.cut["a"] == (kept, units)


def test_at_least_one_channel_goes_or_the_reason_is_told(make_model: Make) -> None:
    plan = plan_cuts(open_model(chain(make_model)), {"conv": step(0.05)})
    assert plan.change is None
    assert plan.skipped["conv"].startswith("5 % of its 8 channels is less than one")


def test_two_steps_in_one_group_the_first_is_done(make_model: Make) -> None:
    plan = plan_cuts(open_model(chain(make_model)), {"deep": step(0.25), "conv": step(0.5)})
    assert plan.cut["conv"] == (4, 8)
    assert plan.skipped == {"deep": "its channels are cut together with those of 'conv', which has another step"}


def test_what_cannot_be_cut_says_why_and_the_others_go_on(make_model: Make) -> None:
    bad = random(8, 3, 3, 3)
    bad[0, 0, 0, 0] = np.nan
    steps = {name: step() for name in ("conv", "point", "fc", "scale")}
    plan = plan_cuts(open_model(chain(make_model, conv=bad)), steps)
    assert plan.cut == {"point": (3, 6)}
    assert "1 of 216 weights are NaN" in plan.skipped["conv"]
    assert "output 'y'" in plan.skipped["fc"]
    assert "goes into the convolution" in plan.skipped["scale"]


def test_weights_of_all_zeros_are_no_trouble(make_model: Make) -> None:
    empty = {name: np.zeros(shape, np.float32) for name, shape in
             (("conv", (8, 3, 3, 3)), ("deep", (8, 1, 1, 1)), ("point", (6, 8, 1, 1)))}  # fmt: skip
    model = open_model(chain(make_model, **empty))
    assert plan_cuts(model, {"conv": step()}).cut["conv"] == (4, 8)


def test_dead_channels_are_carried_forward_without_samples(make_model: Make) -> None:
    """Channels whose weights are zero give act(norm(bias)) everywhere: without them the model gives the same."""
    weights = random(8, 3, 3, 3)
    weights[[0, 2, 5, 7]] = 0
    model = open_model(chain(make_model, conv=weights, deep=np.ones((8, 1, 1, 1), np.float32)))
    plan = plan_cuts(model, {"conv": step()})
    assert plan.change.cuts[0].kept == (1, 3, 4, 6)
    smaller, masked = both(model, plan.change)
    np.testing.assert_allclose(smaller, masked, rtol=0, atol=1e-5)
    np.testing.assert_allclose(smaller, outputs(model.graph()), rtol=0, atol=1e-5)


def test_constant_channels_leave_nothing_behind(make_model: Make) -> None:
    nodes = [node("Gemm", ["x", "a", "a.bias"], ["h"]), node("Tanh", ["h"], ["i"]), node("MatMul", ["i", "b"], ["j"]),
             node("Add", ["j", "b.bias"], ["y"])]  # fmt: skip
    first = random(6, 8)
    first[:, [1, 3, 4, 6]] = 0
    weights = {"a": first, "a.bias": random(8) + 1, "b": random(8, 4) * 0.01 + 0.1, "b.bias": random(4)}
    model = open_model(make_model(nodes, weights, {"x": ["n", 6]}, {"y": ["n", 4]}))
    plan = plan_cuts(model, {"a": step(0.5)})
    assert plan.change.cuts[0].kept == (0, 2, 5, 7)
    smaller, original = model.graph(), model.graph()
    plan.change.apply(smaller)
    feed = {"x": random(5, 6)}
    found, wanted = (run(session(ir.serde.serialize_model(graph).SerializeToString()), feed)[0]
                     for graph in (smaller, original))  # fmt: skip
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    assert any("bias" in line for line in plan.change.lines())


def test_measured_means_bring_the_outputs_closer(make_model: Make) -> None:
    """The mean of what reaches the next layer, carried into its bias, is exact on average over the samples."""
    nodes = [node("MatMul", ["x", "a"], ["h"]), node("Relu", ["h"], ["i"]), node("MatMul", ["i", "b"], ["y"])]
    weights = {"a": random(6, 16), "b": random(16, 4)}
    model = open_model(make_model(nodes, weights, {"x": ["n", 6]}, {"y": ["n", 4]}))
    x = random(64, 6) + 1
    mean = np.maximum(x @ weights["a"], 0).mean(0)
    found = {"a": LayerInputs(64, mean=np.zeros((1, 6), np.float32), square=np.ones((1, 6), np.float32)),
             "b": LayerInputs(64, mean=mean[None], square=mean[None])}  # fmt: skip
    errors = {}
    for name in ("none", "mean"):
        change = plan_cuts(model, {"a": step(0.5, compensate=name)}, found.get).change
        graph = model.graph()
        change.apply(graph)
        after = run(session(ir.serde.serialize_model(graph).SerializeToString()), {"x": x})[0]
        errors[name] = after - np.maximum(x @ weights["a"], 0) @ weights["b"]
    assert np.abs(errors["mean"].mean(0)).max() < 1e-5
    assert np.square(errors["mean"]).sum() < 0.5 * np.square(errors["none"]).sum()


def test_measurements_name_the_layers_whose_statistics_are_read(make_model: Make) -> None:
    model = open_model(chain(make_model))
    assert measurements(model, {"conv": step()}) == {}
    found = measurements(model, {"conv": step(criterion="taylor", compensate="mean")})
    assert found["point"] == {Need.MEANS}
    assert Need.GRADIENTS in found["conv"] and Need.GRADIENTS in found["deep"]


def test_heads_and_channels_are_told_apart(make_model: Make) -> None:
    weights = {"q": random(8, 8), "k": random(8, 8), "v": random(8, 8), "o": random(8, 3),
               "heads": np.array([0, 0, 4, 2]), "whole": np.array([0, 0, 8])}  # fmt: skip
    nodes = []
    for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [node("MatMul", ["x", name], [f"{name}1"]), node("Reshape", [f"{name}1", "heads"], [f"{name}2"]),
                  node("Transpose", [f"{name}2"], [f"{name}3"], perm=perm)]  # fmt: skip
    nodes += [node("MatMul", ["q3", "k3"], ["s"]), node("Softmax", ["s"], ["t"]), node("MatMul", ["t", "v3"], ["u"]),
              node("Transpose", ["u"], ["w"], perm=[0, 2, 1, 3]), node("Reshape", ["w", "whole"], ["r"]),
              node("MatMul", ["r", "o"], ["y"])]  # fmt: skip
    model = open_model(make_model(nodes, weights, {"x": ["n", "t", 8]}, {"y": ["n", "t", 3]}))
    heads = plan_cuts(model, {name: Step.make("prune_heads", ratio=0.5) for name in "qkvo"})
    assert heads.cut == {"q": (4, 8), "k": (4, 8), "v": (4, 8)}
    assert "output 'y'" in heads.skipped["o"]
    assert heads.change.lines()[0].startswith("Heads 4 -> 2: q, k, v")
    assert "use Cut attention heads" in plan_cuts(model, {"q": step()}).skipped["q"]
    plain = plan_cuts(open_model(chain(make_model)), {"fc": Step.make("prune_heads")})
    assert plain.skipped["fc"]


def test_a_cancel_is_heard(make_model: Make) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        plan_cuts(open_model(chain(make_model)), {"conv": step()}, reporter=Reporter(cancel=cancel))


def test_a_layer_whose_inputs_cannot_be_measured_says_so(make_model: Make) -> None:
    model = open_model(chain(make_model))
    steps = {"conv": step(criterion="activation")}
    assert "none are loaded" in plan_cuts(model, steps).skipped["conv"]
    found = plan_cuts(model, steps, why_not=lambda name: f"all samples of {name} are NaN").skipped
    assert found == {"conv": "its inputs cannot be measured: all samples of conv are NaN"}


def thirds(make_model: Make) -> Path:
    """conv (30) in three: the first two, of small weights, are read together, the last alone."""
    weights = {"conv": random(30, 3, 1, 1), "k1": random(5, 20, 1, 1), "k2": random(5, 10, 1, 1)}
    weights["conv"][:20] *= 0.01
    nodes = [node("Conv", ["x", "conv"], ["a"]), node("Split", ["a"], ["p", "q", "r"], axis=1, num_outputs=3),
             node("Concat", ["p", "q"], ["z"], axis=1), node("Conv", ["z", "k1"], ["u"]),
             node("Conv", ["r", "k2"], ["v"]), node("Add", ["u", "v"], ["y"])]  # fmt: skip
    return make_model(nodes, weights, {"x": ["batch", 3, 6, 6]}, {"y": ["batch", 5, 6, 6]})


@pytest.mark.parametrize(("values", "stay"), [({"ratio": 0.66}, 10), ({"ratio": 0.95}, 3),
                                              ({"criterion": "activity"}, 3)])  # fmt: skip
def test_of_each_part_of_a_split_a_channel_stays(values: dict[str, object], stay: int, make_model: Make) -> None:
    model = open_model(thirds(make_model))
    idle = LayerInputs(samples=1, rows=1, output_square=np.ones(30, np.float32), active=np.zeros(30, np.float32))
    change = plan_cuts(model, {"conv": step(**values)}, lambda name: idle if name == "conv" else None).change
    assert change is not None
    found = shapes(model, change)
    assert found["conv"][0] == found["k1"][1] + found["k2"][1] == stay
    assert found["k1"][1] >= 2 and found["k2"][1] >= 1  # two parts make up what k1 reads
    np.testing.assert_allclose(*both(model, change), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_weights_whose_squares_overflow_are_judged_all_the_same(make_model: Make) -> None:
    weights = np.ones((8, 3, 3, 3), np.float32) * np.float32(1e30)
    weights[::2] *= 2
    change = plan_cuts(open_model(chain(make_model, conv=weights, **ONES)), {"conv": step()}).change
    assert change is not None
    assert change.cuts[0].kept == (0, 2, 4, 6)


def test_labels_fit_and_have_a_minus_sign() -> None:
    assert step(0.25).label() == "channels −25 %"
    assert Step.make("prune_heads", ratio=0.5).label() == "heads −50 %"
