"""Files of torch.save, harmless and not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def saved(folder: Path, content: Any, **options: Any) -> Path:
    """Write ``stcn.pth``; options are those of ``torch.save``."""
    torch.save(content, folder / "stcn.pth", **options)
    return folder / "stcn.pth"


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.trace,)
