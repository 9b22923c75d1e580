"""A step captured as one CUDA graph. Not yet run on a GPU: written to the documentation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import Unsupported
from ..meters.cuda_context import give_up
from ..methods.step import Copies, is_expanded

WARM_UP_STEPS = 3
"""Steps before the capture, in which lasting memory is allocated and kernels are chosen."""


def capture(
    step: Callable[[], Tensor], model: nn.Module, passes: float, device: torch.device
) -> Callable[[], Tensor]:
    """``step`` as a replay of what it launched once; buffers are as before.

    Everything that it allocates has the same address in every replay, θ' too. The loss that a
    replay returns is the same tensor every time.

    Args:
        step: which never waits for the device.
        model: that it steps on.
        passes: forward passes in it.
        device: of CUDA.

    Raises:
        Unsupported: several passes that draw random numbers, which inside a graph cannot be drawn
            a second time.
        RuntimeError: from CUDA, where the step does what cannot be captured. The process is of no
            further use then.
    """
    buffers = Copies([b for b in model.buffers() if not is_expanded(b)])
    with torch.cuda.device(device):
        random_state = torch.cuda.get_rng_state(device)
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP_STEPS):
                step()
        torch.cuda.current_stream(device).wait_stream(aside)
        if passes > 1 and not torch.equal(torch.cuda.get_rng_state(device), random_state):
            raise Unsupported(
                "cuda-graph: several passes with dropout need the same mask, which inside a CUDA "
                "graph cannot be drawn again"
            )
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                loss = step()
        except BaseException:
            give_up()  # PyTorch leaves the capture's stream and memory in force
            raise
    buffers.put_back()

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay
