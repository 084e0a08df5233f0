from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slicekit.errors import RecipeError, ShapeError
from slicekit.networks import STCN, dense_read, soft_aggregate, stcn

KEYS = Path(__file__).resolve().parents[1] / "fixtures" / "stcn_state_dict_keys.txt"


@pytest.fixture(scope="module")
def tiny() -> STCN:
    torch.manual_seed(0)
    return stcn("tiny").eval()


def test_names_and_shapes_equal_the_published_ones() -> None:
    with torch.device("meta"):
        network = stcn("paper")
    ours = [f"{name} {_written(value.shape)}" for name, value in network.state_dict().items()]
    assert ours == KEYS.read_text(encoding="utf-8").splitlines()
    assert len(ours) == 405
    assert sum(parameter.numel() for parameter in network.parameters()) == 54_434_180


def _written(shape: torch.Size) -> str:
    return str(tuple(shape))


def test_objects_are_decoded_together_as_they_are_alone(tiny: STCN) -> None:
    torch.manual_seed(1)
    frames, masks = torch.rand(2, 3, 32, 48), torch.rand(2, 3, 32, 48)
    with torch.inference_mode():
        features = tiny.encode_key(frames)
        values = tiny.encode_value(frames, masks, features.s16)
        together = tiny.decode(values, features)
        alone = torch.cat([tiny.decode(values[:, i : i + 1], features) for i in range(3)], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_the_order_of_objects_is_kept(tiny: STCN) -> None:
    torch.manual_seed(2)
    frames, masks = torch.rand(1, 3, 32, 32), torch.rand(1, 4, 32, 32)
    with torch.inference_mode():
        s16 = tiny.encode_key(frames).s16
        values = tiny.encode_value(frames, masks, s16)
        turned = tiny.encode_value(frames, masks.flip(1), s16)
    torch.testing.assert_close(values, turned.flip(1), atol=1e-5, rtol=1e-5)


def test_an_object_is_told_what_the_others_cover(tiny: STCN) -> None:
    frames, masks = torch.rand(1, 3, 32, 32), torch.zeros(1, 2, 32, 32)
    masks[:, 0, 4:12, 4:12] = 1
    more = masks.clone()
    more[:, 1, 16:28, 16:28] = 1
    with torch.inference_mode():
        s16 = tiny.encode_key(frames).s16
        before, after = (tiny.encode_value(frames, m, s16)[:, 0] for m in (masks, more))
    assert not torch.equal(before, after)


def test_keys_stay_float32_in_bfloat16(tiny: STCN) -> None:
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        features = tiny.encode_key(torch.rand(1, 3, 32, 32))
    assert features.key.dtype == torch.float32
    assert features.thin.dtype == torch.bfloat16


@pytest.mark.parametrize("size", [(30, 32), (32, 8), (0, 16)])
def test_a_size_off_the_grid_is_refused_with_the_way_out(tiny: STCN, size: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match="pad_to_multiple"):
        tiny.encode_key(torch.rand(1, 3, *size))


def test_masks_must_lie_on_the_slices(tiny: STCN) -> None:
    frames = torch.rand(1, 3, 32, 32)
    s16 = tiny.encode_key(frames).s16
    with pytest.raises(ShapeError, match="frames must be"):
        tiny.encode_value(frames, torch.rand(1, 2, 32, 48), s16)
    with pytest.raises(ShapeError, match="masks must not be empty"):
        tiny.encode_value(frames, torch.rand(1, 0, 32, 32), s16)


def test_a_readout_of_another_place_is_refused(tiny: STCN) -> None:
    features = tiny.encode_key(torch.rand(1, 3, 32, 32))
    with pytest.raises(ShapeError, match="readout must be"):
        tiny.decode(torch.rand(1, 2, 16, 3, 2), features)
    with pytest.raises(ShapeError, match="at least one object"):
        tiny.decode(torch.rand(1, 0, 16, 2, 2), features)


def test_an_unknown_preset_names_the_likely_one() -> None:
    with pytest.raises(RecipeError, match="did you mean 'tiny'"):
        stcn("tny")


@given(st.integers(1, 13), st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_soft_aggregate_sums_to_one_and_keeps_the_winner(k: int, seed: int) -> None:
    probabilities = torch.rand(2, k, 4, 5, generator=torch.Generator().manual_seed(seed))
    shares = soft_aggregate(probabilities)
    assert shares.shape == (2, k + 1, 4, 5)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, 4, 5))
    assert torch.equal(shares[:, 1:].argmax(dim=1), probabilities.argmax(dim=1))


def test_soft_aggregate_at_the_ends() -> None:
    sure = soft_aggregate(torch.tensor([[0.0, 1.0], [0.0, 0.0]])[None, :, None])[0, :, 0]
    torch.testing.assert_close(sure[:, 0], torch.tensor([1.0, 0, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(sure[:, 1], torch.tensor([0.0, 1, 0]), atol=1e-5, rtol=0)
    assert torch.equal(soft_aggregate(torch.zeros(1, 0, 2, 2)), torch.ones(1, 1, 2, 2))
    one = soft_aggregate(torch.full((1, 1, 1, 1), 0.3)).flatten()
    odds = (0.3 / 0.7) ** 2  # one object: p / (1 - p) against (1 - p) / p
    torch.testing.assert_close(one[1], torch.tensor(odds / (1 + odds)))


def _memory(t: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    keys = torch.randn(2, 8, t, 3, 4, generator=generator)
    return keys, torch.randn(2, 3, 5, t, 3, 4, generator=generator)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_stored_key_reads_its_own_value(slot: int) -> None:
    keys, values = _memory()
    read = dense_read(keys, values, keys[:, :, slot], top_k=1)
    torch.testing.assert_close(read, values[:, :, :, slot])


def test_more_best_places_than_there_are_is_all_of_them() -> None:
    keys, values = _memory()
    query = torch.randn(2, 8, 3, 4)
    everything = dense_read(keys, values, query)
    assert torch.equal(dense_read(keys, values, query, top_k=24), everything)
    assert torch.equal(dense_read(keys, values, query, top_k=1000), everything)


def test_the_read_is_the_softmax_of_negative_squared_distances() -> None:
    keys, values = _memory(1)
    query = torch.randn(2, 8, 2, 2)
    distance = torch.cdist(query.flatten(2).mT, keys.flatten(2).mT).square()
    weights = torch.softmax(-distance / 8**0.5, dim=-1)
    wanted = torch.einsum("bnm,bkcm->bkcn", weights, values.flatten(3)).unflatten(3, (2, 2))
    torch.testing.assert_close(dense_read(keys, values, query), wanted, atol=1e-5, rtol=1e-4)


def test_huge_scores_do_not_overflow() -> None:
    keys, values = _memory()
    read = dense_read(1e4 * keys, values, 1e4 * keys[:, :, 1], top_k=5)
    torch.testing.assert_close(read, values[:, :, :, 1])


def test_values_keep_their_precision() -> None:
    keys, values = _memory()
    read = dense_read(keys, values.bfloat16(), keys[:, :, 0], top_k=1)
    assert read.dtype == torch.bfloat16
    assert torch.equal(read, values[:, :, :, 0].bfloat16())


def test_an_impossible_read_is_refused() -> None:
    keys, values = _memory()
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        dense_read(keys, values, keys[:, :, 0], top_k=0)
    with pytest.raises(ShapeError, match="nothing to read"):
        dense_read(keys[:, :, :0], values[:, :, :, :0], keys[:, :, 0])
    with pytest.raises(ShapeError, match="memory_values must be"):
        dense_read(keys, values[:1], keys[:, :, 0])
