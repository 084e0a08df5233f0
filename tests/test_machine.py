"""What the system tells of a machine; files stand for other machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slicekit import machine as module
from slicekit.machine import (
    available_bytes,
    cpu_bf16_units,
    cpu_is_intel,
    cpu_name,
    cpu_says,
    find_gpus,
    total_bytes,
    usable_cores,
    user_cache,
    usual_threads,
)

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Some Xeon
flags\t\t: fpu avx2 amx_bf16 avx512_bf16

processor\t: 1
model name\t: Another
"""


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "cpuinfo"
    file.write_text(CPUINFO)
    monkeypatch.setattr(module, "_CPUINFO", file)
    return file


def test_the_first_core_is_asked(cpuinfo: Path) -> None:
    assert cpu_says("vendor_id") == "GenuineIntel"
    assert cpu_name() == "Some Xeon"
    assert cpu_is_intel()
    assert cpu_bf16_units() == ("amx_bf16", "avx512_bf16")
    cpuinfo.write_text(CPUINFO.replace("amx_bf16 avx512_bf16", "amx_bf16x").replace("Genuine", ""))
    assert cpu_bf16_units() == ()  # a flag that only begins so is another
    assert not cpu_is_intel()


def test_other_systems_tell_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "nothing")
    monkeypatch.setattr(module.platform, "processor", lambda: "arm")
    assert (cpu_says("flags"), cpu_bf16_units(), cpu_is_intel(), cpu_name()) == (
        "",
        (),
        False,
        "arm",
    )


def test_threads_are_what_the_user_said_or_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert usual_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert usual_threads() == usable_cores() >= 1


def test_memory_is_a_sensible_number() -> None:
    total = total_bytes()
    assert total is not None
    assert 1 << 20 < available_bytes() <= total < 1 << 50


def test_the_container_is_heard_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CGROUP", tmp_path)
    alone = available_bytes()
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes() > alone // 2
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    assert available_bytes() == 1000
    (tmp_path / "memory.current").write_text("6000\n")
    assert available_bytes() == 0


def test_gpus_are_told_by_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NVIDIA", tmp_path)
    for bus, model in {"0000:02:00.0": "B", "0000:01:00.0": "A"}.items():
        folder = tmp_path / "gpus" / bus
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t NVIDIA {model}\nIRQ:   1\n")
    assert find_gpus() == (("NVIDIA A", "NVIDIA B"), str(tmp_path / "gpus"))


def test_without_a_driver_nvidia_smi_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NVIDIA", tmp_path / "nothing")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus().names == ()
    assert "nor nvidia-smi" in find_gpus().source
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA X'\n")
    program.chmod(0o755)
    assert find_gpus() == (("NVIDIA X",), str(program))
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert find_gpus() == ((), f"{program} finds none")
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    program.write_text("#!/bin/sh\nexec /bin/sleep 5\n")
    assert "does not answer" in find_gpus().source


def test_the_cache_is_where_the_system_keeps_such_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "slicekit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "slicekit"


def test_nothing_of_it_imports_torch() -> None:
    said = (
        "import sys, slicekit.machine; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
