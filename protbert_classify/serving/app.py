"""The container contract over HTTP, `GET /ping` and `POST /invocations`, with `GET /model` and `GET /metrics`."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from ..errors import ProteinClassifierError
from ..version import __version__
from .decoding import Decoder, is_compressed, too_large
from .http_errors import Refusal, UnsupportedContent, status_of
from .metrics import CONTENT_TYPE
from .observing import Observed
from .openapi import INVOCATIONS, METRICS, MODEL, PING
from .requests import reader_for
from .responses import accepted_type
from .service import Service
from .uploads import Upload

Result = TypeVar("Result")


def build_app(service: Service) -> FastAPI:
    """The application of a service.

    It has no page of documentation, since FastAPI's loads scripts from elsewhere; the OpenAPI document is at
    `/openapi.json`.
    """
    app = FastAPI(
        title="protbert-classify serve",
        version=__version__,
        description="Classifies proteins from their sequence.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Observed, metrics=service.metrics)
    app.add_exception_handler(ProteinClassifierError, _refused)
    app.add_exception_handler(HTTPException, _not_routed)

    @app.get("/ping", summary="Whether requests are accepted", response_class=Response, responses=PING)
    async def ping() -> Response:
        state = "draining" if service.draining else "ready" if service.is_ready else "loading"
        return JSONResponse({"status": state}, 200 if service.is_ready else 503)

    app.head("/ping", include_in_schema=False)(ping)  # some load balancers ask so

    @app.get("/model", summary="What is served, and within which limits", response_class=Response, responses=MODEL)
    async def model() -> Response:
        return JSONResponse(service.description())

    @app.post("/invocations", summary="Classify proteins", response_class=Response, openapi_extra=INVOCATIONS)
    async def invocations(request: Request) -> Response:
        service.admit()
        try:
            with service.uploads.begin() as upload:
                return await _invocation(service, request, upload)
        finally:
            service.release()

    @app.get("/metrics", summary="Counts for Prometheus", response_class=Response, responses=METRICS)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    return app


async def _invocation(service: Service, request: Request, upload: Upload) -> Response:
    """An answer; what is wrong with the headers is answered before the body is read."""
    content_type = request.headers.get("content-type")
    reader_for(content_type)
    decoder = Decoder(is_compressed(_joined(request, "content-encoding")))
    kind = accepted_type(_joined(request, "accept"))
    query = await service.read(await _body(request, upload, decoder, service.limits.body), content_type)
    request.scope["facts"] |= {
        "proteins": len(query.records),
        "residues": sum(len(record.residues) for record in query.records),
    }
    return Response(await _while_connected(request, service.classify(query, kind)), media_type=kind)


def _joined(request: Request, name: str) -> str:
    """A header that may be sent several times (RFC 9110, 5.3)."""
    return ", ".join(request.headers.getlist(name))


async def _body(request: Request, upload: Upload, decoder: Decoder, limit: int) -> bytes:
    """The decompressed body of a request, not read further than the limit.

    Raises:
        TooLarge: The body is longer.
        TooSlow: It did not arrive in time.
        TooBusy: It had to give way to others.
        DataError: Damaged gzip data.
    """
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large(limit)
    async with upload.arriving():
        async for chunk in request.stream():
            for piece in decoder.feed(chunk):
                upload.add(piece)
                if upload.held > limit:
                    raise too_large(limit)
        upload.add(decoder.finish())
    return upload.take()


async def _while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of what is done for a client; cancelled if the client leaves.

    Raises:
        ClientDisconnect: The client left.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()


async def _disconnected(request: Request) -> None:
    """Wait until the client of a request that was read leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProteinClassifierError)
    request.scope["facts"]["refused"] = type(error).__name__  # not its text, which may quote a sequence
    headers = {}
    if isinstance(error, Refusal) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, UnsupportedContent):
        headers["Accept-Encoding"] = "gzip"  # RFC 9110, 12.5.3
    return JSONResponse({"error": str(error)}, status_of(error), headers)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
