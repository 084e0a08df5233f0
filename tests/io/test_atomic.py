"""A final name holds the old file or the complete new one, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slicekit.errors import LabelError, ReadError, WriteError
from slicekit.io import atomic
from slicekit.io.atomic import staged, write_atomically, write_folder_atomically

OLD, NEW = b"old content", b"the new content"


def write_new(path: Path) -> None:
    path.write_bytes(NEW)


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A full disk, as far as one file can tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_writes_a_new_file_and_makes_its_folders(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "scores.json"
    assert write_atomically(str(target), write_new) == target
    assert target.read_bytes() == NEW
    assert names_in(target.parent) == ["scores.json"]


def test_replaces_an_old_file_with_the_mode_of_new_files(tmp_path: Path) -> None:
    target, plain = tmp_path / "weights.safetensors", tmp_path / "plain"
    target.write_bytes(OLD)
    plain.touch()

    def private(path: Path) -> None:  # as safetensors does: another file, for the owner only
        path.unlink()
        write_new(path)
        path.chmod(0o600)

    write_atomically(target, private)
    assert target.read_bytes() == NEW
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_temporary_file_keeps_the_ending_and_lies_beside(tmp_path: Path) -> None:
    seen: list[Path] = []
    for name in ("mask.nii.gz", "preview.png", "noending"):
        write_atomically(tmp_path / name, lambda path: (seen.append(path), write_new(path))[1])
    assert [path.parent for path in seen] == [tmp_path] * 3
    assert [path.name.partition(".slicekit-")[2].partition(".")[2] for path in seen] == [
        "nii.gz",
        "png",
        "",
    ]


@pytest.mark.parametrize("length", [200, 250])
def test_a_very_long_name_leaves_room_for_the_temporary_one(tmp_path: Path, length: int) -> None:
    target = tmp_path / ("é" * (length // 2) + ".json")
    write_atomically(target, write_new)
    assert target.read_bytes() == NEW


def test_a_name_too_long_is_a_write_error(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="too long"):
        write_atomically(tmp_path / ("x" * 300), write_new)


def test_full_disk_leaves_the_old_file_and_says_how_far_it_came(tmp_path: Path) -> None:
    target = tmp_path / "mask.bin"
    target.write_bytes(OLD)
    with files_up_to(4096), pytest.raises(WriteError) as caught:
        write_atomically(target, lambda path: path.write_bytes(b"x" * 100_000) and None)
    assert caught.value.path == target
    assert "after 4,096 bytes" in caught.value.cause
    assert target.read_bytes() == OLD
    assert names_in(tmp_path) == ["mask.bin"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_every_fault_of_the_system_becomes_a_write_error(tmp_path: Path, code: int) -> None:
    def fail(path: Path) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.raises(WriteError, match=os.strerror(code)):
        write_atomically(tmp_path / "a.bin", fail)
    assert names_in(tmp_path) == []


def test_a_file_that_reads_back_wrong_gets_no_name(tmp_path: Path) -> None:
    def complain(path: Path) -> None:
        raise ReadError(path, "3 voxels differ")

    with pytest.raises(WriteError, match=r"a\.bin: was written but reads back wrong \(3 voxels"):
        write_atomically(tmp_path / "a.bin", write_new, verify=complain)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ZeroDivisionError, LabelError])
def test_other_faults_pass_through_and_leave_nothing(
    tmp_path: Path, fault: type[BaseException]
) -> None:
    def fail(path: Path) -> None:
        write_new(path)
        raise fault

    with pytest.raises(fault):
        write_atomically(tmp_path / "a.bin", fail)
    assert names_in(tmp_path) == []


def test_links_and_folders_are_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(OLD)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(WriteError):
            write_atomically(tmp_path / name, write_new)
    assert (tmp_path / "real").read_bytes() == OLD


KILLED = """
import os, signal, sys
from pathlib import Path
from slicekit.io.atomic import write_atomically

def die(path):
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

