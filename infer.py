"""Segment a scan with the bundled weights: ``python infer.py SCAN -o LABELS``."""

from slicekit.cli import infer_door

if __name__ == "__main__":
    infer_door()
