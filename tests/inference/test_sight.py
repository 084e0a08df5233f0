import pytest
import torch

from slicekit.errors import ShapeError
from slicekit.inference.sight import Eyes
from slicekit.networks import build

SIZE = (20, 37)


@pytest.fixture
def eyes(paper, runtime):
    return Eyes(
        lambda z: torch.full((3, *SIZE), z / 10), paper, runtime, size=SIZE, objects_at_once=4
    )


def test_slices_are_padded_and_cut_back(eyes):
    with torch.inference_mode():
        sight = eyes.look(3)
        assert sight.frame.shape == (1, 3, 32, 48)
        drawn = eyes.draw(sight, torch.rand(1, 5, 256, 2, 3))
    assert drawn.shape == (6, *SIZE)
    torch.testing.assert_close(drawn.sum(dim=0), torch.ones(SIZE))


def test_kept_sights_stay_within_their_bytes_newest_first(eyes):
    one = eyes.look(0).nbytes
    eyes.keep_bytes = 3 * one
    for z in range(6):
        eyes.look(z)
    eyes.network.looks = 0
    for z in (5, 4, 3):
        eyes.look(z)
    assert eyes.network.looks == 0
    eyes.look(2)
    assert eyes.network.looks == 1
    eyes.keep_bytes = 0
    eyes.trim()
    eyes.look(5)
    assert eyes.network.looks == 2


def test_values_of_many_objects_equal_those_of_all_at_once(runtime):
    torch.manual_seed(0)
    network = build("stcn", "tiny", classes=1).eval()
    masks = torch.softmax(torch.randn(7, *SIZE), dim=0)[:6]
    some, every = (
        Eyes(lambda z: torch.ones(3, *SIZE), network, runtime, size=SIZE, objects_at_once=n)
        for n in (3, 6)
    )
    with torch.inference_mode():
        a = some.memorise(some.look(0), masks)
        b = every.memorise(every.look(0), masks)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_slice_of_another_size_is_named(eyes):
    eyes.size = (20, 36)
    with pytest.raises(ShapeError, match="slice 4 must be"):
        eyes.look(4)
