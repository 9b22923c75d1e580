"""The cost model against PyTorch's own counter, and its bounds against measured peaks."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugged import Chain
from synthetic import cost, timed
from synthetic import counted as counted_by_hand
from torch import Tensor, nn

from gr_bench.experiments.chart import figure_of
from gr_bench.experiments.step_cost import figures
from gr_bench.experiments.step_cost.cost_model import predict, products
from gr_bench.experiments.step_cost.experiment import StepCost
from gr_bench.experiments.step_cost.measure import counters
from gr_bench.experiments.step_cost.record import Counters
from gr_bench.meters.counters import count_flops
from gr_bench.registry import build_dataset, build_method, build_model
from gr_bench.spec import parse
from gr_bench.timing.step import Training

FAMILY = ("gsam", "friendly-sam", "looksam(k=2)", "momentum-sam", "single-step-sam")
METHODS = ("sgd", "sam", "f-gr", "b-gr", "c-gr", "flooding", "db-gr", "f-gr(gamma=0)", *FAMILY)
MODELS = [
    ("mlp(depth=1)", "digits"),
    ("mlp(depth=3, width=24)", "digits"),
    ("mlp(depth=5, width=8)", "mnist1d(samples=1000)"),
    ("resnet-8(width=4)", "random(shape=(3, 16, 16))"),
    ("resnet-8(width=4)", "random(shape=(3, 15, 13))"),
    ("resnet-8(width=4, batch_norm=False)", "random(shape=(2, 40))"),
    ("resnet-18(width=4)", "random(shape=(3, 9, 9))"),
    ("wrn-16-4", "random(shape=(3, 4, 4))"),
    ("vit(depth=2)", "digits"),
    ("char-transformer(depth=2)", "random-tokens"),
]


def ready(model: nn.Module, method: str) -> Training:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    return Training(model, model, optimizer, build_method(method))


# --- arithmetic


@pytest.mark.parametrize(("model", "dataset"), MODELS)
def test_closed_form_flops_are_those_that_are_counted(model: str, dataset: str) -> None:
    data = build_dataset(dataset)
    batch = (data.train.inputs[:3], data.train.targets[:3])
    network = build_model(model, data.input_shape, data.num_classes)
    for method in METHODS:
        training = ready(network, method)
        predicted = predict(training, batch).predicted_flops
        cycle = training.method.cycle
        counted = count_flops(lambda t=training, n=cycle: [t.step(*batch) for _ in range(n)])
        assert predicted == round(counted / cycle), method


@pytest.mark.parametrize(
    ("method", "cycle"),
    [
        ("late(sam, share=0.2)", 5),
        ("warmup(db-gr, share=0.25)", 4),
        ("every(late(c-gr, share=0.5), k=3)", 6),
        ("clipped(f-gr)", 1),
        ("accumulated(sam, parts=3)", 1),
    ],
)
@pytest.mark.parametrize("model", ["mlp(depth=3, width=24)", "resnet-8(width=4)"])
def test_closed_form_flops_of_steps_that_differ_are_the_mean_over_a_cycle(
    method: str, cycle: int, model: str
) -> None:
    data = build_dataset("digits")
    batch = (data.train.inputs[:3], data.train.targets[:3])
    training = ready(build_model(model, data.input_shape, data.num_classes), method)
    training.method.begin(dict(training.model.named_parameters()), cycle)
    assert training.method.cycle == cycle
    predicted = predict(training, batch).predicted_flops
    total = count_flops(lambda: [training.step(*batch) for _ in range(cycle)])
    assert predicted == round(total / cycle)


@settings(deadline=None, max_examples=60)
@given(
    dimensions=st.sampled_from([1, 2]),
    length=st.integers(6, 11),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    bias=st.booleans(),
    method=st.sampled_from(["sgd", "f-gr", "db-gr"]),
)
def test_closed_form_flops_of_any_convolution(
    dimensions: int,
    length: int,
    kernel: int,
    stride: int,
    padding: int,
    bias: bool,
    method: str,
) -> None:
    layer = (nn.Conv1d, nn.Conv2d)[dimensions - 1]
    again = {"stride": stride, "padding": padding, "bias": bias}
    network = nn.Sequential(
        layer(2, 4, 3, padding=1),
        nn.Tanh(),
        layer(4, 6, kernel, **again),
        nn.AdaptiveAvgPool1d(1) if dimensions == 1 else nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    training = ready(network, method)
    batch = (torch.randn(2, 2, *[length] * dimensions), torch.tensor([0, 1]))
    predicted = predict(training, batch).predicted_flops
    assert predicted == count_flops(lambda: training.step(*batch))


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("sgd", lambda n: 3 * n - 1),
        ("f-gr", lambda n: 6 * n - 2),
        ("c-gr", lambda n: 9 * n - 3),
        ("db-gr", lambda n: 9 * n - 5),
    ],
)
def test_a_chain_of_equal_layers_costs_what_the_paper_rounds(method: str, count, depth) -> None:
    training = ready(Chain((16,), 16, depth=depth), method)
    batch = (torch.randn(4, 16), torch.zeros(4, dtype=torch.long))
    assert predict(training, batch).predicted_flops == count(depth) * 2 * 4 * 16**2


class Squared(nn.Module):
    """A product that is no layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.layer(input=inputs)
        return hidden @ hidden.T @ hidden


