"""The published protocol: chunks, their middles, and one support slice a chunk."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shades import IDS, Shades, dice, model, patient, recipe

from slicekit.errors import LabelError
from slicekit.inference.protocol import chunks_of, middles_of, name_by_protocol, overlap
from slicekit.inference.shots import Sheets


def test_chunks_cover_every_slice_once() -> None:
    for length in range(1, 40):
        chunks = chunks_of(5, 4 + length)
        assert [z for chunk in chunks for z in chunk] == list(range(5, 5 + length))
        assert len(chunks) == min(3, length)
        sizes = [len(chunk) for chunk in chunks]
        assert max(sizes) - min(sizes) <= 1


def test_the_middle_of_a_chunk_shows_the_organ() -> None:
    mask = np.zeros((20, 2, 2), bool)
    mask[4:13] = True
    assert middles_of(mask) == [5, 8, 11]
    mask[8] = False
    assert middles_of(mask)[1] in (7, 9)
    with pytest.raises(LabelError, match="does not show the organ"):
        middles_of(np.zeros((3, 2, 2), bool))


def test_an_organ_is_found_in_another_patient_by_one_slice_a_chunk() -> None:
    (scan, drawn), (other, truth) = patient(), patient(3)
    shown = model()
    theirs, ours = Sheets.of(scan, recipe().input), Sheets.of(other, recipe().input)
    seen: list[int] = []

    def support(zs: list[int]) -> torch.Tensor:
        seen.extend(zs)
        return theirs.windows(zs)

    mask = np.stack([theirs.grid.labels_to_model(p) for p in drawn.array]) == IDS["liver"]
    wanted = np.stack([ours.grid.labels_to_model(p) for p in truth.array]) == IDS["liver"]
    held = np.flatnonzero(wanted.any(axis=(1, 2)))
    extent = range(int(held[0]), int(held[-1]) + 1)
    guess = name_by_protocol(
        shown.network, support, mask, ours.windows, extent, runtime=shown.runtime
    )
    assert isinstance(shown.network, Shades)
    assert seen == middles_of(mask)
    assert guess.shape == (len(extent), *wanted.shape[1:])
    assert dice(guess, wanted[extent.start : extent.stop]) > 0.8


def test_overlap_of_nothing_with_nothing_is_whole() -> None:
    none, some = np.zeros(4, bool), np.array([True, True, False, False])
    assert overlap(none, none) == 1.0
    assert overlap(none, some) == 0.0
    assert overlap(some, some[::-1] | some) == pytest.approx(2 * 2 / 6)
