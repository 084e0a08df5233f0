"""Weights without a state are a run that is done; it is not done again, nor replaced."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest

from slicekit.checkpoint import load_weights
from slicekit.data.phantom import PHANTOM_LABELS
from slicekit.errors import CheckpointError
from slicekit.io import read_labels, write_volume
from slicekit.training import run as module
from slicekit.training.finished import finished_weights
from slicekit.training.loop import STATE
from slicekit.training.run import train
from slicekit.volume import Volume

pytestmark = pytest.mark.filterwarnings("ignore:the pseudo labels hold")


@pytest.fixture
def done(dataset, tmp_path, make_recipe, runtime):
    """A run that is done, and how to run it again; keywords change [training] or the call."""
    data = shutil.copytree(dataset, tmp_path / "data")

    def again(progress=None, **training):
        recipe = make_recipe(**{"steps": 2, "batch_unlabelled": 1} | training)
        words = {"data": data, "out": tmp_path / "run", "runtime": runtime}
        return train(recipe, **words, progress=progress)

    path = again()
    return path, again


def trained(*_):
    pytest.fail("it was trained")


def test_a_run_whose_state_was_deleted_is_not_trained_again(done, caplog):
    path, again = done
    before = path.read_bytes()
    (path.parent / STATE).unlink()
    with caplog.at_level(logging.INFO):
        assert again(trained) == path
    assert path.read_bytes() == before
    assert not (path.parent / STATE).exists()
    said = f"{path} is there already, finished after 2 steps; to train again remove it, or choose"
    assert said in caplog.text
    path.unlink()
    steps = []
    again(lambda *step: steps.append(step))
    assert steps == [(1, 2), (2, 2)]


@pytest.mark.parametrize("gone", [STATE, "tiny_reference.safetensors"])
def test_another_recipe_is_refused_before_scans_are_read(done, monkeypatch, gone):
    """The weights of hours are not replaced by those of another recipe."""
    path, again = done
    (path.parent / gone).unlink()
    monkeypatch.setattr(module, "gather", lambda *_: pytest.fail("scans were read"))
    with pytest.raises(CheckpointError, match=r"another recipe; .*: training\.steps 2 -> 3$"):
        again(steps=3)


def test_what_does_not_change_the_weights_may_change(done, make_recipe):
    path, _ = done
    recipe = make_recipe(steps=2, batch_unlabelled=1, cache_gib=7.0)
    assert finished_weights(recipe, path.parent) is None  # its state says how far it is
    (path.parent / STATE).unlink()
    found = finished_weights(recipe, path.parent)
    assert found is not None and found.path == path
    assert finished_weights(recipe, path.parent.parent) is None


def test_other_scans_than_the_run_learnt_from_are_refused(done, tmp_path):
    path, again = done
    (path.parent / STATE).unlink()
    assert [name for name, _ in load_weights(path).card["scans"]["labelled"]] == ["one", "two"]
    labels = tmp_path / "data" / "labelsTr" / "two.nii.gz"
    drawn = read_labels(labels)
    labels.unlink()
    liver = drawn.array == PHANTOM_LABELS.id_of("liver")
    write_volume(labels, Volume(np.where(liver, 0, drawn.array), drawn.affine))
    with pytest.raises(CheckpointError, match=r"began with other scans; .*labelled: 'two' changed"):
        again(trained)


def test_a_damaged_file_is_no_finished_run(done):
    path, again = done
    (path.parent / STATE).unlink()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="damaged"):
        again(trained)
