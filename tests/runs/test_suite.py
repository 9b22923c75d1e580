from __future__ import annotations

from pathlib import Path

import pytest

from gr_bench.errors import RequestError
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.runs.shipped import shipped
from gr_bench.runs.suite import Suite, build_suite, load_suite

COST = {
    "methods": ["sgd", "sam(rho=[0.05, 0.1])"],
    "models": ["mlp(depth=[2, 4], width=8)"],
    "datasets": ["digits"],
    "batch_sizes": [32, 64],
}
TRAINING = {**COST, "epochs": 2, "seeds": [0, 1]}
TOML = """
title = "Mine"
[[generalization]]
methods = ["sgd"]
models = ["mlp"]
datasets = ["digits"]
batch_sizes = [32]
epochs = 2
seeds = [0]
"""


def build(cost: dict | None = None, training: dict | None = None, **arguments) -> Suite:
    data: dict = {"title": "test"}
    if cost is not None:
        data["step_cost"] = [COST | cost]
    if training is not None:
        data["generalization"] = [TRAINING | training]
    return build_suite("test", data, **arguments)


def refusal(*arguments, **keywords) -> str:
    with pytest.raises(RequestError) as error:
        build(*arguments, **keywords)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- what a suite spans


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_suite_loads_on_the_cpu(name: str) -> None:
    suite = load_suite(name, device="cpu")
    assert suite.name == name
    assert suite.title
    assert {cell.device for cell in suite.cells} == {"cpu"}


def test_a_shipped_suite_for_a_gpu_asks_for_one() -> None:
    assert {cell.device for cell in load_suite("paper-cost").cells} == {"cuda"}


def test_a_suite_spans_the_whole_grid() -> None:
    cells = build(training={}).cells
    assert len(cells) == len({cell.id for cell in cells}) == 3 * 2 * 2 * 2
    assert {cell.spec for cell in cells} == {"sgd", "sam(rho=0.05)", "sam(rho=0.1)"}
    assert {cell.model for cell in cells} == {"mlp(depth=2, width=8)", "mlp(depth=4, width=8)"}
    assert {cell.seed for cell in cells} == {0, 1}


def test_a_cell_named_by_two_grids_is_one_cell() -> None:
    data = {"title": "test", "generalization": [TRAINING, TRAINING | {"seeds": [1, 2]}]}
    assert len(build_suite("test", data).cells) == 3 * 2 * 2 * 3


def test_identity_is_the_same_for_every_way_to_spell_a_method() -> None:
    def ids(method: str) -> set[str]:
        return {cell.id for cell in build(training={"methods": [method]}).cells}

    assert ids("f-gr") == ids("f-gr(gamma=0.1)") == ids("f-gr(epsilon=0.05, gamma=1e-1)")
    assert ids("f-gr") != ids("f-gr(gamma=0.2)")


@pytest.mark.parametrize(
    "change",
    [
        {"models": ["mlp(depth=3)"]},
        {"datasets": ["mnist1d"]},
        {"batch_sizes": [16]},
        {"device": "cuda"},
        {"dtypes": ["float64"]},
        {"threads": [2]},
        {"epochs": 3},
        {"seeds": [7]},
        {"learning_rates": [0.2]},
        {"momentum": 0.5},
        {"weight_decay": 0.5},
        {"augmentations": ["crop-flip"]},
        {"schedules": ["constant"]},
        {"dtypes": ["bfloat16-mixed"]},
    ],
)
def test_everything_that_decides_a_result_is_part_of_the_identity(change: dict) -> None:
    before = {cell.id for cell in build(training={}).cells}
    after = {cell.id for cell in build(training=change).cells}
    assert not before & after


def test_a_grid_that_is_too_large_is_refused_before_it_is_spread_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spread_out(self: object, grid: object) -> list[object]:
        raise AssertionError("spread out")

    monkeypatch.setattr(Generalization, "cells", spread_out)
    why = r"generalization has 1,000,000 points \(1000 seeds x 1000 learning_rates\)"
    with pytest.raises(RequestError, match=why):
        build(
            training={
                "methods": ["sgd"],
                "models": ["mlp"],
                "datasets": ["digits"],
                "batch_sizes": [64],
                "seeds": list(range(1000)),
                "learning_rates": [0.001 * n for n in range(1, 1001)],
            }
        )


def test_many_seeds_are_as_many_cells() -> None:
    cells = build(training={"methods": ["sgd"], "models": ["mlp"], "seeds": [*range(3000)]}).cells
    assert {cell.seed for cell in cells} == {*range(3000)}


def test_the_resolved_suite_has_every_default() -> None:
    (grid,) = build(training={}).resolved["generalization"]
    assert grid["learning_rates"] == [0.1]
    assert grid["methods"] == ["sgd", "sam(rho=0.05)", "sam(rho=0.1)"]


