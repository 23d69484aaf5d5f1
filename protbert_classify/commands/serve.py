"""`protbert-classify serve`: a classifier behind HTTP, as containers and clouds expect it."""

import argparse
import ipaddress
import logging
from importlib.util import find_spec

from ..errors import OptionError
from .parsing import OneLineParser, add_compute_options, add_model, compute_options, positive

logger = logging.getLogger(__name__)

NEEDED = ("fastapi", "prometheus_client", "uvicorn")
EXAMPLE = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"

DESCRIPTION = """\
Serve a fine-tuned classifier over HTTP: POST /invocations, GET /ping, /model, /metrics and /openapi.json.

  protbert-classify serve --model runs/mine
  curl http://127.0.0.1:8080/invocations -H 'Content-Type: application/json' -d '{"inputs": "MKTAYIAKQR"}'
  curl http://127.0.0.1:8080/invocations -H 'Content-Type: text/x-fasta' -H 'Accept: text/csv' \\
       --data-binary @proteins.fasta

Concurrent requests share forward passes. On SIGTERM the server answers the accepted requests and exits with code 0.
There is no authentication: listen beyond this machine (--host 0.0.0.0) only in a network that you trust.
Needs the extra serve."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise OptionError(f"{', '.join(missing)} not installed; serving needs: pip install 'protbert_classify[serve]'")
    from ..serving.limits import Bounds, Limits
    from ..serving.server import serve
    from ..serving.service import Queueing
    from .terminal import hide_short_progress_bars

    hide_short_progress_bars()
    if not _is_loopback(options.host):
        place = f"{options.host}, port {options.port}"
        logger.warning("listening on %s: anyone who can connect can send requests; there is no authentication", place)
    serve(
        options.model,
        host=options.host,
        port=options.port,
        limits=Limits(options.max_body, options.max_proteins, options.max_residues),
        queueing=Queueing(options.max_wait / 1000, options.max_queue),
        bounds=Bounds(options.max_in_flight, options.max_connections),
        ready=lambda url: print(_greeting(options.model, url), flush=True),
        **compute_options(options),
    )
    return 0


def _greeting(model: str, url: str) -> str:
    json = "-H 'Content-Type: application/json'"
    return f'{model} is served at {url}; try\n  curl {url}/invocations {json} -d \'{{"inputs": "{EXAMPLE}"}}\''


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 1 to 65535, or 0 for a free one")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify serve",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="0 for any free port (default %(default)s)")
    parser.add_argument(
        "--max_body", type=positive, default=6 * 2**20, help="maximum bytes of a request (default 6 MiB)"
    )
    parser.add_argument(
        "--max_proteins", type=positive, default=1000, help="proteins of a request (default %(default)s)"
    )
    parser.add_argument(
        "--max_residues", type=positive, default=100_000, help="residues of a protein (default %(default)s)"
    )
    parser.add_argument("--max_queue", type=positive, default=4000, help="proteins that may wait (default %(default)s)")
    parser.add_argument(
        "--max_in_flight",
        type=positive,
        default=64 * 2**20,
        help="bytes of all unanswered requests together (default 64 MiB)",
    )
    parser.add_argument("--max_connections", type=positive, default=5000, help="open connections (default %(default)s)")
    parser.add_argument(
        "--max_wait",
        type=positive,
        default=5,
        help="milliseconds that a protein waits for others to share its forward pass (default %(default)s)",
    )
    add_compute_options(parser)
    return parser
