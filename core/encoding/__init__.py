"""How weights are stored: small trees of encodings that decode, count and emit themselves (see `base`)."""

from core.encoding.affine import Affine
from core.encoding.base import Emitter, Encoding
from core.encoding.codebook import Codebook
from core.encoding.codes import Codes
from core.encoding.floats import Float
from core.encoding.low_rank import LowRank
from core.encoding.sparse import Sparse, sparse_sizes

__all__ = ["Affine", "Codebook", "Codes", "Emitter", "Encoding", "Float", "LowRank", "Sparse", "sparse_sizes"]
