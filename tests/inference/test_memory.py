import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slicekit.errors import BudgetError, ShapeError
from slicekit.inference.memory import MemoryBank, best_of
from slicekit.networks.stcn import dense_read

H, W, CK, CV, K = 3, 4, 8, 6, 3


def draw(count, *, seed=0, objects=K):
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(count, 1, CK, H, W, generator=generator)
    values = torch.randn(count, 1, objects, CV, H, W, generator=generator)
    return keys, values


def bank_of(slots, **changes):
    sizes = {"objects": K, "cells": H * W, "key_dim": CK, "value_dim": CV}
    return MemoryBank(slots=slots, **(sizes | changes))


@pytest.mark.parametrize("top_k", [1, 20, 1000])
@pytest.mark.parametrize("slices", [1, 5])
def test_a_read_equals_the_dense_one(top_k, slices):
    keys, values = draw(slices)
    bank = bank_of(slices, top_k=top_k)
    for key, value in zip(keys, values, strict=True):
        bank.remember_guide(key, value)
    query = torch.randn(1, CK, 2, 7, generator=torch.Generator().manual_seed(9))
    dense = dense_read(
        keys.movedim(0, 2), values.movedim(0, 3), query, top_k=min(top_k, slices * H * W)
    )
    torch.testing.assert_close(bank.read(query), dense, atol=1e-5, rtol=0)


def test_a_read_in_chunks_equals_the_dense_one(monkeypatch):
    monkeypatch.setattr("slicekit.inference.memory.QUERIES_AT_ONCE", 5)
    keys, values = draw(2)
    bank = bank_of(2)
    bank.remember_guide(keys[0], values[0])
    bank.remember(keys[1], values[1])
    dense = dense_read(keys.movedim(0, 2), values.movedim(0, 3), keys[0], top_k=20)
    torch.testing.assert_close(bank.read(keys[0]), dense, atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 700), st.integers(1, 30), st.integers(0, 2**16))
def test_the_best_of_groups_are_the_best_of_all(columns, top_k, seed):
    random = torch.Generator().manual_seed(seed)
    scores = torch.randint(-99, 100, (6, columns), generator=random).float()  # some are equal
    scores[0] = torch.arange(columns)
    scores[1] = -scores[0]
    best, where = best_of(scores, top_k)
    wanted = scores.topk(min(top_k, columns), dim=1).values
    assert torch.equal(best.sort(dim=1, descending=True).values, wanted)
    assert torch.equal(scores.gather(1, where), best)
    assert all(len(set(row)) == len(row) for row in where.tolist())


def test_reading_a_stored_key_with_top_1_returns_its_own_value():
    keys, values = draw(4)
    bank = bank_of(4, top_k=1)
    for key, value in zip(keys, values, strict=True):
        bank.remember(key, value)
    for key, value in zip(keys, values, strict=True):
        assert torch.equal(bank.read(key), value)


def test_large_keys_overflow_nothing():
    keys, values = draw(2)
    bank = bank_of(2)
    bank.remember_guide(keys[0] * 1e4, values[0])
    assert bank.read(keys[1] * 1e4).isfinite().all()


def test_values_in_bf16_are_read_with_float32_scores():
    keys, values = draw(3)
    exact, coarse = bank_of(3), bank_of(3, value_dtype=torch.bfloat16)
    for key, value in zip(keys, values, strict=True):
        exact.remember_guide(key, value)
        coarse.remember_guide(key, value.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        read = coarse.read(keys[1])
    assert read.dtype == torch.bfloat16
    torch.testing.assert_close(read.float(), exact.read(keys[1]), atol=0.03, rtol=0.02)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.lists(st.sampled_from(["guide", "slice", "forget"]), max_size=20))
def test_the_bank_never_exceeds_its_bound_and_keeps_guides_and_newest(slots, events):
    bank = bank_of(slots, top_k=1)
    size = bank.nbytes
    keys, values = draw(20, seed=3)
    guides, working = [], []
    for i, event in enumerate(events):
        if event == "forget":
            bank.forget_working()
            working = []
        elif event == "slice":
            bank.remember(keys[i], values[i])
            working = [*working, i][-(slots - len(guides)) :] if len(guides) < slots else []
        elif len(guides) == slots:
            with pytest.raises(BudgetError, match="never forgotten"):
                bank.remember_guide(keys[i], values[i])
        else:
            bank.remember_guide(keys[i], values[i])
            guides.append(i)
            room = slots - len(guides)
            working = working[-room:] if room else []
        assert bank.nbytes == size
        assert len(bank) == len(guides) + len(working) <= slots
        for kept in (*guides, *working):
            assert torch.equal(bank.read(keys[kept]), values[kept])


def test_slot_bytes_are_what_is_allocated():
    for dtype in (torch.float32, torch.bfloat16):
        one = MemoryBank.slot_bytes(
            objects=K, cells=H * W, key_dim=CK, value_dim=CV, value_dtype=dtype
        )
        assert bank_of(7, value_dtype=dtype).nbytes == 7 * one


def test_some_objects_are_remembered_and_read_alone():
    keys, values = draw(2)
    bank = bank_of(2, top_k=1)
    bank.remember_guide(keys[0], values[0])
    bank.remember(keys[1], values[1][:, [2, 0]], objects=[2, 0])
    assert torch.equal(bank.read(keys[1], objects=[0, 2]), values[1][:, [0, 2]])
    assert torch.equal(bank.read(keys[0], objects=[1]), values[0][:, [1]])
    assert not bank.read(keys[1], objects=[1]).any()


def test_wrong_axes_and_an_empty_memory_are_named():
    keys, values = draw(1)
    bank = bank_of(1)
    with pytest.raises(ShapeError, match="memory is empty"):
        bank.read(keys[0])
    with pytest.raises(ShapeError, match="value must be"):
        bank.remember_guide(keys[0], values[0][:, :1])
    with pytest.raises(ShapeError, match="12 places, got 2 x 4"):
        bank.remember(keys[0][..., :2, :], values[0][..., :2, :])
    with pytest.raises(ValueError, match="at least 1"):
        bank_of(0)
