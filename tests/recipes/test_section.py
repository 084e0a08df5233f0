"""Every table of a recipe is frozen, strict, and takes an empty string for none where it may."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from slicekit.recipes.section import Count, Section


class Table(Section):
    """A table."""

    name: str = "usual"
    group: str | None = "train"
    height: float | None = 1.0
    count: Count = 1


def test_an_empty_string_is_none_where_that_is_allowed_and_itself_elsewhere():
    table = Table.model_validate({"name": "", "group": "", "height": ""})
    assert (table.name, table.group, table.height) == ("", None, None)
    with pytest.raises(ValidationError, match="count"):
        Table.model_validate({"count": ""})


@pytest.mark.parametrize("values", [{"gruop": "a"}, {"height": float("nan")}, {"count": 0}, 3])
def test_what_cannot_be_meant_is_refused(values):
    with pytest.raises(ValidationError):
        Table.model_validate(values)


def test_a_table_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Table().name = "other"
