"""Schedules against loops written out, and their passes against those that are counted."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gr_bench.methods import SGD, Combinator, Early, Every, Late, Method, Ramp, Warmup, get, stack

STEPS = 20


class Counting:
    """L = ½·h·p², and how often it was asked for."""

    def __init__(self, curvature: float = 3.0, at: float = 2.0) -> None:
        self.p = nn.Parameter(torch.tensor([at], dtype=torch.float64))
        self.curvature = curvature
        self.passes = 0

    def __call__(self) -> Tensor:
        self.passes += 1
        return (self.curvature * self.p**2 / 2).sum()

    def step(self, method: Method) -> tuple[float, int]:
        """The direction, and the passes that it took."""
        self.passes = 0
        method.backward(self, [self.p])
        assert self.p.grad is not None
        return self.p.grad.item(), self.passes


def trained(method: Method, build: Callable, by_hand: Callable[[int], Method]) -> None:
    """Train twins by the method and by the one that ``by_hand`` gives for each step."""
    ours, theirs = build("batch-norm"), build("batch-norm")
    optimizers = [torch.optim.SGD(p.params, lr=0.1, momentum=0.9) for p in (ours, theirs)]
    method.begin(dict(ours.model.named_parameters()), STEPS)
    for step in range(STEPS):
        assert torch.equal(ours.step(method), theirs.step(by_hand(step)))
        for optimizer in optimizers:
            optimizer.step()
    assert all(map(torch.equal, ours.state().values(), theirs.state().values()))


def test_warmup_is_sgd_and_then_the_method(make_problem) -> None:
    sam = get("sam", rho=0.5)
    trained(
        Warmup(sam, share=0.25),
        make_problem,
        lambda step: SGD() if step < 5 else get("sam", rho=0.5),
    )


def test_late_is_sgd_and_at_last_the_method(make_problem) -> None:
    trained(
        Late(get("f-gr", gamma=0.4), share=0.35),
        make_problem,
        lambda step: SGD() if step < 13 else get("f-gr", gamma=0.4),
    )


def test_early_is_the_method_and_then_sgd(make_problem) -> None:
    trained(
        Early(get("f-gr", gamma=0.4), share=0.35),
        make_problem,
        lambda step: get("f-gr", gamma=0.4) if step < 7 else SGD(),
    )


def test_every_is_the_method_in_the_steps_that_k_divides(make_problem) -> None:
    trained(
        Every(get("c-gr", gamma=0.4), k=3),
        make_problem,
        lambda step: SGD() if step % 3 else get("c-gr", gamma=0.4),
    )


def test_ramp_is_the_method_with_a_number_that_grows(make_problem) -> None:
    def by_hand(step: int) -> Method:
        return get("f-gr", gamma=0.1 + 0.4 * min(1, (step + 1) / 10), epsilon=0.2)

    ramp = Ramp(get("f-gr", gamma=0.5, epsilon=0.2), "gamma", start=0.1, share=0.5)
    trained(ramp, make_problem, by_hand)


def test_ramp_of_a_quadratic_in_closed_form() -> None:
    """L = ½·h·p²: d = h·p·(1 + γ_t·h)."""
    loss, ramp = Counting(), Ramp(get("f-gr", gamma=0.4))
    ramp.begin({}, 4)
    found = [loss.step(ramp) for _ in range(4)]
    expected = [3 * 2 * (1 + gamma * 3) for gamma in (0.1, 0.2, 0.3, 0.4)]
    assert [d for d, _ in found] == pytest.approx(expected, rel=1e-12)
    assert [passes for _, passes in found] == [2, 2, 2, 2]


def test_ramp_finds_a_number_further_inside_and_leaves_it_as_it_was() -> None:
    ramp = Ramp(Every(get("sam", rho=1.0), k=2), "rho")
    ramp.begin({}, 4)
    loss = Counting()
    found = [loss.step(ramp)[0] for _ in range(4)]
    assert found == pytest.approx([3 * 2.25, 6, 3 * 2.75, 6], rel=1e-12)  # p + ρ_t, ρ = ¼ and ¾
    assert ramp == Ramp(Every(get("sam", rho=1.0), k=2), "rho")


def test_after_an_exception_the_number_is_back_and_the_step_is_not_counted() -> None:
    ramp = Ramp(get("f-gr", gamma=0.4))
    ramp.begin({}, 4)

    def broken() -> Tensor:
        raise KeyError("broken")

    with pytest.raises(KeyError):
        ramp.backward(broken, [])
    assert ramp == Ramp(get("f-gr", gamma=0.4))
    assert Counting().step(ramp)[0] == pytest.approx(6 * 1.3, rel=1e-12)


def test_a_method_inside_sees_a_training_of_its_own_steps() -> None:
    """The last 10 of 20 steps are the ramp's, and it takes all of them."""
    late = Late(Ramp(get("f-gr", gamma=1.0)), share=0.5)
    late.begin({}, STEPS)
    loss = Counting()
    gammas = [(loss.step(late)[0] / 6 - 1) / 3 for _ in range(STEPS)]
    assert gammas == pytest.approx([0] * 10 + [k / 10 for k in range(1, 11)], abs=1e-12)


