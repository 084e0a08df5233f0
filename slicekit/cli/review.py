"""The command that opens a page to draw on and to judge: review."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicekit.cli.options import Carrier, Device, Method, Spacing, TimePoint
from slicekit.terminal import errors, expect_choice

if TYPE_CHECKING:
    from slicekit.review.serve import Address

_CARRIER = "any_propagator"


def review(
    data: Annotated[
        Path, typer.Argument(help="NIfTI scan, slice folder, folder of scans, or dataset.")
    ] = Path(),
    labels: Annotated[
        Path | None, typer.Option(help="Labels to look at: a file, or a folder of CASE.nii.gz.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for results; else NAME_review here.")
    ] = None,
    method: Method = "stcn",
    model: Carrier = None,
    device: Device = "auto",
    volume: TimePoint = None,
    spacing: Spacing = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Of 127.0.0.1; 0 takes a free one.")
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Draw, correct, accept or send back labels on a local web page."""
    expect_choice("--method", method, ("stcn", "interpolate"))
    if method == "interpolate" and model is not None:
        raise typer.BadParameter("interpolation needs no network; leave --model out")
    from slicekit.review.cases import review_cases
    from slicekit.review.look import model_windows
    from slicekit.review.serve import expect_installed, serve

    expect_installed()
    cases = review_cases(data, labels=labels, out=out, volume_index=volume, spacing_mm=spacing)
    chosen = None if method == "interpolate" else model or _CARRIER

    def told(address: Address, has_viewer: bool) -> None:
        scans = "1 scan" if len(cases) == 1 else f"{len(cases)} scans"
        print(f"{scans}, results go to {cases[0].folder}", flush=True)
        print(f"open {address.url}", flush=True)
        errors.print("Ctrl+C ends it; what was drawn is kept")
        if not has_viewer:
            errors.print("without NiiVue there is no three-plane view; `make web` fetches it")
        if browser:
            webbrowser.open(address.url)

    serve(cases, port=port, model=chosen, device=device, windows=model_windows(chosen), told=told)
