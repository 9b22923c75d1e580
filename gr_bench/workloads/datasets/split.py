"""The split of a dataset into train, validation and test parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]


def stratified_split(
    targets: ArrayLike, validation: float, test: float, seed: int
) -> tuple[Indices, Indices, Indices]:
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
    return train, validation_part, test_part


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
