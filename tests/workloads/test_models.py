"""What every model promises, whatever its architecture."""

import inspect
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, stack_module_state, vmap
from torch.utils.flop_counter import FlopCounterMode

from gr_bench import registry
from gr_bench.workloads.loss import accuracy, cross_entropy
from gr_bench.workloads.models.resnet import ResNet18
from gr_bench.workloads.models.wide_resnet import WideResNet

MODELS = {name: registry.MODELS.find(name) for name in registry.MODELS.built_in}

IMAGE, SMALL_IMAGE, SIGNAL, BARE_SIGNAL, TOKENS = (3, 32, 32), (1, 8, 8), (1, 40), (40,), (12,)
VECTOR_MODELS = [name for name in MODELS if name != "char-transformer"]
CASES = [
    (name, shape) for name in VECTOR_MODELS for shape in (IMAGE, SMALL_IMAGE, SIGNAL, BARE_SIGNAL)
] + [("char-transformer", TOKENS)]
NARROW = {
    "narrow resnet-18": partial(ResNet18, width=8),
    "narrow wrn": partial(WideResNet, depth=16, widen_factor=1),
}
"""The architectures of the large models, narrow enough for real arithmetic."""
BUILDERS = MODELS | NARROW
LARGE = ("resnet-18", "wrn-16-4", "wrn-28-10")
# The smallest input that each model is meant for, so that real arithmetic stays quick.
QUICK = [
    *((name, SMALL_IMAGE) for name in (*VECTOR_MODELS, *NARROW) if name not in LARGE),
    ("char-transformer", TOKENS),
]
LARGEST = ("wrn-28-10", SMALL_IMAGE)
CLASSES = 5