# --- cost

shares = st.integers(0, 20).map(lambda k: k / 20)
inner = st.sampled_from(["sgd", "sam", "f-gr", "c-gr"]).map(get)


def around(methods: st.SearchStrategy[Method]) -> st.SearchStrategy[Method]:
    return (
        st.builds(Late, methods, shares)
        | st.builds(Early, methods, shares)
        | st.builds(Warmup, methods, shares)
        | st.builds(Every, methods, st.integers(1, 6))
    )


scheduled = around(inner) | around(around(inner)) | around(around(around(inner)))


def passes(method: Method, steps: int) -> Iterator[int]:
    loss = Counting()
    for _ in range(steps):
        yield loss.step(method)[1]


@given(scheduled, st.integers(1, 60))
def test_the_passes_of_a_training_are_those_that_are_counted(method: Method, steps: int) -> None:
    method.begin({}, steps)
    done = 0
    for step, taken in enumerate(passes(method, steps)):
        assert method.passes_in(step, steps) == done
        done += taken
    assert method.passes_in(steps, steps) == done


@given(scheduled)
@settings(max_examples=40)
def test_a_cycle_repeats_and_has_the_declared_mean(method: Method) -> None:
    """Told of one cycle, as a step that is timed, a method goes on in cycles."""
    cycle = method.cycle
    if cycle > 400:
        return
    method.begin({}, cycle)
    taken = list(passes(method, 2 * cycle + 1))
    assert taken[:cycle] == taken[cycle : 2 * cycle]
    assert taken[0] == taken[2 * cycle]
    for begin in (0, 1, cycle // 2, cycle):  # wherever a sample begins
        mean = sum(taken[begin : begin + cycle]) / cycle
        assert mean == pytest.approx(method.gradient_evaluations, rel=1e-12)
    assert method.passes_in(cycle, cycle) == sum(taken[:cycle])
    assert method.repeats == (cycle == 1)


@pytest.mark.parametrize(
    ("method", "cycle", "mean"),
    [
        (Late(get("sam"), share=0.2), 5, 1.2),
        (Early(get("sam"), share=0.2), 5, 1.2),
        (Late(get("sam"), share=0.05), 20, 1.05),
        (Late(get("c-gr"), share=0.25), 4, 1.5),
        (Warmup(get("f-gr"), share=0.1), 10, 1.9),
        (Every(get("sam"), k=5), 5, 1.2),
        (Every(get("sgd"), k=5), 5, 1.0),
        (Late(get("sam"), share=0), 1, 1.0),
        (Late(get("sam"), share=1), 1, 2.0),
        (Every(Every(get("sam"), k=2), k=3), 6, 1 + 1 / 6),
        (Ramp(get("c-gr")), 1, 3),
    ],
    ids=str,
)
def test_cycles_and_means(method: Method, cycle: int, mean: float) -> None:
    assert method.cycle == cycle
    assert method.gradient_evaluations == pytest.approx(mean, rel=1e-12)
    assert method.forward_passes == method.gradient_evaluations


def test_forward_passes_are_not_gradient_evaluations() -> None:
    late = Late(get("db-gr"), share=0.5)
    assert (late.gradient_evaluations, late.forward_passes) == (2.0, 1.0)
    assert late.needs_second_derivatives


def test_a_gradient_is_kept_if_a_step_keeps_one() -> None:
    assert Late(get("f-gr"), share=0.5).keeps_gradient
    assert not Late(get("f-gr"), share=0).keeps_gradient
    assert not Late(get("sam"), share=0.5).keeps_gradient
    equal = get("f-gr", gamma=0.1, epsilon=0.1)
    assert not equal.keeps_gradient
    assert Ramp(equal).keeps_gradient  # γ < ε on the way


# --- where a training goes on


@pytest.mark.parametrize(
    "build",
    [
        lambda: Late(Ramp(get("f-gr"), share=0.5), share=0.5),
        lambda: Every(get("sam"), k=3),
        lambda: Ramp(Every(get("f-gr"), k=4)),
    ],
)
def test_a_state_goes_on_where_it_was_taken(build: Callable[[], Method]) -> None:
    whole, first, second = build(), build(), build()
    for method in (whole, first, second):
        method.begin({}, STEPS)
    loss = Counting()
    expected = [loss.step(whole) for _ in range(STEPS)]
    found = [loss.step(first) for _ in range(7)]
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert found + [loss.step(second) for _ in range(7, STEPS)] == expected


def test_two_made_of_one_method_share_nothing() -> None:
    sam = get("sam")
    methods = [Every(sam, k=2), Every(sam, k=2), sam]
    loss = Counting()
    loss.step(methods[0])
    assert [loss.step(method)[1] for method in methods[1:]] == [2, 2]
    memories = {id(method.workspace) for method in methods}
    assert len(memories) == 3
    assert methods[0].workspace.nbytes == loss.p.nbytes


@pytest.mark.parametrize("method", [Late(get("sam")), Warmup(get("sam")), Ramp(get("f-gr"))])
def test_the_length_of_the_training_must_be_known(method: Method) -> None:
    with pytest.raises(RuntimeError, match=rf"{method.name} must know how long"):
        Counting().step(method)


# --- fleets


def test_runs_of_a_fleet_get_what_they_get_alone() -> None:
    """Also where numbers inside, or at the start of a ramp, are every run's own."""
    for build in (
        lambda number: Late(get("sam", rho=number), share=0.5),
        lambda number: Every(get("f-gr", gamma=number), k=2),
        lambda number: Ramp(get("f-gr", gamma=number), start=number / 2),
        lambda number: Warmup(Ramp(get("c-gr", gamma=number)), share=0.3),
    ):
        methods = [build(0.2), build(0.7)]
        stacked = stack(methods)
        for method in (*methods, stacked):
            method.begin({}, 6)
        fleet = nn.Parameter(torch.tensor([[2.0], [1.5]], dtype=torch.float64))
        alone = [Counting(3.0, 2.0), Counting(3.0, 1.5)]
        for _ in range(6):
            stacked.backward(lambda p=fleet: (3 * p**2 / 2).sum(1), [fleet])
            own = [loss.step(method)[0] for loss, method in zip(alone, methods, strict=True)]
            assert fleet.grad is not None
            assert fleet.grad[:, 0].tolist() == pytest.approx(own, rel=1e-9)


def test_runs_that_differ_in_when_are_no_fleet() -> None:
    for first, second in pairwise([Late(get("sam"), share=0.1), Late(get("sam"), share=0.2)]):
        with pytest.raises(ValueError, match="late cannot be stacked: runs differ in share"):
            stack([first, second])
    with pytest.raises(ValueError, match="of one class"):
        stack([Every(get("sam")), Every(get("f-gr"))])


# --- refusals


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: Late(get("sam"), share=1.1), r"share must be a number in \[0, 1\], not 1.1"),
        (lambda: Warmup(get("sam"), share=-0.1), r"share must be a number in \[0, 1\]"),
        (lambda: Late(get("sam"), share="0.1"), r"share must be a number in \[0, 1\], not '0.1'"),
        (lambda: Every(get("sam"), k=0), "k must be a whole number >= 1, not 0"),
        (lambda: Every(get("sam"), k=2.5), "k must be a whole number >= 1, not 2.5"),
        (lambda: Ramp(get("f-gr"), share=0), "share must be > 0"),
        (lambda: Ramp(get("sam")), r"parameter 'gamma' is none of sam\(rho=0.05\)"),
        (lambda: Ramp(get("f-gr"), "epsilon"), "epsilon must be a finite number > 0, not 0"),
        (lambda: Ramp(get("f-gr"), start=-1), "gamma must be a finite number >= 0, not -1"),
        (lambda: Ramp(get("f-gr", gamma=0), start=0.1), "gamma must be > 0 where the ramp ends"),
        (lambda: Late("sam"), "late takes a method first, not 'sam'"),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[], Combinator], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build()
