"""Two CUDA devices that are only pretended, on PyTorch's CPU build.

Models, methods, optimizers and autograd run under ``FakeTensorMode`` with ``device="cuda"``, and
:class:`Trace` sees every operator: launches, copies between host and device, reads for which the
host would have to wait, bytes alive. There are no times, no values, no cuDNN workspaces, no
fragmentation and no TF32, and what an operator does inside its kernel is not seen.

PyTorch looks for its device guards when it is loaded, so this module comes before ``import torch``:

    import pretended_cuda              # compiles and loads the guard, then imports torch
    pretended_cuda.install()
    with FakeTensorMode(), pretended_cuda.Trace() as trace:
        ...                            # a step on "cuda"
    trace.launches, trace.copies, trace.waits, trace.peak_bytes

A test that asks for the fixture ``pretended_cuda`` runs where all this has been done.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections import Counter
from typing import Any, Self

import cuda_guard

if "torch" in sys.modules:
    raise RuntimeError("pretended_cuda must be imported before torch: run it in its own process")
ctypes.CDLL(str(cuda_guard.library()), mode=ctypes.RTLD_GLOBAL)

import torch  # noqa: E402  (the guard comes first)
from torch import nn  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

DEVICES = 2

BLOCK_BYTES = 512
"""Sizes are rounded up to whole blocks of this, as PyTorch's CUDA allocator does."""

# fmt: off
NOTHING_LAUNCHED = frozenset(
    (
        "device", "prim", "view", "t", "transpose", "expand", "permute", "detach",
        "_unsafe_view", "unsqueeze", "squeeze", "select", "slice", "split", "split_with_sizes",
        "alias", "_reshape_alias", "as_strided", "reshape", "unbind", "flatten", "numpy_T",
        "lift_fresh", "is_same_size", "empty", "empty_like", "empty_strided", "new_empty",
        "new_empty_strided", "unflatten", "chunk", "record_stream", "set_", "resize_",
    )
)
# fmt: on
"""Operators that make views or memory."""

READS = frozenset(
    ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "_unique2")
)
"""Operators whose result the host has to wait for."""


def install() -> None:
    """Let PyTorch believe in its CUDA devices; lasts until the process ends.

    Random states exist and are all alike; modules move by new parameters, since setting ``.data``
    across devices is refused for fake ones; SGD loops over lists of tensors at once, which it
    chooses by itself for real CUDA parameters and not for fake ones.
    """
    state = torch.zeros(16, dtype=torch.uint8)
    replaced: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "init": lambda: None,
        "device_count": lambda: DEVICES,
        "is_bf16_supported": lambda *_, **__: True,
        "current_device": lambda: torch._C._accelerator_getDeviceIndex(),
        "set_device": _set_device,
        "_exchange_device": _exchange_device,
        "_maybe_exchange_device": _exchange_device,
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "get_rng_state": lambda device="cuda": state,
        "set_rng_state": lambda new_state, device="cuda": None,
        "get_rng_state_all": lambda: [state for _ in range(DEVICES)],
        "set_rng_state_all": lambda new_states: None,
    }
    for name, function in replaced.items():
        setattr(torch.cuda, name, function)
    FakeTensorMode.avoid_device_init = property(lambda self: True)
    nn.Module.to = _to
    plain = torch.optim.SGD.__init__

    def with_foreach(self: torch.optim.SGD, *given: Any, **named: Any) -> None:
        if not named.get("fused") and named.get("foreach") is None:
            named["foreach"] = True
        plain(self, *given, **named)

    torch.optim.SGD.__init__ = with_foreach


def _set_device(device: torch.device | int | str) -> None:
    index = device if isinstance(device, int) else torch.device(device).index
    if index is not None:
        torch._C._accelerator_setDeviceIndex(index)


def _exchange_device(index: int) -> int:
    """Choose a device, none if the index is negative; the one from before."""
    before = torch._C._accelerator_getDeviceIndex()
    if index >= 0:
        torch._C._accelerator_setDeviceIndex(index)
    return int(before)


def _to(self: nn.Module, *arguments: Any, **named: Any) -> nn.Module:
    """``Module.to``."""
    device, dtype, _, layout = torch._C._nn._parse_to(*arguments, **named)

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        own = dtype if tensor.is_floating_point() else None
        shape = {"memory_format": layout} if layout is not None and tensor.ndim == 4 else {}
        return tensor.detach().to(device or tensor.device, own or tensor.dtype, **shape)

    for module in self.modules():
        for name, p in list(module._parameters.items()):
            if p is not None:
                module._parameters[name] = nn.Parameter(moved(p), p.requires_grad)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = moved(buffer)
    return self


class Trace(TorchDispatchMode):
    """What reaches the pretended devices inside a ``with``, gradient passes included.

    Attributes:
        operators: how often each operator that launches something is called, by name.
        copies: between host and device, by what they are, those that need not be waited for
            among them.
        waits: what makes the host wait for the device, by what it is.
        live_bytes: alive at present, of what was made in here.
        peak_bytes: the most alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operators: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.live_bytes = self.peak_bytes = 0
        self._seen: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    @property
    def launches(self) -> int:
        """Calls of operators that launch something; each launches one kernel or more."""
        return self.operators.total()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        inputs = _tensors((args, kwargs))
        on = {t.device.type for t in inputs}
        self._note_reads(name, inputs, on)  # first, since with nothing to read they raise
        for t in inputs:
            self._note(t, new=False)
        out = func(*args, **kwargs)
        outputs = _tensors(out)
        on |= {t.device.type for t in outputs}
        if name in ("_to_copy", "copy_") and on == {"cpu", "cuda"}:
            self.copies[name] += 1
            if not (kwargs.get("non_blocking") or (name == "copy_" and True in args)):
                self.waits[name] += 1
        if "cuda" in on and name not in NOTHING_LAUNCHED:
            self.operators[name] += 1
        for t in outputs:
            self._note(t, new=True)
        return out

    def _note_reads(self, name: str, inputs: list[torch.Tensor], on: set[str]) -> None:
        if "cuda" not in on:
            return
        by_mask = name == "index" and any(t.dtype == torch.bool for t in inputs[1:])
        if name in READS or by_mask:
            self.waits[name] += 1
        if name.startswith("index") and "cpu" in on:  # the indices are on the host
            self.copies[name] += 1
            self.waits[name] += 1

    def _note(self, tensor: torch.Tensor, *, new: bool) -> None:
        """Count a storage from when it is made; one from before is remembered as not counted."""
        if tensor.device.type != "cuda":
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        size = -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES if new else 0

        def gone(_: object) -> None:
            self._seen.pop(key, None)
            self.live_bytes -= size

        self._seen[key] = weakref.ref(storage, gone)
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)


def _tensors(nested: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(nested) if isinstance(leaf, torch.Tensor)]
