"""The split of a dataset into train, validation and test parts."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]


class Split(NamedTuple):
    """The places of the samples of each part among all samples in their original order, sorted."""

    train: Indices
    validation: Indices
    test: Indices

    @property
    def samples(self) -> int:
        """Samples in all parts."""
        return sum(map(len, self))

    @property
    def test_mask(self) -> NDArray[np.bool_]:
        """True for the samples of the test part, (N,)."""
        mask = np.zeros(self.samples, np.bool_)
        mask[self.test] = True
        return mask

    @property
    def hash(self) -> str:
        """BLAKE2b of every sample's part (0, 1, 2 in a byte each), as 16 hexadecimal digits."""
        parts = np.zeros(self.samples, np.uint8)
        parts[self.validation], parts[self.test] = 1, 2
        return hashlib.blake2b(parts.tobytes(), digest_size=8).hexdigest()


DRAWN = ("validation", "test")
"""The parts that may be drawn; what is left of the samples is the train part."""


def redraw(targets: ArrayLike, first: Split, seed: int, drawn: Collection[str] = DRAWN) -> Split:
    """Another split of the same samples, every part with as many of each class as in ``first``.

    No sample of the validation part of ``first`` is in the test part, so that what was chosen by
    that part is never judged by the samples that it was chosen by. Test parts of two splits so
    share a fraction n/(N - v) of their n samples on average, of N samples with v for validation.

    Args:
        targets: class of every sample, (N,); all alike for a split without classes.
        first: the data set's own split, of the same samples.
        seed: any whole number of at least 0: the same one always gives the same split.
        drawn: ``validation``, ``test`` or both; a part that is not drawn stays as it is.
    """
    classes = np.asarray(targets)
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    free = np.concatenate([first.train, *(part for key, part in _named(first) if key in drawn)])
    test, validation = first.test, first.validation
    if "test" in drawn:
        test = _choose(np.setdiff1d(free, first.validation), first.test, classes, random)
        free = np.setdiff1d(free, test)
    if "validation" in drawn:
        validation = _choose(np.sort(free), first.validation, classes, random)
        free = np.setdiff1d(free, validation)
    return Split(np.sort(free), validation, test)


def _named(split: Split) -> list[tuple[str, Indices]]:
    return [("validation", split.validation), ("test", split.test)]


def _choose(
    samples: Indices, like: Indices, classes: NDArray[np.generic], random: np.random.RandomState
) -> Indices:
    """As many of the samples of each class as ``like`` has, without replacement, sorted."""
    own, chosen = classes[samples], []
    for name, count in zip(*np.unique(classes[like], return_counts=True), strict=True):
        chosen.append(random.permutation(samples[own == name])[:count])
    return np.sort(np.concatenate([samples[:0], *chosen]))


def stratified_split(targets: ArrayLike, validation: float, test: float, seed: int) -> Split:
    """Indices of the train, validation and test parts, each with the classes' proportions.

    Args:
        targets: class of every sample, (N,).
        validation: fraction of all N samples; 0 leaves that part empty.
        test: likewise; the train part gets the rest.
        seed: the same seed and targets always give the same split.

    Returns:
        Three sorted index arrays that together hold 0 ... N-1 once each.

    Raises:
        ValueError: the fractions leave nothing to train on, or some part cannot have every class.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(
            "validation and test must be fractions of at least 0 and together below 1, "
            f"not {validation} and {test}"
        )
    classes = np.asarray(targets)
    everything = np.arange(len(classes), dtype=np.int64)
    rest, test_part = _hold_out(everything, classes, round(test * len(classes)), seed)
    train, validation_part = _hold_out(rest, classes, round(validation * len(classes)), seed)
    wanted = np.unique(classes)
    for name, part, fraction in (
        ("train", train, 1.0),
        ("validation", validation_part, validation),
        ("test", test_part, test),
    ):
        missing = np.setdiff1d(wanted, classes[part])
        if len(classes) == 0 or (fraction > 0 and len(missing)):
            raise ValueError(
                f"{len(classes)} samples of {len(wanted)} classes are too few to split: the {name} "
                f"part would lack {len(missing)} classes; give every class more samples"
            )
    return Split(train, validation_part, test_part)


def _hold_out(
    indices: Indices, classes: NDArray[np.generic], count: int, seed: int
) -> tuple[Indices, Indices]:
    """``indices`` without, and only, a stratified choice of ``count`` of them.

    The choice is that of scikit-learn's ``train_test_split(indices, test_size=count,
    random_state=seed, stratify=classes)``, draw by draw. To import it takes a second or more and
    starts a second thread pool, which a process that times steps should not have.
    """
    if count == 0:
        return indices, indices[:0]
    _, numbers, sizes = np.unique(classes[indices], return_inverse=True, return_counts=True)
    random = np.random.RandomState(seed)
    kept_sizes = _shares(sizes, len(indices) - count, random)
    held_out_sizes = _shares(sizes - kept_sizes, count, random)
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1])
    kept, held_out = [], []
    for members_of_class, keep, hold in zip(members, kept_sizes, held_out_sizes, strict=True):
        shuffled = members_of_class[random.permutation(len(members_of_class))]
        kept.append(shuffled[:keep])
        held_out.append(shuffled[keep : keep + hold])
    return np.sort(indices[np.concatenate(kept)]), np.sort(indices[np.concatenate(held_out)])


def _shares(sizes: NDArray[np.int64], count: int, random: np.random.RandomState) -> Indices:
    """``count`` divided among classes of these sizes in proportion, in whole numbers.

    Each gets the whole part of its share; what is left goes to the largest remainders, by lot where
    they tie.
    """
    exact: NDArray[np.float64] = sizes / sizes.sum() * count
    shares = np.floor(exact)
    remainders = exact - shares
    left = int(count - shares.sum())
    for remainder in np.unique(remainders)[::-1]:
        if left <= 0:
            break
        (tied,) = np.nonzero(remainders == remainder)
        chosen = random.choice(tied, size=min(len(tied), left), replace=False)
        shares[chosen] += 1
        left -= len(chosen)
    return shares.astype(np.int64)
