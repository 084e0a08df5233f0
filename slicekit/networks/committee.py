"""One to three reference networks that look at the same slices."""

from __future__ import annotations

from torch import Tensor, nn

from slicekit.errors import RecipeError

NAMES = ("a", "b", "c")
"""What the members are called, in a state dict as well."""


class Committee(nn.Module):
    """Networks of unlike build; what they disagree on is what none of them is sure of.

    Args:
        members: One to three reference networks with as many classes each; they are the
            attributes ``a``, ``b`` and ``c``.

    Raises:
        RecipeError: There is no member, or there are more than three.
    """

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        if not 1 <= len(members) <= len(NAMES):
            raise RecipeError(f"a reference has 1 to {len(NAMES)} networks, got {len(members)}")
        for name, member in zip(NAMES, members, strict=False):
            self.add_module(name, member)

    @property
    def members(self) -> tuple[nn.Module, ...]:
        """The networks, in their order."""
        return tuple(member for member in self._modules.values() if member is not None)

    def forward(
        self,
        slices: Tensor,  # (b, 3, y, x) windows in [0, 1]
        position: Tensor | None = None,  # (b,) in [0, 1]
    ) -> tuple[Tensor, ...]:  # (b, classes, y, x) logits, one a member
        """Return what every member says of the same slices."""
        return tuple(member(slices, position) for member in self.members)
