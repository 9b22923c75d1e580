"""Other people's implementations of the SAM family, each as a method that can be checked and timed.

An optimizer's step becomes a direction by giving it a base optimizer that does nothing: what is in
``p.grad`` when that would step is d, and the parameters should be where they were. Those that have
no base optimizer get a learning rate of 0. Each is driven as its own documentation drives it.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_pre_hook

from gr_bench.methods import LossFunction, Method

RHO = 0.05

Closure = Callable[..., Tensor]
Make = Callable[[list[Tensor]], Any]


class NoStep(torch.optim.Optimizer):
    """Stands where the base optimizer would: the caller's own steps after the method."""

    def __init__(self, params: Iterable[Any], **settings: Any) -> None:
        super().__init__(params, {"lr": 0.0} | settings)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Nothing."""


@dataclass(frozen=True)
class Entry:
    """One implementation, and what it says of itself."""

    package: str
    """On PyPI; empty for a loop that is written here."""

    make: Make
    """The optimizer on a list of parameters."""

    how: str = ""
    """Settings, and what was done to drive it."""

    caller_first: bool = False
    """True if the caller takes the first gradient and then calls ``step(closure)``."""

    family: str | None = None
    """The built-in method whose formula it follows with ``rho``; None if none does."""

    passes: float = 2
    """Gradients a step, by its documentation or paper, over a cycle."""

    cycle: int = 1
    rho: float = RHO

    own_update: bool = False
    """True if it has no base optimizer, and its own update, at rate 0, is part of the step."""

    clears: bool = False
    """True if it leaves no ``p.grad``: d is then the last gradient that it was given."""


def _of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _pytorch_optimizer(name: str, **settings: Any) -> Make:
    return lambda p: _of("pytorch_optimizer", name)(p, NoStep, **settings)


class _ConstantRadius:
    def __init__(self, rho: float) -> None:
        self._rho = rho

    def step(self) -> float:
        return self._rho


def _gsam(params: list[Tensor]) -> Any:
    made = _of("pytorch_optimizer", "GSAM")(
        params, NoStep(params), nn.Module(), _ConstantRadius(RHO)
    )
    step = made.step
    made.step = lambda closure: step(lambda: (None, closure()))  # outputs, and the loss
    return made


def _wsam(params: list[Tensor]) -> Any:
    cls = _of("pytorch_optimizer", "WSAM")
    return cls(nn.Module(), params, NoStep, rho=RHO, decouple=False)


def _bsam(params: list[Tensor]) -> Any:
    return _of("pytorch_optimizer", "BSAM")(params, num_data=1000, lr=0.0, rho=RHO)


def _sam_pytorch(params: list[Tensor]) -> Any:
    return _of("sam.sam", "SAM")(params, NoStep(params), rho=RHO)


def _sam_sps(params: list[Tensor]) -> Any:
    return _of("sam_sps", "SAM_SPS")(params, rho=RHO, gamma_b=0.0, weight_decay=0.0)


def _temperon(params: list[Tensor]) -> Any:
    return _of("temperon", "Temperon")(
        NoStep(params), total_steps=1_000_000, tail_frac=1.0, rho=RHO
    )


def _unified(params: list[Tensor]) -> Any:
    return _of("unifiedsam.unifiedsam", "unifiedSAM")(params, NoStep, rho=RHO, lambd=1.0)


def _atorch(params: list[Tensor]) -> Any:
    with _stand_ins("atorch.optimizers"):
        cls = _from_file("atorch/optimizers/wsam.py", "WeightedSAM")
    return cls(nn.Module(), NoStep(params), rho=RHO, decouple=False)


def _composer(params: list[Tensor]) -> Any:
    with (
        _stand_ins("composer.core", "composer.loggers", "composer.utils"),
        _stand_ins("composer.trainer._scaler"),
    ):
        cls = _from_file("composer/algorithms/sam/sam.py", "SAMOptimizer")
    return cls(NoStep(params), rho=RHO)


class _LightningCallback:
    """The callback, with the part of a trainer that it calls."""

    def __init__(self, params: list[Tensor]) -> None:
        with _stand_ins(
            "pytorch_lightning",
            "pytorch_lightning.callbacks",
            "pytorch_lightning.utilities.types",
        ):
            cls = _from_file("pytorch_lightning_sam_callback/sam.py", "SAM")
        self._callback = cls(rho=RHO)
        self._base = NoStep(params)

    def step(self, closure: Closure) -> Tensor:
        loss_fn = closure.loss_fn  # type: ignore[attr-defined]
        loss = closure()
        module = types.SimpleNamespace(training_step=lambda batch, index: loss_fn())
        strategy = types.SimpleNamespace(backward=lambda loss, **_: loss.backward())
        trainer = types.SimpleNamespace(strategy=strategy)
        self._callback.on_train_batch_start(trainer, module, None, 0)
        self._callback.on_before_optimizer_step(trainer, module, self._base, 0)
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def _torchzero(name: str, rho: float) -> Make:
    def make(params: list[Tensor]) -> Any:
        import torchzero as tz

        return tz.Optimizer(params, getattr(tz.m, name)(rho=rho), tz.m.LR(0.0))

    return make


def _heavyball(params: list[Tensor]) -> Any:
    import heavyball

    heavyball.utils.compile_mode = None

    class NoHeavyStep(heavyball.SGD):  # type: ignore[misc, name-defined]
        def _step(self, *_: object, **__: object) -> None:
            """Nothing."""

    return heavyball.SAMWrapper(params, NoHeavyStep(params, lr=0.0), ball=0.1)


class Loop:
    """A loop in the structure that most repositories share (davda54/sam): first and second step.

    Args:
        params: to train.
        eta: None for SAM; the constant in T = abs(θ) + η for ASAM.
        subtract: True to come back by subtracting, as earlier ones do.
        quiet_norms: True to set batch norm's momentum to 0 for the second pass, as its README says.
    """

    model: nn.Module = nn.Module()

    def __init__(
        self,
        params: list[Tensor],
        *,
        rho: float = RHO,
        eta: float | None = None,
        subtract: bool = False,
        quiet_norms: bool = False,
    ) -> None:
        self._params, self._rho, self._eta = params, rho, eta
        self._subtract, self._quiet = subtract, quiet_norms
        self._kept: dict[Tensor, Tensor] = {}

    def step(self, closure: Closure) -> Tensor:
        loss = closure()
        self._first_step()
        norms = [m for m in self.model.modules() if self._quiet and isinstance(m, _BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        closure()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self._second_step()
        return loss

    @torch.no_grad()
    def _first_step(self) -> None:
        used = [p for p in self._params if p.grad is not None]
        norms = [(self._size(p) * p.grad).norm(p=2) for p in used if p.grad is not None]
        scale = self._rho / (torch.norm(torch.stack(norms), p=2) + 1e-12)
        for p in used:
            move = self._size(p) ** 2 * p.grad * scale
            self._kept[p] = move if self._subtract else p.data.clone()
            p.add_(move)

    def _size(self, p: Tensor) -> Tensor | float:
        return 1.0 if self._eta is None else p.abs() + self._eta

    @torch.no_grad()
    def _second_step(self) -> None:
        for p in self._params:
            if p.grad is None:
                continue
            if self._subtract:
                p.sub_(self._kept[p])
            else:
                p.data = self._kept[p]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


_PO = "pytorch-optimizer"

ENTRIES: dict[str, Entry] = {
    "pytorch_optimizer.SAM": Entry(
        _PO, _pytorch_optimizer("SAM", rho=RHO), caller_first=True, family="sam"
    ),
    "pytorch_optimizer.SAM, foreach": Entry(
        _PO, _pytorch_optimizer("SAM", rho=RHO, foreach=True), caller_first=True, family="sam"
    ),
    "pytorch_optimizer.SAM, adaptive": Entry(
        _PO,
        _pytorch_optimizer("SAM", rho=0.5, adaptive=True),
        caller_first=True,
        family="asam",
        rho=0.5,
    ),
    "pytorch_optimizer.GSAM": Entry(_PO, _gsam, "a constant radius; step(closure)"),
    "pytorch_optimizer.WSAM": Entry(_PO, _wsam, "decouple=False, so that p.grad is the direction"),
    "pytorch_optimizer.BSAM": Entry(
        _PO, _bsam, "lr=0: its own update does nothing", caller_first=True, own_update=True
    ),
    "pytorch_optimizer.LookSAM": Entry(
        _PO, _pytorch_optimizer("LookSAM", rho=RHO), "k=10", True, None, 1.1, 10
    ),
    "pytorch_optimizer.FriendlySAM": Entry(
        _PO, _pytorch_optimizer("FriendlySAM", rho=RHO), caller_first=True
    ),
    "sam-pytorch SAM": Entry("sam-pytorch", _sam_pytorch, family="sam"),
    "sam-sps SAM_SPS": Entry(
        "sam-sps", _sam_sps, "gamma_b=0: its own update does nothing", family="sam", own_update=True
    ),
    "temperon Temperon": Entry(
        "temperon", _temperon, "tail_frac=1: SAM from the start", family="sam"
    ),
    "unifiedsam unifiedSAM": Entry("unifiedsam", _unified, "lambd=1: SAM", True, "sam"),
    "pytorch-lightning-sam-callback SAM": Entry(
        "pytorch-lightning-sam-callback",
        _LightningCallback,
        "the callback with a stand-in for the trainer",
        family="sam",
    ),
    "composer SAMOptimizer": Entry(
        "composer", _composer, "the file alone, with stand-ins for composer.core", family="sam"
    ),
    "atorch WeightedSAM": Entry(
        "atorch", _atorch, "the file alone; decouple=False, so that p.grad is the direction"
    ),
    "torchzero SAM": Entry("torchzero", _torchzero("SAM", RHO), "then LR(0)", family="sam"),
    "torchzero ASAM": Entry(
        "torchzero", _torchzero("ASAM", 0.5), "then LR(0)", family="asam", rho=0.5
    ),
    "heavyball SAMWrapper": Entry(
        "heavyball", _heavyball, "not compiled; d is the last gradient", clears=True
    ),
    "textbook SAM": Entry("", Loop, "first step, second step, a clone", family="sam"),
    "textbook SAM, subtracting": Entry(
        "", lambda p: Loop(p, subtract=True), "comes back by subtracting", family="sam"
    ),
    "textbook SAM, quiet batch norm": Entry(
        "", lambda p: Loop(p, quiet_norms=True), "momentum 0 in the second pass", family="sam"
    ),
    "textbook ASAM": Entry("", lambda p: Loop(p, rho=0.5, eta=0.01), "η = 0.01", rho=0.5),
}
"""Every implementation by name, in the order of the table."""


@dataclass(frozen=True)
class Implementation(Method):
    """One of :data:`ENTRIES`."""

    entry: str = "pytorch_optimizer.SAM"
    name: ClassVar[str] = "implementation"
    passes: ClassVar[int] = 2
    exact: ClassVar[bool] = False

    _made: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False, kw_only=True
    )

    def __post_init__(self) -> None:
        """The radius is the entry's: there is nothing to set."""

    @property
    def own(self) -> Entry:
        """The entry."""
        return ENTRIES[self.entry]

    @property
    def family(self) -> str | None:
        """See :class:`Entry`."""
        return self.own.family

    @property
    def rho(self) -> float:
        """The radius."""
        return self.own.rho

    @property
    def parameters(self) -> dict[str, Any]:
        """The name, and the radius for those who look for it."""
        return {"entry": self.entry, "rho": self.rho}

    @property
    def gradient_evaluations(self) -> float:
        """See :class:`Entry`."""
        return self.own.passes

    @property
    def cycle(self) -> int:
        """See :class:`Entry`."""
        return self.own.cycle

    def __str__(self) -> str:
        return f"{self.name}(entry={self.entry!r})"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """One step of the optimizer; ``p.grad`` is what its base optimizer was given."""
        own = list({id(p): p for p in params}.values())
        optimizer = self._optimizer(own)
        last: list[Tensor | None] = []

        def closure(*_: object, **__: object) -> Tensor:
            for p in own:
                p.grad = None
            with torch.enable_grad(), _noting_model(optimizer):
                loss = loss_fn()
                loss.backward()
            if self.own.clears:
                last[:] = [p.grad for p in own]
            return loss

        closure.loss_fn = loss_fn  # type: ignore[attr-defined]
        if self.own.caller_first:
            told = closure()
            optimizer.step(closure)
        else:
            told = optimizer.step(closure)
            told = told[-1] if isinstance(told, tuple) else told
        for p, grad in zip(own, last, strict=False):
            p.grad = grad
        return told.detach() if isinstance(told, Tensor) else torch.tensor(float("nan"))

    @property
    def source(self) -> Any:
        """The optimizer's step, once there is one."""
        return type(self._made["optimizer"]).step if self._made.get("optimizer") else None

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's."""
        return {"optimizer": self._made["optimizer"].state_dict()} if self._made else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep it for the optimizer, which is made in the next step."""
        self._made.clear()
        self._made.update({"state": state["optimizer"]} if state else {})

    def _optimizer(self, params: list[Tensor]) -> Any:
        made = self._made
        if "optimizer" not in made or made["of"] != [id(p) for p in params]:
            state = made.pop("state", None)
            made["optimizer"] = self.own.make(params)
            made["of"] = [id(p) for p in params]
            if state is not None:
                made["optimizer"].load_state_dict(state)
        return made["optimizer"]


@contextmanager
def _noting_model(optimizer: Any) -> Iterator[None]:
    """Tell an optimizer that asks for its model the one that the loss function calls."""
    if not hasattr(optimizer, "model"):
        yield
        return
    called: list[nn.Module] = []
    with register_module_forward_pre_hook(lambda module, _: called.append(module)):
        yield
    if called:
        optimizer.model = called[0]


@contextmanager
def _stand_ins(*names: str) -> Iterator[None]:
    """Let a file import what it needs only for its annotations and base classes.

    Names that are imported from these modules are empty classes; ``atorch.optimizers`` gets the
    package's own helpers.
    """
    before = set(sys.modules)

    class Anything(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:end]), Anything(".".join(parts[:end])))
    try:
        if "atorch.optimizers" in names:
            sys.modules["atorch.optimizers.utils"] = _file("atorch/optimizers/utils.py")
        yield
    finally:
        for name in sys.modules.keys() - before:
            if name.partition(".")[0] in {n.partition(".")[0] for n in names}:
                del sys.modules[name]


def _from_file(path: str, name: str) -> Any:
    return getattr(_file(path), name)


def _file(path: str) -> types.ModuleType:
    """The module in a package's file, without importing the package around it."""
    import importlib.util
    from pathlib import Path

    for place in sys.path:
        found = Path(place or ".", path)
        if found.exists():
            spec = importlib.util.spec_from_file_location(path.replace("/", "_")[:-3], found)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError(f"no file {path} on the path")
