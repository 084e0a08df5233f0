"""What the page asks for, and what it gets. Cases are known by their number, never by a path."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import numpy as np
from fastapi import Body, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

import slicekit
from slicekit.errors import ShapeError, SlicekitError
from slicekit.review.desk import Desk
from slicekit.review.faults import described, status_of
from slicekit.review.pages import Pages
from slicekit.review.versions import listed
from slicekit.review.work import Work

_BINARY = "application/octet-stream"
_AT_ONCE = 8


def make_app(desk: Desk, pages: Pages) -> FastAPI:
    """Build the server's application.

    Args:
        desk: The cases.
        pages: Static files, read already.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        desk.prepare()
        yield
        await run_in_threadpool(desk.close)

    app = FastAPI(
        title="slicekit review", lifespan=life, openapi_url=None, docs_url=None, redoc_url=None
    )
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _not_there)
    for kind in (SlicekitError, MemoryError, Exception):
        app.add_exception_handler(kind, _told)
    _add_cases(app, desk)
    _add_work(app, desk)
    _add_keeping(app, desk)

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"ok": True, "version": slicekit.__version__}

    @app.get("/{name:path}")
    def page(name: str) -> Response:
        content, kind = pages.find(name)
        return Response(content, media_type=kind)

    return app


def _add_cases(app: FastAPI, desk: Desk) -> None:
    """Add what is asked of scans: the list, and what does not change."""

    @app.get("/api/cases")
    def cases() -> dict[str, Any]:
        return {"cases": desk.listed(), "model": desk.model, "model_fault": desk.carrier_fault}

    @app.get("/api/cases/{index}")
    def case(index: int) -> dict[str, Any]:
        work = desk.work(index)
        scan, picture = work.scan, work.picture
        return {
            "index": index,
            "name": work.case.name,
            "shape": scan.shape,
            "spacing_mm": scan.spacing_mm,
            "affine": scan.affine.tolist(),
            "slope": picture.slope,
            "offset": picture.offset,
            "presets": [one._asdict() for one in picture.presets],
            "numbers": picture.numbers,
            "label_bytes": work.sheet.labels.dtype.itemsize,
            "organs": _organs(work),
            "given": work.case.given is not None,
            "out": str(work.case.labels),
            "voxel_ml": scan.voxel_ml,
        }

    @app.get("/api/cases/{index}/image")
    def image(index: int) -> Response:
        work = desk.work(index)
        depth, rows, columns = work.scan.shape

        def planes() -> Iterator[bytes]:
            for first in range(0, depth, _AT_ONCE):
                some = range(first, min(first + _AT_ONCE, depth))
                yield b"".join(work.picture.plane(z) for z in some)

        headers = {"content-length": str(2 * depth * rows * columns)}
        return StreamingResponse(planes(), media_type=_BINARY, headers=headers)

    @app.get("/api/cases/{index}/image/{z}")
    def image_slice(index: int, z: int) -> Response:
        work = desk.work(index)
        _expect_slice(work, z)
        return Response(work.picture.plane(z), media_type=_BINARY)


