"""FLOPs of operators that PyTorch's counter does not know: counted right, or said not to be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry, register_flop_formula

from gr_bench import registry
from gr_bench.meters.counters import count_flops
from gr_bench.meters.flops import OUT_OF_SIGHT, is_arithmetic, read_flops
from gr_bench.workloads.loss import cross_entropy

SEQUENCES, LENGTH, INPUTS, HIDDEN = 3, 5, 4, 6


class Unfused(nn.Module):
    """An LSTM of one layer, made of linear layers: the gates by their definition."""

    def __init__(self, layer: nn.LSTM) -> None:
        super().__init__()
        self.of_input = nn.Linear(layer.input_size, 4 * layer.hidden_size)
        self.of_state = nn.Linear(layer.hidden_size, 4 * layer.hidden_size)
        names = {"of_input": "ih", "of_state": "hh"}
        for own, theirs in names.items():
            for kind in ("weight", "bias"):
                value = getattr(layer, f"{kind}_{theirs}_l0").detach()
                getattr(self, own).register_parameter(kind, nn.Parameter(value.clone()))

    def forward(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        outputs = []
        for now in inputs.unbind(1):
            enter, forget, update, leave = (self.of_input(now) + self.of_state(hidden)).chunk(4, -1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * update.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            outputs.append(hidden)
        return torch.stack(outputs, 1)


def sequences() -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, and the state to begin with, all of which want a gradient."""
    shapes = (SEQUENCES, LENGTH, INPUTS), (SEQUENCES, HIDDEN), (SEQUENCES, HIDDEN)
    return tuple(torch.randn(shape, requires_grad=True) for shape in shapes)


def test_a_fused_lstm_counts_as_one_of_linear_layers() -> None:
    fused = nn.LSTM(INPUTS, HIDDEN, batch_first=True)
    unfused = Unfused(fused)
    inputs, hidden, cell = sequences()

    def in_one() -> Tensor:
        return fused(inputs, (hidden[None], cell[None]))[0]

    def in_parts() -> Tensor:
        return unfused(inputs, hidden, cell)

    torch.testing.assert_close(in_one(), in_parts())
    forward = 2 * SEQUENCES * LENGTH * 4 * HIDDEN * (INPUTS + HIDDEN)
    assert count_flops(in_one) == count_flops(in_parts) == forward
    steps = [lambda f=f: f().sum().backward() for f in (in_one, in_parts)]
    assert [count_flops(step) for step in steps] == [3 * forward, 3 * forward]


def test_layers_and_directions_of_an_lstm_add_up() -> None:
    inputs = torch.randn(SEQUENCES, LENGTH, INPUTS)
    widths = (INPUTS, 2 * HIDDEN)
    layer = nn.LSTM(INPUTS, HIDDEN, num_layers=2, bidirectional=True, batch_first=True)
    a_position = sum(2 * 4 * HIDDEN * (width + HIDDEN) for width in widths)
    assert count_flops(lambda: layer(inputs)) == 2 * 2 * SEQUENCES * LENGTH * a_position // 2


@pytest.mark.parametrize("method", ["sgd", "f-gr", "db-gr"])
def test_a_methods_steps_on_an_lstm_have_the_ratio_of_their_passes(method: str) -> None:
    """Where it was taken for nothing, double backpropagation, which PyTorch takes apart, had
    thousands of times SGD's FLOPs.
    """
    layer, head = nn.LSTM(INPUTS, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 2)
    params = [*layer.parameters(), *head.parameters()]
    inputs, targets = torch.randn(SEQUENCES, LENGTH, INPUTS), torch.tensor([0, 1, 0])

    def flops(name: str) -> int:
        rule = registry.build_method(name)

        def loss() -> Tensor:
            return nn.functional.cross_entropy(head(layer(inputs)[0][:, -1]), targets)

        found = count_flops(lambda: rule.backward(loss, params))
        assert found is not None
        return found

    ratio = flops(method) / flops("sgd")
    low, high = {"sgd": (1, 1), "f-gr": (2, 2), "db-gr": (2, 6)}[method]
    assert low <= ratio <= high


def test_attention_in_one_kernel_counts_as_its_products() -> None:
    """Forward QKᵀ and its product with V; backward the four gradients, and QKᵀ once more."""
    query, key, value = (torch.randn(2, 3, n, 8, requires_grad=True) for n in (5, 7, 7))
    attend = nn.functional.scaled_dot_product_attention
    product = 2 * 2 * 3 * 5 * 7 * 8
    found = read_flops(lambda: attend(query, key, value))
    assert (found.total, found.uncounted) == (2 * product, ())
    assert count_flops(lambda: attend(query, key, value).sum().backward()) == 7 * product


def test_a_product_with_a_vector_counts_as_one_with_a_matrix_of_one_column() -> None:
    matrix, vector, offset = torch.randn(5, 7), torch.randn(7), torch.randn(5)
    flops = count_flops(lambda: matrix @ vector[:, None])
    assert flops == 2 * 5 * 7
    assert count_flops(lambda: matrix @ vector) == flops
    assert count_flops(lambda: torch.addmv(offset, matrix, vector)) == flops


SQUARE = torch.randn(6, 6)
POSITIVE = SQUARE @ SQUARE.T + 6 * torch.eye(6)


