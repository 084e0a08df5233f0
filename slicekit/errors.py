"""What can go wrong, and what each kind of fault is called.

* SlicekitError
  + GeometryError(ValueError)      grids, affines, spacing
  + ShapeError(ValueError)         axes of an array or tensor
  + LabelError(ValueError)         class names and ids
  + DatasetError(ValueError)       a dataset folder that cannot be meant
  + RecipeError(ValueError)        a models/*.toml that cannot be meant
  + CheckpointError(RuntimeError)  weights that are not these weights
  + FileError(OSError)             a file, with its path and the cause
    - ReadError                    it cannot be read as what it claims to be
    - WriteError                   it could not be written whole
  + MissingDependencyError(ImportError)  an optional package is absent
  + DeviceError(RuntimeError)      a device or precision this machine lacks
  + BudgetError(MemoryError)       a stated amount of memory that cannot do

Warnings about data that was mended or is doubtful are of the class ``DataWarning``.

Every message says what was wanted, what came, and what to do about it.
"""

from __future__ import annotations

from pathlib import Path


class SlicekitError(Exception):
    """Any fault that slicekit itself reports."""


class GeometryError(SlicekitError, ValueError):
    """Two grids that should agree do not, or one grid is impossible."""


class ShapeError(SlicekitError, ValueError):
    """An array or tensor has other axes than were promised."""


class LabelError(SlicekitError, ValueError):
    """A class name or id is unknown, repeated or not a whole number."""


class DatasetError(SlicekitError, ValueError):
    """A dataset folder does not hold what it should."""


class RecipeError(SlicekitError, ValueError):
    """A recipe has an unknown key or a value that cannot be meant."""


class CheckpointError(SlicekitError, RuntimeError):
    """A weights file is damaged or belongs to something else."""


class FileError(SlicekitError, OSError):
    """A file is at fault; carries the path and the cause.

    Args:
        path: The file or folder at fault.
        cause: What is wrong with it, as the end of a sentence that begins with the path,
            and what to do about it.
    """

    def __init__(self, path: str | Path, cause: str) -> None:
        self.path = Path(path)
        self.cause = cause
        super().__init__(f"{self.path}: {cause}")

    def __reduce__(self) -> tuple[type[FileError], tuple[Path, str]]:
        return type(self), (self.path, self.cause)


class ReadError(FileError):
    """A file cannot be read as what it claims to be."""


class WriteError(FileError):
    """A file could not be written whole; what stood there before still stands."""


class MissingDependencyError(SlicekitError, ImportError):
    """An optional package is absent."""


class DeviceError(SlicekitError, RuntimeError):
    """A device or a precision was asked for that this machine lacks."""


class BudgetError(SlicekitError, MemoryError):
    """A stated amount of memory is less than the work needs at the very least."""


class DataWarning(UserWarning):
    """Something in the data was mended or is doubtful; the message says what was done."""


def lacks_memory(fault: BaseException) -> bool:
    """Recognise want of memory in an exception of Python or torch, which has no class for it."""
    told = isinstance(fault, RuntimeError) and not isinstance(fault, SlicekitError)
    words = ("allocate memory", "out of memory")
    full = isinstance(fault, MemoryError) and not isinstance(fault, SlicekitError)
    return full or (told and any(word in str(fault) for word in words))
