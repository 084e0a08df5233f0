"""What every table of a recipe has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A table of a recipe: frozen, and no key that it does not know.

    TOML has no word for ``None``; an empty string says it, where ``None`` is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_none(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        may_be_none = {
            key
            for key, known in cls.model_fields.items()
            if type(None) in get_args(known.annotation)
        }
        return {
            key: None if value == "" and key in may_be_none else value
            for key, value in values.items()
        }
