"""The arithmetic of a training, estimated from its model's layers before anything is trained."""

from __future__ import annotations

from functools import cache

from gr_bench import registry
from gr_bench.experiments.generalization.cell import GeneralizationCell

HOUR_FLOPS = {"cpu": 1e14, "cuda": 1e17}
"""About what a core and a GPU do in an hour, by the kind of device: 30 GFLOP/s and 30 TFLOP/s."""


def runs_an_hour(cell: GeneralizationCell) -> int | None:
    """The runs like ``cell`` that its kind of device does in about an hour; None if not known.

    At least one, however long it takes.
    """
    flops = training_flops(cell)
    if flops is None:
        return None
    kind = cell.device.partition(":")[0]
    return max(1, int(HOUR_FLOPS[kind] // flops))


def training_flops(cell: GeneralizationCell) -> int | None:
    """FLOPs of a training's steps, its evaluations left out; None if they cannot be counted.

    A gradient takes three times the products of a forward pass; double backpropagation takes three
    times those of a gradient (see :mod:`gr_bench.experiments.step_cost.cost_model`). What is no
    linear layer or convolution, such as attention, is left out.
    """
    counted = _forward_flops(cell.model, cell.dataset)
    if counted is None or counted[0] == 0:
        return None
    an_example, examples = counted
    method = registry.build_method(cell.spec)
    gradients = 3 if method.needs_second_derivatives else method.gradient_evaluations
    return round(3 * gradients * an_example * examples * cell.epochs)


@cache
def _forward_flops(model: str, dataset: str) -> tuple[int, int] | None:
    """FLOPs of a forward pass of an example, and the training examples; None where it cannot be.

    Those of linear layers and convolutions, noted in a real pass of one example: without data, or
    under PyTorch's own counter, the imports alone would take longer.
    """
    import torch  # for runs alone
    from torch import nn

    flops = 0

    def note(layer: nn.Linear | nn.Conv2d, inputs: object, outputs: torch.Tensor) -> None:
        nonlocal flops
        flops += 2 * outputs.numel() * layer.weight[0].numel()

    try:
        data = registry.build_dataset(dataset)
        network = registry.build_model(model, data.input_shape, data.num_classes)
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                module.register_forward_hook(note)
        with torch.no_grad():
            network.eval()(data.train.inputs[:1])
    except (Exception, SystemExit):  # somebody's code; the training will tell what is wrong
        return None
    return flops, len(data.train)
