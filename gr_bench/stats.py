"""Intervals and verdicts. Pure functions of numbers; every estimator says what it assumes.

NumPy and SciPy are imported when something is computed: a suite is read and checked without them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """A centre with the ends of its confidence interval, in the centre's own unit."""

    center: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2


def _t_quantile(freedom: float, probability: float) -> float:
    from scipy import special  # not for a worker that only steps: it takes a quarter of a second

    return float(special.stdtrit(freedom, probability))


def _t_probability(freedom: float, value: float) -> float:
    from scipy import special

    return float(special.stdtr(freedom, value))


def log_ratios(times: ArrayLike, baseline: ArrayLike) -> list[float]:
    """log(times/baseline), round by round.

    Both were read in the same rounds, so what slows a whole round cancels.

    Args:
        times: (rounds,) times of one method, in any unit.
        baseline: (rounds,) times of the other, in the same unit.

    Raises:
        ValueError: no rounds, unequal lengths, or a time that is not a finite number > 0.
    """
    import numpy as np

    a, b = np.asarray(times, float), np.asarray(baseline, float)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(f"need two equally long rows of times, not {a.shape} and {b.shape}")
    if not (np.isfinite(a) & (a > 0) & np.isfinite(b) & (b > 0)).all():
        raise ValueError("a time must be a finite number > 0")
    return [float(x) for x in np.log(a) - np.log(b)]


def median(values: ArrayLike) -> float:
    """Median. Over the rounds of a replicate it passes over those in which a method was disturbed;
    it assumes that disturbances hit fewer than half of the rounds.
    """
    import numpy as np

    return float(np.median(np.asarray(values, float)))


