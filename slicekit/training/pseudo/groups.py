"""Which cases of a dataset are true, which are to be labelled, and which are left alone."""

from __future__ import annotations

from slicekit.data.cases import Dataset, Groups, split_cases
from slicekit.errors import DatasetError
from slicekit.recipes import Recipe


def choose_groups(
    dataset: Dataset, *, labelled: str | None, unlabelled: str | None, held_out: str | None
) -> Groups:
    """Choose cases to label and those that help, as ``split_cases`` does.

    Raises:
        DatasetError: None is to be labelled, or what ``split_cases`` refuses.
    """
    groups = split_cases(dataset, labelled=labelled, unlabelled=unlabelled, held_out=held_out)
    if not groups.free:
        raise DatasetError(
            f"no scan to label in {dataset}; put scans without labels into imagesTr, or name a "
            "group of splits.json whose labels are not to be looked at"
        )
    return groups


def usual_groups(
    dataset: Dataset,
    recipe: Recipe,
    *,
    labelled: str | None = None,
    unlabelled: str | None = None,
    held_out: str | None = None,
) -> Groups:
    """Choose as a user says, and else as the model was trained.

    Args:
        dataset: The dataset.
        recipe: Of the model; its groups count where splits.json has groups of these names.
        labelled: Group whose labels are true.
        unlabelled: Group to label.
        held_out: Group that nothing is learnt from; an empty string for none.

    Raises:
        DatasetError: splits.json has groups of which nobody says whether their labels are true, or
            what ``choose_groups`` refuses.
    """
    training, splits = recipe.training, dataset.splits

    def usual(said: str | None, known: str | None) -> str | None:
        return said if said is not None else known if known in splits else None

    true = usual(labelled, training.labelled_group)
    free = usual(unlabelled, training.unlabelled_group)
    apart = usual(held_out, training.held_out_group) or None
    further = sorted({*splits} - {true, free, apart, training.held_out_group})
    if true is None and further:
        raise DatasetError(
            f"{dataset.folder / 'splits.json'} has the further groups {', '.join(further)}, which "
            "may be there to test on; say which labels are true (--labelled-group)"
        )
    return choose_groups(dataset, labelled=true, unlabelled=free, held_out=apart)
