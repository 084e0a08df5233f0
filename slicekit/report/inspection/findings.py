"""What can be found in a dataset: kinds of findings, how bad each is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Kind(NamedTuple):
    """One kind of finding."""

    severity: Severity
    title: str
    cure: str


KINDS = {
    "dataset": Kind(
        "error", "The dataset cannot be opened", "mend the file that the message names"
    ),
    "pairing": Kind(
        "error", "Files do not make cases",
        "name them CASE_0000.nii.gz in imagesTr and CASE.nii.gz in labelsTr, one file a case",
    ),
    "splits": Kind("error", "splits.json cannot be meant", "mend the list of names"),
    "annotations": Kind("error", "annotations.json and labels contradict one another",
        "name in annotations.json what was annotated, or mend the labels"),
    "unreadable": Kind("error", "Files that cannot be read", "copy or export them again"),
    "swapped": Kind("error", "Images that hold nothing but ids", "exchange image and labels"),
    "not-ids": Kind("error", "Labels that are no whole numbers",
        "resample label maps with nearest neighbours, and save them without smoothing"),
    "grid": Kind("error", "Labels on another grid than their image",
        "resample the labels onto the image, or find the image they were drawn on"),
    "unknown-ids": Kind("error", "Ids that dataset.json does not name",
        "name them under 'labels' in dataset.json, or take them out of the labels"),
    "leak": Kind("error", "One scan in different groups of splits.json",
        "keep one of the two; a score on a scan that was learnt from means nothing"),
    "duplicate": Kind("warning", "Scans with the same voxels", "keep one of them"),
    "same-labels": Kind("warning", "Different scans with the same labels",
        "see which scan they were drawn on"),
    "empty": Kind("warning", "Labels without any organ",
        'remove the file if nobody annotated it, or say "labels_present": [] in annotations.json'),
    "few-slices": Kind("warning", "Labels on few slices",
        "say in annotations.json which slices were annotated; the others count as background"),
    "doubtful": Kind("warning", "What the reader mended or doubts", "see the message"),
    "spacing": Kind("warning", "Spacing far from the others'", "see whether the header is right"),
    "intensities": Kind("warning", "Intensities far from the others'",
        "see whether the scan has the unit of the others"),
    "never": Kind("warning", "Organs that no label map holds",
        "take them out of dataset.json, or say in annotations.json who annotated them"),
    "nearly-grid": Kind("warning", "Labels that lie a hair beside their image",
        "--fix gives them the image's affine; other tools refuse them"),
    "float-ids": Kind("note", "Whole ids that are stored as real or scaled numbers",
        "--fix stores them as integers"),
    "suffix": Kind("note", "Images without _0000",
        "--fix renames them; slicekit reads both, nnU-Net only CASE_0000"),
    "training-count": Kind("note", "numTraining in dataset.json", "--fix sets it"),
    "orientation": Kind("note", "Axes that run otherwise than in most scans",
        "nothing: slicekit turns every scan; tools that do not will see it mirrored"),
    "partial": Kind("note", "Annotated in part, as annotations.json says", "nothing"),
    "unlabelled": Kind("note", "Scans without labels", "nothing: they are learnt from as such"),
    "absent": Kind("note", "Organs that most scans have and these have not",
        "nothing if they are not there; else say in annotations.json that nobody drew them"),
    "stray": Kind("note", "Files that are no scans", "nothing: they are passed over"),
}  # fmt: skip
"""By severity, the worst first."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    kind: str
    """Key of ``KINDS``."""
    where: str
    """Case, file or organ."""
    what: str
    """What is the matter, with numbers."""

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.kind].severity
