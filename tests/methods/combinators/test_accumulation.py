"""Passes in micro-batches: the mini-batch's own direction, in less memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from gr_bench.meters.get_device import get_device
from gr_bench.methods import Accumulated, DivisibleLoss, Late, Method, Only, get

FIRST_ORDER = ("sgd", "sam", "f-gr", "b-gr", "c-gr", "gnp", "asam", "unnormalized-sam", "flooding")


def peak_bytes(method: Method, loss: Divided) -> int:
    """The most that the second step of a method allocates beyond what is there before it."""

    def step() -> None:
        for p in loss.model.parameters():
            p.grad = None
        method.backward(loss, loss.model.parameters())

    step()
    for p in loss.model.parameters():
        p.grad = None
    return get_device("cpu").peak_growth(step)


class Divided:
    """The mean loss of a problem, and of equal parts of its mini-batch."""

    def __init__(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
        self.model, self.inputs, self.targets = model, inputs, targets

    def __call__(self) -> Tensor:
        return nn.functional.cross_entropy(self.model(self.inputs), self.targets)

    def parts(self, count: int) -> list[Divided]:
        if len(self.inputs) % count:
            raise ValueError(f"not in {count} parts")
        pieces = zip(self.inputs.chunk(count), self.targets.chunk(count), strict=True)
        return [Divided(self.model, *piece) for piece in pieces]


@pytest.fixture
def divided(make_problem):
    """Builds a problem whose loss can be divided."""

    def build(net: nn.Module | str):
        problem = make_problem(net)
        problem.loss = Divided(problem.model, problem.inputs, problem.targets)
        return problem

    return build


@pytest.mark.parametrize("name", FIRST_ORDER)
@pytest.mark.parametrize("net", ["mlp", "attention"])
@pytest.mark.parametrize("parts", [1, 2, 5, 10])
def test_the_direction_is_that_of_the_whole_mini_batch(
    name: str, net: str, parts: int, divided, relative_error
) -> None:
    problem = divided(net)
    expected, loss = problem.direction(get(name)), problem.step(get(name))
    method = Accumulated(get(name), parts)
    assert relative_error(problem.direction(method), expected) < 1e-11
    torch.testing.assert_close(problem.step(method), loss, rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", FIRST_ORDER)
@pytest.mark.parametrize("net", ["mlp", "attention"])
@pytest.mark.parametrize(
    "rule",
    [
        "test_parameters_are_where_and_what_they_were",
        "test_evaluation_mode_moves_nothing",
        "test_gradients_are_plain_tensors_of_their_own",
        "test_old_gradients_are_overwritten",
    ],
)
def test_the_contract_is_kept(
    name: str, net: str, rule: str, divided, contract, assert_same_state
) -> None:
    more = [assert_same_state] if rule == "test_evaluation_mode_moves_nothing" else []
    contract[rule](divided(net), Accumulated(get(name), 5), *more)


def test_with_batch_norm_it_is_the_mean_of_the_parts_losses(divided, relative_error) -> None:
    """And statistics move once a part, in the first pass alone."""
    problem = divided("batch-norm")
    parts = problem.loss.parts(2)
    twin = copy.deepcopy(problem)
    expected = torch.autograd.grad(sum(part() for part in parts) / 2, problem.params)
    problem = twin
    found = problem.direction(Accumulated(get("sgd"), 2))
    assert relative_error(found, torch.cat([g.flatten() for g in expected])) < 1e-12
    for name in ("sgd", "sam", "c-gr"):
        problem = divided("batch-norm")
        problem.step(Accumulated(get(name), 2))
        assert problem.model[1].num_batches_tracked == 2


def test_dropout_draws_the_same_masks_in_every_pass(divided) -> None:
    """With an ε that moves nothing, F-GR's two gradients are one."""
    problem = divided("dropout")
    expected = problem.direction(Accumulated(get("sgd"), 5))
    tiny = get("f-gr", gamma=1e-12, epsilon=1e-12)
    torch.testing.assert_close(
        problem.direction(Accumulated(tiny, 5)), expected, rtol=1e-9, atol=1e-12
    )
    assert not torch.allclose(problem.direction(get("sgd")), expected)


