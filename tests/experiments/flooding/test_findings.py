"""What is said of flooding's traces, against what the records were made to show."""

from __future__ import annotations

from synthetic import failed, flood, traced

from gr_bench.experiments.flooding.experiment import FloodingTraces
from gr_bench.experiments.record import Record

LOSSES = [3.0, 0.9, 1.1, 0.9]


def pairs(*differences: float, **fields) -> Record:
    orders = ("descent, ascent", "ascent, descent", "descent, ascent")
    found = list(zip(range(3), orders, differences, strict=False))
    return traced(flood(**fields), LOSSES, found, level=1.0)


def said(*records: Record) -> list[str]:
    experiment = FloodingTraces()
    return experiment.findings(experiment.tables(records))


def headline(*records: Record) -> dict[str, str]:
    experiment = FloodingTraces()
    (column,) = experiment.headlines(experiment.tables(records)).values()
    return column


def test_pairs_are_counted_by_order_and_way_to_draw_batches() -> None:
    records = [
        pairs(0.5, 0.25, fresh=True),
        pairs(1e-12, 2e-12, 3e-12),
        pairs(4e-12, seed=1),
    ]
    assert said(*records) == [
        "On one mini-batch in float64 (2 trainings): 4 pairs of opposite steps, 3 as in B-GR and 1 "
        "as in F-GR; their distance from the explicit step of GR is 3e-12 of its length "
        "(median over trainings), and 4e-12 at most.",
        "On fresh mini-batches in float64 (1 training): 2 pairs of opposite steps, 1 as in B-GR "
        "and 1 as in F-GR; their distance from the explicit step of GR is 0.38 of its length "
        "(median over trainings), and 0.5 at most.",
    ]


def test_trainings_without_pairs_are_said() -> None:
    lost = [
        traced(flood(seed=1), [3.0, 2.0], [], level=1.0),
        traced(flood(seed=2), [3.0], [], level=1.0, diverged=True),
        failed(flood(seed=3)),
    ]
    words = "1 level not reached, 1 diverged, 1 failed."
    assert said(*lost) == [
        "Nothing can be said about flooding's pairs: no training has any.",
        f"Of 3 trainings, the following have no pairs: {words}",
    ]
    no_pair = (
        "On one mini-batch in float64 (1 training): nothing can be said, since there are no "
        "pairs of opposite steps."
    )
    assert said(traced(flood(), [0.9, 0.8], [], level=1.0)) == [no_pair]


def test_no_records_give_no_findings() -> None:
    assert said() == []


def test_the_headline_is_the_range_over_settings_of_the_median_over_seeds() -> None:
    records = [
        *(pairs(size, seed=seed) for seed, size in enumerate((1e-12, 2e-12, 9e-12))),
        pairs(0.5, fresh=True),
        failed(flood(2.0)),
    ]
    assert headline(*records) == {"flooding(level=1)": "2e-12 to 0.5", "flooding(level=2)": "-"}
