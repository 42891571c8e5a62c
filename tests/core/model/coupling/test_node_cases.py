"""The ONNX project's own cases, small models of each variant of each operator: all are followed, the sizes agree."""

from __future__ import annotations

import warnings

import onnx_ir as ir
import pytest

from core.model.coupling.axes import size_of
from core.model.coupling.flow import Flow
from core.model.coupling.groups import RULES, find_groups
from core.model.graph import assign_keys


@pytest.mark.slow
def test_every_case_is_followed_and_sizes_agree_with_what_the_case_declares() -> None:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases divide by zero on purpose while they are made
        cases = collect_testcases(None)
    compared, wrong = 0, []
    for case in cases:
        if not any(node.op_type in RULES for node in case.model.graph.node):
            continue
        model = ir.serde.deserialize_model(case.model)
        assign_keys(model)
        flow = Flow(model, RULES).run()
        find_groups(model)
        for value in model.graph.outputs:
            axes = flow.known.get(value)
            if axes is None or value.shape is None:
                continue
            compared += 1
            pairs = list(zip(map(size_of, axes), value.shape, strict=False))
            fits = all(a is None or not isinstance(b, int) or a == b for a, b in pairs)
            if len(axes) != len(value.shape) or not fits:
                wrong.append((case.name, [a for a, _ in pairs], list(value.shape)))
    assert not wrong
    assert compared > 500
