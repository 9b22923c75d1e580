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

    Train and test part are divided anew. The validation part stays: numbers are chosen by it, and
    so by no sample of any split's train or test part, and the splits are the random subsamples of
    Nadeau & Bengio (2003), a sample in the test part with probability n/(n + m), with n samples for
    test and m for training. A test part that is not drawn stays instead, and train and validation
    part are divided anew.

    Args:
        targets: class of every sample, (N,); all alike for a split without classes.
        first: the data set's own split, of the same samples.
        seed: any whole number of at least 0: the same one always gives the same split.
        drawn: the parts of ``first`` that were drawn: ``validation``, ``test`` or both.

    Source: Nadeau & Bengio 2003, "Inference for the Generalization Error", Machine Learning 52.
    """
    classes = np.asarray(targets)
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    like = first.test if "test" in drawn else first.validation
    both = np.sort(np.concatenate([first.train, like]))
    own, chosen = classes[both], [both[:0]]
    for name, count in zip(*np.unique(classes[like], return_counts=True), strict=True):
        chosen.append(random.permutation(both[own == name])[:count])
    held_out = np.sort(np.concatenate(chosen))
    train = np.setdiff1d(both, held_out)
    if "test" in drawn:
        return Split(train, first.validation, held_out)
    return Split(train, held_out, first.test)


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
