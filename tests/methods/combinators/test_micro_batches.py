"""A method on each micro-batch by itself: the mean of its directions, and not one of the mean."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gr_bench.methods import Late, MicroBatches, get

METHODS = ("sam", "f-gr", "gnp", "asam", "unnormalized-sam", "db-gr", "c-gr")


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
    def build(net: nn.Module | str):
        problem = make_problem(net)
        problem.loss = Divided(problem.model, problem.inputs, problem.targets)
        return problem

    return build


@pytest.mark.parametrize("name", METHODS)
def test_the_direction_is_the_mean_of_the_parts_own(name: str, divided, relative_error) -> None:
    problem = divided("mlp")
    whole = problem.loss
    expected = []
    for part in whole.parts(5):
        problem.loss = part
        expected.append(problem.direction(get(name)))
    problem.loss = whole
    found = problem.direction(MicroBatches(get(name), 5))
    assert relative_error(found, sum(expected) / 5) < 1e-12
    assert relative_error(found, problem.direction(get(name))) > 1e-6  # m matters


@pytest.mark.parametrize("name", METHODS)
def test_of_one_part_it_is_the_method(name: str, divided) -> None:
    problem = divided("attention")
    found = problem.direction(MicroBatches(get(name), 1))
    assert torch.equal(found, problem.direction(get(name)))


@pytest.mark.parametrize("parts", [1, 2, 5, 10])
def test_of_sgd_it_is_the_mini_batch_s(parts: int, divided, relative_error) -> None:
    problem = divided("mlp")
    method = MicroBatches(get("sgd"), parts)
    assert relative_error(problem.direction(method), problem.direction(get("sgd"))) < 1e-12
    torch.testing.assert_close(problem.step(method), problem.step(get("sgd")), rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "rule",
    [
        "test_parameters_are_where_and_what_they_were",
        "test_evaluation_mode_moves_nothing",
        "test_gradients_are_plain_tensors_of_their_own",
        "test_old_gradients_are_overwritten",
    ],
)
def test_the_contract_is_kept(name: str, rule: str, divided, contract, assert_same_state) -> None:
    more = [assert_same_state] if rule == "test_evaluation_mode_moves_nothing" else []
    contract[rule](divided("mlp"), MicroBatches(get(name), 5), *more)


def test_a_parameter_without_a_gradient_keeps_none(divided) -> None:
    problem = divided("mlp")
    unused = nn.Parameter(torch.ones(3))
    MicroBatches(get("sam"), 2).backward(problem.loss, [unused, *problem.params])
    assert unused.grad is None
    assert problem.params[0].grad is not None


def test_the_method_inside_makes_a_step_a_part(divided) -> None:
    """So the last half of four steps of two parts are four of its eight."""
    problem = divided("mlp")
    method = MicroBatches(Late(get("sam"), share=0.5), 2)
    method.begin({}, 4)
    calls: list[int] = []
    problem.model.register_forward_pre_hook(lambda *_: calls.append(1))
    counts = []
    for _ in range(4):
        calls.clear()
        problem.step(method)
        counts.append(len(calls))
    assert counts == [2, 2, 4, 4]
    assert [method.passes_in(done, 4) for done in range(5)] == [0, 1, 2, 4, 6]


def test_what_cannot_be_cut_is_refused(divided) -> None:
    problem = divided("mlp")
    with pytest.raises(ValueError, match="not in 3 parts"):
        problem.step(MicroBatches(get("sam"), 3))
    with pytest.raises(TypeError, match="parts"):
        MicroBatches(get("sam"), 2).backward(lambda: problem.loss(), problem.params)
    with pytest.raises(ValueError, match="parts must be a whole number"):
        MicroBatches(get("sam"), 0)
