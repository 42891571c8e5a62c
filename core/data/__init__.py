"""Sample data: `load_samples(path, inputs) -> Samples`."""

from core.data.loading import load_samples
from core.data.preprocessing import Preprocessing
from core.data.samples import Samples

__all__ = ["Preprocessing", "Samples", "load_samples"]
