"""One POST of JSON, one answer, one verdict: what the channels over HTTP have in common."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from ccagent.errors import ConfigError
from ccagent.export.exchange import BoundedResponse, decoded, left, phrase, pieces, read_answer, retry_after
from ccagent.export.otlp.sender import is_loopback
from ccagent.masking import hidden, long_enough
from ccagent.notify.channel import SENT, Verdict, clean, refused, retry

USER_AGENT: Final = "ccagent-alerts"

NEVER: Final = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 431})
"""Answers that speak of the request itself: the same one would get the same again. What speaks of the address or of the
credentials is tried again, since its owner may mend it meanwhile."""

_PAGE: Final = (b"<!doctype html", b"<html")
"""How a page for people begins: a login page of a network stands in between, or the address is a web site's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a channel posts to. `url` and `headers` hold secrets, and no text shows them. `certificate`: PEM file of the
    authority that signed the receiver's, None for the system's authorities. Plain text to another machine needs `insecure`."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = 10.0
    certificate: Path | None = None
    insecure: bool = False


class Poster:
    """Posts to one address, over a connection of its own each time: alerts are rare, and kept connections go stale.

    Redirects are not followed (a login page would swallow the message) and proxy variables are not read. Raises ConfigError
    for an address that cannot be used.
    """

    def __init__(self, name: str, address: Address, *, wall: Callable[[], float] = time.time) -> None:
        self._url = check_url(name, address)
        self._address = address
        self._wall = wall
        self._secrets = _secrets(self._url, address.headers)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, key: str, judge: Callable[[bytes], Verdict] = lambda content: SENT) -> Verdict:
        """Post JSON with its idempotency key. `judge` has the last word on the body of an answer that is a success."""
        until = time.monotonic() + self._address.timeout_seconds
        try:
            connection = self._connection = self._connect()
        except OSError as error:
            said = getattr(error, "reason", None) or error.strerror or type(error).__name__
            return retry(f"the certificate of its authority cannot be read: {said}; correct the file")
        try:
            return self._hide(self._exchange(connection, body, key, until, judge))
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            return self._hide(retry(f"no answer from {self._url.hostname}: {type(error).__name__}: {error}"))
        finally:
            self._connection = None
            connection.close()

    def close(self) -> None:
        """Give up what is under way."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)  # closing alone would not wake who waits for the answer

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        body: bytes,
        key: str,
        until: float,
        judge: Callable[[bytes], Verdict],
    ) -> Verdict:
        connection.response_class = partial(BoundedResponse, until=until)  # type: ignore[assignment]
        connection.connect()
        connection.sock.settimeout(left(until))
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        try:
            connection.request("POST", target, pieces(body, connection.sock, until), self._headers(len(body), key))
        except (BrokenPipeError, ConnectionResetError):
            # Who refuses a body by its length answers before it is read, and closes: the answer may be here already.
            pass
        response = connection.getresponse()
        content = decoded(response, read_answer(response))
        status = response.status
        if 200 <= status < 300:
            if content.lstrip()[:32].lower().startswith(_PAGE):
                return retry(
                    f"{status} with a page for people: is a login page in between, or is the address a web site's?"
                )
            return judge(content)
        said = f"{status} {phrase(status)}{_words(response, content)}"
        if 300 <= status < 400:
            return retry(f"{status}: redirected elsewhere, which is not followed; is a login page in between?")
        if status in NEVER:
            return refused(said)
        wish = retry_after(response.headers.get("Retry-After"), self._wall())
        return retry(said, None if wish is None else round(wish * 1_000))

    def _connect(self) -> http.client.HTTPConnection:
        host, port, timeout = self._url.hostname or "", self._url.port, self._address.timeout_seconds
        if self._url.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=timeout)
        # Read anew each time: certificates are renewed while the daemon runs.
        own = self._address.certificate
        context = ssl.create_default_context(cafile=str(own) if own else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)

    def _headers(self, length: int, key: str) -> dict[str, str]:
        headers = {
            "content-type": "application/json", "content-length": str(length), "user-agent": USER_AGENT,
            "idempotency-key": key,
        }  # fmt: skip
        if self._url.username is not None:
            headers["authorization"] = f"Basic {_basic(self._url)}"
        return headers | {name.lower(): value for name, value in self._address.headers.items()}

    def _hide(self, verdict: Verdict) -> Verdict:
        """Without the channel's secrets: receivers repeat what they refuse."""
        reason = hidden(verdict.reason, self._secrets)
        return Verdict(outcome=verdict.outcome, after_ms=verdict.after_ms, reason=reason)


def check_url(name: str, address: Address) -> SplitResult:
    """The parts of the URL. Raises ConfigError, which does not repeat it, when nothing can be sent there."""
    where = f"alerts.channels.{name}.url"
    try:
        parts = urlsplit(address.url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not address.url.isascii() or not address.url.isprintable() or " " in address.url:
        raise ConfigError(f"{where} is no URL of the form https://host/path; correct it")
    if parts.scheme == "http" and not address.insecure and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"{where} is plain text to another machine; use https://, or set insecure = true if the network in between "
            "is trusted"
        )
    if address.certificate is not None and not address.certificate.is_file():
        raise ConfigError(f"alerts.channels.{name}.certificate is not a readable file; correct its path")
    return parts


def _basic(url: SplitResult) -> str:
    """User and password of the URL as a header has them."""
    return base64.b64encode(f"{unquote(url.username or '')}:{unquote(url.password or '')}".encode()).decode()


def _secrets(url: SplitResult, headers: Mapping[str, str]) -> list[str]:
    """What no reason may repeat, the longest first."""
    found = {url.path, url.query, url.username or "", url.password or "", *headers.values()}
    found |= {value.rpartition(" ")[2] for value in headers.values()}
    found |= set(url.path.split("/"))
    found |= {unquote(text) for text in found} | {_basic(url)}
    return long_enough(found)


def _words(response: http.client.HTTPResponse, content: bytes) -> str:
    kind = (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "text/plain"):
        return ""
    said = clean(content[:4_096].decode("utf-8", "replace"))
    return f": {said}" if said else ""
