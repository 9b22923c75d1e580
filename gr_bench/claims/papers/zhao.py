"""Claims of Zhao et al. on GR with adaptive optimizers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from gr_bench.claims.base import Claim
from gr_bench.claims.papers.contrasts import at_least, contrast, rivals
from gr_bench.claims.scope import Scope
from gr_bench.claims.trainings import Runs
from gr_bench.spec import parse

SOURCE = (
    "Zhao, Zhang & Hu, When Will Gradient Regularization Be Harmful? (ICML 2024, arXiv 2406.09723)"
)
IN_THE_PAPER = Scope(
    "vision transformers on CIFAR-10 and CIFAR-100 with an adaptive optimizer and learning-rate "
    "warm-up",
    models=("vit",),
    datasets=("cifar10", "cifar100"),
)


def adaptive_pairs(own: str, base: str, runs: Sequence[Runs]) -> Iterator[tuple[Runs, Runs]]:
    """Rivals under AdamW with a warm-up of the learning rate."""
    yield from (
        pair
        for pair in rivals(own, base, runs)
        if parse(pair[0].cell.optimizer).name == "adamw"
        and pair[0].cell.schedule == "warmup-cosine"
    )


def _claim(name: str, words: str, own: str) -> Claim:
    return contrast(
        name,
        words,
        where="abstract (section not known)",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own=own,
        base="gnp",
        rule=at_least,
        pairs=partial(adaptive_pairs, own, "gnp"),
        more="With AdamW and a learning rate warmed up over a tenth of the training. ",
    )


ZHAO = (
    _claim(
        "no-penalty-while-the-rate-warms-up",
        "With an adaptive optimizer and learning-rate warm-up, GR from the first step is "
        "harmful: omitting the penalty during the warm-up generalises better.",
        "warmup(gnp)",
    ),
    _claim(
        "penalty-warms-up",
        "Increasing the ascent radius from 0 during the warm-up also generalises better.",
        "ramp(gnp)",
    ),
)
