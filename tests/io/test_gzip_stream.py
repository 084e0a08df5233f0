"""One stream for plain and gzipped files: no byte more than asked, every checksum compared."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from slicekit.errors import ReadError
from slicekit.io.gzip_stream import open_stream

CONTENT = bytes(range(256)) * 20_000  # 5 MB


@pytest.fixture(params=["plain", "gzip", "stored", "members", "padded"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One content in all containers that are allowed."""
    parts = [CONTENT[:70_000], b"", CONTENT[70_000:70_001], CONTENT[70_001:]]
    made = {
        "plain": CONTENT,
        "gzip": gzip.compress(CONTENT, 6),
        "stored": gzip.compress(CONTENT, 0),
        "members": b"".join(map(gzip.compress, parts)),
        "padded": gzip.compress(CONTENT) + bytes(700_000),
    }
    file = tmp_path / "file"
    file.write_bytes(made[request.param])
    return file


def test_pieces_of_any_size_make_up_the_content(path: Path) -> None:
    with open_stream(path) as stream:
        first = stream.read(7)
        stream.skip(100_000)
        buffer = bytearray(4_000_000)
        assert stream.read_into(memoryview(buffer)) == len(buffer)
        last = stream.read(10_000_000)
        assert stream.count_rest(100) == 0
    assert first == CONTENT[:7]
    assert buffer == CONTENT[100_007:4_100_007]
    assert last == CONTENT[4_100_007:]


def test_a_view_longer_than_the_content_is_filled_in_part(path: Path) -> None:
    buffer = bytearray(len(CONTENT) + 10)
    with open_stream(path) as stream:
        assert stream.read_into(memoryview(buffer)) == len(CONTENT)
        assert stream.read(5) == b""
    assert buffer[: len(CONTENT)] == CONTENT


def test_the_rest_is_counted_to_its_end(path: Path) -> None:
    with open_stream(path) as stream:
        stream.skip(1_000)
        assert stream.count_rest(len(CONTENT)) == len(CONTENT) - 1_000


def test_counting_stops_soon_after_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / "large.gz"
    path.write_bytes(gzip.compress(bytes(50 << 20), 1))
    with open_stream(path) as stream:
        assert 10 <= stream.count_rest(10) <= 2 << 20


def test_a_second_member_that_breaks_off_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(CONTENT) + gzip.compress(CONTENT)[:-4])
    with open_stream(path) as stream, pytest.raises(ReadError, match="truncated"):
        stream.count_rest(1 << 30)


def test_damage_in_a_second_member_is_noticed(tmp_path: Path) -> None:
    second = bytearray(gzip.compress(CONTENT))
    second[-5] ^= 1
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(CONTENT) + second)
    with open_stream(path) as stream, pytest.raises(ReadError, match="CRC mismatch"):
        stream.skip(1 << 30)
