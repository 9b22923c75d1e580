"""The models, by the name that a suite uses.

A model is a ``torch.nn.Module`` built as ``model(input_shape, num_classes, **parameters)``, from
the shape of one sample (without the batch) and the number of classes. Adding one takes a file and a
line in ``MODELS``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import nn

from gr_bench.workloads.models.char_transformer import CharTransformer
from gr_bench.workloads.models.mlp import MLP
from gr_bench.workloads.models.resnet import CifarResNet, ResNet18
from gr_bench.workloads.models.vit import ViT
from gr_bench.workloads.models.wide_resnet import WideResNet

__all__ = ["MLP", "MODELS", "CharTransformer", "CifarResNet", "ResNet18", "ViT", "WideResNet"]


def _fix(model: Callable[..., nn.Module], **fixed: object) -> Callable[..., nn.Module]:
    """``model`` with the parameters that its name promises.

    Unlike with ``functools.partial``, a fixed parameter cannot be passed again (TypeError) and
    leaves the signature: a ``resnet-8`` of depth 20 would be recorded under a wrong name.
    """

    def build(input_shape: tuple[int, ...], num_classes: int, **parameters: object) -> nn.Module:
        return model(input_shape, num_classes, **fixed, **parameters)

    signature = inspect.signature(model)
    free = [p for name, p in signature.parameters.items() if name not in fixed]
    build.__signature__ = signature.replace(parameters=free)  # type: ignore[attr-defined]
    build.__doc__ = model.__doc__
    return build


MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "resnet-8": _fix(CifarResNet, depth=8),
    "resnet-18": ResNet18,
    "resnet-20": _fix(CifarResNet, depth=20),
    "wrn-16-4": _fix(WideResNet, depth=16, widen_factor=4),
    "wrn-28-10": _fix(WideResNet, depth=28, widen_factor=10),
    "vit": ViT,
    "char-transformer": CharTransformer,
}
