from __future__ import annotations

import pytest

import slicekit.networks
from slicekit.errors import RecipeError
from slicekit.networks import BUILDERS, build


def test_all_that_is_promised_can_be_imported() -> None:
    for name in slicekit.networks.__all__:
        assert hasattr(slicekit.networks, name)


@pytest.mark.parametrize("kind", sorted(BUILDERS))
def test_an_unknown_preset_lists_the_known(kind: str) -> None:
    with pytest.raises(RecipeError, match="There are: paper, "):
        build(kind, "huge", classes=3)


def test_an_unknown_kind_names_the_likely_one() -> None:
    with pytest.raises(RecipeError, match="did you mean 'deeplabv3plus'"):
        build("deeplabv3", "tiny", classes=3)


@pytest.mark.parametrize("classes", [None, 0, 1])
def test_a_segmentation_needs_two_classes(classes: int | None) -> None:
    with pytest.raises(RecipeError, match="at least 2 classes"):
        build("transunet", "tiny", classes=classes)


@pytest.mark.parametrize("kind", ["attention-unet", "deeplabv3plus", "dynunet", "stcn"])
def test_a_position_is_refused_where_nothing_reads_it(kind: str) -> None:
    with pytest.raises(RecipeError, match="no slice position"):
        build(kind, "tiny", classes=3, position=True)
