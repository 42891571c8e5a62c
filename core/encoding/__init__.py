"""How weights are stored: small trees of encodings that decode, count and emit themselves (see `base`)."""

from core.encoding.affine import Affine
from core.encoding.base import Emitter, Encoding
from core.encoding.blocks import Blocks, Tiling
from core.encoding.codebook import Codebook
from core.encoding.codes import Codes
from core.encoding.conv_chain import ConvChain
from core.encoding.factored import Factored
from core.encoding.floats import Float
from core.encoding.kept import Kept
from core.encoding.low_rank import LowRank
from core.encoding.sparse import Sparse, sparse_sizes
from core.encoding.sum import Sum
from core.encoding.transformed import Transformed
from core.encoding.trellis import Trellis
from core.encoding.trits import Trits

__all__ = [
    "Affine", "Blocks", "Codebook", "Codes", "ConvChain", "Emitter", "Encoding", "Factored", "Float", "Kept",
    "LowRank", "Sparse", "Sum", "Tiling", "Transformed", "Trellis", "Trits", "sparse_sizes",
]