def test_a_suite_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    suite = load_suite(str(path))
    assert (suite.name, suite.title, len(suite.cells)) == ("mine", "Mine", 1)


# --- choosing and changing


def test_only_picks_the_cells_that_match() -> None:
    for only in ("sam*seed 1", "generalization*sam*seed 1"):
        cells = build(cost={}, training={}, only=only).cells
        assert len(cells) == 2 * 2 * 2
        assert {(cell.experiment, cell.seed) for cell in cells} == {("generalization", 1)}


def test_only_without_a_match_is_refused() -> None:
    assert refusal(training={}, only="resnet") == "suite 'test' has no cell that matches 'resnet'"


def test_set_changes_all_grids_of_an_experiment() -> None:
    data = {"title": "test", "generalization": [TRAINING, TRAINING | {"batch_sizes": [8]}]}
    settings = ["generalization.epochs=7", "generalization.seeds=[5]", "title=other words"]
    suite = build_suite("test", data, settings=settings)
    assert {(cell.epochs, cell.seed) for cell in suite.cells} == {(7, 5)}
    assert suite.title == "other words"


def test_device_changes_every_experiment() -> None:
    suite = build(cost={"device": "cuda"}, training={"device": "cuda"}, device="cpu")
    assert {cell.device for cell in suite.cells} == {"cpu"}


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("generalization.epochs", "write key=value"),
        ("=3", "write key=value"),
        ("epochs=3", "no setting 'epochs'"),
        ("titel=x", "did you mean 'title'?"),
        ("generalisation.epochs=3", "did you mean 'generalization'?"),
        ("step_cost.replicates=3", "this suite has no step_cost"),
        ("generalization.epoch=3", "did you mean 'epochs'?"),
        ("generalization.epochs=x", "not 'x'"),
        ("generalization.=3", "no setting 'generalization.'"),
    ],
)
def test_a_setting_that_cannot_be_made_is_refused(setting: str, reason: str) -> None:
    assert reason in refusal(training={}, settings=[setting])


# --- what is wrong with a grid


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"metods": ["sgd"]}, ["generalization.0.metods", "did you mean 'methods'?"]),
        ({"xyz": 1}, ["unknown key", "known: methods, models"]),
        ({"methods": ["sdg"]}, ["no method 'sdg'", "did you mean 'sgd'?"]),
        ({"methods": ["f-gr(gama=1)"]}, ["no parameter 'gama'", "it takes gamma, epsilon"]),
        ({"methods": ["f-gr(gamma=[])"]}, ["empty list"]),
        ({"methods": ["f-gr("]}, ["write name(key=value)"]),
        ({"methods": ["builtins:dict"]}, ["builtins:dict"]),
        ({"methods": ["plugged:NOT_A_METHOD"]}, ["plugged:NOT_A_METHOD"]),
        ({"methods": []}, ["generalization.0.methods", "is empty"]),
        ({"methods": "sgd"}, ["methods", "list", "not 'sgd'"]),
        ({"methods": [""]}, ["methods"]),
        ({"methods": ["sgd", "sgd"]}, ["method 'sgd' is named twice"]),
        ({"methods": ["sam", "sam(rho=0.05)"]}, ["method 'sam(rho=0.05)' is named twice"]),
        ({"models": ["mpl"]}, ["no model 'mpl'", "did you mean 'mlp'?"]),
        ({"models": ["mlp(dept=2)"]}, ["no parameter 'dept'"]),
        ({"models": ["mlp", "mlp()"]}, ["model 'mlp' is named twice"]),
        ({"datasets": ["digit"]}, ["no dataset 'digit'", "did you mean 'digits'?"]),
        ({"datasets": ["digits", "digits"]}, ["dataset 'digits' is named twice"]),
        ({"batch_sizes": 32}, ["batch_sizes", "list", "not 32"]),
        ({"batch_sizes": [0]}, ["batch_sizes.0", "not 0"]),
        ({"batch_sizes": [32, 32]}, ["batch_sizes: value 32 is named twice"]),
        ({"threads": [1, 1]}, ["threads: value 1 is named twice"]),
        ({"dtypes": ["float32", "float32"]}, ["dtypes: value 'float32' is named twice"]),
        ({"dtypes": ["float23"]}, ["dtypes.0", "'float32'"]),
        ({"epochs": "x"}, ["epochs", "not 'x'"]),
        ({"epochs": 0}, ["epochs", "not 0"]),
        ({"seeds": [0, 0]}, ["seeds: value 0 is named twice"]),
        ({"seeds": []}, ["seeds", "is empty"]),
        ({"learning_rates": [0.1, 0.1]}, ["learning_rates: value 0.1 is named twice"]),
        ({"learning_rates": [-0.1]}, ["learning_rates.0", "not -0.1"]),
        ({"momentum": 1.0}, ["momentum", "not 1.0"]),
        ({"augmentations": ["flip"]}, ["augmentations", "'crop-flip'"]),
        ({"schedules": []}, ["schedules", "at least one"]),
        ({"schedules": ["linear"]}, ["schedules", "'cosine'"]),
        ({"optimizers": ["adamm"]}, ["no optimizer 'adamm'", "did you mean 'adam'?"]),
        ({"optimizers": ["adamw(beta=1)"]}, ["no parameter 'beta'", "betas, eps, weight_decay"]),
        ({"optimizers": ["adamw(lr=0.1)"]}, ["leave lr out, learning_rates has them"]),
        ({"optimizers": ["sgd", "sgd"]}, ["optimizer 'sgd' is named twice"]),
        ({"optimizers": ["nowhere:Sgd"]}, ["optimizer 'nowhere:Sgd' cannot be imported"]),
        ({"optimizers": ["plugged_optimizers:no_rate"]}, ["takes no lr"]),
        (
            {"optimizers": ["plugged_optimizers:WrappingSAM"]},
            ["needs model and base_optimizer: name it among methods"],
        ),
        ({"methods": ["torch.optim:SGD"]}, ["name it among optimizers"]),
    ],
)
def test_a_wrong_grid_is_refused_in_one_line_that_says_what_is_right(change, reasons) -> None:
    message = refusal(training=change)
    assert all(reason in message for reason in ["suite 'test'", *reasons]), message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"baseline": "db-gr"}, "baseline 'db-gr(gamma=0.1)' is not among the methods"),
        ({"baseline": "sdg"}, "did you mean 'sgd'?"),
        ({"replicates": 6, "most_replicates": 5}, "most_replicates must be at least replicates"),
        ({"least_rounds": 0}, "least_rounds"),
        ({"target_half_width": 0}, "target_half_width"),
        ({"seconds_per_block": -1}, "seconds_per_block"),
    ],
)
def test_a_wrong_protocol_is_refused(change: dict, reason: str) -> None:
    assert reason in refusal(cost=change)


