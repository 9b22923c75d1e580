"""ResNet and WideResNet."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gr_bench.workloads.models.layers import GlobalAveragePool
from gr_bench.workloads.models.resnet import CifarResNet, ResNet18
from gr_bench.workloads.models.wide_resnet import PreActivationBlock, WideResNet

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


def longest_path(model: nn.Module) -> int:
    """Convolutions and linear layers, without the 1x1 convolutions of the shortcuts."""
    return sum(
        isinstance(layer, nn.Linear)
        or (isinstance(layer, CONVOLUTIONS) and layer.kernel_size[0] == 3)
        for layer in model.modules()
    )


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_depth_counts_the_layers(depth: int) -> None:
    assert longest_path(CifarResNet((1, 8, 8), 10, depth=depth, width=2)) == depth
    assert longest_path(ResNet18((1, 8, 8), 10, width=2)) == 18


@given(depth=st.integers(-10, 60))
@settings(max_examples=40)
def test_only_depths_that_make_whole_blocks_are_taken(depth: int) -> None:
    resnet_depths, wide_depths = range(8, 61, 6), range(10, 61, 6)
    if depth in resnet_depths:
        CifarResNet((1, 8, 8), 10, depth=depth, width=1)
    else:
        with pytest.raises(ValueError, match="depth must be"):
            CifarResNet((1, 8, 8), 10, depth=depth, width=1)
    if depth in wide_depths:
        WideResNet((1, 8, 8), 10, depth=depth, widen_factor=1)
    else:
        with pytest.raises(ValueError, match="depth must be"):
            WideResNet((1, 8, 8), 10, depth=depth, widen_factor=1)


@pytest.mark.parametrize(
    ("model", "channels", "sides"),
    [
        (CifarResNet((3, 32, 32), 10), [16, 16, 32, 64], [32, 32, 16, 8]),
        (
            ResNet18((3, 32, 32), 10, width=4),
            [4, 4, 4, 8, 8, 16, 16, 32, 32],
            [32, 32, 32, 16, 16, 8, 8, 4, 4],
        ),
        (
            WideResNet((3, 32, 32), 10, depth=10, widen_factor=2),
            [16, 32, 64, 128],
            [32, 32, 16, 8],
        ),
    ],
)
def test_stages_double_the_channels_and_halve_the_resolution(
    model: nn.Module, channels: list[int], sides: list[int]
) -> None:
    seen: list[torch.Size] = []

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.shape)

    blocks = [b for b in model.modules() if type(b).__name__.endswith("Block")]
    stem = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    for layer in [stem, *blocks]:
        layer.register_forward_hook(record)
    model(torch.randn(2, 3, 32, 32))
    assert [shape[1] for shape in seen] == channels
    assert [shape[2] for shape in seen] == sides


@pytest.mark.parametrize("build", [CifarResNet, ResNet18])
def test_without_batch_norm_samples_do_not_see_each_other(build: type[nn.Module]) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(4, 1, 8, 8)
    for batch_norm in (True, False):
        model = build((1, 8, 8), 10, width=4, batch_norm=batch_norm)
        alone, together = model(inputs[:2]), model(inputs)[:2]
        assert torch.allclose(alone, together, atol=1e-5) is not batch_norm
        assert any(True for _ in model.buffers()) is batch_norm


def test_without_batch_norm_the_signal_keeps_its_size_at_any_depth() -> None:
    def size_of_logits(depth: int) -> float:
        torch.manual_seed(0)
        model = CifarResNet((1, 8, 8), 10, depth=depth, batch_norm=False)
        return float(model(torch.randn(16, 1, 8, 8)).detach().std())

    assert 0.2 < size_of_logits(56) / size_of_logits(8) < 5


@pytest.mark.parametrize("activation", ["gelu", "silu", "tanh"])
def test_the_activation_is_used_throughout(activation: str) -> None:
    model = CifarResNet((1, 8, 8), 10, width=2, activation=activation)
    assert not any(isinstance(layer, nn.ReLU) for layer in model.modules())


def test_signals_get_one_dimensional_layers() -> None:
    for model in (
        CifarResNet((1, 40), 10),
        ResNet18((40,), 10, width=2),
        WideResNet((2, 40), 10, depth=10, widen_factor=1),
    ):
        layers = list(model.modules())
        assert any(isinstance(layer, nn.Conv1d) for layer in layers)
        assert any(isinstance(layer, nn.BatchNorm1d) for layer in layers)
        assert not any(isinstance(layer, (nn.Conv2d, nn.BatchNorm2d)) for layer in layers)


def test_a_pre_activation_block_passes_its_raw_input_on() -> None:
    block = PreActivationBlock(2, 4, 4, stride=1, dropout=0.0)
    nn.init.zeros_(block.branch[-1].weight)
    inputs = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(inputs), inputs)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 6)])
def test_pooling_averages_over_all_positions(shape: tuple[int, ...]) -> None:
    inputs = torch.randn(*shape)
    expected = inputs.mean(dim=tuple(range(2, len(shape))))
    torch.testing.assert_close(GlobalAveragePool()(inputs), expected)