@pytest.mark.parametrize(
    ("work", "operator"),
    [
        (lambda: torch.fft.rfft(SQUARE), "aten::_fft_r2c"),
        (lambda: torch.linalg.cholesky(POSITIVE), "aten::linalg_cholesky_ex"),
        (lambda: torch.linalg.svd(SQUARE), "aten::_linalg_svd"),
        (lambda: torch.linalg.qr(SQUARE), "aten::linalg_qr"),
        (lambda: torch.linalg.solve(POSITIVE, SQUARE), "aten::_linalg_solve_ex"),
        (lambda: torch.cdist(SQUARE, SQUARE), "aten::_cdist_forward"),
        (lambda: nn.Bilinear(6, 6, 2)(SQUARE, SQUARE), "aten::_trilinear"),
        (lambda: torch._int_mm(*2 * [torch.ones(32, 32, dtype=torch.int8)]), "aten::_int_mm"),
    ],
)
def test_arithmetic_without_a_formula_is_named_and_not_taken_for_nothing(
    work: Callable[[], object], operator: str
) -> None:
    def step() -> None:
        SQUARE @ SQUARE
        work()

    found = read_flops(step)
    assert found.uncounted == (operator,)
    assert found.counted == 2 * 6**3
    assert found.total is None
    assert count_flops(step) is None


def test_elementwise_work_reductions_and_moves_are_nothing_by_convention() -> None:
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    norm, grid = nn.BatchNorm2d(3), torch.zeros(2, 4, 4, 2)

    def step() -> None:
        hidden = nn.functional.gelu(norm(images)).softmax(1).cumsum(2).roll(1, 3)
        hidden = nn.functional.interpolate(hidden, scale_factor=2, mode="bilinear")
        hidden = nn.functional.grid_sample(hidden, grid, align_corners=False)
        loss = nn.functional.dropout(hidden).sort(1).values.norm()
        (loss + torch.dot(images[0, 0, 0], images[0, 0, 1])).backward()

    found = read_flops(step)
    assert (found.total, found.uncounted) == (0, ())


def test_every_operator_with_a_formula_is_one_of_arithmetic() -> None:
    """The rule by names, held to the operators that PyTorch itself counts."""
    own = [p for p in flop_registry if str(p).startswith("aten.")]
    names = [packet.__name__ for packet in own]
    assert len(names) > 15
    assert [name for name in names if not is_arithmetic("aten", name)] == []


def test_operators_of_other_devices_are_told_by_their_names() -> None:
    heavy = "_cudnn_rnn _cudnn_rnn_backward miopen_rnn lstm_mps_backward _sparse_mm geqrf _spsolve"
    light = "_thnn_fused_lstm_cell cudnn_batch_norm cudnn_grid_sampler lu_unpack upsample_linear1d"
    every = {name: is_arithmetic("aten", name) for name in f"{heavy} {light}".split()}
    assert [name for name, found in every.items() if found] == heavy.split()


@pytest.mark.parametrize("name", registry.METHODS.built_in)
@pytest.mark.parametrize(
    ("model", "dataset"),
    [
        ("mlp(depth=2, width=8)", "digits"),
        ("resnet-8(width=4)", "digits"),
        ("vit(depth=1)", "digits"),
        ("char-transformer(depth=1)", "random-tokens"),
    ],
)
def test_all_of_what_is_built_in_is_counted(name: str, model: str, dataset: str) -> None:
    data = registry.build_dataset(dataset)
    network = registry.build_model(model, data.input_shape, data.num_classes)
    inputs, targets = data.train.inputs[:3], data.train.targets[:3]
    method, params = registry.build_method(name), list(network.parameters())
    optimizer = torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1)

    def step() -> None:
        method.backward(lambda: cross_entropy(network(inputs), targets), params)
        optimizer.step()

    for _ in range(2):
        assert read_flops(step).uncounted == ()


# --- operators and kernels from elsewhere


@torch.library.custom_op("gr_bench_tests::halved", mutates_args=())
def halved(x: Tensor) -> Tensor:
    return x / 2


@torch.library.custom_op("gr_bench_tests::product", mutates_args=())
def product(x: Tensor, y: Tensor) -> Tensor:
    return x @ y


@register_flop_formula(torch.ops.gr_bench_tests.product)
def _product(x: tuple[int, int], y: tuple[int, int], **_: object) -> int:
    return 2 * x[0] * x[1] * y[1]


def test_of_an_operator_from_elsewhere_nothing_is_known() -> None:
    assert read_flops(lambda: halved(SQUARE)).uncounted == ("gr_bench_tests::halved",)


def test_an_operator_with_a_formula_of_its_own_is_counted() -> None:
    assert read_flops(lambda: product(SQUARE, SQUARE)).total == 2 * 6**3


class InNumPy(torch.autograd.Function):
    """Memory from PyTorch, filled by another library's kernel."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        out.numpy()[:] = x.numpy() @ x.numpy()
        return out

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


def test_a_kernel_is_noticed_by_the_memory_that_it_fills() -> None:
    x = SQUARE.clone().requires_grad_()
    assert read_flops(lambda: InNumPy.apply(x).sum().backward()).uncounted == (OUT_OF_SIGHT,)


class Scaled(torch.autograd.Function):
    """A function of somebody's own that is made of operators."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        out[:3] = x[:3]
        out[3:].copy_(x[3:]).mul_(2)
        return out @ x

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return torch.empty(6, 6).fill_(1.0) * gradient


def test_a_function_made_of_operators_is_counted() -> None:
    x = SQUARE.clone().requires_grad_()
    found = read_flops(lambda: Scaled.apply(x).sum().backward())
    assert (found.total, found.uncounted) == (2 * 6**3, ())
