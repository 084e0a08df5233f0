"""The memory bank: what propagation remembers of slices it has seen, and nothing else.

Reference: Cheng, Tai and Tang 2021 (STCN), section 3.2: scores are negative squared distances of
keys, and one affinity serves all objects; Cheng et al. 2021 (MiVOS): only the best ``top_k``
places are weighed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from slicekit.checks import expect_shape
from slicekit.errors import BudgetError, ShapeError

QUERIES_AT_ONCE = 128
"""Query places whose scores are held at one time; few, so that they stay in the cache."""
GROUP = 8
"""Columns of which only the best is looked at first."""


class MemoryBank:
    """Keys and values of remembered slices, in rows that were allocated once.

    Cost: to read m places from n remembered ones for k objects takes m n ck multiply-adds for
    the scores, whatever k is, and m top_k k cv for the weighted sums; the rows take
    n (4 ck + 4 + k cv b) bytes, b being the bytes of a value. One read takes 4 n min(m, 128)
    bytes more for scores, about 12 m k top_k for the list of sums, and m k cv b for its answer.

    Guides are never forgotten. Other slices are working memory: when all slots are taken, the
    oldest of them makes room.

    Args:
        slots: Slices that may be remembered at one time, guides included.
        objects: Number of objects k; fixed, since every slice holds a value of each.
        cells: Places of a slice, ``y/16 * x/16``.
        key_dim: Channels of a key, ck.
        value_dim: Channels of a value, cv.
        value_dtype: Number format of the values; scores are always float32.
        device: Where the rows lie.
        top_k: Places that a query weighs, or all there are if fewer.

    Raises:
        ValueError: A size is below 1.

    Example:
        >>> bank = MemoryBank(slots=2, objects=1, cells=4, key_dim=3, value_dim=5)
        >>> bank.remember_guide(torch.randn(1, 3, 2, 2), torch.ones(1, 1, 5, 2, 2))
        >>> bank.read(torch.randn(1, 3, 2, 2)).shape
        torch.Size([1, 1, 5, 2, 2])
    """

    def __init__(
        self,
        *,
        slots: int,
        objects: int,
        cells: int,
        key_dim: int,
        value_dim: int,
        value_dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        top_k: int = 20,
    ) -> None:
        if min(slots, objects, cells, key_dim, value_dim, top_k) < 1:
            raise ValueError(
                f"a memory bank needs sizes of at least 1, got slots {slots}, objects {objects}, "
                f"cells {cells}, key_dim {key_dim}, value_dim {value_dim}, top_k {top_k}"
            )
        self.slots, self.cells, self.top_k = slots, cells, top_k
        rows = slots * cells
        self._keys = torch.zeros(rows, key_dim + 1, device=device)  # key, -|key|^2
        self._values = torch.zeros(rows, objects, value_dim, dtype=value_dtype, device=device)
        self._guides = 0
        self._working: deque[int] = deque()  # slots behind the guides, oldest slice first

    @classmethod
    def like(
        cls,
        key: Tensor,  # (1, ck, h, w)
        value: Tensor,  # (1, k, cv, h, w)
        *,
        slots: int,
        top_k: int,
    ) -> MemoryBank:
        """Return an empty bank that fits such keys and values, in the values' number format."""
        k, cv, h, w = value.shape[1:]
        return cls(
            slots=slots, objects=k, cells=h * w, key_dim=key.shape[1], value_dim=cv,
            value_dtype=value.dtype, device=value.device, top_k=top_k,
        )  # fmt: skip

    @staticmethod
    def slot_bytes(
        *, objects: int, cells: int, key_dim: int, value_dim: int, value_dtype: torch.dtype
    ) -> int:
        """Return the bytes that one remembered slice takes."""
        return cells * (4 * key_dim + 4 + objects * value_dim * value_dtype.itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, used or not."""
        return self._keys.nbytes + self._values.nbytes

    @property
    def _objects(self) -> int:
        return self._values.shape[1]

    @property
    def _key_dim(self) -> int:
        return self._keys.shape[1] - 1

    @property
    def guides(self) -> int:
        """Guides that are remembered."""
        return self._guides

    def __len__(self) -> int:
        return self._guides + len(self._working)

    def remember_guide(
        self,
        key: Tensor,  # (1, ck, h, w)
        value: Tensor,  # (1, k, cv, h, w)
    ) -> None:
        """Remember a slice for ever; working memory makes room where it must.

        Raises:
            BudgetError: Every slot holds a guide already.
            ShapeError: Key or value has other axes than the bank.
        """
        if self._guides == self.slots:
            raise BudgetError(
                f"all {self.slots} slots of the memory hold guides, which are never forgotten; "
                "give it more slots"
            )
        self._expect(key, value, objects=self._objects)
        free = self._free_slot()
        if free != self._guides:  # guides stay in front: the slice that lies there moves
            self._rows(self._keys, free).copy_(self._rows(self._keys, self._guides))
            self._rows(self._values, free).copy_(self._rows(self._values, self._guides))
            self._working[self._working.index(self._guides)] = free
        self._store(self._guides, key, value, objects=None)
        self._guides += 1

    def remember(
        self,
        key: Tensor,  # (1, ck, h, w)
        value: Tensor,  # (1, len(objects) or k, cv, h, w)
        *,
        objects: Sequence[int] | None = None,
    ) -> None:
        """Remember a slice until newer ones need its place; not at all where guides fill it.

        Args:
            key: What the slice looks like.
            value: What was seen there, one value an object.
            objects: Which objects ``value`` holds, in its order; all where ``None``. Nobody
                should read the others any more: in this slice they are blank.

        Raises:
            ShapeError: Key or value has other axes than the bank.
        """
        count = self._objects if objects is None else len(objects)
        self._expect(key, value, objects=count)
        if self._guides == self.slots:
            return
        slot = self._free_slot()
        self._store(slot, key, value, objects=objects)
        self._working.append(slot)

    def forget_working(self) -> None:
        """Forget everything but the guides."""
        self._working.clear()

    def read(
        self,
        query_key: Tensor,  # (1, ck, h, w)
        *,
        objects: Sequence[int] | None = None,
    ) -> Tensor:  # (1, len(objects) or k, cv, h, w)
        """Return what is remembered at the places most like each queried place.

        Args:
            query_key: Keys of the slice that is asked about.
            objects: Which objects to read; all where ``None``.

        Raises:
            ShapeError: The query has other channels, or nothing is remembered yet.
        """
        sizes = expect_shape("query_key", query_key, f"1 {self._key_dim} h w")
        if not len(self):
            raise ShapeError("the memory is empty; remember a guide before reading")
        wanted = range(self._objects) if objects is None else objects
        queries = query_key[0].float().flatten(1).T  # (m, ck)
        weighed = [self._weigh(some) for some in torch.split(queries, QUERIES_AT_ONCE)]
        weights, where = (torch.cat(parts) for parts in zip(*weighed, strict=True))  # (m, top_k)
        # The values of a row lie side by side, so objects count as neighbouring rows of one table:
        # a single call makes every sum, and goes through the memory in order.
        table = self._values.flatten(0, 1)
        numbers = torch.tensor(list(wanted), device=where.device)[:, None]
        rows = where[:, None] * self._objects + numbers  # (m, k, top_k)
        each = weights.to(table.dtype)[:, None].expand(rows.shape)
        read = F.embedding_bag(
            rows.flatten(0, 1), table, mode="sum", per_sample_weights=each.flatten(0, 1)
        )
        found = read.reshape(1, sizes["h"], sizes["w"], len(wanted), self._values.shape[2])
        return found.permute(0, 3, 4, 1, 2)

    def _weigh(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights and rows, both ``(m, top_k)``, of the places most like ``(m, ck)``."""
        scale = self._key_dim**-0.5
        asked = F.pad(2 * scale * queries, (0, 1), value=scale)
        with torch.autocast(queries.device.type, enabled=False):
            scores = asked @ self._keys[: len(self) * self.cells].T
        best, where = best_of(scores, self.top_k)
        return torch.softmax(best, dim=1), where  # softmax subtracts the maximum

    def _free_slot(self) -> int:
        """Return a slot that may be written; at need the oldest working slice gives up its own."""
        used = len(self)
        return used if used < self.slots else self._working.popleft()

    def _rows(self, table: Tensor, slot: int) -> Tensor:
        """Return the rows of one slot, as a view."""
        return table[slot * self.cells : (slot + 1) * self.cells]

    def _store(
        self, slot: int, key: Tensor, value: Tensor, *, objects: Sequence[int] | None
    ) -> None:
        keys = key[0].float().flatten(1).T
        own = self._rows(self._keys, slot)
        own[:, :-1] = keys
        own[:, -1] = -keys.square().sum(dim=1)
        rows = self._rows(self._values, slot)
        flat = value[0].flatten(2).permute(2, 0, 1).to(rows.dtype)  # (cells, k, cv)
        if objects is None:
            rows.copy_(flat)
        else:
            rows.zero_()
            rows[:, list(objects)] = flat

    def _expect(self, key: Tensor, value: Tensor, *, objects: int) -> None:
        sizes = expect_shape("key", key, f"1 {self._key_dim} h w")
        h, w = sizes["h"], sizes["w"]
        if h * w != self.cells:
            raise ShapeError(f"key must hold {self.cells} places, got {h} x {w}")
        expect_shape("value", value, f"1 {objects} {self._values.shape[2]} {h} {w}")


def best_of(
    scores: Tensor,  # (m, n)
    top_k: int,
) -> tuple[Tensor, Tensor]:  # (m, min(top_k, n)) scores, and the columns they stand in
    """Find the largest scores of every row, in no order.

    The columns are dealt out into groups of eight. The best ``top_k`` scores lie in the ``top_k``
    groups with the largest maxima, which are found in the same way, so that few columns are ever
    sorted: exact, and two to three times faster than ``topk`` over all of them. Which of equal
    scores is taken is not said.

    Args:
        scores: Any numbers.
        top_k: How many to find; all where there are fewer.

    Example:
        >>> best_of(torch.tensor([[1.0, 3.0, 0.0, 2.0]]), 1)
        (tensor([[3.]]), tensor([[1]]))
    """
    m, n = scores.shape
    groups = n // GROUP
    if groups <= top_k:
        best, where = scores.topk(min(top_k, n), dim=1, sorted=False)
        return best, where
    whole = GROUP * groups
    maxima = scores[:, :whole].reshape(m, GROUP, groups).amax(dim=1)
    _, chosen = best_of(maxima, top_k)  # (m, top_k)
    members = chosen[:, :, None] + torch.arange(0, whole, groups, device=scores.device)
    rest = torch.arange(whole, n, device=scores.device).expand(m, -1)
    columns = torch.cat([members.flatten(1), rest], dim=1)
    best, place = scores.gather(1, columns).topk(top_k, dim=1, sorted=False)
    return best, columns.gather(1, place)
