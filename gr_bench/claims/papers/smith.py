"""Claims of Smith et al. on SGD with random shuffling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from gr_bench.claims.papers.barrett import order_claim
from gr_bench.claims.papers.contrasts import at_least, contrast, kind, no_worse
from gr_bench.claims.scope import Scope
from gr_bench.claims.trainings import Runs

SOURCE = (
    "Smith et al., On the Origin of Implicit Regularization in Stochastic Gradient Descent "
    "(ICLR 2021, arXiv 2101.12176)"
)
IN_THE_PAPER = Scope(
    "a 10-1 Wide-ResNet on CIFAR-10, SGD without momentum",
    models=("wrn-10-1",),
    datasets=("cifar10",),
)


def _side(name: str, large: bool, runs: Sequence[Runs]) -> list[Runs]:
    """Trainings without momentum at a constant rate, at the smallest or the largest rate."""
    plain = [one for one in runs if one.cell.momentum == 0 and one.cell.schedule == "constant"]
    rates = sorted({one.cell.learning_rate for one in plain})
    if not rates:
        return []
    rate = rates[-1] if large else rates[0]
    return [one for one in plain if kind(one) == name and one.cell.learning_rate == rate]


def rate_pairs(
    own: tuple[str, bool], base: tuple[str, bool], runs: Sequence[Runs]
) -> Iterator[tuple[Runs, Runs]]:
    """Two methods' trainings at the smallest (False) or the largest (True) rate of a workload that
    has two, each with one setting.
    """
    rates = {one.cell.learning_rate for one in runs}
    sides = [_side(*own, runs), _side(*base, runs)]
    if len(rates) > 1 and all(len(side) == 1 for side in sides):
        yield sides[0][0], sides[1][0]


RATES = (
    "For trainings at a constant learning rate without momentum, at the largest and the "
    "smallest rate. "
)

SMITH = (
    order_claim(
        "sgd-follows-the-modified-flow",
        "The mean iterate of an epoch of shuffled SGD follows the flow of "
        "C + (h/4)·(1/m)·Σ‖∇C_k‖², with the mini-batches' own losses C_k: the distance is of "
        "order h³.",
        flow="modified",
        order=3,
        several=True,
        where="abstract (equation number not known)",
        source=SOURCE,
    ),
    order_claim(
        "the-penalty-is-of-mini-batches",
        "The mini-batch gradients are penalised: the distance from the flow with the penalty of "
        "the full gradient, (h/4)·‖∇C‖², is of order h².",
        flow="full",
        order=2,
        several=True,
        where="abstract (equation number not known)",
        source=SOURCE,
    ),
    contrast(
        "large-rates-generalise",
        "Without momentum and at equal epochs, SGD with a large learning rate generalises "
        "better than with a small one.",
        where="abstract and introduction",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own="sgd at the large rate",
        base="sgd at the small one",
        rule=at_least,
        pairs=partial(rate_pairs, ("sgd", True), ("sgd", False)),
        more=RATES,
    ),
    contrast(
        "explicit-penalty-helps-small-rates",
        "At a small learning rate, adding the implicit penalty explicitly, mini-batch by "
        "mini-batch, raises the test accuracy.",
        where="abstract and section 2.3",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own="db-gr at the small rate",
        base="sgd at the small rate",
        rule=at_least,
        pairs=partial(rate_pairs, ("db-gr", False), ("sgd", False)),
        more=RATES,
    ),
    contrast(
        "explicit-penalty-replaces-large-rates",
        "With this penalty, the small rate performs as well as the large rate without it.",
        where="section 2.3",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own="db-gr at the small rate",
        base="sgd at the large rate",
        rule=no_worse,
        pairs=partial(rate_pairs, ("db-gr", False), ("sgd", True)),
        more=RATES,
    ),
)
