"""Which scans a path means, and that no two of them ever write one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit.errors import ReadError, WriteError
from slicekit.report import batch
from slicekit.report.batch import outputs_beside, plan_outputs, truth_beside


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "scan.NII.GZ", "scan.png"])
def test_a_file_goes_where_it_is_told_or_into_the_current_folder(name: str, tmp_path: Path) -> None:
    scan = tmp_path / "in" / name
    touch(scan)
    assert plan_outputs(scan, Path("x.nii.gz")) == [(scan, Path("x.nii.gz"))]
    stem = "scan.png" if name.endswith("png") else "scan"
    assert plan_outputs(scan, None) == [(scan, Path(f"{stem}_labels.nii.gz"))]
    assert plan_outputs(scan, tmp_path) == [(scan, tmp_path / f"{stem}_labels.nii.gz")]


def test_a_slice_folder_is_one_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "case" / "1.png", tmp_path / "case" / "2.png")
    assert plan_outputs(tmp_path / "case", None) == [
        (tmp_path / "case", Path("case_labels.nii.gz"))
    ]
    masks = tmp_path / "masks"
    masks.mkdir()
    assert plan_outputs(tmp_path / "case", masks) == [(tmp_path / "case", masks)]
    monkeypatch.chdir(tmp_path / "case")
    assert plan_outputs(Path(), None) == [(Path(), Path("case_labels.nii.gz"))]


def test_a_folder_of_scans_becomes_a_folder_of_labels(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    touch(scans / "b.nii", scans / "a.nii.gz", scans / "._a.nii.gz", scans / "notes.txt")
    (scans / "folder.nii").mkdir()
    for out, folder in ((tmp_path / "out", tmp_path / "out"), (None, Path("scans_labels"))):
        assert plan_outputs(scans, out) == [
            (scans / "a.nii.gz", folder / "a.nii.gz"),
            (scans / "b.nii", folder / "b.nii"),
        ]


def test_links_keep_their_own_names(tmp_path: Path) -> None:
    touch(tmp_path / "one" / "scan.nii.gz", tmp_path / "two" / "scan.nii.gz")
    scans = tmp_path / "scans"
    scans.mkdir()
    for case in ("one", "two"):
        (scans / f"{case}.nii.gz").symlink_to(tmp_path / case / "scan.nii.gz")
    targets = [target for _, target in plan_outputs(scans, Path("out"))]
    assert targets == [Path("out/one.nii.gz"), Path("out/two.nii.gz")]


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (("a.nii", "a.nii.gz"), r"a\.json"),
        (("a.nii", "a_stats.nii"), r"a_stats\.json"),
        (("a.nii", "a_uncertainty.nii.gz"), r"a_uncertainty\.nii\.gz"),
    ],
)
def test_scans_that_would_share_an_output_are_refused(
    names: tuple[str, str], output: str, tmp_path: Path
) -> None:
    touch(*(tmp_path / name for name in names))
    with pytest.raises(WriteError, match=rf"{output}: would be written for both {names[0]} and"):
        plan_outputs(tmp_path, tmp_path / "out")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "a_stats", "a_preview", "a_uncertainty", "b", "ä b"]),
            st.sampled_from([".nii", ".nii.gz", ".NII"]),
        ),
        min_size=1,
        unique=True,
    )
)
def test_no_output_is_another_scans(names: list[tuple[str, str]]) -> None:
    scans = [Path(stem + ending) for stem, ending in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "scans_in", lambda _: sorted(scans))
        try:
            pairs = plan_outputs(Path("scans"), Path("out"))
        except WriteError:
            stems = sorted(stem for stem, _ in names)
            near = ("a_stats", "a_preview", "a_uncertainty")
            taken = any({"a", other} <= {*stems} for other in near)
            assert taken or len({*stems}) < len(stems)
            return
    written = [path for _, target in pairs for path in (target, *outputs_beside(target))]
    assert len({*written}) == len(written) == 5 * len(scans)
    assert all(path.parent == Path("out") for path in written)


def test_one_file_name_cannot_take_several_scans(tmp_path: Path) -> None:
    touch(tmp_path / "a.nii", tmp_path / "b.nii")
    with pytest.raises(WriteError, match=r"labels\.nii\.gz: .* holds 2 scans; name a folder"):
        plan_outputs(tmp_path, Path("labels.nii.gz"))


def test_missing_paths_are_told_apart_from_unreadable_ones(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=rf"^{tmp_path}/none: does not exist; name a NIfTI file"):
        plan_outputs(tmp_path / "none", None)
    with pytest.raises(ReadError, match=r"cannot be looked at .*too long"):
        plan_outputs(tmp_path / ("long" * 100), None)


def test_what_belongs_to_labels_lies_beside_them() -> None:
    for name in ("out/x.nii.gz", "out/x.nii", "out/x"):
        beside = outputs_beside(Path(name))
        assert beside.sidecar == Path("out/x.json")
        assert beside.statistics == Path("out/x_stats.json")
        assert beside.preview == Path("out/x_preview.png")
        assert beside.uncertainty == Path("out/x_uncertainty.nii.gz")


def test_true_labels_of_a_phantom_lie_beside_it() -> None:
    assert truth_beside(Path("out/ph.nii.nii.gz")) == Path("out/ph.nii_labels.nii.gz")
    assert truth_beside(Path("p.NII")) == Path("p_labels.NII")
    for name in ("phantom", "phantom.gz", ".nii.gz"):
        with pytest.raises(WriteError, match=r"end it in \.nii\.gz or \.nii"):
            truth_beside(Path(name))


def test_a_dataset_is_no_scan_but_its_folder_of_scans_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "imagesTr" / "a_0000.nii.gz", tmp_path / "dataset.json")
    with pytest.raises(ReadError, match=rf"a dataset, not a scan; .*: {tmp_path}/imagesTr$"):
        plan_outputs(tmp_path, None)
    assert len(plan_outputs(tmp_path / "imagesTr", None)) == 1