@pytest.mark.parametrize("change", [{"groups": 2}, {"dilation": 2}, {"padding": "same"}])
def test_a_convolution_of_another_kind_has_no_prediction(change: dict) -> None:
    network = nn.Sequential(nn.Conv1d(2, 4, 3, **change), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    batch = (torch.randn(3, 2, 8), torch.zeros(3, dtype=torch.long))
    assert predict(ready(network, "f-gr"), batch).predicted_flops is None


def test_a_model_with_other_products_has_no_prediction() -> None:
    batch = (torch.randn(3, 4), torch.zeros(3, dtype=torch.long))
    assert products(ready(Squared(), "sgd"), batch) is None
    assert predict(ready(Squared(), "f-gr"), batch).predicted_flops is None


# --- memory


def counted(model: str, dataset: str, batch_size: int) -> list[Counters]:
    own = {"model": model, "dataset": dataset, "batch_size": batch_size}
    return [counters(cost(method, **own)) for method in METHODS]


@pytest.mark.parametrize(
    ("model", "dataset", "batch_size"),
    [
        ("mlp(depth=4, width=256)", "digits", 8),  # the peak lies in the optimizer
        ("mlp(depth=8, width=64)", "digits", 256),  # at the start of the backward pass
        ("resnet-8(width=8)", "digits", 64),
        ("vit(depth=2)", "digits", 32),
    ],
)
def test_extra_memory_lies_within_its_bounds(model: str, dataset: str, batch_size: int) -> None:
    table = StepCost().tables(counted(model, dataset, batch_size))["step_cost"]
    bounded = table[table["predicted_copies_low"].notna()].set_index("method")
    bounds = {"sam", "f-gr", "b-gr", "c-gr", "flooding", "db-gr"}
    assert bounds | {parse(spec).name for spec in FAMILY} == set(bounded.index)
    slack = 256 / counters(cost(model=model, dataset=dataset)).parameter_bytes  # scalars
    for method, row in bounded.iterrows():
        extra = row["extra_parameter_copies"]
        assert row["predicted_copies_low"] <= extra + slack, method
        assert not extra > row["predicted_copies_high"] + slack, method


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "torch.optim:SGD"])
@pytest.mark.parametrize("batch_size", [8, 256])
def test_extra_memory_lies_within_its_bounds_with_other_optimizers(
    optimizer: str, batch_size: int
) -> None:
    own = {"model": "mlp(depth=4, width=128)", "batch_size": batch_size, "optimizer": optimizer}
    table = StepCost().tables([counters(cost(method, **own)) for method in METHODS])["step_cost"]
    bounded = table[table["predicted_copies_low"].notna()].set_index("method")
    assert {"sam", "f-gr", "b-gr", "c-gr", "flooding", "db-gr"} <= set(bounded.index)
    slack = 256 / counters(cost(**own)).parameter_bytes
    for method, row in bounded.iterrows():
        extra = row["extra_parameter_copies"]
        assert row["predicted_copies_low"] <= extra + slack, method
        assert not extra > row["predicted_copies_high"] + slack, method


def test_nothing_is_predicted_of_an_optimizer_that_evaluates_the_loss() -> None:
    found = counters(cost("sam", optimizer="torch.optim:LBFGS(max_iter=2)"))
    assert found.predicted_flops is None
    assert found.predicted_extra_low_bytes is None
    assert found.flops > 0


@pytest.mark.parametrize(
    ("optimizer", "copies"),
    [
        ("sgd", 1),
        ("sgd(momentum=0)", 0),
        ("adamw", 2),
        ("plugged_optimizers:Hoarding", 2),
        ("torch.optim:SGD", 0),
    ],
)
def test_the_state_of_the_optimizer_is_booked(optimizer: str, copies: int) -> None:
    """In multiples of the parameters' bytes; AdamW also counts steps, a scalar a parameter."""
    found = counters(cost(optimizer=optimizer))
    scalars = found.optimizer_state_bytes - copies * found.parameter_bytes
    assert 0 <= scalars <= (4 * 8 if optimizer == "adamw" else 0)


def test_bounds_are_over_sgd_whatever_the_baseline() -> None:
    def bound(baseline: str) -> float:
        cells = [
            cost(method, model="mlp(depth=2, width=32)", baseline=baseline)
            for method in ("sgd", "sam(rho=0.05)", "db-gr(gamma=0.1)")
        ]
        table = StepCost().tables([counters(cell) for cell in cells])["step_cost"]
        return table.set_index("method").loc["db-gr", "predicted_copies_low"]

    assert bound("sgd") == bound("sam(rho=0.05)")


def test_the_table_says_where_model_and_count_agree() -> None:
    cells = [cost(method, model="mlp(depth=2, width=32)") for method in ("sgd", "f-gr", "db-gr")]
    records = [counters(cell) for cell in cells]
    records[1] = replace(records[1], predicted_flops=records[1].predicted_flops + 1)
    records[2] = replace(records[2], predicted_flops=None)
    shown = StepCost().summaries(StepCost().tables(records))[2].table
    assert list(shown["equal"]) == ["yes", "no", "not known"]
    assert list(shown["limit"]) == ["1", "2", "3"]


def test_a_figure_shows_cost_against_depth() -> None:
    """Models that differ in depth alone share a panel; one that comes in one depth has none."""
    records = [
        record
        for model in ("mlp(depth=2, width=8)", "mlp(depth=4, width=8)", "mlp(depth=4)", "resnet-8")
        for cell in (cost(model=model), cost("db-gr", model=model))
        for record in (counted_by_hand(cell), timed(cell, 0, [1.0]), timed(cell, 1, [1.0]))
    ]
    table = StepCost().tables(records)["step_cost"]
    names = {chart.name: chart() for chart in figures.charts(table)}
    (panel,) = figure_of(names["step_time_by_depth"]).axes
    assert panel.get_title().startswith("mlp(width=8)")
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["2", "4"]
    plt.close("all")
    alone = StepCost().tables(records[-12:])["step_cost"]
    assert "step_time_by_depth" not in {chart.name for chart in figures.charts(alone)}
    plt.close("all")
