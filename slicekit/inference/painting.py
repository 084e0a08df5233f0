"""Drawings and answers onto the canvas: only the slices whose answer has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slicekit.inference.canvas import Canvas
from slicekit.inference.interpolate import Outline
from slicekit.inference.organ_track import GapKey, OrganTrack, Provenance
from slicekit.inference.stretch import Followed, Task

Wanted = Mapping[str, Mapping[GapKey, Task]]
"""Organ to the gaps that its guides make now."""


def clear_stale(
    canvas: Canvas,
    tracks: Mapping[str, OrganTrack],
    wanted: Wanted,
    *,
    z_range: tuple[int, int],
    unfinished: set[int],
) -> set[int]:
    """Empty every slice whose answer has changed and draw its guides.

    A gap that loses a slice in this way counts as not shown, until ``show`` paints it again; so a
    propagation that is interrupted in between goes on where it stopped.

    Args:
        canvas: What is painted on.
        tracks: Organ to what is known of it.
        wanted: Organ to its gaps.
        z_range: First slice and the one behind the last.
        unfinished: Slices that an interrupted call left half painted.

    Returns:
        Those slices.
    """
    stale = set(unfinished)
    for name, track in tracks.items():
        for key in track.shown ^ set(wanted[name]):
            left = z_range[0] if key.left is None else key.left
            right = z_range[1] - 1 if key.right is None else key.right
            stale.update(range(left, right + 1))
    for name, track in tracks.items():
        tasks = wanted[name]
        track.shown = {
            key for key in track.shown if key in tasks and stale.isdisjoint(tasks[key].gap.slices)
        }
    zs = sorted(stale)
    canvas.clear(zs)
    for track in tracks.values():
        for values in (track.provenance, track.doubt, track.area):
            values[zs] = 0
        for z in stale & set(track.guides):
            canvas.draw(z, track.number, track.guides[z])
            track.provenance[z] = Provenance.DRAWN
            track.area[z] = track.guides[z].sum()
    return stale


def show(
    canvas: Canvas,
    track: OrganTrack,
    key: GapKey,
    pieces: Sequence[Followed | Outline],
    stale: set[int],
) -> None:
    """Paint the answer of a gap onto the slices that were emptied.

    Between two slices that show the organ, one on which it was not found is wholly doubtful.
    """
    if key.left is not None and key.right is not None:
        ends = [int(track.guides[z].sum()) for z in (key.left, key.right)]
        if min(ends) > 0:
            lost = sorted(stale & set(range(key.left + 1, key.right)))
            track.doubt[lost] = 1.0
            track.area[lost] = sum(ends) / 2
    for piece in pieces:
        if piece.z in stale and (pixels := canvas.paint(track.number, piece)):
            track.area[piece.z] = pixels
            track.doubt[piece.z] = piece.doubt
            carried = isinstance(piece, Followed)
            track.provenance[piece.z] = (
                Provenance.PROPAGATED if carried else Provenance.INTERPOLATED
            )
    track.shown.add(key)
