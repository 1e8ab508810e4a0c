"""The methods, found by themselves: one file, one method, and the file's name is its public name."""

import pkgutil
from functools import reduce
from importlib import import_module
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import Field, ValidationError

from adapters.base import Method
from adapters.errors import MethodUnknown, ParameterInvalid
from models.errors import Problem


def _discover() -> dict[str, type[Method]]:
    return {module.name: _method_in(module.name) for module in pkgutil.iter_modules(__path__)}


def _method_in(name: str) -> type[Method]:
    """The one method that a file defines."""
    module = import_module(f"{__name__}.{name}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    ]
    if len(found) != 1 or found[0].model_fields["method"].default != name:
        raise TypeError(f"{module.__name__} must define exactly one Method whose `method` is the literal {name!r}.")
    return found[0]


METHODS: dict[str, type[Method]] = _discover()
"""Every method by its public name."""

if TYPE_CHECKING:
    AnyMethod: TypeAlias = Method
else:
    AnyMethod = Annotated[reduce(or_, METHODS.values()), Field(discriminator="method")]
    """Any method as one schema, told apart by ``method``."""


def parse_method(value: object) -> Method:
    """A method from what a caller wrote: a name, or an object with the name in ``method`` and its parameters.

    Raises:
        MethodUnknown: No such method; the message names the known ones.
        ParameterInvalid: A parameter is unknown or ill-typed; one problem each, with a pointer into the object.
    """
    given: dict[str, Any] = {"method": value} if not isinstance(value, dict) else value
    name = given.get("method")
    if not isinstance(name, str) or name not in METHODS:
        known = ", ".join(sorted(METHODS))
        pointer = "/method" if isinstance(value, dict) else ""
        raise MethodUnknown(
            f"There is no method {_shown(name)}; the methods are {known}.",
            problems=[Problem(f"must be one of {known}", pointer=pointer)],
        )
    try:
        return METHODS[name].model_validate(given, strict=True)
    except ValidationError as error:
        raise _invalid(name, error) from error


def _invalid(name: str, error: ValidationError) -> ParameterInvalid:
    problems = [Problem(e["msg"], pointer=_pointer(e["loc"])) for e in error.errors(include_url=False)]
    known = ", ".join(field for field in METHODS[name].model_fields if field != "method") or "none"
    listed = "; ".join(f"{problem.pointer}: {problem.detail}" for problem in problems[:5])
    return ParameterInvalid(f"Method {name!r}: {listed}. Its parameters are: {known}.", problems=problems)


def _pointer(location: tuple[int | str, ...]) -> str:
    """RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _shown(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 60 else text[:57] + "..."