def hodges_lehmann(values: ArrayLike) -> float:
    """Median of the means of all pairs of values, each with itself included (Walsh averages).

    As robust as a trimmed mean (it stands up to 29 % of wild values) and nearly as efficient as the
    mean where values are normal (95 %, against the median's 64 %). Assumes that what is left is
    symmetric about its centre.

    Source: Hodges & Lehmann, Ann. Math. Statist. 34 (1963).
    """
    import numpy as np

    x = np.asarray(values, float)
    i, j = np.triu_indices(x.size)
    return float(np.median((x[i] + x[j]) / 2))


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean with Student's t-interval: m ± t(K-1)·s/√K.

    Assumes independent values from one normal distribution; here the values are estimates, one a
    freshly started process (or results, one a seed), so that independence holds by construction.
    With one value the interval is infinite, not absent.

    Args:
        values: (K,) finite numbers, K >= 1.
        confidence: nominal coverage in (0, 1).

    Raises:
        ValueError: no values, or one that is not finite.
    """
    import numpy as np

    x = np.asarray(values, float)
    if x.ndim != 1 or x.size == 0:
        raise ValueError("need at least one value")
    if not np.isfinite(x).all():
        raise ValueError("values must be finite")
    center = float(x.mean())
    if x.size == 1:
        return Interval(center, -math.inf, math.inf)
    t = _t_quantile(x.size - 1, (1 + confidence) / 2)
    half = t * float(x.std(ddof=1)) / np.sqrt(x.size)
    return Interval(center, center - half, center + half)


def ratio_interval(log_ratios: ArrayLike, confidence: float = 0.95) -> Interval:
    """Geometric mean of K ratios with its interval: :func:`t_interval` on the logs, exponentiated.

    Args:
        log_ratios: (K,) one log-ratio a replicate.
        confidence: nominal coverage in (0, 1).
    """
    import numpy as np

    center, low, high = t_interval(log_ratios, confidence)
    with np.errstate(over="ignore"):
        return Interval(float(np.exp(center)), float(np.exp(low)), float(np.exp(high)))


def within_spread(samples: Sequence[ArrayLike]) -> float:
    """Typical standard error of a replicate's :func:`hodges_lehmann`, by its own rounds.

    It is 1.0233·(1.4826·MAD)/√rounds, the root of its mean square over replicates.

    Args:
        samples: per replicate, (rounds,) log-ratios.
    """
    import numpy as np

    errors = []
    for replicate in samples:
        x = np.asarray(replicate, float)
        mad = np.median(np.abs(x - np.median(x)))
        errors.append(1.0233 * 1.4826 * mad / np.sqrt(x.size))
    return float(np.sqrt(np.mean(np.square(errors))))


def between_spread(log_ratios: ArrayLike) -> float:
    """Standard deviation over replicates of their log-ratios (NaN with fewer than two)."""
    import numpy as np

    x = np.asarray(log_ratios, float)
    return float(x.std(ddof=1)) if x.size > 1 else float("nan")


def p_value(log_ratios: ArrayLike) -> float:
    """Two-sided p-value of Student's t-test that the mean log-ratio is 0 (1 with one replicate).

    Assumes what :func:`t_interval` does. Equal values give 0, or 1 where they all are 0.
    """
    import numpy as np

    x = np.asarray(log_ratios, float)
    if x.size < 2:
        return 1.0
    error = x.std(ddof=1) / np.sqrt(x.size)
    if error == 0:
        return 0.0 if x.mean() else 1.0
    return 2 * _t_probability(x.size - 1, -abs(float(x.mean())) / error)


def welch(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> tuple[Interval, float]:
    """Mean of ``b`` minus mean of ``a`` with Welch's t-interval, and its two-sided p-value.

    Assumes independent values, normal on either side, whose variances may differ. With a single
    value on a side the interval is infinite and the p-value 1.

    Args:
        a: (K,) finite numbers.
        b: (L,) finite numbers.
        confidence: nominal coverage in (0, 1).

    Source: Welch, Biometrika 34 (1947); degrees of freedom after Satterthwaite.
    """
    import numpy as np

    x, y = np.asarray(a, float), np.asarray(b, float)
    center = float(y.mean() - x.mean())
    if min(x.size, y.size) < 2:
        return Interval(center, -math.inf, math.inf), 1.0
    parts = np.array([x.var(ddof=1) / x.size, y.var(ddof=1) / y.size])
    error = float(np.sqrt(parts.sum()))
    if error == 0:
        return t_test(center, error, math.nan, confidence)
    freedom = parts.sum() ** 2 / (parts**2 / (np.array([x.size, y.size]) - 1)).sum()
    return t_test(center, error, freedom, confidence)


def t_test(
    center: float, error: float, freedom: float, confidence: float = 0.95
) -> tuple[Interval, float]:
    """An estimate with Student's t-interval, and the two-sided p-value that it is 0 in truth.

    Args:
        center: the estimate.
        error: its standard error; without any, the interval has no width, and the p-value is 0, or
            1 where the estimate is 0.
        freedom: degrees of freedom of the error, > 0.
        confidence: nominal coverage in (0, 1).
    """
    if error == 0:
        return Interval(center, center, center), 0.0 if center else 1.0
    half = _t_quantile(freedom, (1 + confidence) / 2) * error
    p = 2 * _t_probability(freedom, -abs(center) / error)
    return Interval(center, center - half, center + half), p


def corrected_resampled_t(
    values: ArrayLike, test_over_train: float, confidence: float = 0.95
) -> tuple[Interval, float]:
    """The mean of results on J random splits of one data set, with its interval and p-value.

    Student's t with the variance (1/J + n_test/n_train)·s²: results on splits that overlap are
    taken to be correlated by n_test/(n_test + n_train). Where splits make no difference, as for
    two methods that are the same, it is too wide. With one value the interval is infinite.

    Args:
        values: (J,) finite numbers.
        test_over_train: n_test/n_train.
        confidence: nominal coverage in (0, 1).

    Source: Nadeau & Bengio, Machine Learning 52 (2003).
    """
    import numpy as np

    x = np.asarray(values, float)
    if x.size < 2:
        return t_interval(x, confidence), 1.0
    error = float(x.std(ddof=1)) * math.sqrt(1 / x.size + test_over_train)
    return t_test(float(x.mean()), error, x.size - 1, confidence)


def power_of_t(effect: float, spread: float, count: int, level: float = 0.05) -> float:
    """The probability that a two-sided t-test of ``count`` values finds ``effect``, with its sign.

    1 - F(t(J-1, 1 - level/2)), F of the non-central t with J - 1 degrees of freedom and the
    parameter √J·effect/spread.

    Args:
        effect: the mean in truth, >= 0.
        spread: standard deviation of a value, > 0.
        count: J >= 2 values.
        level: of the test.
    """
    from scipy import stats as distributions

    freedom, shift = count - 1, math.sqrt(count) * effect / spread
    t = _t_quantile(freedom, 1 - level / 2)
    return float(distributions.nct.sf(t, freedom, shift))


def values_needed(effect: float, spread: float, power: float = 0.8) -> int:
    """The smallest J >= 2 at which :func:`power_of_t` is at least ``power``.

    Args:
        effect: > 0.
        spread: standard deviation of a value, finite.
        power: in (0, 1).

    Raises:
        ValueError: an effect that no number of values finds, or an infinite spread.
    """
    if not effect > 0 or not math.isfinite(spread):
        raise ValueError("effect must be > 0, and spread finite")
    if spread == 0:
        return 2
    high = 2
    while power_of_t(effect, spread, high) < power:
        high *= 2
    low = high // 2
    while high - low > 1 and high > 2:
        middle = (low + high) // 2
        enough = power_of_t(effect, spread, middle) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def discoveries(p_values: ArrayLike, rate: float = 0.05) -> list[bool]:
    """The tests to believe among many: Benjamini-Hochberg at false-discovery rate ``rate``.

    Rejects the i smallest p-values for the largest i with p_(i) <= rate·i/m. Holds for independent
    or positively dependent tests.

    Source: Benjamini & Hochberg, J. R. Statist. Soc. B 57 (1995).
    """
    import numpy as np

    p = np.asarray(p_values, float)
    order = np.argsort(p)
    below = np.nonzero(p[order] <= rate * np.arange(1, p.size + 1) / p.size)[0]
    believed = np.zeros(p.size, bool)
    if below.size:
        believed[order[: below[-1] + 1]] = True
    return [bool(b) for b in believed]


Verdict = Literal["slower", "faster", "same", "undecided"]

CALLING_CONFIDENCE = 0.99
"""Of the intervals by which equal things may be called different. At 95 % one pair in twenty would
be, as soon as noise is larger than the margin."""


def verdict(ratio: Interval, margin: float) -> Verdict:
    """The verdict of a time ratio's interval on a difference that matters from ``margin`` on.

    - ``same``: the whole interval is within 1/(1 + margin) to 1 + margin;
    - ``slower``, ``faster``: it is not, and it does not contain 1;
    - ``undecided``: neither.

    So a difference is called only if it is both beyond chance and not shown to be negligible.

    Args:
        ratio: time over baseline's time.
        margin: >= 0, relative.
    """
    if 1 / (1 + margin) <= ratio.low and ratio.high <= 1 + margin:
        return "same"
    if ratio.low > 1:
        return "slower"
    return "faster" if ratio.high < 1 else "undecided"


def replicates_needed(spread: float, half_width: float, confidence: float = 0.95) -> int:
    """The smallest K >= 2 with t(K-1)·spread/√K <= half_width.

    Args:
        spread: standard deviation of log-ratios between replicates.
        half_width: > 0, of the interval wanted, as a log-ratio (for small ones: relative).
        confidence: nominal coverage in (0, 1).

    Raises:
        ValueError: a half-width that no number of replicates can reach, or an infinite spread.
    """
    if not half_width > 0:
        raise ValueError("half_width must be > 0")
    if not math.isfinite(spread):
        raise ValueError("spread must be finite")

    def suffices(count: int) -> bool:
        reach = _t_quantile(count - 1, (1 + confidence) / 2) * spread / math.sqrt(count)
        return reach <= half_width

    high = 2
    while not suffices(high):
        high *= 2
    low = high // 2  # half-widths fall as replicates are added: the answer is in (low, high]
    while high - low > 1 and high > 2:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def smallest_called(spread: float, replicates: int, confidence: float = 0.95) -> float:
    """The noise floor: the smallest relative difference that an interval would tell from 0.

    It is the half-width t(K-1)·spread/√K of K replicates, as a ratio minus 1.
    """
    import numpy as np

    t = _t_quantile(replicates - 1, (1 + confidence) / 2)
    return float(np.expm1(t * spread / np.sqrt(replicates)))
