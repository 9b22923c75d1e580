"""Other implementations of SAM, wrapped as methods so that they can be timed beside ours.

They are not methods to train with: they keep none of the contract but the direction. A suite names
them where they stand, as in ``gr_bench.peers:TextbookSAM``.
"""

from gr_bench.peers.pytorch_optimizer import PytorchOptimizerSAM
from gr_bench.peers.textbook import TextbookSAM

__all__ = ["PytorchOptimizerSAM", "TextbookSAM"]