def batch(shape: tuple[int, ...], size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Inputs and targets for a model with `shape` and CLASSES classes."""
    if shape == TOKENS:
        tokens = torch.randint(CLASSES, (size, shape[0] + 1))
        return tokens[:, :-1], tokens[:, 1:]
    return torch.randn(size, *shape, dtype=dtype), torch.randint(CLASSES, (size,))


def build(name: str, shape: tuple[int, ...], **parameters: object) -> nn.Module:
    torch.manual_seed(0)
    return BUILDERS[name](shape, CLASSES, **parameters)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_logits_have_one_entry_a_class_and_no_host_sync(name: str, shape: tuple[int, ...]) -> None:
    # A fake tensor has no value, so that anything that waits for one raises.
    with FakeTensorMode():
        model = build(name, shape)
        inputs, targets = batch(shape, 2, torch.float32)
        logits = model(inputs)
        cross_entropy(logits, targets).backward()
        assert accuracy(logits, targets).shape == ()
    assert logits.shape == (*targets.shape, CLASSES)


@pytest.mark.parametrize(("name", "shape"), [*QUICK, LARGEST])
def test_every_parameter_gets_a_gradient(name: str, shape: tuple[int, ...]) -> None:
    model = build(name, shape)
    inputs, targets = batch(shape, 4, torch.float32)
    cross_entropy(model(inputs), targets).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@pytest.mark.parametrize(("name", "shape"), QUICK)
def test_the_seed_decides_the_parameters(name: str, shape: tuple[int, ...]) -> None:
    first, second = build(name, shape).state_dict(), build(name, shape).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.manual_seed(1)
    other = dict(BUILDERS[name](shape, CLASSES).named_parameters())
    drawn = [key for key, value in other.items() if value.std() > 0]
    assert drawn
    assert all(not torch.equal(first[key], other[key]) for key in drawn)


@pytest.mark.parametrize(
    ("name", "shape"), [*QUICK, pytest.param(*LARGEST, marks=pytest.mark.slow)]
)
def test_double_backward_gives_the_hessian_times_the_gradient(
    name: str, shape: tuple[int, ...]
) -> None:
    model = build(name, shape).double()
    parameters = list(model.parameters())
    inputs, targets = batch(shape, 4, torch.float64)

    def gradient(create_graph: bool = False) -> tuple[Tensor, ...]:
        loss = cross_entropy(model(inputs), targets)
        return torch.autograd.grad(loss, parameters, create_graph=create_graph)

    def shift(step: float, direction: list[Tensor]) -> None:
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(d, alpha=step)

    differentiable = gradient(create_graph=True)
    half_norm = sum(g.square().sum() for g in differentiable) / 2
    exact = torch.autograd.grad(half_norm, parameters, create_graph=True)
    assert all(h.requires_grad for h in exact)

    direction = [g.detach().clone() for g in differentiable]
    scale = math.sqrt(sum(float(d.square().sum()) for d in direction))
    step = 1e-6 / scale
    shift(step, direction)
    above = gradient()
    shift(-2 * step, direction)
    below = gradient()
    error = sum(
        float(((a - b) / (2 * step) - h).detach().square().sum())
        for a, b, h in zip(above, below, exact, strict=True)
    )
    norm = sum(float(h.detach().square().sum()) for h in exact)
    assert norm > 0
    assert math.sqrt(error / norm) < 1e-4


@pytest.mark.parametrize(("name", "shape"), QUICK)
def test_copies_with_stacked_parameters_compute_what_each_alone_does(
    name: str, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    copies = [BUILDERS[name](shape, CLASSES) for _ in range(2)]
    parameters, buffers = stack_module_state(copies)
    inputs, _ = batch(shape, 4, torch.float32)

    def alone(own_parameters: dict[str, Tensor], own_buffers: dict[str, Tensor]) -> Tensor:
        return functional_call(copies[0], (own_parameters, own_buffers), (inputs,))

    together = vmap(alone)(parameters, buffers)
    for logits, copy in zip(together, copies, strict=True):
        torch.testing.assert_close(logits, copy(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "resnet-8", "resnet-20", "wrn-16-4", "vit"])
def test_a_bare_signal_is_one_channel(name: str) -> None:
    inputs = torch.randn(2, *SIGNAL)
    bare, channel = build(name, BARE_SIGNAL), build(name, SIGNAL)
    assert torch.equal(bare(inputs[:, 0]), channel(inputs))


def has_dropout(name: str) -> bool:
    return "dropout" in inspect.signature(BUILDERS[name]).parameters


@pytest.mark.parametrize(("name", "shape"), [c for c in QUICK if has_dropout(c[0])])
def test_dropout_acts_in_training_only(name: str, shape: tuple[int, ...]) -> None:
    inputs, _ = batch(shape, 4, torch.float32)
    model = build(name, shape, dropout=0.5)
    assert not torch.equal(model(inputs), model(inputs))
    model.eval()
    assert torch.equal(model(inputs), model(inputs))


@pytest.mark.parametrize(("name", "shape"), QUICK)
def test_a_model_fits_a_small_batch(name: str, shape: tuple[int, ...]) -> None:
    model = build(name, shape)
    inputs, targets = batch(shape, 16, torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    # The tokens are random: the first ones of two sequences can be alike and go on differently.
    enough, share = (0.6, 0.75) if shape == TOKENS else (0.1, 0.99)
    for _ in range(60):
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), targets)
        if loss < enough:
            break
        loss.backward()
        optimizer.step()
    assert loss < enough
    assert accuracy(model(inputs), targets) > share


@pytest.mark.parametrize(
    ("name", "shape", "classes", "count"),
    [
        # kuangliu/pytorch-cifar, and He et al. with 1x1 shortcuts
        ("resnet-18", IMAGE, 10, 11_173_962),
        ("resnet-20", IMAGE, 10, 272_474),
        # Zagoruyko & Komodakis 2016, table 1: 2.7 M and 36.5 M
        ("wrn-16-4", IMAGE, 10, 2_748_890),
        ("wrn-28-10", IMAGE, 10, 36_479_194),
        # 784-512-512-512-10
        ("mlp", (1, 28, 28), 10, 785 * 512 + 2 * 513 * 512 + 513 * 10),
    ],
)
def test_parameter_counts_are_the_published_ones(
    name: str, shape: tuple[int, ...], classes: int, count: int
) -> None:
    with FakeTensorMode():
        model = MODELS[name](shape, classes)
    assert sum(p.numel() for p in model.parameters()) == count


def flops(step: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


@pytest.mark.parametrize(("name", "multiply_adds"), [("resnet-20", 40.8e6), ("resnet-18", 0.556e9)])
def test_forward_arithmetic_is_the_published_one(name: str, multiply_adds: float) -> None:
    with FakeTensorMode():
        model, inputs = MODELS[name](IMAGE, 10), torch.randn(1, *IMAGE)
        counted = flops(lambda: model(inputs))
    assert counted / 2 == pytest.approx(multiply_adds, rel=0.015)


def test_wrn_28_10_costs_what_is_known() -> None:
    with FakeTensorMode():
        model = MODELS["wrn-28-10"](IMAGE, 10)
        parameters = list(model.parameters())
        inputs, targets = torch.randn(128, *IMAGE), torch.randint(10, (128,))

        def loss() -> Tensor:
            return cross_entropy(model(inputs), targets)

        def double_backward() -> None:
            value = loss()
            gradient = torch.autograd.grad(value, parameters, create_graph=True)
            (value + sum(g.square().sum() for g in gradient)).backward()

        first, second = flops(lambda: loss().backward()), flops(double_backward)
    assert round(first / 1e9) == 4_027
    assert round(second / 1e9) == 12_147
    assert round(sum(p.nbytes for p in parameters) / 2**20) == 139


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_mlp_of_equal_layers_costs_three_products_a_layer_but_one(depth: int) -> None:
    with FakeTensorMode():
        model = MODELS["mlp"]((64,), 64, depth=depth, width=64)
        inputs, targets = torch.randn(8, 64), torch.randint(64, (8,))
        counted = flops(lambda: cross_entropy(model(inputs), targets).backward())
    assert counted == (3 * depth - 1) * 2 * 8 * 64 * 64


def test_a_name_fixes_the_parameters_that_it_spells() -> None:
    for name, fixed in [
        ("resnet-8", {"depth"}),
        ("resnet-20", {"depth"}),
        ("wrn-16-4", {"depth", "widen_factor"}),
        ("wrn-28-10", {"depth", "widen_factor"}),
    ]:
        parameters = inspect.signature(MODELS[name]).parameters
        assert not fixed & set(parameters)
        assert "**" not in str(inspect.signature(MODELS[name]))
        assert inspect.getdoc(MODELS[name])
    with pytest.raises(TypeError, match="depth"):
        MODELS["resnet-8"](IMAGE, 10, depth=20)


@pytest.mark.parametrize("name", MODELS)
def test_all_models_are_built_alike(name: str) -> None:
    first, second, *others = inspect.signature(MODELS[name]).parameters.values()
    assert (first.name, second.name) == ("input_shape", "num_classes")
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in others)


@pytest.mark.parametrize(
    ("name", "shape", "parameters", "message"),
    [
        ("mlp", IMAGE, {"depth": 0}, "depth must be .* at least 1, not 0"),
        ("mlp", IMAGE, {"depth": 2.5}, "depth must be a whole number"),
        ("mlp", IMAGE, {"width": -1}, "width must be .* at least 1, not -1"),
        ("mlp", IMAGE, {"activation": "step"}, "relu, gelu, silu, tanh, not 'step'"),
        ("mlp", IMAGE, {"dropout": 1.0}, "dropout must be .* below 1, not 1.0"),
        ("mlp", (3, 0), {}, "input_shape must hold .* at least 1"),
        ("mlp", (), {}, "input_shape must hold .* at least 1"),
        ("resnet-8", (1, 3, 8, 8), {}, r"\(C, H, W\), \(C, L\) or \(L,\), not \(1, 3, 8, 8\)"),
        ("resnet-8", IMAGE, {"width": 0}, "width must be"),
        ("resnet-8", IMAGE, {"activation": "step"}, "relu, gelu, silu, tanh, not 'step'"),
        ("resnet-18", IMAGE, {"width": 0}, "width must be"),
        ("wrn-16-4", (1, 3, 8, 8), {}, r"\(C, H, W\), \(C, L\) or \(L,\), not \(1, 3, 8, 8\)"),
        ("wrn-16-4", IMAGE, {"dropout": -0.1}, "dropout must be at least 0"),
        ("vit", (3, 30, 32), {}, "patch must divide every side of the 30x32 .* divide 2.*not 4"),
        ("vit", (1, 42), {}, "patch must divide every side of the 42 input"),
        ("vit", IMAGE, {"heads": 5}, "heads must divide width: width=64 .* heads=5"),
        ("vit", IMAGE, {"mlp_ratio": 0}, "mlp_ratio must be"),
        ("char-transformer", IMAGE, {}, r"input_shape must be \(T,\)"),
        ("char-transformer", TOKENS, {"heads": 5}, "heads must divide width"),
        ("char-transformer", TOKENS, {"depth": 0}, "depth must be"),
    ],
)
def test_an_impossible_request_is_refused_in_one_line(
    name: str, shape: tuple[int, ...], parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        MODELS[name](shape, CLASSES, **parameters)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", MODELS)
def test_there_must_be_a_class(name: str) -> None:
    with pytest.raises(ValueError, match="num_classes must be"):
        MODELS[name](TOKENS if name == "char-transformer" else IMAGE, 0)
