"""From cells to solutions, inside a worker process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from gr_bench.experiments.implicit_bias.cell import ImplicitBiasCell
from gr_bench.experiments.implicit_bias.descent import Snapshot, descend
from gr_bench.experiments.implicit_bias.network import DiagonalLinear, Problems
from gr_bench.experiments.implicit_bias.potential import (
    least_l1,
    least_l2,
    least_potential,
    optimality_residual,
)
from gr_bench.experiments.implicit_bias.problem import Array, Problem, build_problem
from gr_bench.experiments.implicit_bias.record import (
    Endpoint,
    Interpolant,
    PredictedFit,
    Solution,
)
from gr_bench.experiments.implicit_bias.rules import RULES
from gr_bench.experiments.record import Progress, Record, failure
from gr_bench.methods import Method
from gr_bench.registry import build_method

CHECKED = (0, 1, 10, 100)
"""Steps at which the direction is also asked of the method itself; the last is another."""


def solve(cells: Sequence[ImplicitBiasCell]) -> Iterator[Record | Progress]:
    """Follow every cell's descent; yield the records at the end.

    Args:
        cells: alike in :attr:`ImplicitBiasCell.batch_key`. Every setting among them is followed on
            every seed among them.
    """
    first = cells[0]
    seeds = list(dict.fromkeys(cell.seed for cell in cells))
    settings = list(dict.fromkeys((cell.spec, cell.alpha) for cell in cells))
    problems = [build_problem(first.dataset, seed) for seed in seeds]
    methods = [build_method(text) for text, _ in settings]
    rule = RULES[first.family](methods)
    errors = np.zeros((len(seeds), len(settings)))
    for at in descend(
        Problems(problems),
        np.array([alpha for _, alpha in settings]),
        rule,
        step=first.step,
        tolerance=first.tolerance,
        most_steps=first.most_steps,
    ):
        if at.step in CHECKED:
            errors = np.maximum(errors, _direction_errors(problems, methods, at))
        yield Progress(at.part)
    errors = np.maximum(errors, _direction_errors(problems, methods, at))
    for cell in cells:
        row, column = seeds.index(cell.seed), settings.index((cell.spec, cell.alpha))
        try:
            endpoint = _endpoint(cell, problems[row], at, (row, column), rule.interpolates)
        except RuntimeError as error:  # the prediction could not be made
            yield failure(cell, error)
        else:
            yield Solution(
                cell=cell,
                feature_mean=problems[row].feature_mean,
                steps=int(at.steps[row, column]),
                direction_error=float(errors[row, column]),
                endpoint=endpoint,
            )


def _direction_errors(
    problems: Sequence[Problem], methods: Sequence[Method], at: Snapshot
) -> Array:
    """The distance of each run's direction from its method's ``backward``, relative, (P, S)."""
    errors = np.zeros(at.loss.shape)
    for row, problem in enumerate(problems):
        for column, method in enumerate(methods):
            if not at.finite[row, column]:
                continue
            plus, minus = at.plus[row, column], at.minus[row, column]
            network = DiagonalLinear(plus, minus)
            method.backward(partial(network.loss, problem), network.parameters())
            assert network.plus.grad is not None
            assert network.minus.grad is not None
            a, q = at.rates.a[row, column], at.rates.q[row, column]
            closed = np.concatenate([(a + q) * plus, (q - a) * minus])
            real = np.concatenate([network.plus.grad.numpy(), network.minus.grad.numpy()])
            errors[row, column] = np.linalg.norm(closed - real) / np.linalg.norm(real)
    return errors


def _endpoint(
    cell: ImplicitBiasCell,
    problem: Problem,
    at: Snapshot,
    run: tuple[int, int],
    interpolates: bool,
) -> Endpoint | None:
    """The end of a run, and theory's word on it; None if it diverged."""
    if not at.finite[run]:
        return None
    inputs, targets = problem.inputs, problem.targets
    plus, minus = at.plus[run], at.minus[run]
    beta = plus**2 - minus**2
    predicted_alpha = cell.alpha * np.exp(-at.regularised[run])
    predicted_fit = None
    if interpolates:
        predicted_fit = PredictedFit(
            beta=_floats(least_potential(inputs, targets, predicted_alpha)),
            optimality_residual=optimality_residual(inputs, beta, predicted_alpha),
        )
    return Endpoint(
        residual=float(at.residual[run]),
        loss=float(at.loss[run]),
        flow_time=float(at.time[run]),
        beta=_floats(beta),
        alpha=_floats(np.sqrt(plus * minus)),
        predicted_alpha=_floats(predicted_alpha),
        predicted_fit=predicted_fit,
        test_error=problem.test_error(beta),
        least_l1=_interpolant(problem, least_l1(inputs, targets)),
        least_l2=_interpolant(problem, least_l2(inputs, targets)),
    )


def _interpolant(problem: Problem, beta: Array) -> Interpolant:
    return Interpolant(
        l1_norm=float(np.abs(beta).sum()),
        l2_norm=float(np.linalg.norm(beta)),
        test_error=problem.test_error(beta),
    )


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(map(float, values))
