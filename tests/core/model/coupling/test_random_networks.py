"""Networks put together at random: whatever is cut must equal the masked original."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import NodeProto, helper

Weights = dict[str, np.ndarray]


class Builder:
    """Adds operators at random; `open` holds the values that may be used, with their channels (all 8 x 8 pictures)."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.weights: Weights = {}
        self.open: list[tuple[str, int]] = []
        self.conv("x", 3, 8)

    def add(self, op: str, inputs: list[str], channels: int, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        self.open.append((name, channels))
        return name

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = self.random.normal(0, 0.5 / np.sqrt(np.prod(shape[1:]) or 1), shape).astype(np.float32)
        return name

    def pick(self, channels: int | None = None) -> tuple[str, int]:
        fitting = [one for one in self.open if channels in (None, one[1])]
        return fitting[int(self.random.integers(len(fitting)))]

    def conv(self, value: str, channels: int, out: int) -> None:
        self.add("Conv", [value, self.weight(out, channels, 3, 3), self.weight(out)], out, pads=[1] * 4)

    def grow(self) -> None:
        value, channels = self.pick()
        choice = int(self.random.integers(10))
        if choice <= 1:
            self.conv(value, channels, int(self.random.choice([4, 8, 12])))
        elif choice == 2:
            self.add("Conv", [value, self.weight(channels, 1, 3, 3)], channels, pads=[1] * 4, group=channels)
        elif choice == 3 and channels % 4 == 0:
            self.add("Conv", [value, self.weight(8, channels // 4, 1, 1)], 8, group=4)
        elif choice == 4:
            self.add(str(self.random.choice(["Relu", "Sigmoid", "Tanh"])), [value], channels)
        elif choice == 5:
            other, _ = self.pick(channels)
            self.add(str(self.random.choice(["Add", "Mul", "Sub"])), [value, other], channels)
        elif choice == 6:
            other, more = self.pick()
            if channels + more <= 32:
                self.add("Concat", [value, other], channels + more, axis=1)
        elif choice == 7:
            variance = self.weight(channels)
            self.weights[variance] = np.abs(self.weights[variance]) + 0.5
            norm = [value, *(self.weight(channels) for _ in range(3)), variance]
            self.add("BatchNormalization", norm, channels)
        elif choice == 8 and channels % 2 == 0:
            names = [f"v{len(self.nodes)}", f"s{len(self.nodes)}"]
            self.nodes.append(helper.make_node("Split", [value], names, axis=1, num_outputs=2))
            self.open += [(name, channels // 2) for name in names]
        elif choice == 9:
            self.add("ConvTranspose", [value, self.weight(channels, 6, 1, 1)], 6)

    def finish(self) -> None:
        """Flatten the last values to one Gemm."""
        flat = [(self.add("Flatten", [value], channels), channels) for value, channels in self.open[-3:]]
        joined = self.add("Concat", [name for name, _ in flat], 0, axis=1)
        total = 64 * sum(channels for _, channels in flat)
        self.nodes.append(helper.make_node("Gemm", [joined, self.weight(total, 5)], ["y"]))


@pytest.mark.parametrize("seed", range(25))
def test_the_cut_equals_the_mask(seed: int, make_model, cut_equals_mask) -> None:
    builder = Builder(seed)
    for _ in range(16):
        builder.grow()
    builder.finish()
    path = make_model(builder.nodes, builder.weights, {"x": ["batch", 3, 8, 8]}, {"y": ["batch", 5]})
    cut_equals_mask(path, {"x": np.random.default_rng(seed).normal(size=(2, 3, 8, 8)).astype(np.float32)})
