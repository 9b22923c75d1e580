"""Tables from records with answers that can be worked out on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from synthetic import diverged, failed, trained, training

from gr_bench import stats
from gr_bench.experiments.columns import build_table
from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.generalization.cell import GeneralizationGrid
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.record import Curvature, Training
from gr_bench.experiments.record import Record
from gr_bench.methods import SGD

ACCURACY = {"sgd": (0.80, 0.70, 0.90), "sam": (0.82, 0.75, 0.91)}
"""Test accuracies by seed."""


def tables(*records: Record) -> dict[str, pd.DataFrame]:
    return Generalization().tables(records)


def summary(*records: Record) -> pd.DataFrame:
    found, *_ = Generalization().summaries(tables(*records))
    return found.table.set_index("spec")


def result(method: str, seed: int, accuracy: float, **settings: Any) -> Training:
    cell = training(method, seed=seed, **settings)
    return trained(cell, train=(0.1, 1.0), test=(0.5, accuracy))


def results() -> list[Training]:
    return [
        result(method, seed, accuracy)
        for method, accuracies in ACCURACY.items()
        for seed, accuracy in enumerate(accuracies)
    ]


def difference(*records: Record):
    table = tables(*records)["comparison"]
    found = table[(table["method"] == "sam") & (table["seeds"] > 0)]
    return stats.Interval(*found.iloc[0][["difference", "low", "high"]]) if len(found) else None


# --- rows


def test_gaps_grow_as_generalization_gets_worse() -> None:
    good = trained(training(), train=(0.1, 0.99), test=(0.2, 0.97))
    bad = trained(training(seed=1), train=(0.1, 0.99), test=(0.5, 0.80))
    table = tables(good, bad)["generalization"]
    assert list(table["gap_loss"]) == pytest.approx([0.1, 0.4])
    assert list(table["gap_accuracy"]) == pytest.approx([0.02, 0.19])


def test_results_are_those_of_the_last_epoch() -> None:
    record = trained(training(epochs=2), train=(0.1, 0.99), test=(0.2, 0.97))
    first, last = record.curve
    made = tables(replace(record, curve=(replace(first, train_loss=5.0), last)))
    assert list(made["generalization"]["train_loss"]) == [0.1]
    assert list(made["training_curves"]["train_loss"]) == [5.0, 0.1]
    assert list(made["training_curves"]["epoch"]) == [1, 2]


def test_every_table_starts_with_the_cell() -> None:
    head = list(build_table([], []).columns)
    for table in tables(*results()).values():
        assert list(table.columns[: len(head)]) == head
    row = tables(result("f-gr(gamma=0.3)", 0, 0.5))["generalization"].iloc[0]
    assert (row["method"], row["gamma"], row["epsilon"]) == ("f-gr", 0.3, 0.05)


def test_diverged_and_failed_trainings_are_rows_without_results() -> None:
    table = tables(diverged(training(), 7), failed(training(seed=1)))["generalization"]
    assert list(table["status"]) == ["diverged", "failed"]
    assert table["diverged_step"].iloc[0] == 7
    assert table[["train_loss", "test_loss", "test_accuracy", "gap_loss"]].isna().all(axis=None)


def test_the_curvature_of_a_training_is_in_its_row() -> None:
    found = Curvature(
        largest_eigenvalue=3.0, trace=9.0, trace_error=0.5, tolerance=1e-3, products=40
    )
    plain, looked_at = result("sgd", 0, 0.5), replace(result("sgd", 1, 0.5), sharpness=found)
    table = tables(plain, looked_at)["generalization"]
    columns = ["largest_eigenvalue", "trace", "trace_error"]
    assert table[columns].isna().all(axis=1).tolist() == [True, False]
    assert table[columns].iloc[1].tolist() == [3.0, 9.0, 0.5]


@dataclass(frozen=True)
class Heavy(SGD):
    """SGD with parameters that are called as columns are, and one that is not."""

    momentum: float = 0.5
    p: float = 0.25
    mode: str = "slow"
    name: ClassVar[str] = "heavy"


def test_a_parameter_called_as_a_column_has_a_column_of_its_own() -> None:
    """``momentum`` is a setting in every table, ``p`` a column of the comparison alone."""
    spec = f"{__name__}:Heavy(momentum=0.7)"
    made = tables(*results(), *(result(spec, seed, 0.9) for seed in range(3)))
    for name, p in (("generalization", "p"), ("comparison", "method_p"), ("time_to_target", "p")):
        table = made[name][made[name]["method"] == "heavy"]
        assert table["method_momentum"].tolist() == [0.7] * len(table)
        assert set(table["momentum"]) == {0.9}
        assert table[p].tolist() == [0.25] * len(table)
        assert set(table["mode"]) == {"slow"}
    accuracies = {"own": (0.9, 0.9, 0.9), "sgd": ACCURACY["sgd"]}
    (row,) = made["comparison"].query("method == 'heavy'").to_dict("records")
    assert row["p"] == pytest.approx(scipy.stats.ttest_rel(*accuracies.values()).pvalue)


def test_rows_do_not_depend_on_the_order_of_the_records() -> None:
    records = [*results(), diverged(training("db-gr"), 3), failed(training("b-gr"))]
    ordered = tables(*records)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(records))
        for name, table in tables(*(records[i] for i in order)).items():
            pd.testing.assert_frame_equal(table, ordered[name])
    methods = list(ordered["generalization"]["method"])
    assert methods == ["sgd"] * 3 + ["sam"] * 3 + ["b-gr", "db-gr"]


# --- over seeds


def test_the_difference_from_sgd_is_paired_by_seed() -> None:
    own = np.array(ACCURACY["sam"]) - np.array(ACCURACY["sgd"])
    found = difference(*results())
    half = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(own)
    assert found == pytest.approx((own.mean(), own.mean() - half, own.mean() + half))


@pytest.mark.parametrize(
    "instead",
    [
        None,
        diverged(training("sgd", seed=1), 5),
        failed(training("sgd", seed=1)),
        diverged(training("sam", seed=1), 5),
    ],
)
def test_a_seed_without_both_is_in_no_difference(instead: Record | None) -> None:
    method = "sgd" if instead is None else instead.cell.spec
    records = [r for r in results() if (r.cell.spec, r.cell.seed) != (method, 1)]
    found = difference(*records, *([] if instead is None else [instead]))
    assert found.center == pytest.approx((0.02 + 0.01) / 2)


def test_without_a_common_seed_there_is_no_difference() -> None:
    assert difference(result("sgd", 0, 0.5), result("sam", 1, 0.6)) is None
    assert difference(result("sam", 0, 0.6)) is None


@pytest.mark.parametrize(
    "setting",
    [
        {"momentum": 0.0},
        {"weight_decay": 0.1},
        {"augmentation": "crop-flip"},
        {"learning_rate": 0.5},
        {"epochs": 9},
        {"dtype": "float64"},
        {"threads": 2},
        {"compiled": True},
        {"batch_size": 64},
        {"dataset": "mnist1d"},
        {"model": "vit"},
        {"device": "cuda"},
    ],
)
def test_trainings_with_other_settings_are_another_group(setting: dict) -> None:
    """Nothing is averaged or paired over them, and the table says what tells them apart."""
    other = [result(method, seed, 0.1, **setting) for method in ACCURACY for seed in range(3)]
    found, *_ = Generalization().summaries(tables(*results(), *other))
    (column,) = setting
    assert column in found.table
    assert list(found.table["seeds"]) == [3] * 4
    same = found.table[found.table[column] != setting[column]].set_index("spec")
    own = summary(*results())
    for name in ("test accuracy (%)", "minus SGD (points)"):
        assert dict(same[name]) == dict(own[name])


def test_diverged_and_failed_seeds_are_counted_and_in_no_mean() -> None:
    row = summary(
        result("sgd", 0, 0.7),
        result("sgd", 1, 0.9),
        diverged(training(seed=2), 3),
        failed(training(seed=3)),
    ).loc["sgd"]
    assert (row["seeds"], row["diverged"], row["failed"]) == (2, 1, 1)
    assert row["test accuracy (%)"] == "80.00 ± 14.14"


def test_a_method_that_always_diverged_has_a_row() -> None:
    row = summary(*results(), diverged(training("db-gr"), 3)).loc["db-gr(gamma=0.1)"]
    assert (row["test accuracy (%)"], row["minus SGD (points)"]) == ("-", "-")
    assert (row["seeds"], row["diverged"]) == (0, 1)


def test_what_is_the_same_everywhere_takes_no_column() -> None:
    table = summary(*results())
    assert not {"momentum", "threads", "dtype", "device"} & set(table.columns)
    assert {"model", "dataset", "batch_size", "learning_rate", "epochs"} <= set(table.columns)


# --- at equal cost


def at_cost(
    method: str, epochs: int, accuracies: tuple[float, ...], per_step: int = 1
) -> list[Training]:
    return [
        trained(
            training(method, seed=seed, epochs=epochs),
            train=(0.1, 1.0),
            test=(0.5, accuracy),
            evaluations=per_step,
        )
        for seed, accuracy in enumerate(accuracies)
    ]


def test_a_method_is_set_against_sgd_at_equal_epochs_and_at_equal_evaluations() -> None:
    records = [
        *at_cost("sgd", 10, (0.5, 0.6, 0.7)),
        *at_cost("sgd", 20, (0.7, 0.8, 0.9)),
        *at_cost("sgd", 30, (0.1, 0.1, 0.1)),
        *at_cost("sam", 10, (0.6, 0.7, 0.8), per_step=2),
        *at_cost("db-gr", 10, (0.6, 0.7, 0.8), per_step=3),
    ]
    found = tables(*records)["comparison"].set_index(["spec", "cost"])
    sam, double = "sam(rho=0.05)", "db-gr(gamma=0.1)"
    assert found["difference"].to_dict() == pytest.approx(
        {
            (sam, "epochs"): 0.1,
            (sam, "gradient evaluations"): -0.1,
            (double, "epochs"): 0.1,
            (double, "gradient evaluations"): 0.6,
        }
    )
    assert found["baseline_epochs"].to_dict() == {
        (sam, "epochs"): 10,
        (sam, "gradient evaluations"): 20,
        (double, "epochs"): 10,
        (double, "gradient evaluations"): 30,
    }
    assert found.loc[(sam, "gradient evaluations"), "verdict"] == "worse"


def test_without_longer_runs_of_sgd_there_is_no_row_at_equal_evaluations() -> None:
    records = [*at_cost("sgd", 10, (0.5, 0.6)), *at_cost("sam", 10, (0.6, 0.7), per_step=2)]
    assert list(tables(*records)["comparison"]["cost"]) == ["epochs"]


def test_the_interval_and_p_value_are_scipys() -> None:
    sgd, sam = (0.5, 0.6, 0.72), (0.55, 0.61, 0.7)
    (row,) = tables(*at_cost("sgd", 5, sgd), *at_cost("sam", 5, sam))["comparison"].to_dict(
        "records"
    )
    test = scipy.stats.ttest_rel(sam, sgd)
    assert row["p"] == pytest.approx(test.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval()))


def test_chance_among_many_comparisons_is_allowed_for() -> None:
    """One p-value of 4 % is believed by itself, and not as the smallest of twenty."""
    rng = np.random.default_rng(0)
    sgd = rng.normal(0.5, 0.01, 5)
    apart = np.array([0.01, 0.02, 0.03, 0.00, 0.02])
    assert 0.01 < scipy.stats.ttest_1samp(apart, 0).pvalue < 0.05
    real = at_cost("sam(rho=0.5)", 5, tuple(sgd + apart))
    (alone,) = tables(*at_cost("sgd", 5, tuple(sgd)), *real)["comparison"]["verdict"]
    assert alone == "better"
    nothing = [
        record
        for i in range(19)
        for record in at_cost(
            f"sam(rho={0.01 * (i + 1)})", 5, tuple(sgd + rng.permutation([-2, -1, 0, 1, 2]) / 100)
        )
    ]
    among = tables(*at_cost("sgd", 5, tuple(sgd)), *real, *nothing)["comparison"]
    assert set(among["verdict"]) == {"undecided"}


def test_sgd_is_trained_for_what_the_others_cost() -> None:
    grid = GeneralizationGrid(
        methods=["sgd", "sam", "db-gr"],
        models=["mlp"],
        datasets=["digits"],
        batch_sizes=[8],
        seeds=[0],
        epochs=4,
        equal_cost=True,
    )
    found = [(cell.spec, cell.epochs) for cell in Generalization().cells(grid)]
    others = [("sam(rho=0.05)", 4), ("db-gr(gamma=0.1)", 4)]
    assert found == [("sgd", 4), ("sgd", 8), ("sgd", 12), *others]


def test_a_method_of_which_no_run_ended_is_in_the_comparison_too() -> None:
    lost = [diverged(training("sam", seed=seed), 3) for seed in range(2)]
    (row,) = tables(*at_cost("sgd", 2, (0.5, 0.6)), *lost)["comparison"].to_dict("records")
    assert (row["method"], row["seeds"], row["verdict"]) == ("sam", 0, "no pair of runs")


def test_longer_runs_of_sgd_are_shown_beside_the_others_cost_and_nowhere_else() -> None:
    records = [
        *at_cost("sgd", 2, (0.5, 0.6)),
        *at_cost("sgd", 4, (0.7, 0.8)),
        *at_cost("sam", 2, (0.6, 0.7), per_step=2),
    ]
    found = {p.name.partition("_mlp")[0]: p.figure for p in figures(*records)}
    titles = {name: [ax.get_title() for ax in figure.axes] for name, figure in found.items()}
    assert all("epochs" not in title for of_one in titles.values() for title in of_one)
    (panel,) = found["accuracy_against_cost"].axes
    (line,) = [own for own in panel.lines if len(own.get_xdata()) == 2 and own.get_linewidth() == 1]
    np.testing.assert_allclose(line.get_ydata(), [55, 75])


def figures(*records: Record) -> list:
    return list(Generalization().figures(tables(*records)))


# --- bits per byte


def of_bytes(method: str, losses: Sequence[float], **settings: Any) -> list[Training]:
    return [
        replace(
            trained(
                training(method, seed=seed, dataset="stdlib", **settings),
                train=(0.5, 0.9),
                test=(loss, 0.5),
            ),
            unit="byte",
        )
        for seed, loss in enumerate(losses)
    ]


BITS = [f"{part}_bits_per_byte" for part in ("train", "validation", "test")]
SGD_BITS, SAM_BITS = np.array([2.0, 2.2, 2.1]), np.array([1.9, 2.08, 2.01])


def in_bits(*more: Record) -> list[Record]:
    both = (("sgd", SGD_BITS), ("sam", SAM_BITS))
    return [*(r for name, bits in both for r in of_bytes(name, bits * np.log(2))), *more]


def test_losses_of_bytes_are_told_in_bits_and_others_are_not() -> None:
    table = tables(*in_bits(*results()))["generalization"].set_index(["dataset", "method"])
    losses = table[["train_loss", "validation_loss", "test_loss"]].to_numpy(float)
    expected = np.where(table.index.get_level_values(0) == "stdlib", 1.0, np.nan)[:, None]
    np.testing.assert_allclose(table[BITS].to_numpy(float), losses / np.log(2) * expected)
    assert list(table.loc[("stdlib", "sgd"), "test_bits_per_byte"]) == pytest.approx(SGD_BITS)


def test_a_comparison_has_the_columns_that_differ_and_the_caption_the_others() -> None:
    def compared(*records: Record) -> Summary:
        (found,) = [
            s for s in Generalization().summaries(tables(*records)) if s.name == "comparison"
        ]
        return found

    sams = [result("sam", seed, 0.8 + seed / 100) for seed in range(3)]
    sgds = [result("sgd", seed, 0.7 + seed / 100) for seed in range(3)]
    alone = compared(*sgds, *sams)
    assert not {"model", "dataset", "learning_rate", "cost / SGD's"} & set(alone.table)
    assert {"spec", "at equal", "verdict"} <= set(alone.table)
    cell = sgds[0].cell
    for words in (f"model `{cell.model}`", f"dataset `{cell.dataset}`", "batch size `"):
        assert words in alone.caption
    both = (*sgds, *sams)
    other = [replace(one, cell=replace(one.cell, dataset="other")) for one in both]
    two = compared(*sgds, *sams, *other)
    assert set(two.table["dataset"]) == {cell.dataset, "other"}
    assert "dataset `" not in two.caption
    assert f"model `{cell.model}`" in two.caption


def test_a_figure_has_the_test_bits_of_bytes() -> None:
    def drawn(*records: Record) -> tuple[str, dict[str, list[Any]]]:
        found = Generalization().figures(tables(*records))
        (picture,) = [one for one in found if one.name.startswith("test_accuracy")]
        panels: dict[str, list[Any]] = {}
        for ax in picture.figure.axes:
            panels.setdefault(ax.get_xlabel(), []).append(ax)
        return picture.caption, panels

    title = "test loss (bits per byte)"
    caption, panels = drawn(*in_bits())
    assert caption.endswith("Bits per byte are the test loss divided by ln 2, for data in bytes.")
    (ax,) = panels[title]
    dots = [line.get_xdata() for line in ax.lines if line.get_marker() == "."]
    for found, expected in zip(dots, (SGD_BITS, SAM_BITS), strict=True):
        assert list(found) == pytest.approx(expected)
    _, panels = drawn(*in_bits(*results()))
    other, own = sorted(panels[title], key=lambda ax: len(ax.lines))
    assert [text.get_text() for text in other.texts] == ["not in bytes"]
    assert not own.texts and own.lines
    caption, panels = drawn(*results())
    assert title not in panels and "ytes" not in caption


def test_text_of_characters_has_no_bits_per_byte() -> None:
    """A character is one to four bytes in UTF-8: its bits are not a byte's."""
    records = [replace(own, unit=None) for own in of_bytes("sgd", [1.0])]
    assert tables(*records)["generalization"][BITS].isna().all(axis=None)
    assert not len(tables(*records)["bits_comparison"])


