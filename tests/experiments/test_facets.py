"""Figures as functions: selections, looks, axes, places of texts."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import Written
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import gr_bench
from gr_bench.cli import STYLES
from gr_bench.errors import RequestError
from gr_bench.experiments import looks, palette
from gr_bench.experiments.chart import figure_of
from gr_bench.experiments.facets import (
    Panel,
    draw_panels,
    label_ends,
    plain_ticks,
    select,
    spread,
)
from gr_bench.runs.results import Results

RESULTS = Path(__file__).parents[2] / "results"
TABLE = pd.DataFrame({"model": ["mlp(depth=2)", "mlp(depth=4)", "resnet-8"], "batch": [1, 2, 2]})


@pytest.fixture(scope="module")
def run() -> Results:
    return gr_bench.load(RESULTS / "quick")


@pytest.fixture(autouse=True)
def closed() -> object:
    yield
    plt.close("all")


# --- selections


@pytest.mark.parametrize(
    ("selection", "rows"),
    [
        ({}, [0, 1, 2]),
        ({"model": "resnet-8"}, [2]),
        ({"model": "mlp*"}, [0, 1]),
        ({"model": ["*depth=2*", "resnet-8"]}, [0, 2]),
        ({"model": "mlp*", "batch": 2}, [1]),
    ],
)
def test_rows_are_selected_by_value_pattern_or_list(
    selection: dict[str, object], rows: list[int]
) -> None:
    assert list(select(TABLE, selection).index) == rows


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"mode": "x"}, "no column 'mode': did you mean 'model'?"),
        ({"model": "vit"}, "no model is 'vit': available are mlp(depth=2), mlp(depth=4), resnet-8"),
        ({"model": "resnet-8", "batch": 1}, "no batch is 1: available are 2"),
    ],
)
def test_a_selection_of_nothing_says_what_there_is(
    selection: dict[str, object], words: str
) -> None:
    with pytest.raises(RequestError) as error:
        select(TABLE, selection)
    assert str(error.value) == words


# --- axes and figures


def test_one_panel_comes_back_as_axes_and_several_as_a_figure(run: Results) -> None:
    assert isinstance(run.figures.step_time(), Figure)
    alone = run.figures.step_time(model="resnet-8")
    assert isinstance(alone, Axes)
    _, own = plt.subplots()
    assert run.figures.step_time(model="resnet-8", ax=own) is own
    assert own.get_xlabel() == "time per step (ms)"


def test_several_panels_do_not_go_into_one_ax(run: Results) -> None:
    _, own = plt.subplots()
    with pytest.raises(RequestError, match=r"^2 panels do not fit into one ax: select one by"):
        run.figures.step_time(ax=own)
    with pytest.raises(RequestError, match="no quantity 'loss': available are test_accuracy, gap"):
        run.figures.test_accuracy_and_gap(quantity="loss")


def test_a_figure_is_of_the_table_that_it_is_given(run: Results) -> None:
    from gr_bench.experiments.step_cost import figures

    table = run.step_cost
    slower = table.assign(time_ms=2 * table["time_ms"], time_ms_low=2 * table["time_ms_low"])
    slower["time_ms_high"] = 2 * table["time_ms_high"]
    dots = [
        sorted(
            float(line.get_xdata()[0])
            for line in figures.step_time(own, model="resnet-8").lines
            if line.get_marker() in ("o", "s")
        )
        for own in (table, slower)
    ]
    np.testing.assert_allclose(2 * np.array(dots[0]), dots[1])
    assert len(dots[0]) == 10


def test_settings_of_matplotlib_are_as_before(run: Results) -> None:
    before = dict(mpl.rcParams)
    run.figures.step_time(style="paper")
    run.figures.step_time(style="slides", model="resnet-8")
    assert dict(mpl.rcParams) == before


def test_given_axes_are_drawn_in_their_own_settings_unless_a_style_is_named(run: Results) -> None:
    sizes = []
    for style in (None, "slides"):
        with mpl.rc_context({"font.size": 5}):
            _, own = plt.subplots()
            ax = run.figures.step_memory(model="resnet-8", ax=own, style=style)
            sizes.append(ax.texts[0].get_fontsize())
    assert sizes == [4.5, 0.9 * looks.LOOKS["slides"].points]


# --- looks


def test_the_command_line_offers_the_looks() -> None:
    assert list(STYLES) == list(looks.LOOKS)
    assert STYLES[0] == looks.DEFAULT
    with pytest.raises(RequestError, match="no style 'papers': did you mean 'paper'"):
        looks.find("papers")


@pytest.mark.parametrize("name", looks.LOOKS)
def test_a_figure_is_as_wide_as_its_look_allows(run: Results, name: str) -> None:
    look = looks.LOOKS[name]
    several = figure_of(run.figures.step_time_ratio(style=name))
    alone = figure_of(run.figures.step_time_ratio(style=name, model="resnet-8"))
    assert several.get_size_inches()[0] <= look.full
    if name == "paper":
        assert several.get_size_inches()[0] == 6.75
        assert alone.get_size_inches()[0] == 3.25
        assert alone.axes[0].get_title() == ""  # its caption says it
        assert [ax.get_title() for ax in several.axes] == ["mlp(depth=4, width=512)", "resnet-8"]
    else:
        assert "resnet-8" in alone.axes[0].get_title()


def test_a_paper_s_pdf_is_of_that_width_with_fonts_embedded(run: Results, tmp_path: Path) -> None:
    with looks.look("paper"):
        figure_of(run.figures.step_time(model="resnet-8")).savefig(tmp_path / "x.pdf")
    data = (tmp_path / "x.pdf").read_bytes()
    assert b"/MediaBox [ 0 0 234 " in data  # 3.25 inches
    assert b"STIXGeneral" in data
    assert b"/FontFile2" in data  # TrueType
    assert b"/Type3" not in data


CHARTS = {
    "step_time_ratio": {"model": "resnet-8"},
    "test_accuracy_and_gap": {"dataset": "digits", "quantity": "gap_loss"},
    "time_to_target": {"dataset": "digits"},
    "accuracy_against_cost": {"dataset": "digits"},
}


def check(figure: Figure) -> None:
    """Nothing is written over anything else, and every axis says what it has."""
    written = Written(figure)
    assert written.overlaps == []
    assert written.over_other_axes == []
    assert written.outside == []
    for ax in figure.axes:
        if ax.axison:
            assert ax.get_xlabel()
            named = [label.get_text() for label in ax.get_yticklabels()]
            assert ax.get_ylabel() or any(named) or not ax.yaxis.get_tick_params()["labelleft"]


def test_nothing_is_written_over_anything_in_a_column(run: Results) -> None:
    with looks.look("paper"):
        check(figure_of(run.figures.time_to_target()))
        check(figure_of(run.figures.step_time_ratio(model="resnet-8")))


@pytest.mark.slow
@pytest.mark.parametrize("look", looks.LOOKS)
@pytest.mark.parametrize("name", ["quick", "generalization-quick", "claims-quick", "sam-family"])
def test_nothing_is_written_over_anything(name: str, look: str) -> None:
    loaded = gr_bench.load(RESULTS / name)
    with looks.look(look):
        for experiment in loaded.experiments.values():
            for picture in experiment.figures(loaded.tables):
                check(picture.figure)
                assert picture.figure.get_size_inches()[0] <= looks.LOOKS[look].full
                plt.close(picture.figure)


def test_texts_that_overlap_are_found() -> None:
    figure, (left, right) = plt.subplots(1, 2)
    left.text(0.5, 0.5, "one text")
    left.text(0.52, 0.5, "another")
    assert Written(figure).overlaps == [("one text", "another")]
    left.texts[1].remove()
    left.text(0.9, 0.2, "a text that is far too long")
    assert "a text that is far too long" in Written(figure).over_other_axes
    right.text(0.9, 0.2, "a text that is far too long")
    assert Written(figure).outside == ["a text that is far too long"]


def test_a_method_has_its_colour_in_every_figure(run: Results) -> None:
    known = {palette.colors([name])[name] for name in ("sgd", "sam", "f-gr", "b-gr", "db-gr")}
    for name, selection in CHARTS.items():
        for ax in figure_of(getattr(run.figures, name)(**selection)).axes:
            drawn = {
                to_hex(line.get_color())
                for line in ax.lines
                if line.get_marker() in ("o", "s", ".") and str(line.get_color()) != "0.4"
            }
            assert drawn - {"#666666"} <= known, name
            assert drawn


# --- parts


@settings(max_examples=50)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12).map(sorted),
    st.floats(0.001, 0.3),
)
def test_labels_are_moved_apart_as_little_as_can_be(wanted: list[float], gap: float) -> None:
    places = spread(wanted, gap)
    assert (np.diff(places) >= gap - 1e-9).all()
    if (np.diff(wanted) >= gap).all():
        np.testing.assert_allclose(places, wanted, atol=1e-9)
    assert np.mean(places) == pytest.approx(np.mean(wanted))  # a projection keeps the mean


def test_names_at_the_ends_of_lines_do_not_overlap() -> None:
    with looks.look("screen"):
        ax = draw_panels(
            [Panel("", lambda ax: ax.plot([0, 1], [0, 1]) and None, 18.0)], gutter="name 10"
        )
        label_ends(ax, {f"name {n}": (0.5 + n / 1000, "red") for n in range(10)})
    assert Written(figure_of(ax)).overlaps == []


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((0.9, 12), [1, 2, 5, 10]),
        ((4.1, 9.7), [5, 7]),
        ((101, 220), [150, 200]),
        ((0.001, 1000), [0.001, 0.01, 0.1, 1, 10, 100, 1000]),
    ],
)
def test_numbers_on_logarithmic_axes_are_round(
    limits: tuple[float, float], expected: list[float]
) -> None:
    _, ax = plt.subplots()
    ax.set(xscale="log", xlim=limits)
    plain_ticks(ax.xaxis)
    ticks = [tick for tick in ax.get_xticks() if limits[0] <= tick <= limits[1]]
    assert set(expected) <= {float(f"{tick:g}") for tick in ticks}
    assert 2 <= len(ticks) <= 9
    printed = [label.get_text() for label in ax.get_xticklabels()]
    assert all("$" not in text for text in printed)
