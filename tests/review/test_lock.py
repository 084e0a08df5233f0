"""One writer a case, and no stale lock after a crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slicekit.errors import WriteError
from slicekit.review.lock import Lock, TakenError

HOLD = "import sys, time; from slicekit.review.lock import Lock; from pathlib import Path; \
lock = Lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


def test_case_39_a_second_writer_is_told_who_holds_it(tmp_path: Path) -> None:
    with Lock(tmp_path / ".a.lock"), pytest.raises(TakenError, match=f"process {os.getpid()}"):
        Lock(tmp_path / ".a.lock")
    Lock(tmp_path / ".a.lock").release()


def test_case_39_a_killed_holder_leaves_it_free(tmp_path: Path) -> None:
    file = tmp_path / ".a.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(TakenError, match=f"process {holder.pid}"):
            Lock(file)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        Lock(file).release()


def test_case_39_a_lock_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    (tmp_path / ".a.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(WriteError):
        Lock(tmp_path / ".a.lock")
    assert (tmp_path / "precious").read_text() == "keep me"
