"""What is recorded of each request: a line of JSON in the log, without sequences, and the counts of `/metrics`."""

import json
import logging
import time
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics

logger = logging.getLogger(__name__)

QUIET = ("/ping", "/metrics")  # asked every few seconds; logged only when they fail
PATHS = ("/invocations", "/model", *QUIET, "/openapi.json")  # others are counted together: clients must not make labels
LEFT = 499  # nginx's status for a client that closed the connection
LONGEST_ID = 128  # characters of a request's id in the log


class Observed:
    """Around an application: logs and counts each request, and turns an exception into status 500 without traceback.

    The application adds to `scope["facts"]` what else belongs in the line.

    Args:
        app: The application.
        metrics: Its counts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, status = time.perf_counter(), 0
        scope["facts"] = facts = _first_facts(scope)

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except ClientDisconnect:
            status = LEFT
        except Exception as error:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                raise
            facts["failure"] = type(error).__name__
            answer = JSONResponse({"error": "internal server error; see the log of the server"}, 500)
            await answer(scope, receive, noted)
        finally:
            self._record(scope, status, time.perf_counter() - start)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"] if scope["path"] in PATHS else "other"
        self.metrics.requests.labels(path, str(status)).inc()
        if path == "/invocations":
            self.metrics.request_seconds.observe(seconds)
        if path not in QUIET or status not in (200, 503):
            line = {**scope["facts"], "status": status, "ms": round(1000 * seconds, 2)}
            logger.info("%s", json.dumps(line))


def _first_facts(scope: Scope) -> dict[str, Any]:
    facts = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "method": scope["method"],
        "path": scope["path"][:LONGEST_ID],
    }
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
    if given is not None:
        facts["request_id"] = given.decode("latin-1")[:LONGEST_ID]
    return facts
