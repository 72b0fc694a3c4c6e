"""uvicorn as a thread of a quiet daemon: no signal handlers, no ticking, limits on what a connection may take."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS: Final = 32
"""More are answered with 503: a scraper, a page and some shells need fewer than ten."""

MOST_OPEN: Final = 2 * MAX_CONNECTIONS
"""Still more are closed as they come: whoever opens them by the thousands must not use up the files that this process may
open, which following needs for transcripts."""

MAX_HEADER_BYTES: Final = 16 * 1_024
"""Of a request; a browser with cookies of many local pages sends some kilobytes."""

KEEP_ALIVE_SECONDS: Final = 75
"""An idle connection is kept between two scrapes of the usual minute."""

FIRST_REQUEST_SECONDS: Final = 10.0
"""A connection that has sent no whole request by then is closed, else some silent ones would use up the limit."""

ANSWER_SECONDS: Final = 30.0
"""An answer that its reader has not taken by then is cut off."""

SETUP_TURNS: Final = 4
"""Turns of the loop from an accept to its transport (three), and one."""

GRACE_SECONDS: Final = 1
"""For open answers at the end."""


class _Protocol(H11Protocol):
    """HTTP/1.1 where every connection has a deadline.

    uvicorn's own keep-alive timer starts after an answer and stops at the next byte, so a connection that sends
    nothing, or half a request, would be held for ever.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(FIRST_REQUEST_SECONDS, self._expire)
        if len(self.connections) > MOST_OPEN:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._deadline.cancel()
        self._deadline = self.loop.call_later(KEEP_ALIVE_SECONDS, self._expire)
        super().on_response_complete()

    def _expire(self) -> None:
        cycle: Any = self.cycle  # None until a first request's headers are whole, though its type does not say so
        if cycle is None or cycle.response_complete:
            self.timeout_keep_alive_handler()
        else:
            self._deadline = self.loop.call_later(ANSWER_SECONDS, self.transport.abort)


class LoopServer(uvicorn.Server):
    """A server that waits for its end instead of waking ten times a second to look for it.

    `run` blocks in the thread that calls it; uvicorn installs signal handlers on the main thread only.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,  # it would be renewed by the tick that is not there
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            )
        )
        self._begun = threading.Event()
        self._end: asyncio.Event | None = None
        self._end_loop: asyncio.AbstractEventLoop | None = None

    def wait_started(self, seconds: float) -> bool:
        """Whether it serves, within `seconds`."""
        return self._begun.wait(seconds)

    def ask_to_exit(self) -> None:
        """Make `run` return; from any thread."""
        self.should_exit = True
        if self._end is not None and self._end_loop is not None and not self._end_loop.is_closed():
            self._end_loop.call_soon_threadsafe(self._end.set)

    async def main_loop(self) -> None:
        """Serve until asked to end."""
        self._end_loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        await self.on_tick(0)
        self._begun.set()
        if not self.should_exit:
            await self._end.wait()
        await self._stop_accepting()

    async def _stop_accepting(self) -> None:
        """Take no more connections, and let those end their setup that are in it.

        asyncio drops a connection unclosed when its server closes between the accept and the transport.
        """
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for sock in server.sockets:
                loop.remove_reader(sock.fileno())
        for _ in range(SETUP_TURNS):
            await asyncio.sleep(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, wait for open answers as long as allowed, and cut off what is left."""
        await super().shutdown(sockets)
        left: list[Any] = list(self.server_state.connections)
        for connection in left:
            connection.transport.abort()
        if left:
            await asyncio.sleep(0)  # the transports close in the loop's next turn
