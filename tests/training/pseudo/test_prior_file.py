"""A prior comes back as it was written, and a changed one is read with care."""

from __future__ import annotations

import json

import pytest

from slicekit.errors import ReadError, WriteError
from slicekit.training.pseudo import read_prior, write_prior


@pytest.fixture
def written(prior, tmp_path):
    return write_prior(tmp_path / "prior.json", prior)


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_a_prior_comes_back_as_it_was_written(prior, written, tmp_path):
    assert read_prior(written) == prior
    again = write_prior(tmp_path / "again.json", read_prior(written))
    assert again.read_bytes() == written.read_bytes()


def test_a_person_may_change_a_number(prior, written):
    def widen(content):
        content["organs"]["liver"]["volume_ml"] = [1, 9000]

    assert read_prior(changed(written, widen)).organs["liver"].volume_ml == (1.0, 9000.0)


def test_an_existing_file_is_not_replaced_unasked(prior, written):
    with pytest.raises(WriteError, match="exists already"):
        write_prior(written, prior)
    write_prior(written, prior, overwrite=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.pop("orders"), "the key 'orders' is missing"),
        (lambda c: c["organs"]["liver"].pop("absent"), "'organs.liver.absent' is missing"),
        (lambda c: c["organs"]["liver"].update(absnt=1), "unknown key 'organs.liver.absnt'"),
        (lambda c: c["organs"]["liver"].update(absent="some"), r"absent: .*got 'some'"),
        (lambda c: c["organs"]["liver"].update(absent=9), "liver: 9 of 4 cases"),
        (lambda c: c["organs"]["liver"].update(borders=["top"]), r"borders\.0.*'top'"),
        (lambda c: c["organs"].pop("liver"), "different organs: .*liver"),
        (lambda c: c["orders"][0].update(side="under"), r"orders\.0\.side"),
        (lambda c: c.update(kind="recipe"), "is no prior"),
    ],
)
def test_what_cannot_be_meant_is_named(written, change, told):
    with pytest.raises(ReadError, match=told) as fault:
        read_prior(changed(written, change))
    assert fault.value.path == written


def test_many_faults_are_told_in_short(written):
    def spoil(content):
        for order in content["orders"]:
            order["side"] = "under"

    with pytest.raises(ReadError, match=r"and \d+ more faults") as fault:
        read_prior(changed(written, spoil))
    assert len(str(fault.value)) < 1000


def test_damaged_and_missing_files_are_told_apart(tmp_path):
    with pytest.raises(ReadError, match="does not exist"):
        read_prior(tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    broken.write_text('{"kind": ')
    with pytest.raises(ReadError, match="not readable JSON"):
        read_prior(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReadError, match="not readable JSON"):
        read_prior(broken)
    broken.write_text("[1, 2]")
    with pytest.raises(ReadError, match="is no prior"):
        read_prior(broken)
