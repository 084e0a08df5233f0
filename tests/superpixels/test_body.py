import numpy as np
import pytest

from slicekit.errors import ShapeError
from slicekit.superpixels.body import body_box, foreground


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


def disc(*, shape=(3, 120, 140), air=0.0, body=400.0, noise=20.0, seed=0):
    """A noisy disc with a dark hole, one slice without it, and a thin table below."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[1], : shape[2]]
    inside = np.hypot(y - 60, x - 66) < 40
    hole = np.hypot(y - 60, x - 60) < 8
    scan = np.full(shape, air)
    scan[:2, inside & ~hole] = body
    scan[:2, 110:112, 20:120] = body
    return scan + abs(rng.normal(0, noise, shape)), inside


@pytest.mark.parametrize(
    ("scale", "offset"), [(1.0, 0.0), (0.001, 0.0), (3.0, -1024.0), (1.0, -2000.0)]
)
def test_the_foreground_is_the_body_in_any_unit(scale, offset):
    scan, inside = disc()
    body = foreground(scan * scale + offset)
    assert not body[2].any()
    for z in (0, 1):
        assert np.count_nonzero(body[z] ^ inside) < 0.05 * inside.sum()


def test_a_shaded_body_is_found_whole():
    scan, inside = disc(noise=4.0)
    shade = np.linspace(0.25, 1.5, scan.shape[2])  # an MR coil on one side
    body = foreground((scan * shade).astype(np.int16))
    assert np.count_nonzero(body[0] ^ inside) < 0.08 * inside.sum()


def test_padding_below_air_changes_little():
    scan, inside = disc(air=-1000.0, body=1040.0 - 1000.0, noise=10.0)
    y, x = np.mgrid[:120, :140]
    scan[:, np.hypot(y - 60, x - 70) > 62] = -3024
    assert np.count_nonzero(foreground(scan)[0] ^ inside) < 0.05 * inside.sum()


def test_two_legs_are_two_pieces_and_specks_are_none():
    scan = np.zeros((1, 100, 100))
    scan[0, 30:70, 10:40] = scan[0, 30:70, 60:90] = 100
    scan[0, 5:8, 5:8] = 100
    body = foreground(scan)[0]
    legs = (scan[0] > 0) & (np.arange(100)[:, None] > 20)
    assert not (body & ~legs).any()
    assert np.count_nonzero(legs & ~body) <= 8  # corners


@pytest.mark.parametrize("value", [0, 7, -1024])
def test_a_constant_or_empty_scan_has_no_foreground(value):
    assert not foreground(np.full((2, 20, 30), value, np.int16)).any()
    assert not foreground(np.full((2, 20, 30), np.nan)).any()
    assert foreground(np.zeros((0, 4, 4))).shape == (0, 4, 4)


def test_what_is_no_number_is_background():
    scan, _ = disc()
    scan[0, :60] = np.nan
    scan[1] = np.inf
    body = foreground(scan)
    assert not body[0, :58].any()
    assert body[0, 60:].any()
    assert not body[1].any()


@pytest.mark.parametrize("scan", [np.zeros((4, 4)), np.zeros((1, 4, 4), complex)])
def test_what_is_no_scan_is_refused(scan):
    with pytest.raises(ShapeError, match="slices must"):
        foreground(scan)


def test_real_scans_keep_their_organs_in_the_foreground(shared_data):
    import nibabel

    for folder, name in (("abdomen_ct", "btcv_0009"), ("abdomen_mr", "chaos_t2_10")):
        image = nibabel.load(shared_data / folder / "imagesTr" / f"{name}_0000.nii.gz").dataobj
        truth = nibabel.load(shared_data / folder / "labelsTr" / f"{name}.nii.gz").dataobj
        body, labels = foreground(np.asarray(image).T), np.asarray(truth).T > 0
        assert body[labels].mean() > 0.99
        assert 0.3 < body.mean() < 0.75
