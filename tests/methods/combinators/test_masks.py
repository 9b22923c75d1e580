"""Methods that leave parameters unperturbed, against their formulas written out."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from gr_bench.methods import Late, Method, Only, PerWorker, ScaledLoss, Without, get, stack

MADE_OF = ("sgd", "sam", "f-gr", "b-gr", "c-gr", "gnp", "asam", "unnormalized-sam", "db-gr")


def begun(method: Method, problem) -> Method:
    method.begin(dict(problem.model.named_parameters()), 10)
    return method


def directions(problem, points: list[Tensor]) -> list[Tensor]:
    """∇L with the parameters at ``points``, by autograd."""
    kept = [p.detach().clone() for p in problem.params]
    with torch.no_grad():
        for p, value in zip(problem.params, points, strict=True):
            p.copy_(value)
    torch.manual_seed(1)
    found = torch.autograd.grad(problem.loss(), problem.params)
    with torch.no_grad():
        for p, value in zip(problem.params, kept, strict=True):
            p.copy_(value)
    return list(found)


@pytest.fixture
def mlp(make_problem):
    return make_problem("mlp")


def moves(problem) -> list[float]:
    """1 for the matrices, 0 for the biases."""
    return [float(p.ndim > 1) for p in problem.params]


def by_hand(problem, name: str) -> list[Tensor]:
    """d of the method with its default numbers, biases left where they are."""
    on = moves(problem)
    theta = [p.detach() for p in problem.params]
    g = directions(problem, theta)

    def at(scale: float | Tensor) -> list[Tensor]:
        return directions(
            problem, [p + scale * m * v for p, m, v in zip(theta, on, g, strict=True)]
        )

    if name == "sam":
        norm = torch.cat([v.flatten() for m, v in zip(on, g, strict=True) if m]).norm()
        return at(0.05 / norm)
    if name == "unnormalized-sam":
        return at(0.05)
    if name == "f-gr":
        return [v + 0.1 * (w - v) / 0.05 for v, w in zip(g, at(0.05), strict=True)]
    if name == "c-gr":
        pairs = zip(g, at(0.05), at(-0.05), strict=True)
        return [v + 0.1 * (a - b) / 0.1 for v, a, b in pairs]
    torch.manual_seed(1)
    assert name == "db-gr"
    loss = problem.loss()
    with_graph = torch.autograd.grad(loss, problem.params, create_graph=True)
    penalty = sum((v**2).sum() for m, v in zip(on, with_graph, strict=True) if m)
    return list(torch.autograd.grad(loss + 0.05 * penalty, problem.params))


@pytest.mark.parametrize("name", ["sam", "unnormalized-sam", "f-gr", "c-gr", "db-gr"])
@pytest.mark.parametrize("net", ["mlp", "attention"])
def test_biases_are_not_perturbed_and_all_else_is_by_the_formula(
    name: str, net: str, make_problem, relative_error
) -> None:
    problem = make_problem(net)
    expected = torch.cat([d.flatten() for d in by_hand(problem, name)])
    for method in (Without(get(name)), Only(get(name), ("*.weight", "position", "*"))):
        if isinstance(method, Only):
            names = [n for n, p in problem.model.named_parameters() if p.ndim > 1]
            method = Only(get(name), tuple(names))
        found = problem.direction(begun(method, problem))
        assert relative_error(found, expected) < 1e-9
    assert relative_error(problem.direction(get(name)), expected) > 1e-4  # the test can fail


@pytest.mark.parametrize("name", MADE_OF)
def test_parameters_that_are_named_stay_where_they_are_in_every_pass(name: str, mlp) -> None:
    method = begun(Without(get(name), "*.bias"), mlp)
    seen: dict[str, list[Tensor]] = {n: [] for n, _ in mlp.model.named_parameters()}

    def loss() -> Tensor:
        for n, p in mlp.model.named_parameters():
            seen[n].append(p.detach().clone())
        return mlp.loss()

    method.backward(loss, mlp.params)
    for n, values in seen.items():
        moved = any(not torch.equal(value, values[0]) for value in values)
        assert moved == (n.endswith("weight") and len(values) > 1), n


@pytest.mark.parametrize("name", MADE_OF)
@pytest.mark.parametrize(
    "rule",
    [
        "test_parameters_are_where_and_what_they_were",
        "test_loss_is_that_of_the_first_pass",
        "test_gradients_are_plain_tensors_of_their_own",
        "test_old_gradients_are_overwritten",
    ],
)
def test_the_contract_is_kept(name: str, rule: str, problem, contract) -> None:
    contract[rule](problem, begun(Without(get(name)), problem))


@pytest.mark.parametrize("name", MADE_OF)
def test_side_effects_are_those_of_one_forward(
    name: str, problem, contract, assert_same_state
) -> None:
    method = begun(Only(get(name)), problem)
    contract["test_side_effects_are_those_of_one_forward"](problem, method, assert_same_state)


def test_all_parameters_left_out_one_after_the_other(mlp) -> None:
    """Two masks, one inside the other, leave out what either does; in a schedule, too."""
    names = [n for n, _ in mlp.model.named_parameters()]
    both = begun(Without(Without(get("sam"), names[0]), names[3]), mlp)
    at_once = begun(Without(get("sam"), (names[0], names[3])), mlp)
    late = begun(Late(Without(get("sam"), (names[0], names[3])), share=1), mlp)
    outside = begun(Without(Late(get("sam"), share=1), (names[3], names[0])), mlp)
    expected = mlp.direction(at_once)
    for method in (both, late, outside):
        assert torch.equal(mlp.direction(method), expected)


def test_a_gradient_scaler_is_known_through_it(mlp) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    expected = mlp.direction(begun(Without(get("sam")), mlp))
    torch.manual_seed(1)
    begun(Without(get("sam")), mlp).backward(ScaledLoss(mlp.loss, scaler), mlp.params)
    found = torch.cat([p.grad.flatten() for p in mlp.params])
    torch.testing.assert_close(found, expected * 2**10, rtol=1e-6, atol=0)


def test_a_loss_per_worker_is_known_through_it() -> None:
    from gr_bench.methods.combinators.masks import FixedParameters

    loss = object.__new__(PerWorker)
    assert FixedParameters(loss, []).per_worker
    assert not hasattr(FixedParameters(lambda: torch.ones(()), []), "again")


def test_runs_of_a_fleet_get_what_they_get_alone() -> None:
    """A vector has two axes there."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    start = [
        torch.randn(2, *shape, generator=generator, dtype=torch.float64) for shape in ((3, 4), (4,))
    ]

    def losses(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return torch.tanh(x @ w + b.unsqueeze(-2)).square().mean((-2, -1))

    methods = [Without(get("sam", rho=rho)) for rho in (0.1, 0.4)]
    stacked = stack(methods)
    fleet = [nn.Parameter(value.clone()) for value in start]
    stacked.begin(dict(zip("wb", fleet, strict=True)), 1)
    stacked.backward(lambda: losses(inputs, *fleet), fleet)
    for run, method in enumerate(methods):
        own = [nn.Parameter(value[run].clone()) for value in start]
        method.begin(dict(zip("wb", own, strict=True)), 1)
        method.backward(lambda run=run, own=own: losses(inputs[run], *own), own)
        for p, q in zip(fleet, own, strict=True):
            torch.testing.assert_close(p.grad[run], q.grad, rtol=1e-9, atol=1e-12)


def test_less_memory_is_kept(mlp) -> None:
    method = begun(Only(get("f-gr")), mlp)
    mlp.step(method)
    assert method.workspace.nbytes == sum(p.nbytes for p in mlp.params if p.ndim == 1)


def test_a_pattern_that_matches_nothing_is_refused_with_names(mlp) -> None:
    with pytest.raises(ValueError, match=r"'\*norm\*' matches none of the parameters, 1.weight"):
        begun(Without(get("sam"), ("*.bias", "*norm*")), mlp)
    with pytest.raises(ValueError, match="without: no parameter is left to be perturbed"):
        begun(Without(get("sam"), "*"), mlp)


@pytest.mark.parametrize("names", [(), "", 3, ("a", 1)])
def test_patterns_are_strings(names) -> None:
    with pytest.raises(ValueError, match="names must be a pattern or a tuple of patterns"):
        Without(get("sam"), names)


def test_a_method_that_knows_nothing_of_it_is_refused(plug_in) -> None:
    with pytest.raises(ValueError, match="extragradient cannot leave parameters unperturbed"):
        Without(plug_in())


def test_the_names_must_be_known(mlp) -> None:
    with pytest.raises(RuntimeError, match="without must know the parameters' names"):
        mlp.step(Without(get("sam")))


def test_parameters_are_known_by_what_they_are_and_not_by_their_place(mlp) -> None:
    """As where only those are given that are trained."""
    method = begun(Without(get("sam")), mlp)
    first, *rest = mlp.params
    first.requires_grad_(False)
    given = [p for p in mlp.params if p.requires_grad]
    torch.manual_seed(1)
    method.backward(mlp.loss, given)
    found = [p.grad.clone() for p in given]
    torch.manual_seed(1)
    method.backward(mlp.loss, mlp.params)
    assert all(a.equal(p.grad) for a, p in zip(found, rest, strict=True))


def test_other_parameters_than_it_was_told_of_are_refused(mlp) -> None:
    method = begun(Without(get("sam")), mlp)
    with pytest.raises(RuntimeError, match="must know the parameters' names"):
        copy.deepcopy(method).backward(mlp.loss, mlp.params)
