"""A folder of pseudo labels belongs to one dataset, and nothing else is touched."""

from __future__ import annotations

import pytest

from slicekit.errors import WriteError
from slicekit.training.pseudo.claim import claim, expect_ours


def test_looking_writes_nothing_and_a_claim_is_known_again(tmp_path):
    out, data = tmp_path / "out", tmp_path / "data"
    expect_ours(out, data)
    assert not out.exists()
    claim(out, data)
    (out / "more.txt").touch()
    expect_ours(out, data)
    with pytest.raises(WriteError, match=r"holds pseudo labels of .*data; name another folder"):
        expect_ours(out, tmp_path / "other")


def test_what_is_not_ours_is_refused(tmp_path):
    data, taken = tmp_path / "data", tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.tex").touch()
    with pytest.raises(WriteError, match="holds something else"):
        expect_ours(taken, data)
    with pytest.raises(WriteError, match="is the dataset itself"):
        expect_ours(data, data)
    with pytest.raises(WriteError, match="is the earlier round itself"):
        expect_ours(taken, data, earlier=taken)