@pytest.mark.parametrize("experiment", ["cost", "training"])
def test_a_value_out_of_range_is_refused_when_methods_are_built(experiment: str) -> None:
    suite = build(**{experiment: {"methods": ["sgd", "f-gr(gamma=-1)"]}})
    with pytest.raises(RequestError, match="gamma must be a finite number >= 0, not -1"):
        suite.check_methods()
    build(**{experiment: {}}).check_methods()


@pytest.mark.parametrize("experiment", ["cost", "training"])
@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        ("adamw(betas=(2, 0.9))", "Invalid beta parameter"),
        ("plugged_optimizers:no_optimizer", "is no torch.optim.Optimizer"),
    ],
)
def test_an_optimizer_that_cannot_be_built_is_refused_with_the_methods(
    experiment: str, optimizer: str, reason: str
) -> None:
    suite = build(**{experiment: {"optimizers": ["sgd", optimizer]}})
    with pytest.raises(RequestError, match=reason):
        suite.check_methods()


def test_a_missing_key_is_named() -> None:
    grid = {key: value for key, value in TRAINING.items() if key != "epochs"}
    with pytest.raises(RequestError, match=r"generalization\.0\.epochs: Field required"):
        build_suite("test", {"title": "test", "generalization": [grid]})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "title: Field required"),
        ({"title": "test"}, "names no experiment: add one of step_cost, generalization"),
        ({"title": "test", "step_cst": [COST]}, "did you mean 'step_cost'?"),
        ({"title": "test", "step_cost": COST}, "step_cost"),
        ({"title": "test", "step_cost": 3}, "step_cost"),
        ({"title": "test", "step_cost": ["sgd"]}, "step_cost.0"),
        ({"title": 3, "step_cost": [COST]}, "title"),
        ({"title": "test", "timeout_minutes": 0, "step_cost": [COST]}, "timeout_minutes"),
    ],
)
def test_a_wrong_suite_is_refused(data: dict, reason: str) -> None:
    with pytest.raises(RequestError) as error:
        build_suite("test", data)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


# --- what is wrong with a file


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.toml", b"title = ", "is not valid TOML"),
        ("a.toml", b"\xff\xfe\x00", "not a text file"),
        ("a.toml", b"\x00\x01", "is not valid TOML"),
        ("missing.toml", None, "No such file or directory"),
    ],
)
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, name, content, reason) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=reason):
        load_suite(str(path))


def test_a_folder_is_no_suite(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    with pytest.raises(RequestError, match="Is a directory"):
        load_suite(str(tmp_path / "a.toml"))


def test_a_misspelt_suite_is_answered_with_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"no suite 'quik': did you mean 'quick'\?"):
        load_suite("quik")
