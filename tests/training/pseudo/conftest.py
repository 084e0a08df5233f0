"""Four labelled phantoms, a fifth one to be judged, and what can go wrong with it."""

from __future__ import annotations

import numpy as np
import pytest

from slicekit.data.phantom import PHANTOM_LABELS, make_phantom
from slicekit.training.pseudo import Prior, learn_prior, measure_facts
from slicekit.volume import Volume


@pytest.fixture(scope="session")
def patient() -> Volume:
    """The labels of a patient that no prior has seen; not to be written to."""
    made = make_phantom(np.random.default_rng(4), shape=(16, 64, 64), spacing_mm=(10.0, 6.0, 6.0))
    made.labels.array.setflags(write=False)
    return made.labels


@pytest.fixture(scope="session")
def prior(phantoms) -> Prior:
    """What the four phantoms teach; the whole slice is their body."""
    box = (0, 64, 0, 64)
    return learn_prior([measure_facts(made.labels, PHANTOM_LABELS, body=box) for made in phantoms])


class Faults:
    """Ways in which one organ of a label map can be wrong; z, y, x grow to head, back, left."""

    @staticmethod
    def _move(labels, organ, moved, keep=False):
        number = PHANTOM_LABELS.id_of(organ)
        array = labels.array.copy()
        if not keep:
            array[array == number] = 0
        array[moved] = number
        return labels.with_array(array)

    def mask(self, labels, organ):
        return labels.array == PHANTOM_LABELS.id_of(organ)

    def mirrored(self, labels, organ):
        """The organ lies on the other side of the body."""
        return self._move(labels, organ, self.mask(labels, organ)[:, :, ::-1])

    def doubled(self, labels, organ):
        """A second one lies on the other side."""
        return self._move(labels, organ, self.mask(labels, organ)[:, :, ::-1], keep=True)

    def torn(self, labels, organ):
        """Two thirds of its slices are missing, from the middle."""
        mask = self.mask(labels, organ).copy()
        held = np.flatnonzero(mask.any(axis=(1, 2)))
        mask[held[len(held) // 6 + 1 : len(held) - len(held) // 6 - 1]] = False
        return self._move(labels, organ, mask)

    def tiny(self, labels, organ):
        """Only a speck is left."""
        where = np.argwhere(self.mask(labels, organ))
        speck = np.zeros(labels.shape, bool)
        speck[tuple(where[len(where) // 2])] = True
        return self._move(labels, organ, speck)

    def at_border(self, labels, organ):
        """It lies at the left side of the scan."""
        mask = self.mask(labels, organ)
        last = int(np.flatnonzero(mask.any(axis=(0, 1))).max())
        return self._move(labels, organ, np.roll(mask, mask.shape[2] - 1 - last, axis=2))

    def gone(self, labels, organ):
        """It was not found."""
        return self._move(labels, organ, np.zeros(labels.shape, bool))


@pytest.fixture(scope="session")
def faults() -> Faults:
    return Faults()
