import pytest
import torch
import torch.nn.functional as F

from slicekit.networks.stcn import Features
from slicekit.runtime import Runtime


class TracingPaper:
    """A propagator whose answer can be said beforehand.

    A place is known by its position and by the second channel of the slice; what is remembered
    of it is its 16 x 16 piece of the mask; it is drawn where the first channel is bright.
    """

    def __init__(self):
        self.looks = 0

    def encode_key(self, frames):
        self.looks += 1
        b, _, y, x = frames.shape
        cells = torch.eye(y // 16 * x // 16).reshape(1, -1, y // 16, x // 16)
        look = F.avg_pool2d(frames[:, 1:2], 16)
        key = torch.cat([cells.expand(b, -1, -1, -1), look], dim=1) * 40
        return Features(key, frames, frames, frames, frames)

    def encode_value(self, frames, masks, s16):
        return F.pixel_unshuffle(masks[:, :, None], 16)

    def decode(self, readout, features):
        drawn = F.pixel_shuffle(readout.float(), 16).squeeze(2)
        return (drawn * features.s4[:, :1] - 0.5) * 30


@pytest.fixture
def paper():
    return TracingPaper()


@pytest.fixture(scope="session")
def runtime():
    return Runtime(torch.device("cpu"), bf16=False, threads=1)