def _add_work(app: FastAPI, desk: Desk) -> None:
    """Add what changes while somebody draws."""

    @app.get("/api/cases/{index}/state")
    def state(index: int, watch: bool = False) -> dict[str, Any]:
        return (desk.watched(index) if watch else desk.work(index)).state()

    @app.get("/api/cases/{index}/labels")
    def labels(index: int, since: Annotated[int, Query(ge=0)] = 0) -> Response:
        work = desk.work(index)
        found = work.planes_since(since)
        about = {
            "revision": found.revision, "slices": found.shown, "empty": found.empty,
            "put_at": found.put_at, "label_bytes": work.sheet.labels.dtype.itemsize,
        }  # fmt: skip
        head = json.dumps(about).encode()
        head += b" " * (-len(head) % 4)  # what follows is aligned, as browsers want it
        return Response(struct.pack("<I", len(head)) + head + found.planes, media_type=_BINARY)

    @app.put("/api/cases/{index}/slices/{z}")
    async def put_slice(
        index: int, z: int, request: Request, drawn: str = "", seen: int | None = None
    ) -> dict[str, Any]:
        body = await request.body()
        return await run_in_threadpool(_put, desk.work(index), z, body, drawn, seen)

    @app.post("/api/cases/{index}/organs")
    def add_organ(index: int, name: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
        work = desk.work(index)
        number = work.add_organ(name)
        kind = work.sheet.labels.dtype.itemsize
        return {"id": number, "organs": _organs(work), "label_bytes": kind}

    @app.post("/api/cases/{index}/propagate", status_code=202)
    def propagate(index: int) -> dict[str, Any]:
        work = desk.work(index)
        work.propagate()
        return vars(work.job.progress)

    @app.delete("/api/cases/{index}/propagate")
    def stop(index: int) -> dict[str, Any]:
        work = desk.work(index)
        work.job.stop()
        return vars(work.job.progress)


def _add_keeping(app: FastAPI, desk: Desk) -> None:
    """Add what keeps a case: saving, versions, the verdict."""

    @app.post("/api/cases/{index}/save")
    def save(index: int) -> dict[str, Any]:
        work = desk.work(index)
        return {"version": work.save(), "file": str(work.case.labels)}

    @app.get("/api/cases/{index}/versions")
    def kept_versions(index: int) -> dict[str, Any]:
        return {"versions": listed(desk.work(index).case)}

    @app.post("/api/cases/{index}/versions/{number}/restore")
    def restore(index: int, number: int) -> dict[str, Any]:
        work = desk.work(index)
        return {"kept": work.restore(number), "organs": _organs(work)}

    @app.post("/api/cases/{index}/verdict")
    def judge(
        index: int,
        verdict: Annotated[str, Body()],
        remark: Annotated[str, Body(max_length=2000)] = "",
    ) -> dict[str, Any]:
        work = desk.work(index)
        work.judge(verdict, remark)
        return dict(work.note)


def _put(work: Work, z: int, body: bytes, drawn: str, seen: int | None) -> dict[str, Any]:
    """Take a slice as bytes, and the ids that count as drawn on it, between commas."""
    _expect_slice(work, z)
    _, rows, columns = work.scan.shape
    kind = work.sheet.labels.dtype.newbyteorder("<")
    if len(body) != rows * columns * kind.itemsize:
        raise ShapeError(
            f"a slice has {rows} x {columns} pixels of {kind.itemsize} bytes, got {len(body):,} "
            "bytes; load the page again"
        )
    words = [word for word in drawn.split(",") if word]
    if not all(word.isdecimal() and len(word) < 6 for word in words):
        raise ShapeError(f"drawn wants ids between commas, got {drawn[:80]!r}; load the page again")
    plane = np.frombuffer(body, kind).reshape(rows, columns)
    revision = work.put(z, plane, {int(word) for word in words}, seen=seen)
    ids = work.sheet.names.ids
    volumes = {ids[name]: ml for name, ml in work.volumes().items()}
    return {"revision": revision, "volumes_ml": volumes}


def _expect_slice(work: Work, z: int) -> None:
    """Refuse a slice that is not there.

    Raises:
        ShapeError: There is none.
    """
    if not 0 <= z < work.scan.shape[0]:
        raise ShapeError(f"there is no slice {z}; they go from 0 to {work.scan.shape[0] - 1}")


def _organs(work: Work) -> list[dict[str, Any]]:
    names = work.sheet.names
    return [
        {"id": n, "name": name, "colour": _hex(names.colour(n))} for name, n in names.ids.items()
    ]


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)


async def _told(_: Request, fault: Exception) -> Response:
    return JSONResponse(described(fault), status_of(fault))


async def _not_understood(_: Request, fault: Exception) -> Response:
    said = fault.errors()[0] if isinstance(fault, RequestValidationError) else {}
    where = ".".join(str(part) for part in said.get("loc", ()))
    return JSONResponse(
        {
            "error": "RequestError",
            "cause": f"the request cannot be understood: {where}: {said.get('msg', '')}",
            "cure": "load the page again",
        },
        422,
    )


async def _not_there(_: Request, fault: Exception) -> Response:
    status = fault.status_code if isinstance(fault, HTTPException) else 500
    said = str(fault.detail) if isinstance(fault, HTTPException) else "a fault"
    cure = "open the address that slicekit review printed"
    return JSONResponse({"error": "HttpError", "cause": said.lower(), "cure": cure}, status)
