"""The container contract over HTTP: `GET /ping`, `POST /invocations`, and `GET /metrics` for Prometheus."""

import asyncio

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ..errors import ProteinClassifierError
from ..version import __version__
from .http_errors import Refusal, TooLarge, TooSlow, UnsupportedContent, status_of
from .metrics import CONTENT_TYPE
from .observing import Observed
from .openapi import INVOCATIONS
from .requests import reader_for
from .responses import accepted_type
from .service import Service

BODY_SECONDS = 30  # for a body to arrive


def build_app(service: Service) -> FastAPI:
    """The application of a service.

    No page of documentation: FastAPI's would load scripts from elsewhere; the OpenAPI document is at `/openapi.json`.
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

    @app.get("/ping", summary="Whether requests are taken", responses={503: {"description": "Loading or draining"}})
    async def ping() -> Response:
        state = "draining" if service.draining else "ready" if service.is_ready else "loading"
        return JSONResponse({"status": state}, 200 if service.is_ready else 503)

    app.head("/ping", include_in_schema=False)(ping)  # as some load balancers ask

    @app.post("/invocations", summary="Classify proteins", openapi_extra=INVOCATIONS)
    async def invocations(request: Request) -> Response:
        service.admit()
        try:
            return await _invocation(service, request)
        finally:
            service.release()

    @app.get("/metrics", summary="Counts for Prometheus")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    return app


async def _invocation(service: Service, request: Request) -> Response:
    """An answer; what is wrong with the headers is told before the body is read."""
    content_type, encoding = request.headers.get("content-type"), request.headers.get("content-encoding", "identity")
    reader_for(content_type)
    if encoding.lower() != "identity":
        raise UnsupportedContent(f"content encoding {encoding[:80]!r}; expected the body as it is")
    kind = accepted_type(request.headers.get("accept"))
    body = await _body(request, service.limits.body)
    query = await service.read(body, content_type)
    request.scope["facts"] |= {
        "proteins": len(query.records),
        "residues": sum(len(record.residues) for record in query.records),
    }
    return Response(await service.classify(query, kind), media_type=kind)


async def _body(request: Request, limit: int) -> bytes:
    """The body of a request, not read further than the limit.

    Raises:
        TooLarge: It is longer.
        TooSlow: It did not arrive in time.
    """
    refusal = TooLarge(f"more than {limit:,} bytes; send fewer proteins at once")
    if int(request.headers.get("content-length", 0)) > limit:
        raise refusal
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise refusal
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {BODY_SECONDS} seconds") from None
    return bytes(body)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProteinClassifierError)
    request.scope["facts"]["refused"] = type(error).__name__  # not its text, which may quote a sequence
    retry = error.retry_after if isinstance(error, Refusal) else None
    headers = None if retry is None else {"Retry-After": str(retry)}
    return JSONResponse({"error": str(error)}, status_of(error), headers)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
