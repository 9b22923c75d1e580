"""Rules that a plug-in must keep to be measured right, each with the line that would keep it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import pkgutil
import re
from collections.abc import Callable
from numbers import Real
from typing import Any

from gr_bench.errors import RequestError
from gr_bench.plugins.source import defining_module, is_installed_module


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


RESULTS = {
    "method": ("gr_bench.methods:Method", "torch.optim:Optimizer"),
    "combinator": ("gr_bench.methods:Method",),
    "optimizer": ("torch.optim:Optimizer",),
    "model": ("torch.nn:Module",),
    "dataset": ("gr_bench.workloads.datasets:Dataset",),
    "experiment": ("gr_bench.experiments.experiment:Experiment",),
}
"""By kind, the classes of which a thing is one, or makes one; a meter returns numbers."""

NUMBERS = re.compile(r"(builtins\.)?(float|dict\[str, float\]|float \| dict\[str, float\])")

DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def check_result(kind: str, thing: Any, where: str) -> None:
    """Refuse what is defined in installed code and does not say that it makes one of that kind.

    A suite could have any function called otherwise: ``os:remove(path='...')``. It must be a class
    of the kind, or a function annotated with one. It is not called for that. What a user wrote may
    be a plain function.

    Raises:
        RuleBroken: with what would be right.
    """
    own = thing
    while isinstance(own, functools.partial):
        own = own.func
    module = defining_module(own)
    if not is_installed_module(module):
        return
    bases = tuple(pkgutil.resolve_name(base) for base in RESULTS.get(kind, ()))
    if _makes(own, bases):
        return
    names = [base.rpartition(":")[2] for base in RESULTS.get(kind, ())]
    right = f"a class derived from {' or '.join(names)}, or a function -> {names[0]}"
    if not names:
        right = "a function -> float or -> dict[str, float]"
    raise RuleBroken(
        f"{kind} {where!r} is installed code (of {module}) that does not say that it makes one, "
        f"and is not called: name {right}, or call it in a function of your own file"
    )


def _makes(thing: Any, bases: tuple[type, ...]) -> bool:
    """True of a class derived from one of ``bases``, and of a function annotated with one; without
    bases, of a function annotated with numbers."""
    if inspect.isclass(thing):
        return issubclass(thing, bases)
    found = getattr(thing, "__annotations__", None)
    returned = found.get("return") if isinstance(found, dict) else None
    if not bases:
        return bool(NUMBERS.fullmatch(returned if isinstance(returned, str) else _shown(returned)))
    if isinstance(returned, str):
        text = returned.strip("\"' ")
        if not DOTTED.fullmatch(text):
            return False
        first, *others = text.split(".")
        names = getattr(inspect.unwrap(thing), "__globals__", {})
        if first not in names:  # imported for type checking alone
            return text.rpartition(".")[2] in {base.__name__ for base in bases}
        returned = functools.reduce(lambda at, name: getattr(at, name, None), others, names[first])
    return inspect.isclass(returned) and issubclass(returned, bases)


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
