"""A memo of what was computed, within a budget; what was used longest ago goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar


class HasBytes(Protocol):
    """Anything that says how much memory it takes."""

    @property
    def nbytes(self) -> int:
        """Bytes."""


Item = TypeVar("Item", bound=HasBytes)


class Memo(Generic[Item]):
    """Lists of items by key.

    Args:
        budget_bytes: What all lists may take together; a list that does not fit is not kept.

    Example:
        >>> import numpy as np
        >>> memo = Memo(budget_bytes=10)
        >>> memo.put("a", [np.zeros(8, np.uint8)])
        >>> memo.put("b", [np.zeros(8, np.uint8)])
        >>> memo.get("a") is None, len(memo.get("b"))
        (True, 1)
    """

    def __init__(self, *, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._kept: OrderedDict[Hashable, Sequence[Item]] = OrderedDict()
        self._used = 0

    def get(self, key: Hashable) -> Sequence[Item] | None:
        """Return the list of a key, or ``None`` where it is not kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Hashable, items: Sequence[Item]) -> None:
        """Keep a list, and let go of others until all fit; one beyond the budget is not kept."""
        self._used -= _bytes(self._kept.pop(key, ()))
        if _bytes(items) > self.budget_bytes:
            return
        self._kept[key] = items
        self._used += _bytes(items)
        while self._used > self.budget_bytes:
            _, gone = self._kept.popitem(last=False)
            self._used -= _bytes(gone)


def _bytes(items: Sequence[HasBytes]) -> int:
    return sum(item.nbytes for item in items)
