"""Reading a compressed DICOM series: ours against SimpleITK's reader, on the same files.

The slices of a real series are repeated at new positions until there are enough, and compressed
by GDCM. Both readers take turns in one process, so that whatever else the machine does meets both;
each finds the files, sorts them and gives intensities. Times are medians over the turns, the files
lie in the system's cache.

    python benchmarks/dicom_read.py --data DATA/dicom_series/crlm_1004
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from results_io import RESULTS, write_result

from slicekit.io import read_volume

SYNTAXES = {
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "RLE": gdcm.TransferSyntax.RLELossless,
    "not compressed": gdcm.TransferSyntax.ExplicitVRLittleEndian,
}


def make_series(source: Path, folder: Path, *, slices: int, syntax: int) -> None:
    """Write ``slices`` files of one series, the slices of ``source`` again and again."""
    files = sorted(source.glob("*.dcm"))
    series = generate_uid()
    plain = folder / "plain"
    for at in range(slices):
        one = pydicom.dcmread(files[at % len(files)])
        one.SeriesInstanceUID, one.SOPInstanceUID = series, generate_uid()
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.InstanceNumber = at + 1
        one.ImagePositionPatient = [*one.ImagePositionPatient[:2], float(at)]
        one.save_as(plain)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(plain))
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        if not reader.Read():
            raise SystemExit(f"GDCM cannot read {files[at % len(files)]}")
        change.SetInput(reader.GetImage())
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(folder / f"{at:04d}.dcm"))
        writer.SetFile(reader.GetFile())
        if not change.Change():
            raise SystemExit("GDCM cannot compress that way")
        writer.SetImage(change.GetOutput())
        writer.Write()
    plain.unlink()


def read_theirs(folder: Path) -> NDArray[np.generic]:
    """Read as SimpleITK's documentation does."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute())


def read_ours(folder: Path) -> NDArray[np.generic]:
    """Read as ``slicekit convert`` does."""
    return read_volume(folder).array


def measure(folder: Path, *, turns: int) -> dict[str, tuple[float, float]]:
    """Return the median seconds of the clock and of processor time of both readers."""
    readers: dict[str, Callable[[Path], NDArray[np.generic]]] = {
        "ours": read_ours,
        "SimpleITK": read_theirs,
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    found: dict[str, NDArray[np.generic]] = {}
    for turn in range(turns + 1):
        for name, read in readers.items():
            clock, work = time.perf_counter(), time.process_time()
            found[name] = read(folder)
            clock, work = time.perf_counter() - clock, time.process_time() - work
            if turn:  # the first imports and warms up
                took[name].append((clock, work))
    if not np.array_equal(found["ours"], found["SimpleITK"]):
        raise SystemExit("the two readers disagree about the voxels")
    return {
        name: (statistics.median(a for a, _ in both), statistics.median(b for _, b in both))
        for name, both in took.items()
    }


def main() -> None:
    """Measure, print, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="A folder of *.dcm, one series.")
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--syntax", choices=SYNTAXES, nargs="+", default=list(SYNTAXES))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows, figures = [], {}
    for name in args.syntax:
        with tempfile.TemporaryDirectory() as folder:
            make_series(args.data, Path(folder), slices=args.slices, syntax=SYNTAXES[name])
            times = measure(Path(folder), turns=args.turns)
        ours, theirs = times["ours"], times["SimpleITK"]
        figures[f"{name}: times as fast"] = theirs[0] / ours[0]
        rows.append(
            {
                "compression": name,
                "ours_s": ours[0],
                "simpleitk_s": theirs[0],
                "times": theirs[0] / ours[0],
                "ours_cpu_s": ours[1],
                "simpleitk_cpu_s": theirs[1],
            }
        )
        print(
            f"{name:16s} ours {ours[0]:6.2f} s, SimpleITK {theirs[0]:6.2f} s, "
            f"{theirs[0] / ours[0]:.2f} times as fast; CPU {ours[1]:.2f} and {theirs[1]:.2f} s"
        )
    note = (
        f"512 x 512 pixels, {args.turns} turns in one process, medians; both readers gave the same "
        "voxels. Files in the system's cache. SimpleITK: GetGDCMSeriesFileNames and "
        "ImageSeriesReader."
    )
    write_result(
        "dicom_read",
        title=f"Reading a DICOM series of {args.slices} slices",
        figures=figures,
        rows=rows,
        notes=[note],
        folder=args.results,
    )


if __name__ == "__main__":
    main()
