"""Wide residual networks."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from gr_bench.workloads.checks import check_dropout, check_positive
from gr_bench.workloads.models.layers import (
    BATCH_NORMS,
    GlobalAveragePool,
    channel_axis,
    convolution,
    split_input_shape,
)


class PreActivationBlock(nn.Module):
    """With a = relu(BN(x)): y = shortcut + conv(dropout(relu(BN(conv(a))))).

    The shortcut is x itself where the shape stays, and otherwise a 1x1 convolution of a.
    """

    def __init__(
        self, dimensions: int, inputs: int, outputs: int, stride: int, dropout: float
    ) -> None:
        super().__init__()
        batch_norm = BATCH_NORMS[dimensions]
        self.activate = nn.Sequential(batch_norm(inputs), nn.ReLU())
        self.branch = nn.Sequential(
            convolution(dimensions, inputs, outputs, 3, stride),
            batch_norm(outputs),
            nn.ReLU(),
            *([nn.Dropout(dropout)] if dropout else []),
            convolution(dimensions, outputs, outputs, 3),
        )
        self.shortcut = (
            None
            if inputs == outputs and stride == 1
            else convolution(dimensions, inputs, outputs, 1, stride)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        activated = self.activate(inputs)
        shortcut = inputs if self.shortcut is None else self.shortcut(activated)
        outputs: Tensor = shortcut + self.branch(activated)
        return outputs


class WideResNet(nn.Module):
    """Wide ResNet: WRN-depth-widen_factor (Zagoruyko & Komodakis 2016).

    A 3x3 stem of 16 channels and three stages of n pre-activation blocks with 16k, 32k and 64k
    channels, n = (depth - 4) / 6 and k = widen_factor. WRN-28-10 has 36.5 M parameters on
    32x32x3 images with 10 classes. Input (B, *input_shape), output (B, num_classes).

    Args:
        input_shape: an image (C, H, W), a signal (C, L), or a signal (L,), which is taken as one
            channel.
        num_classes: number of logits.
        depth: 6n + 4: 10, 16, 22, 28, 40, ...
        widen_factor: multiplies the channels of every stage.
        dropout: probability of zeroing a value between the two convolutions of a block while
            training.

    Raises:
        ValueError: the depth is not 6n + 4, a size is not a whole number of at least 1, dropout is
            outside [0, 1), or the input is neither an image nor a signal.

    Source: Zagoruyko & Komodakis 2016, "Wide Residual Networks".
    """

    takes_tokens: ClassVar[bool] = False

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        depth: int = 28,
        widen_factor: int = 10,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, depth=depth, widen_factor=widen_factor)
        check_dropout(dropout)
        if depth < 10 or depth % 6 != 4:
            raise ValueError(f"depth must be 6n + 4 (10, 16, 22, 28, ...), not {depth}")
        channels, spatial = split_input_shape(input_shape)
        dimensions = len(spatial)
        layers: list[nn.Module] = [
            channel_axis(input_shape),
            convolution(dimensions, channels, 16, 3),
        ]
        inputs = 16
        for stage in range(3):
            outputs = 16 * 2**stage * widen_factor
            for index in range((depth - 4) // 6):
                stride = 2 if stage > 0 and index == 0 else 1
                layers.append(PreActivationBlock(dimensions, inputs, outputs, stride, dropout))
                inputs = outputs
        self.layers = nn.Sequential(
            *layers,
            BATCH_NORMS[dimensions](inputs),
            nn.ReLU(),
            GlobalAveragePool(),
            nn.Linear(inputs, num_classes),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layers(inputs)
        return logits