def test_an_exception_in_a_part_leaves_everything_as_it_was(divided, assert_same_state) -> None:
    problem = divided("batch-norm")
    before = problem.state()
    calls = iter(range(100))

    def fuse(*_: object) -> None:
        if next(calls) == 3:  # the second part of the second pass
            raise KeyError("fuse")

    handle = problem.model.register_forward_pre_hook(fuse)
    method = Accumulated(get("f-gr"), 2)
    with pytest.raises(KeyError):
        problem.step(method)
    handle.remove()
    assert_same_state(problem.state(), before)
    expected = divided("batch-norm").direction(Accumulated(get("f-gr"), 2))
    assert torch.equal(problem.direction(method), expected)


@pytest.mark.parametrize("net", ["mlp", "attention"])
def test_masks_work_inside_and_around(net: str, divided, relative_error) -> None:
    problem = divided(net)
    methods: list[Method] = [
        Only(get("sam")),
        Accumulated(Only(get("sam")), 5),
        Only(Accumulated(get("sam"), 5)),
    ]
    found = []
    for method in methods:
        method.begin(dict(problem.model.named_parameters()), 1)
        found.append(problem.direction(method))
    assert relative_error(found[1], found[0]) < 1e-11
    assert torch.equal(found[1], found[2])


def test_a_parameter_without_a_gradient_keeps_none(divided) -> None:
    problem = divided("mlp")
    unused = nn.Parameter(torch.ones(3))
    frozen = problem.params[1].requires_grad_(False)
    params = [unused, *problem.params]
    Accumulated(get("f-gr"), 2).backward(problem.loss, params)
    assert unused.grad is None
    assert frozen.grad is None
    assert problem.params[0].grad is not None


@pytest.mark.parametrize("name", ["sgd", "sam", "f-gr"])
def test_activations_take_a_share_of_the_memory(name: str) -> None:
    """With activations far larger than parameters, the peak falls about as they do."""
    model = nn.Sequential(*(nn.Linear(16, 16) for _ in range(20)), nn.Linear(16, 3))
    loss = Divided(model, torch.randn(4000, 16), torch.zeros(4000, dtype=torch.long))
    activations = 20 * 4000 * 16 * 4
    whole, parts = peak_bytes(get(name), loss), peak_bytes(Accumulated(get(name), 4), loss)
    assert whole > activations
    assert parts < 0.35 * whole


def test_at_most_one_more_copy_of_the_parameters() -> None:
    """With parameters far larger than activations: the gradient on its way, and no more."""
    model = nn.Sequential(*(nn.Linear(128, 128, bias=False) for _ in range(60)))
    size = sum(p.nbytes for p in model.parameters())
    loss = Divided(model, torch.randn(4, 128), torch.zeros(4, dtype=torch.long))
    for name in ("sgd", "sam", "f-gr"):
        whole, parts = peak_bytes(get(name), loss), peak_bytes(Accumulated(get(name), 2), loss)
        assert (parts - whole) / size < 1.02, name


def test_steps_of_a_schedule_go_part_by_part(divided) -> None:
    problem = divided("mlp")
    method = Accumulated(Late(get("sam"), share=0.5), 2)
    method.begin({}, 2)
    sizes: list[int] = []
    problem.model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    problem.step(method)
    problem.step(method)
    assert sizes == [5, 5, 5, 5, 5, 5]
    assert (method.cycle, method.gradient_evaluations) == (2, 1.5)


def test_the_mean_loss_need_not_be_scaled_but_cannot_be() -> None:
    assert not Accumulated(get("sam")).scalable
    assert Late(get("sam")).scalable


def test_a_loss_without_parts_and_a_batch_that_does_not_divide_are_refused(divided) -> None:
    problem = divided("mlp")
    assert isinstance(problem.loss, DivisibleLoss)
    with pytest.raises(TypeError, match=r"accumulated needs a loss function with parts"):
        Accumulated(get("sam")).backward(lambda: problem.loss(), problem.params)
    with pytest.raises(ValueError, match="not in 3 parts"):
        problem.step(Accumulated(get("sam"), 3))


def test_what_differentiates_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="db-gr differentiates twice"):
        Accumulated(get("db-gr"))
    with pytest.raises(ValueError, match="parts must be a whole number >= 1, not 0"):
        Accumulated(get("sam"), 0)
