"""Every planted fault is named by its check and by no other, on the CPU, with the real pieces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_pre_hook

from gr_bench import registry
from gr_bench.doctor import counts, doctor
from gr_bench.doctor.check import Check
from gr_bench.doctor.doubling import check_doubling
from gr_bench.meters.cpu import CPU
from gr_bench.meters.device import Reading, Work
from gr_bench.methods import ForwardGR, LossFunction, Step
from gr_bench.timing import block
from gr_bench.timing.step import TimedStep

BUDGET_S = 0.3
"""Too little to tell that a pair is equal, and enough for every fault."""


Examine = Callable[[], dict[str, Check]]


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> Examine:
    """All checks on the CPU, by name, in the least time that they take."""
    monkeypatch.setattr(doctor, "LEAST_S", 0.0)
    return lambda: {check.name: check for check in doctor.examine("cpu", BUDGET_S)}


@pytest.fixture
def counted(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """The same without what is timed, for faults that no time has in it."""
    parts = tuple(p for p in doctor.PARTS if not p.share or p.names == ("clock",))
    monkeypatch.setattr(doctor, "PARTS", parts)
    return examined


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[ForwardGR]], None]:
    """Puts a class in the place of F-GR's."""

    def put(cls: type[ForwardGR]) -> None:
        methods = registry.Registry("method", {**registry.METHODS.built_in, "f-gr": cls})
        monkeypatch.setattr(registry, "METHODS", methods)

    return put


def failed(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if check.verdict == "fail"]


def test_without_a_fault_nothing_fails(examined: Examine) -> None:
    checks = examined()
    assert failed(checks) == []
    exact = ("memory", "flops", "parameters", "batch norm", "dropout", "synchronisation")
    assert {checks[name].verdict for name in exact} == {"pass"}
    assert next(iter(checks)) == "clock"


# --- the device


def test_a_device_that_does_not_tell_its_state_is_examined_all_the_same(
    counted: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no kernel image is available for execution on the device")

    monkeypatch.setattr(CPU, "state", fail)
    checks = counted()
    assert failed(checks) == []
    assert checks["clocks"].measured["clock_mhz_before"] is None


def fault_in_time(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Reading], Reading]
) -> Callable[[CPU, Work], Reading]:
    """Changes every reading of the CPU's clock."""
    right = CPU.time
    monkeypatch.setattr(CPU, "time", lambda self, work: change(right(self, work)))
    return right


