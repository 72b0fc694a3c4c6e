"""Who may ask the listener, and how: the check in front of every route.

A page in the owner's browser can reach loopback too: by a request of its own (foreign Origin), or by a name of its own
that resolves to 127.0.0.1 (foreign Host). Neither may read what the agent did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS: Final = ("GET", "HEAD")
"""Nothing here changes anything."""

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Lets pass what a local reader asks for; 405 for other methods, 403 for a foreign Host or Origin.

    `hosts`: the names under which the listener is reached, with their port (`localhost:9464`).
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(f"http://{host}" for host in self._hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, hardened)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        if method not in METHODS:
            allowed = ", ".join(METHODS)
            return PlainTextResponse(f"{method} is not served here; use {allowed}\n", 405, {"Allow": allowed})
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return PlainTextResponse("unknown Host; ask for the address that ccagent listens on\n", 403)
        if any(origin.lower() not in self._origins for origin in headers.getlist("origin")):
            return PlainTextResponse("foreign Origin; pages of other sites may not read this\n", 403)
        return None
