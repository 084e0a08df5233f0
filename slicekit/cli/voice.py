"""How much a command says: two options that every command has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

_Quiet = Annotated[bool, typer.Option("--quiet", help="Neither progress nor warnings.")]
_Verbose = Annotated[bool, typer.Option("--verbose", help="Every step; tracebacks of errors.")]


def with_voice(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--quiet`` and ``--verbose``, which ``terminal.run`` obeys.

    The command itself is not told: what it must not say goes through ``terminal.notes``.
    """

    @wraps(command)
    def told(*, quiet: bool = False, verbose: bool = False, **words: Any) -> None:
        if quiet and verbose:
            raise typer.BadParameter("--quiet and --verbose exclude one another; choose one")
        command(**words)

    more = {"quiet": _Quiet, "verbose": _Verbose}
    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in more.items()
    ]
    told.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *added]
    )
    told.__annotations__ = {
        name: parameter.annotation for name, parameter in signature.parameters.items()
    } | more
    return told
