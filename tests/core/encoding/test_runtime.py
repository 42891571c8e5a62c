"""What stock ONNX Runtime rebuilds is what `decode` says, at every opset and with and without optimisation."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Encoding


def check_equal(encoding: Encoding, rebuilt: np.ndarray) -> None:
    decoded = encoding.decode()
    assert decoded.dtype == np.float32
    assert decoded.shape == encoding.shape == rebuilt.shape
    if not encoding.exact:  # a sum of products in another order
        np.testing.assert_allclose(rebuilt, decoded, rtol=1e-5, atol=1e-6 * np.abs(decoded).max())
    else:
        np.testing.assert_array_equal(rebuilt.view(np.uint32), decoded.view(np.uint32), encoding.describe())


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("opset", [11, 13, 17, 21])
def test_runtime_rebuilds_what_decode_says(catalogue, rebuild, opset, optimize):
    encodings = [encoding for encoding in catalogue if encoding.min_opset <= opset]
    for encoding, rebuilt in zip(encodings, rebuild(encodings, opset, optimize), strict=True):
        check_equal(encoding, rebuilt)


def test_most_encodings_need_no_more_than_opset_11(catalogue):
    newer = {encoding.describe() for encoding in catalogue if encoding.min_opset > 11}
    assert newer == {"bfloat16"}


@pytest.mark.parametrize("opset", [11, 13, 21])
def test_everything_folds_when_a_session_loads(catalogue, operators_left, opset):
    encodings = [encoding for encoding in catalogue if encoding.min_opset <= opset]
    assert operators_left(encodings, opset) == []