write_atomically(Path(sys.argv[1]), die)
"""


def test_a_killed_writer_harms_nothing_and_is_cleaned_up(tmp_path: Path) -> None:
    target, other = tmp_path / "mask.bin", tmp_path / "other.bin"
    target.write_bytes(OLD)
    done = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == OLD
    left = [name for name in names_in(tmp_path) if name != "mask.bin"]
    assert len(left) == 1
    write_atomically(other, write_new)
    assert left[0] in names_in(tmp_path)  # it belongs to another name
    write_atomically(target, write_new)
    assert sorted(names_in(tmp_path)) == ["mask.bin", "other.bin"]


def test_a_writer_that_lives_keeps_its_temporary_file(tmp_path: Path) -> None:
    def nested(path: Path) -> None:
        write_new(path)
        write_atomically(tmp_path / "a.bin", lambda other: other.write_bytes(b"first") and None)
        assert path.exists()

    write_atomically(tmp_path / "a.bin", nested)
    assert (tmp_path / "a.bin").read_bytes() == NEW


def test_old_leftovers_of_other_machines_go_after_a_day(tmp_path: Path) -> None:
    left = tmp_path / f"{atomic._stem(tmp_path / 'a.bin')}0badc0de-1-12345678.bin"
    left.touch()
    write_atomically(tmp_path / "a.bin", write_new)
    assert left.exists()
    os.utime(left, (1, 1))
    write_atomically(tmp_path / "a.bin", write_new)
    assert not left.exists()


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "masks"

    def half(folder: Path) -> None:
        (folder / "1.png").write_bytes(NEW)
        assert not target.exists()
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WriteError, match="No space left"):
        write_folder_atomically(target, half)
    assert names_in(tmp_path) == []
    write_folder_atomically(target, lambda folder: write_new(folder / "1.png"))
    assert names_in(target) == ["1.png"]


def test_existing_folder_is_replaced_unless_files_would_be_lost(tmp_path: Path) -> None:
    target = tmp_path / "masks"
    target.mkdir()
    (target / "1.png").write_bytes(OLD)
    write_folder_atomically(target, lambda folder: write_new(folder / "1.png"))
    assert (target / "1.png").read_bytes() == NEW
    (target / "notes.txt").touch()
    with pytest.raises(WriteError, match=r"notes\.txt"):
        write_folder_atomically(target, lambda folder: write_new(folder / "1.png"))
    assert names_in(tmp_path) == ["masks"]


def test_folder_is_put_back_when_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "masks"
    target.mkdir()
    (target / "1.png").write_bytes(OLD)
    rename = Path.rename

    def once(self: Path, other: Path) -> Path:
        if other == target and (self / "1.png").read_bytes() == NEW:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(WriteError, match="Input/output"):
        write_folder_atomically(target, lambda folder: write_new(folder / "1.png"))
    assert (target / "1.png").read_bytes() == OLD
    assert names_in(tmp_path) == ["masks"]


def test_staged_files_are_hidden_until_they_are_named_and_nothing_else_stays(
    tmp_path: Path,
) -> None:
    target = tmp_path / "new" / "x.nii.gz"
    with staged(target) as folder:
        (folder / "x.nii.gz").write_text("labels")
        (folder / "left.txt").write_text("not wanted after all")
        assert [path.name[:10] for path in target.parent.iterdir()] == [".slicekit-"]
        (folder / "x.nii.gz").replace(target)
    assert [path.name for path in target.parent.iterdir()] == ["x.nii.gz"]
    with pytest.raises(KeyboardInterrupt), staged(target) as folder:
        raise KeyboardInterrupt
    assert [path.name for path in target.parent.iterdir()] == ["x.nii.gz"]


def test_faults_of_staged_files_name_them_as_they_were_to_be_called(tmp_path: Path) -> None:
    target = tmp_path / "x.nii.gz"
    with pytest.raises(WriteError) as caught, staged(target) as folder:
        raise WriteError(folder / "x_stats.json", "could not be written")
    assert caught.value.path == tmp_path / "x_stats.json"
    with pytest.raises(WriteError) as caught, staged(target):
        raise OSError(28, "No space left on device")
    assert caught.value.path == target
    assert "free some space" in caught.value.cause


def test_a_stage_that_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from slicekit.io.atomic import staged\n"
        "with staged(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    target = tmp_path / "x.nii.gz"
    done = subprocess.run([sys.executable, "-c", code, str(target)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with staged(target):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
