import numpy as np
import pytest

from slicekit.errors import ShapeError
from slicekit.superpixels.foreground import body_box


def torso(*, size=(6, 96, 128), box=(20, 80, 30, 110), air=-1000):
    scan = np.full(size, air, dtype=np.int16)
    scan[:, box[0] : box[1], box[2] : box[3]] = 40
    return scan


def test_the_box_is_the_body_and_two_percent_of_margin():
    assert body_box(torso()) == (18, 82, 27, 113)


def test_clipping_changes_nothing():
    rng = np.random.default_rng(0)
    scan = torso() + rng.normal(0, 60, size=(6, 96, 128)).astype(np.int16)
    scan[:, 30:50, 40:60] = -110  # fat straddles the threshold
    assert body_box(np.clip(scan, -125, 275)) == body_box(scan)


def test_the_table_and_specks_are_not_body():
    scan = torso(size=(6, 256, 256), box=(60, 180, 40, 210))
    scan[:, 190:192, 20:240] = 100  # the table's shell, two pixels thick
    scan[2, 5, 5] = 3000
    assert body_box(scan) == body_box(torso(size=(6, 256, 256), box=(60, 180, 40, 210)))


def test_blank_slices_and_nan_are_dark():
    scan = torso().astype(np.float32)
    scan[:2] = -3024
    scan[3] = np.nan
    assert body_box(scan) == body_box(torso())


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 3, 5), (4, 64, 64)])
def test_nothing_found_gives_the_whole_slice(size):
    assert body_box(np.full(size, -1000)) == (0, size[1], 0, size[2])


def test_a_body_that_fills_the_slice_gives_the_whole_slice():
    assert body_box(np.full((2, 50, 70), 40)) == (0, 50, 0, 70)


def test_an_mr_volume_brings_its_own_threshold():
    scan = np.where(torso() > 0, 700, 12)
    assert body_box(scan, threshold_hu=100) == body_box(torso())


def test_four_axes_are_refused():
    with pytest.raises(ShapeError, match="volume must be"):
        body_box(np.zeros((1, 2, 3, 4)))


def test_real_scans_keep_every_organ_inside_the_box(shared_data):
    import nibabel

    folder = shared_data / "abdomen_ct"
    image = nibabel.load(folder / "imagesTr" / "btcv_0009_0000.nii.gz").dataobj
    truth = nibabel.load(folder / "labelsTr" / "btcv_0009.nii.gz").dataobj
    scan, labels = np.asarray(image).T, np.asarray(truth).T
    y0, y1, x0, x1 = body_box(scan)
    inside = np.zeros(labels.shape, dtype=bool)
    inside[:, y0:y1, x0:x1] = True
    assert not (labels[~inside] > 0).any()
    assert inside.mean() < 0.9