def test_bits_are_compared_by_pairs_and_less_is_better() -> None:
    found = tables(*in_bits(*results()))["bits_comparison"]
    assert list(found["dataset"]) == ["stdlib"]
    (row,) = found.to_dict("records")
    apart = SAM_BITS - SGD_BITS
    expected = scipy.stats.ttest_1samp(apart, 0)
    low, high = expected.confidence_interval()
    assert (row["difference"], row["low"], row["high"], row["p"]) == pytest.approx(
        (apart.mean(), low, high, expected.pvalue)
    )
    assert row["test_bits_per_byte"] == pytest.approx(SAM_BITS.mean())
    assert row["verdict"] == "better"
    worse = tables(*of_bytes("sgd", SAM_BITS), *of_bytes("sam", SGD_BITS))["bits_comparison"]
    assert list(worse["verdict"]) == ["worse"]


def test_bits_of_runs_that_diverged_are_no_pair() -> None:
    lost = diverged(training("f-gr", dataset="stdlib"), 3)
    found = tables(*in_bits(lost))["bits_comparison"].set_index("method")
    assert found.loc["f-gr", "verdict"] == "no pair of runs"
    assert found.loc["sam", "seeds"] == 3


def test_bits_have_a_summary_and_a_sentence() -> None:
    made = tables(*in_bits(*results()))
    summaries = {own.name: own for own in Generalization().summaries(made)}
    shown = summaries["bits_comparison"].table
    assert shown["minus SGD (bits per byte)"].str.fullmatch(r"-0.1033 \[-0.1413, -0.0654\]").all()
    assert "test loss (bits per byte)" in summaries["generalization"].table
    (sentence,) = [line for line in Generalization().findings(made) if "bits" in line]
    assert sentence.startswith("sam(rho=0.05) against SGD on stdlib: better at equal epochs, ")
    assert "-0.1033 bits per byte of test loss [-0.1413, -0.0654] (3 seeds)" in sentence
    (headline,) = [own for name, own in Generalization().headlines(made).items() if "bits" in name]
    assert headline == {"sgd": "2.100", "sam(rho=0.05)": "1.997"}
    plain = Generalization().summaries(tables(*results()))
    assert "bits_comparison" not in {own.name for own in plain}


def test_tables_of_a_run_of_before_have_no_bits() -> None:
    made = tables(*results())
    later = Generalization().later_tables(
        {name: made[name] for name in ("generalization", "comparison")}
    )
    assert not len(later["bits_comparison"])
    assert {*BITS} <= Generalization.later_columns["generalization"].keys()


@pytest.mark.parametrize("share", [None, 0.125])
def test_bits_over_splits_are_corrected_by_the_sizes_of_the_parts(share: float | None) -> None:
    """Nadeau and Bengio's t: the variance of the mean is (1/n + test over train)·S²."""
    records = [
        replace(own, cell=replace(own.cell, split_seed=own.cell.seed), test_over_train=share)
        for own in in_bits()
    ]
    (row,) = tables(*records)["bits_comparison"].to_dict("records")
    apart = SAM_BITS - SGD_BITS
    error = apart.std(ddof=1) * np.sqrt(1 / 3 + (share or 1 / 3))
    half = scipy.stats.t.ppf(0.975, 2) * error
    assert (row["low"], row["high"]) == pytest.approx((apart.mean() - half, apart.mean() + half))
    assert row["splits"] == 3