@pytest.mark.parametrize("rate", [0.9, 1.1])
def test_a_clock_off_by_a_tenth(
    examined: Examine, monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    fault_in_time(monkeypatch, lambda r: replace(r, elapsed_s=rate * r.elapsed_s))
    checks = examined()
    assert failed(checks) == ["clock"]
    measured = checks["clock"].measured
    assert measured["rate_low"] == pytest.approx(rate, rel=0.05)
    assert {checks[n].verdict for n in ("twice the work", "equal pair", "flop rate")} == {"unknown"}


def test_a_clock_that_stands_still_does_not_keep_the_doctor(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault_in_time(monkeypatch, lambda r: replace(r, elapsed_s=0.0))
    assert failed(examined()) == ["clock"]


def test_an_account_of_waiting_that_never_was(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault_in_time(monkeypatch, lambda r: replace(r, waited_s=0.8 * r.waited_s + 0.2 * r.elapsed_s))
    assert failed(examined()) == ["waiting"]


@pytest.mark.parametrize("nbytes", [-1_000_000, 1])
def test_a_meter_that_miscounts(
    counted: Examine, monkeypatch: pytest.MonkeyPatch, nbytes: int
) -> None:
    right = CPU.peak_growth
    monkeypatch.setattr(CPU, "peak_growth", lambda self, work: right(self, work) + nbytes)
    checks = counted()
    assert failed(checks) == ["memory"]
    assert checks["memory"].measured["missed_bytes"] == -nbytes


def test_flops_counted_twice(counted: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    right = counts.count_flops
    monkeypatch.setattr(counts, "count_flops", lambda step: 2 * right(step))
    assert failed(counted()) == ["flops"]


def test_time_that_goes_by_outside_the_work() -> None:
    """A reading that has as much again of something else in it: twice the work takes 1.5 times."""

    class Late(CPU):
        def time(self, work: Work) -> Reading:
            reading = super().time(work)
            self.least = min(getattr(self, "least", reading.seconds), reading.seconds)
            return replace(reading, elapsed_s=reading.elapsed_s + self.least)

    (check,) = check_doubling(Late("cpu"), 0.5, tell=lambda: None)
    assert check.verdict == "fail"
    assert isinstance(check.measured["ratio"], float)
    assert check.measured["ratio"] < 1.8


def test_equal_steps_that_are_not_equal(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    right = block.build_step

    class TwoSteps(TimedStep):
        def __call__(self) -> Tensor:
            super().__call__()
            return super().__call__()

    def build(cell: block.BlockCell, own: block.StepRegistry) -> TimedStep:
        step = right(cell, own)
        return TwoSteps(step.training, step.batch) if cell.is_control else step

    monkeypatch.setattr(block, "build_step", build)
    checks = examined()
    assert failed(checks) == ["equal pair"]
    assert checks["equal pair"].measured["ratio"] == pytest.approx(2, rel=0.3)


# --- methods


@dataclass(frozen=True)
class Rounding(ForwardGR):
    """F-GR that restores θ by subtracting what it has added."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = list(params)
        loss = super().backward(loss_fn, own)
        with torch.no_grad():
            for p in own:
                assert p.grad is not None
                p.add_(p.grad, alpha=self.epsilon).sub_(p.grad, alpha=self.epsilon)
        return loss


@dataclass(frozen=True)
class Reading0(ForwardGR):
    """F-GR that looks whether the loss is finite."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        loss = super().backward(loss_fn, params)
        loss.item()
        return loss


@dataclass(frozen=True)
class Asking(ForwardGR):
    """F-GR that branches on a tensor."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        loss = super().backward(loss_fn, params)
        return loss if loss > 0 else -loss


@dataclass(frozen=True)
class Twice(ForwardGR):
    """F-GR by hand: its second pass moves batch norm once more."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        own = list(params)
        state = torch.get_rng_state()
        for p in own:
            p.grad = None
        loss = loss_fn()
        loss.backward()
        kept = [p.data for p in own]
        torch.set_rng_state(state)
        for p in own:
            assert p.grad is not None
            p.data = p.data + self.epsilon * p.grad
            p.grad.mul_(1 - self.weight)
        (self.weight * loss_fn()).backward()
        for p, value in zip(own, kept, strict=True):
            p.data = value
        return loss.detach()


@dataclass(frozen=True)
class Uncounted(ForwardGR):
    """F-GR after which the variances that batch norm tracks are a thousandth too large."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        norms: dict[_BatchNorm, None] = {}

        def note(module: nn.Module, _: object) -> None:
            if isinstance(module, _BatchNorm):
                norms[module] = None

        with register_module_forward_pre_hook(note):
            loss = super().backward(loss_fn, params)
        for norm in norms:
            assert norm.running_var is not None
            norm.running_var.mul_(1.001)
        return loss


@dataclass(frozen=True)
class Drawing(ForwardGR):
    """F-GR that draws a random number of its own."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        loss = super().backward(loss_fn, params)
        torch.rand(())
        return loss


@dataclass(frozen=True)
class Broken(ForwardGR):
    """F-GR with an operation that is not to be had on the device."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        raise NotImplementedError("no such kernel")


@pytest.mark.parametrize(
    ("method", "names"),
    [
        (Rounding, ["parameters"]),
        (Reading0, ["synchronisation"]),
        (Asking, ["synchronisation"]),
        (Twice, ["batch norm"]),
        (Uncounted, ["batch norm"]),
        (Broken, ["flops", "parameters", "batch norm", "dropout", "synchronisation"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_method_that_breaks_the_contract(
    counted: Examine,
    use: Callable[[type[ForwardGR]], None],
    method: type[ForwardGR],
    names: list[str],
) -> None:
    use(method)
    checks = counted()
    assert failed(checks) == names
    if method is Twice:
        assert "moved 2 times" in checks["batch norm"].meaning
    if method is Uncounted:
        assert "statistics are not those of one pass" in checks["batch norm"].meaning
    for name in names:
        if name != "flops":
            assert checks[name].measured["broken"] == "f-gr"


def fresh_mask(step: Step) -> Tensor:
    """A further pass with whatever random numbers come next."""
    return step._loss_fn()


def fresh_mask_and_back(step: Step) -> Tensor:
    """The same, with the random state after it that one pass leaves."""
    with torch.random.fork_rng():
        return step._loss_fn()


@pytest.mark.parametrize(
    ("again", "words"), [(fresh_mask, "mask"), (fresh_mask_and_back, "another mask")]
)
def test_a_fresh_mask_in_the_second_pass(
    counted: Examine, monkeypatch: pytest.MonkeyPatch, again: Callable[[Step], Tensor], words: str
) -> None:
    monkeypatch.setattr(Step, "again", again)
    checks = counted()
    assert failed(checks) == ["dropout"]
    assert words in checks["dropout"].meaning
    assert checks["dropout"].measured["broken"] == (
        "sam, f-gr, b-gr, c-gr, unnormalized-sam, gnp, asam, gsam, friendly-sam, looksam"
    )


def test_random_numbers_that_go_on_elsewhere(
    counted: Examine, use: Callable[[type[ForwardGR]], None]
) -> None:
    use(Drawing)
    checks = counted()
    assert failed(checks) == ["dropout"]
    assert "random state" in checks["dropout"].meaning


def test_memory_that_others_have_is_not_the_harness_s_fault(
    counted: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peak_growth(self: CPU, work: Work) -> int:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(CPU, "peak_growth", peak_growth)
    checks = counted()
    assert failed(checks) == []
    assert checks["memory"].verdict == "unknown"


@pytest.mark.slow
def test_faults_without_time_leave_what_is_timed_alone(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    right_peak, right_flops = CPU.peak_growth, counts.count_flops
    monkeypatch.setattr(CPU, "peak_growth", lambda self, work: right_peak(self, work) + 1)
    monkeypatch.setattr(counts, "count_flops", lambda step: 2 * right_flops(step))
    monkeypatch.setattr(Step, "again", fresh_mask)
    assert failed(examined()) == ["memory", "flops", "dropout"]


@pytest.mark.slow
def test_busy_neighbours_make_no_right_harness_fail() -> None:
    """Two loops beside it, and all processors for them: what noise hides is unknown."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        checks = {check.name: check for check in doctor.examine("cpu", 10.0)}
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    assert failed(checks) == []
    assert checks["clock"].verdict == "pass"
