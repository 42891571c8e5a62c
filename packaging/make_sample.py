"""Train the sample model and write resources/sample: python packaging/make_sample.py

Data: the 1,797 handwritten digits that scikit-learn ships (UCI "Optical Recognition of Handwritten Digits", test part).
Seed, split and number of epochs were fixed before the first run, and the test pictures take part in nothing but the
final figure. Needs the `sample` extra (scikit-learn) and torch; takes under a minute on two cores.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "resources" / "sample"
SEED = 0
N_TEST = 500
N_CALIB = 256
EPOCHS = 60
OPSET = 20
IR_VERSION = 9  # the lowest that opset 20 goes with, so that older runtimes open the sample too


class Network(nn.Module):
    """Conv, depthwise separable Conv, strided Conv, two Linear layers: one of each kind that matters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.pointwise = nn.Conv2d(16, 32, 1)
        self.conv2 = nn.Conv2d(32, 32, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(32 * 4 * 4, 48)
        self.fc2 = nn.Linear(48, 10)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv1(x))
        x = self.depthwise(x)
        x = torch.relu(self.pointwise(x))
        x = torch.relu(self.conv2(x)).flatten(1)
        return self.fc2(self.dropout(torch.relu(self.fc1(x))))


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """(1797 x 1 x 8 x 8 float32 in 0..1, labels int64), shuffled by the fixed seed."""
    from sklearn.datasets import load_digits as load

    images, labels = load(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(labels))
    pictures = (images / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    return pictures[order], labels[order].astype(np.int64)


def train(images: np.ndarray, labels: np.ndarray) -> Network:
    """AdamW with a one-cycle schedule; pictures are shifted by up to one pixel."""
    torch.manual_seed(SEED)
    model = Network()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, EPOCHS * -(-len(x) // 64))
    for _ in range(EPOCHS):
        for part in torch.randperm(len(x)).split(64):
            down, right = (int(v) for v in torch.randint(-1, 2, (2,)))
            padded = nn.functional.pad(x[part], (1, 1, 1, 1))
            shifted = padded[:, :, 1 + down : 9 + down, 1 + right : 9 + right]
            loss = nn.functional.cross_entropy(model(shifted), y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def to_onnx(model: Network) -> onnx.ModelProto:
    """The network written node by node, so that the file holds no exporter's notes and every name can be read."""
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}

    def conv(name: str, source: str, target: str, **attributes: object) -> onnx.NodeProto:
        inputs = [source, f"{name}.weight", f"{name}.bias"]
        return helper.make_node("Conv", inputs, [target], name=name, **attributes)

    def linear(name: str, source: str, target: str) -> onnx.NodeProto:
        return helper.make_node("Gemm", [source, f"{name}.weight", f"{name}.bias"], [target], name=name, transB=1)

    def relu(name: str, source: str, target: str) -> onnx.NodeProto:
        return helper.make_node("Relu", [source], [target], name=name)

    pad = [1, 1, 1, 1]
    nodes = [
        conv("conv1", "image", "conv1_out", kernel_shape=[3, 3], pads=pad),
        relu("relu1", "conv1_out", "relu1_out"),
        conv("depthwise", "relu1_out", "depthwise_out", kernel_shape=[3, 3], pads=pad, group=16),
        conv("pointwise", "depthwise_out", "pointwise_out", kernel_shape=[1, 1]),
        relu("relu2", "pointwise_out", "relu2_out"),
        conv("conv2", "relu2_out", "conv2_out", kernel_shape=[3, 3], pads=pad, strides=[2, 2]),
        relu("relu3", "conv2_out", "relu3_out"),
        helper.make_node("Flatten", ["relu3_out"], ["flat"], name="flatten"),
        linear("fc1", "flat", "fc1_out"),
        relu("relu4", "fc1_out", "relu4_out"),
        linear("fc2", "relu4_out", "logits"),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value, name) for name, value in state.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    proto = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="featherweight-sample")
    onnx.checker.check_model(proto, full_check=True)
    return proto


def accuracy(model_file: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of pictures that stock ONNX Runtime gets right."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model_file), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": images})
    return float((np.asarray(logits).argmax(1) == labels).mean())


def describe(proto: onnx.ModelProto, test_accuracy: float) -> dict[str, object]:
    """What info.json says of the sample: everything a person needs to judge its figures."""
    return {
        "name": "digits",
        "title": "Handwritten digits, 8 x 8 pixels",
        "task": "classification",
        "metric": "accuracy",
        "accuracy": round(test_accuracy, 4),
        "test_samples": N_TEST,
        "calib_samples": N_CALIB,
        "n_parameters": sum(int(np.prod(t.dims)) for t in proto.graph.initializer),
        "classes": [str(digit) for digit in range(10)],
        "input": "image: float32, samples x 1 x 8 x 8, brightness 0 to 1",
        "split": f"1,797 pictures shuffled with seed {SEED}: the last {N_TEST} for testing, the rest for training; "
        f"calib is the first {N_CALIB} of the training pictures. Writers are not kept apart, so the accuracy is that "
        "for known writers.",
        "data": "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning "
        "Repository, doi 10.24432/C50P49; the copy shipped by scikit-learn",
        "data_licence": "CC BY 4.0",
        "weights_licence": "Apache-2.0",
        "made_by": "packaging/make_sample.py",
    }


def main() -> int:
    images, labels = load_digits()
    model = train(images[:-N_TEST], labels[:-N_TEST])
    proto = to_onnx(model)
    TARGET.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, TARGET / "model.onnx")
    np.savez_compressed(TARGET / "test.npz", image=images[-N_TEST:], labels=labels[-N_TEST:])
    np.savez_compressed(TARGET / "calib.npz", image=images[:N_CALIB], labels=labels[:N_CALIB])
    measured = accuracy(TARGET / "model.onnx", images[-N_TEST:], labels[-N_TEST:])
    info = json.dumps(describe(proto, measured), indent=2)
    (TARGET / "info.json").write_text(info + "\n", encoding="utf-8")
    size = (TARGET / "model.onnx").stat().st_size
    print(f"{TARGET}: accuracy {measured:.4f} on {N_TEST} test pictures, {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
