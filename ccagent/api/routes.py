"""What the listener answers: the metrics page, health, readiness, and a word on where to look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ccagent.export.prometheus import render
from ccagent.metrics.snapshot import Snapshot

READ_SECONDS: Final = 5.0
"""Longest wait for the store in a request. A scrape takes milliseconds; Prometheus gives up after 10 s."""

INDEX: Final = """\
ccagent {version}

/metrics   Prometheus metrics (text or OpenMetrics)
/healthz   200 while the process lives
/readyz    200 once transcripts are followed
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """What the routes read, all of it called in the listener's own reader thread or loop.

    `snapshot`: all metrics of this moment; it may take a short read transaction. `ready`: whether transcripts are
    followed (the first catch-up may still run); it must not block.
    """

    snapshot: Callable[[], Snapshot]
    ready: Callable[[], bool]
    version: str


def make_app(state: AppState, reader: Executor) -> Starlette:
    """The application. Reads of the store run on `reader`, so that health is answered while one of them waits."""

    async def metrics(request: Request) -> Response:
        accept = ", ".join(request.headers.getlist("accept"))
        loop = asyncio.get_running_loop()
        try:
            page, content_type = await asyncio.wait_for(
                loop.run_in_executor(reader, lambda: render(state.snapshot(), accept)), READ_SECONDS
            )
        except TimeoutError:
            return PlainTextResponse(f"the store did not answer within {READ_SECONDS:g} s; try again\n", 503)
        return Response(page, headers={"Content-Type": content_type})

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        return PlainTextResponse("ready\n") if state.ready() else PlainTextResponse("starting\n", 503)

    async def index(request: Request) -> Response:
        return PlainTextResponse(INDEX.format(version=state.version))

    async def failed(request: Request, error: Exception) -> Response:
        return PlainTextResponse("the metrics could not be read; `ccagent doctor` and the log say why\n", 500)

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/", index),
        ],
        exception_handlers={500: failed},
    )
