"""Claims of Andriushchenko & Flammarion on SAM's parts."""

from __future__ import annotations

from gr_bench.claims.papers.contrasts import at_least, contrast, no_worse
from gr_bench.claims.scope import Scope

SOURCE = (
    "Andriushchenko & Flammarion, Towards Understanding Sharpness-Aware Minimization "
    "(ICML 2022, arXiv 2206.06232)"
)
IN_THE_PAPER = Scope(
    "ResNet-18 on CIFAR-10 and CIFAR-100", models=("resnet-18",), datasets=("cifar10", "cifar100")
)

ANDRIUSHCHENKO = (
    contrast(
        "small-m-generalises-better",
        "SAM with a separate perturbation for every micro-batch generalises better than with "
        "one for the whole mini-batch: the smaller m, the better.",
        where="abstract; the section on m-sharpness (number not known)",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own="micro-batches(sam)",
        base="sam",
        rule=at_least,
    ),
    contrast(
        "normalisation-does-not-matter",
        "SAM without normalised ascent generalises equally well.",
        where="section not known",
        source=SOURCE,
        scope=IN_THE_PAPER,
        own="unnormalized-sam",
        base="sam",
        rule=no_worse,
    ),
)
