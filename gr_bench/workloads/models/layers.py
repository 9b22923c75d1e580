"""The pieces that the models share: activations, and convolutions by number of dimensions."""

from __future__ import annotations

from torch import Tensor, nn

from gr_bench.workloads.checks import check_shape

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}

CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
BATCH_NORMS: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
}


def activation_layer(name: str) -> nn.Module:
    """The activation called ``name``; ValueError lists the names that there are."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {name!r}")
    return ACTIVATIONS[name]()


def split_input_shape(input_shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Channels and spatial size of an image (C, H, W), a signal (C, L) or a bare signal (L,).

    Raises:
        ValueError: any other number of entries, or an entry below 1.
    """
    shape = check_shape("input_shape", input_shape)
    if len(shape) > 3:
        raise ValueError(f"input_shape must be (C, H, W), (C, L) or (L,), not {shape}")
    return (1, shape) if len(shape) == 1 else (shape[0], shape[1:])


def channel_axis(input_shape: tuple[int, ...]) -> nn.Module:
    """A layer that gives bare signals (B, L) their one channel, and leaves others alone."""
    return nn.Unflatten(1, (1, *input_shape)) if len(input_shape) == 1 else nn.Identity()


def convolution(
    dimensions: int,
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    *,
    bias: bool = False,
    gain: float = 1.0,
) -> nn.Module:
    """A convolution over ``dimensions`` axes that keeps their size, up to the stride.

    Weights are drawn from N(0, gain²·2 / fan_out); with gain 1 this is the initialisation of
    He et al. 2015, which the published hyper-parameters of residual networks presume.
    """
    layer = CONVOLUTIONS[dimensions](
        inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    layer.weight.data.mul_(gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class GlobalAveragePool(nn.Module):
    """(B, C, ...) -> (B, C): the mean over all positions of a channel."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(2).mean(dim=2)
