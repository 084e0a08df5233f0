"""Batches as a user meets them: what is skipped, refused, shared, printed and written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slicekit.inference import model
from slicekit.io import write_volume
from slicekit.report import segment_job
from slicekit.report.claim import Claim

QUICK = ("--no-propagation",)


def lines(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text().splitlines()]


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """What lies in a folder and when it was written, without the journals."""
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.iterdir()
        if path.suffix != ".jsonl"
    }


def test_what_is_done_is_skipped_and_what_is_otherwise_is_told(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = (scans, "-o", out, *using, *QUICK)
    first = door("infer.py", *words)
    assert first.code == 0, first.err
    begun = lines(out / "run.jsonl")
    assert [(one["case"], one["status"]) for one in begun] == [
        ("a.nii.gz", "done"), ("b.nii.gz", "done")
    ]  # fmt: skip
    for one in begun:
        assert one["seconds"] > 0
        assert one["peak_memory_mib"] > 50
        assert one["peak_gpu_memory_mib"] is None
        assert {"stages", "volumes_ml", "at", "scan", "labels"} <= one.keys()
    before = contents(out)
    for more in ((), ("--overwrite",)):  # what is done is not done again
        again = door("infer.py", *words, *more)
        assert (again.code, again.out) == (0, "")
        assert "2 of 2 scans were done already" in again.err
    assert contents(out) == before
    other = door("infer.py", *words, "--organs", "liver")
    assert other.code == 2
    assert f"error: {out}/a.nii.gz: was made with organs None, not ['liver']; say --ov" in other.err
    assert "2 of 2 scans failed" in other.err
    assert contents(out) == before
    made = door("infer.py", *words, "--organs", "liver", "--overwrite")
    assert made.code == 0, made.err
    assert json.loads((out / "b.json").read_text())["labels"] == {"background": 0, "liver": 1}
    statuses = [one["status"] for one in lines(out / "run.jsonl")]
    assert statuses == ["done", "done", "refused", "refused", "done", "done"]


def test_a_new_scan_and_a_changed_one_are_seen(
    door: Callable[..., Any], scans: Path, phantoms: Any, using: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = (scans, "-o", out, *using, *QUICK)
    door("infer.py", *words)
    write_volume(scans / "c.nii.gz", phantoms[2].image)
    write_volume(scans / "a.nii.gz", phantoms[3].image, overwrite=True)
    done = door("infer.py", *words)
    assert done.code == 2
    assert "1 of 3 scans were done already" in done.err
    assert "a.nii.gz: is of another scan than lies there now; say --overwrite" in done.err
    assert f"{out}/c.nii.gz\n" in done.out


def test_somebodys_own_labels_are_never_replaced_unasked(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out" / "a.nii.gz"
    mine.write_text("mine")
    done = door("infer.py", scans, "-o", tmp_path / "out", *using, *QUICK)
    assert done.code == 2
    assert "a.nii.gz: exists already, without a sidecar; say --overwrite" in done.err
    assert mine.read_text() == "mine"
    assert (tmp_path / "out" / "b.json").is_file()


def test_parts_share_the_scans_and_have_journals_of_their_own(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = (scans, "-o", out, *using, *QUICK, "--parts", 3)
    for part, cases in ((2, ["b.nii.gz"]), (1, ["a.nii.gz"]), (3, [])):
        done = door("infer.py", *words, "--part", part)
        assert done.code == 0, done.err
        journal = out / f"run-{part}.jsonl"
        assert [one["case"] for one in lines(journal)] == cases if cases else not journal.exists()
    assert "none is left for part 3" in done.err
    whole = door("infer.py", scans, "-o", out, *using, *QUICK)
    assert (whole.code, "2 of 2 scans were done already" in whole.err) == (0, True)


@pytest.mark.parametrize("words", [("--parts", 2), ("--part", 1), ("--parts", 2, "--part", 3)])
def test_parts_that_cannot_be_meant_are_a_wrong_command_line(
    words: tuple[Any, ...], door: Callable[..., Any], scans: Path
) -> None:
    assert door("infer.py", scans, *words).code == 2


def test_one_scan_has_no_parts(door: Callable[..., Any], scans: Path) -> None:
    done = door("infer.py", scans / "a.nii.gz", "--parts", 2, "--part", 1)
    assert (done.code, "is one scan and no batch" in done.err) == (1, True)


def test_quiet_leaves_results_and_errors(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    (scans / "broken.nii.gz").write_bytes(b"nothing")
    done = door("infer.py", scans, "-o", tmp_path / "out", *using, *QUICK, "--quiet")
    assert done.code == 2
    assert [line.split(":")[0] for line in done.err.splitlines()] == [
        "error",
        "1 of 3 scans failed",
    ]
    assert f"{tmp_path}/out/b.nii.gz" in done.out
    again = door("infer.py", scans, "-o", tmp_path / "out", *using, *QUICK)
    assert "trial_reference on cpu" in again.err  # the next command speaks again


def test_verbose_shows_the_traceback_and_the_sentence(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    done = door("infer.py", tmp_path / "none.nii", "--verbose")
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.err
    assert done.err.splitlines()[-1].startswith(f"error: {tmp_path}/none.nii: does not exist")
    both = door("infer.py", scans, *using, "--verbose", "--quiet")
    assert (both.code, "exclude one another" in both.err) == (2, True)


def test_json_is_all_there_is_on_standard_output(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    (scans / "broken.nii.gz").write_bytes(b"nothing")
    done = door("infer.py", scans, "-o", tmp_path / "out", *using, *QUICK, "--json")
    assert done.code == 2
    told = json.loads(done.out)
    assert (told["scans"], told["failed"]) == (3, 1)
    assert [one["status"] for one in told["cases"]] == ["done", "done", "failed"]
    assert "broken.nii.gz" in told["cases"][2]["error"]
    one = door("infer.py", scans / "a.nii.gz", "-o", tmp_path / "x.nii", *using, *QUICK, "--json")
    found = json.loads(one.out)
    assert found["labels"] == str(tmp_path / "x.nii")
    assert found["volumes_ml"].keys() == {"liver", "spleen", "aorta"}


def test_a_journal_that_cannot_be_written_is_told_and_the_labels_count(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "out" / "run.jsonl").mkdir(parents=True)
    done = door("infer.py", scans, "-o", tmp_path / "out", *using, *QUICK)
    assert done.code == 2
    assert done.err.count("run.jsonl") == 1
    assert (tmp_path / "out" / "a.json").is_file()
    assert (tmp_path / "out" / "b.json").is_file()


def test_ctrl_c_in_the_second_scan_keeps_the_first_and_writes_it_down(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    right = segment_job.segment_file

    def stop(scan: Path, *rest: Any, **words: Any) -> Any:
        if scan.name == "b.nii.gz":
            raise KeyboardInterrupt
        return right(scan, *rest, **words)

    with monkeypatch.context() as patch:
        patch.setattr(segment_job, "segment_file", stop)
        done = door("infer.py", scans, "-o", tmp_path / "out", *using, *QUICK)
    assert done.code == 130
    assert "stopped: 1 of 2 scans are done; the same command goes on from there" in done.err
    assert [one["status"] for one in lines(tmp_path / "out" / "run.jsonl")] == ["done", "stopped"]
    again = door("infer.py", scans, "-o", tmp_path / "out", *using, *QUICK)
    assert again.code == 0
    assert "1 of 2 scans were done already" in again.err


def test_case_39_a_second_batch_in_the_same_folder_is_refused(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    with Claim(tmp_path / "out"):
        done = door("infer.py", scans, "-o", tmp_path / "out", *using, *QUICK)
    assert done.code == 1
    assert f"error: {tmp_path}/out: another slicekit works on this batch" in done.err
    assert door("infer.py", scans, "-o", tmp_path / "out", *using, *QUICK).code == 0


def test_help_tells_the_exit_codes(door: Callable[..., Any]) -> None:
    said = " ".join(door("slicekit", "--help").out.split())
    assert "Exit codes: 0 all went well" in said
    assert "130 and 143" in said


def test_a_finished_batch_loads_no_network_and_still_refuses_what_it_does_not_know(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    words = (scans, "-o", tmp_path / "out", *using)
    assert door("infer.py", *words).code == 0
    monkeypatch.setattr(model, "load_network", lambda *_: pytest.fail("a network was loaded"))
    again = door("infer.py", *words)
    assert again.code == 0, again.err
    assert "2 of 2 scans were done already" in again.err
    for more, said in (
        (("--organs", "livr"), "did you mean 'liver'"),
        (("--selector", "best"), "unknown selector 'best'"),
        (("--propagator", "nothing"), "there is no model 'nothing'"),
        (("--model", "nothing"), "there is no model 'nothing'"),
    ):
        refused = door("infer.py", *words, *more)
        assert refused.code == 1
        assert said in refused.err
    without = door("infer.py", *words, *QUICK)
    assert without.code == 2
    assert "was made with the propagator trial_propagator, now without; say --over" in without.err


def test_weights_that_are_damaged_end_a_batch_before_the_first_scan(
    door: Callable[..., Any], scans: Path, trial_models: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "trial_reference.safetensors"
    content = bytearray((trial_models / damaged.name).read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    done = door(
        "infer.py", scans, "-o", tmp_path / "out", "--model", damaged, "--device", "cpu",
        "--backend", "torch", *QUICK,
    )  # fmt: skip
    assert done.code == 1
    assert done.err.count("is damaged: its tensors have SHA-256") == 1
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == []


def test_labels_that_were_corrected_are_kept_and_counted(
    door: Callable[..., Any], scans: Path, using: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = (scans, "-o", out, *using, *QUICK)
    assert door("infer.py", *words).code == 0
    (out / "a.nii.gz").write_bytes((out / "b.nii.gz").read_bytes())
    corrected = (out / "a.nii.gz").read_bytes()
    again = door("infer.py", *words, "--json")
    assert again.code == 0, again.err
    assert "the labels of 1 were changed since" in again.err
    notes = [one.get("note") for one in json.loads(again.out)["cases"]]
    assert notes == ["was changed after it was made, as by hand", None]
    assert (out / "a.nii.gz").read_bytes() == corrected
