"""Residual networks for small images and for signals."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from gr_bench.workloads.checks import check_positive
from gr_bench.workloads.models.layers import (
    BATCH_NORMS,
    GlobalAveragePool,
    activation_layer,
    channel_axis,
    convolution,
    split_input_shape,
)


class BasicBlock(nn.Module):
    """y = act(shortcut(x) + N(conv(act(N(conv(x)))))), with N batch norm or nothing.

    The shortcut is the identity where the shape stays, and otherwise a 1x1 convolution followed
    by N (He et al. 2016, option B).
    """

    def __init__(
        self,
        dimensions: int,
        inputs: int,
        outputs: int,
        stride: int,
        batch_norm: bool,
        activation: str,
        gain: float,
    ) -> None:
        super().__init__()

        def normalised(
            source: int, kernel: int, stride: int = 1, gain: float = 1.0
        ) -> nn.Sequential:
            convolved = convolution(
                dimensions, source, outputs, kernel, stride, bias=not batch_norm, gain=gain
            )
            norm = [BATCH_NORMS[dimensions](outputs)] if batch_norm else []
            return nn.Sequential(convolved, *norm)

        self.first = normalised(inputs, 3, stride)
        self.second = normalised(outputs, 3, gain=gain)
        self.shortcut = (
            nn.Identity() if inputs == outputs and stride == 1 else normalised(inputs, 1, stride)
        )
        self.activation = activation_layer(activation)

    def forward(self, inputs: Tensor) -> Tensor:
        branch = self.second(self.activation(self.first(inputs)))
        outputs: Tensor = self.activation(self.shortcut(inputs) + branch)
        return outputs


def residual_layers(
    input_shape: tuple[int, ...],
    num_classes: int,
    widths: list[int],
    blocks_per_stage: int,
    batch_norm: bool,
    activation: str,
) -> nn.Sequential:
    """3x3 stem, one stage of basic blocks for each width, average over positions, linear layer.

    Every stage but the first halves the resolution with its first block.
    """
    channels, spatial = split_input_shape(input_shape)
    dimensions = len(spatial)
    layers: list[nn.Module] = [
        channel_axis(input_shape),
        convolution(dimensions, channels, widths[0], 3, bias=not batch_norm),
    ]
    if batch_norm:
        layers.append(BATCH_NORMS[dimensions](widths[0]))
    layers.append(activation_layer(activation))
    # Without normalisation the signal's variance would double in each block. Branches that start
    # at 1/√blocks of their usual scale keep it bounded at any depth (Hayou et al. 2021).
    gain = 1.0 if batch_norm else (len(widths) * blocks_per_stage) ** -0.5
    inputs = widths[0]
    for stage, width in enumerate(widths):
        for index in range(blocks_per_stage):
            stride = 2 if stage > 0 and index == 0 else 1
            layers.append(
                BasicBlock(dimensions, inputs, width, stride, batch_norm, activation, gain)
            )
            inputs = width
    return nn.Sequential(*layers, GlobalAveragePool(), nn.Linear(inputs, num_classes))


class CifarResNet(nn.Module):
    """ResNet of depth 6n+2 for 32x32 images (He et al. 2016).

    A 3x3 stem and three stages of n basic blocks with ``width``, 2·``width`` and 4·``width``
    channels, n = (depth - 2) / 6. Where the shape changes, the shortcut is a 1x1 convolution (the
    paper's option B; its CIFAR nets use the parameter-free option A, so that these have 1 % more
    parameters). Input (B, *input_shape), output (B, num_classes).

    Args:
        input_shape: an image (C, H, W), a signal (C, L), or a signal (L,), which is taken as one
            channel. Signals get one-dimensional convolutions and batch norm.
        num_classes: number of logits.
        depth: number of convolutions and linear layers on the longest path: 8, 14, 20, 32, ...
        width: channels of the first stage.
        batch_norm: whether convolutions are followed by batch norm; without it they have biases,
            and each residual branch starts at 1/√(number of blocks) of its usual scale.
        activation: ``relu``, ``gelu``, ``silu`` or ``tanh``.

    Raises:
        ValueError: the depth is not 6n + 2, a size is not a whole number of at least 1, the
            activation is unknown, or the input is neither an image nor a signal.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2.
    """

    takes_tokens: ClassVar[bool] = False

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        depth: int = 8,
        width: int = 16,
        batch_norm: bool = True,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, depth=depth, width=width)
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth must be 6n + 2 (8, 14, 20, ...), not {depth}")
        widths = [width, 2 * width, 4 * width]
        self.layers = residual_layers(
            input_shape, num_classes, widths, (depth - 2) // 6, batch_norm, activation
        )

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layers(inputs)
        return logits


class ResNet18(nn.Module):
    """ResNet-18 with a stem for 32x32 images (He et al. 2016).

    The stem is one 3x3 convolution of stride 1 in place of the 7x7 convolution and pooling for
    224x224 images; then four stages of two basic blocks with ``width``, 2·, 4· and 8·``width``
    channels and 1x1 convolutions as shortcuts. Input (B, *input_shape), output (B, num_classes).

    Args:
        input_shape: as in :class:`CifarResNet`.
        num_classes: number of logits.
        width: channels of the first stage.
        batch_norm: as in :class:`CifarResNet`.
        activation: ``relu``, ``gelu``, ``silu`` or ``tanh``.

    Raises:
        ValueError: a size is not a whole number of at least 1, the activation is unknown, or the
            input is neither an image nor a signal.
    """

    takes_tokens: ClassVar[bool] = False

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        width: int = 64,
        batch_norm: bool = True,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, width=width)
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.layers = residual_layers(input_shape, num_classes, widths, 2, batch_norm, activation)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layers(inputs)
        return logits
