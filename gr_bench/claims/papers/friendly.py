"""Claims of Li et al. on Friendly SAM."""

from __future__ import annotations

from gr_bench.claims.papers.contrasts import at_least, contrast, no_worse
from gr_bench.claims.scope import Scope

SOURCE = "Li et al., Friendly Sharpness-Aware Minimization (CVPR 2024, arXiv 2403.12350)"
IN_THE_PAPER = Scope(
    "ResNet-18, WideResNet-28-10 and others on CIFAR-10 and CIFAR-100",
    models=("resnet-18", "wrn-28-10"),
    datasets=("cifar10", "cifar100"),
)

FRIENDLY = (
    contrast(
        "friendly-sam-improves-on-sam",
        "SAM whose perturbation leaves out the full gradient generalises better than SAM.",
        where="abstract",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own="friendly-sam",
        base="sam",
        rule=at_least,
    ),
    contrast(
        "the-full-gradient-is-not-needed",
        "It generalises at least as well: the full gradient in the perturbation is not needed.",
        where="abstract",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own="friendly-sam",
        base="sam",
        rule=no_worse,
    ),
)
