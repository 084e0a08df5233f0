"""Compile a kernel once and keep it on disk; where nothing can be kept, compile it again."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numba

log = logging.getLogger(__name__)


class Kernel:
    """A function compiled by numba, which lets other threads run beside it.

    numba keeps what it compiled in ``__pycache__`` beside the source or, where that cannot be
    written, in the user's cache folder. Where neither can be, or what was kept is damaged, the
    function is compiled anew in each process: some seconds slower, otherwise the same.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        update_wrapper(self, function)
        try:
            self._run = numba.njit(nogil=True, cache=True)(function)
        except RuntimeError as fault:  # no folder takes it
            self._forgo(fault)

    def __call__(self, *arguments: Any) -> Any:
        """Run it, compiling first where that was never done."""
        try:
            return self._run(*arguments)
        except (OSError, EOFError, pickle.PickleError) as fault:  # of the folder: kernels know none
            self._forgo(fault)
            return self._run(*arguments)

    def _forgo(self, fault: Exception) -> None:
        name = self._function.__name__
        log.info("%s is compiled in every process, since it cannot be kept: %s", name, fault)
        self._run = numba.njit(nogil=True)(self._function)
