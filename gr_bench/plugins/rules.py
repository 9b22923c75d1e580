"""Rules that a plug-in must keep to be measured right, each with the line that would keep it."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from numbers import Real
from typing import Any

from gr_bench.errors import RequestError


class RuleBroken(RequestError):
    """A plug-in that is there, and could not be measured right."""


NAME = re.compile(r"[A-Za-z_][\w.-]*")

SIGNATURES = {
    "model": (2, "def {name}(input_shape, num_classes): ... -> nn.Module"),
    "meter": (2, "def {name}(model, data): ... -> float | dict[str, float]"),
    "dataset": (0, "def {name}(): ... -> Dataset"),
}
"""By kind, the leading arguments that a thing is called with, and the line that takes them."""


def displayed_name(kind: str, thing: Any, where: str) -> str:
    """The name of a plug-in in tables: its class's own ``name``, or that of the class or function.

    Raises:
        RuleBroken: a name that a suite could not spell.
    """
    given = vars(thing).get("name") if inspect.isclass(thing) else None
    if kind == "experiment":  # which go by no other name, and may inherit it
        given = getattr(thing, "name", None)
    default = getattr(thing, "__name__", where.rpartition(":")[2].rpartition(".")[2])
    name = given if isinstance(given, str) else default
    if not NAME.fullmatch(name):
        raise RuleBroken(
            f"{kind} {where!r}: its name {name!r} must be a letter and then letters, digits, "
            '".", "-" or "_": write name: ClassVar[str] = "my-name"'
        )
    return name


def check_signature(kind: str, name: str, signature: inspect.Signature) -> None:
    """Refuse a model, a dataset or a meter that cannot be called as it will be.

    Raises:
        RuleBroken: with the line that would be right.
    """
    given, line = SIGNATURES.get(kind, (0, ""))
    try:
        signature.bind_partial(*range(given))
    except TypeError:
        right = line.format(name=name)
        raise RuleBroken(f"{kind} {name!r} takes {signature}: write {right}") from None


def check_method_class(cls: type, where: str) -> None:
    """Refuse a class whose methods would not be plain values.

    Raises:
        RuleBroken: with the line that would be right.
    """
    from gr_bench.methods import Method

    def refuse(why: str, right: str) -> RuleBroken:
        return RuleBroken(f"method {where!r}: {why}: write {right}")

    name = cls.__name__
    if not issubclass(cls, Method):
        raise refuse(
            f"class {name} is no gr_bench.methods.Method",
            f"class {name}(Method), with from gr_bench.methods import Method",
        )
    params = vars(cls).get("__dataclass_params__")
    above = (
        f"@dataclass(frozen=True) above class {name}, and its numbers as fields: scale: float = 1.0"
    )
    if _writes_init(cls):
        raise refuse(f"class {name} has an __init__ of its own", above)
    if params is None or not params.frozen:
        raise refuse(f"class {name} is no frozen dataclass", above)
    for own in dataclasses.fields(cls):
        if own.name in _class_variables(Method):
            annotated = f"{own.name}: ClassVar[{_shown(own.type)}] = ..."
            raise refuse(f"{own.name} of class {name} is not a number of the method's", annotated)
        if not (own.init or own.name in _own_fields(Method) or _keeps_state(cls)):
            raise refuse(
                f"{own.name} of class {name} would be lost where a training is interrupted",
                f'self.state["{own.name}"] for it, which is kept, or state_dict and '
                "load_state_dict that keep it",
            )
    if not (_is_count(getattr(cls, "passes", None)) or _counts_itself(cls)):
        raise refuse(
            f"class {name} does not say how many forward-backward passes its step makes",
            f"passes: ClassVar[int] = 2 in class {name}, or 1, or as many as they are",
        )


def check_parameters(where: str, parameters: dict[str, Any]) -> None:
    """Refuse parameters that are no plain values, which a suite could not spell.

    Raises:
        RuleBroken: with what would be right.
    """
    for key, value in parameters.items():
        if not _is_plain(value):
            raise RuleBroken(
                f"method {where!r}: {key} is a {type(value).__name__}: a parameter must be a "
                f"number, a string, a bool, None or a tuple of these: write {key}: float = 1.0"
            )


def import_hint(error: BaseException) -> str:
    """An error of importing somebody's code in words, with what would be right if it is known."""
    if isinstance(error, SystemExit):
        return (
            "it ends the program (SystemExit): put what a script does under "
            'if __name__ == "__main__":'
        )
    if "non-frozen dataclass from a frozen" in str(error):
        return f"{error}: write @dataclass(frozen=True)"
    return str(error) or type(error).__name__


def _writes_init(cls: type) -> bool:
    """True if the class's constructor is written out and not made by ``dataclass``."""
    init: Callable[..., None] | None = vars(cls).get("__init__")
    code = getattr(init, "__code__", None)
    return init is not None and (code is None or code.co_filename != "<string>")


def _keeps_state(cls: type) -> bool:
    from gr_bench.methods import Method

    return getattr(cls, "state_dict", None) is not Method.state_dict


def _counts_itself(cls: type) -> bool:
    from gr_bench.methods import Method

    return getattr(cls, "gradient_evaluations", None) is not Method.gradient_evaluations


def _class_variables(cls: type) -> set[str]:
    return {key for key, text in cls.__annotations__.items() if str(text).startswith("ClassVar")}


def _own_fields(cls: type) -> set[str]:
    return {own.name for own in dataclasses.fields(cls)}


def _shown(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "...")


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, Real | str)
