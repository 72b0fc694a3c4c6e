"""What ccagent says of itself, on standard error: for people on a terminal, one JSON object a line elsewhere.

`event` is a stable dotted name; what varies stands in keys of its own. Repeated warnings and errors are held back and
counted. A log line that cannot be written is lost in silence: nothing may fail because nobody listens.
"""

from __future__ import annotations

import datetime as dt
import importlib
import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, Final

from ccagent.clock import Clock, SystemClock

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

BURST: Final = 5
"""So many equal warnings pass in one window: enough to see that it repeats."""

WINDOW_SECONDS: Final = 60.0
"""Then one line a minute says how many were held back."""

MAX_TRACKED_EVENTS: Final = 1_000
"""Event names are few; the bound keeps a mistake (a name with a varying part) from growing for ever."""

UNLIMITED: Final = frozenset({"alert.firing", "alert.resolved"})
"""Events of which each line is told once and is news: none is held back."""

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

EventDict = MutableMapping[str, Any]


class RepeatLimiter:
    """Lets BURST equal warnings or errors pass a window; the first of the next window carries `suppressed`."""

    def __init__(self, clock: Clock, burst: int = BURST, window_seconds: float = WINDOW_SECONDS) -> None:
        self._clock = clock
        self._burst = burst
        self._window = window_seconds
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}
        self._lock = threading.Lock()

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        """Pass the event on or raise structlog.DropEvent."""
        from structlog import DropEvent

        level = str(event.get("level", method))
        if level not in ("warning", "error", "critical") or event.get("event") in UNLIMITED:
            return event
        key = (level, str(event.get("event")))
        now = self._clock.monotonic()
        with self._lock:
            started, count = self._seen.get(key, (now, 0))
            held_back = 0
            if now - started >= self._window:
                held_back = max(0, count - self._burst)
                started, count = now, 0
            if key not in self._seen and len(self._seen) >= MAX_TRACKED_EVENTS:
                self._seen.clear()
            self._seen[key] = (started, count + 1)
        if count >= self._burst:
            raise DropEvent
        if held_back:
            event["suppressed"] = held_back
        return event


class QuietWriter:
    """Writes whole lines to a stream that may be closed, full or gone."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def msg(self, message: str) -> None:
        """Write one line; a failure is nobody's concern."""
        if self._stream is None:
            return
        with self._lock:
            try:
                self._stream.write(message + "\n")
                self._stream.flush()
            except UnicodeEncodeError:
                self._ascii(message)
            except (OSError, ValueError):
                return

    debug = info = warning = warn = error = critical = fatal = exception = failure = log = msg

    def _ascii(self, message: str) -> None:
        try:
            assert self._stream is not None
            self._stream.write(message.encode("ascii", "backslashreplace").decode("ascii") + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return


def configure(
    *, level: str = "info", format: str = "auto", stream: IO[str] | None = None, clock: Clock | None = None
) -> None:
    """Set up logging for the process; `stream` is standard error where none is given.

    `level` is debug, info, warning or error; `format` is auto, console or json. Warnings of libraries come out in the
    same form.
    """
    structlog = _structlog()
    clock = clock or SystemClock()
    target = stream if stream is not None else sys.stderr
    renderer = _console if format == "console" or (format == "auto" and _is_terminal(target)) else _json
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            RepeatLimiter(clock),
            structlog.processors.format_exc_info,
            _stamp(clock),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_factory(QuietWriter(target)),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(_LibraryHandler(logging.WARNING))


def get_logger(**bound: object) -> FilteringBoundLogger:
    """Give a logger, with these keys on each of its lines: `get_logger().info("ingest.ready", files=3)`."""
    logger: FilteringBoundLogger = _structlog().get_logger(**bound)
    return logger


def _structlog() -> ModuleType:
    """structlog, which takes in rich where it is installed, for a renderer that is not used here: 5 MiB and a good part of a
    daemon's start. Rich is hidden from it; who prints tables imports it as ever."""
    if "structlog" not in sys.modules and "rich" not in sys.modules:
        sys.modules["rich"] = None  # type: ignore[assignment]  # what the import system takes for "there is none"
        try:
            return importlib.import_module("structlog")
        finally:
            del sys.modules["rich"]
    return importlib.import_module("structlog")


class _LibraryHandler(logging.Handler):
    """Brings the standard library's log records into the same stream."""

    def emit(self, record: logging.LogRecord) -> None:
        log = get_logger().error if record.levelno >= logging.ERROR else get_logger().warning
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        log(f"library.{record.name}", message=message)


def _factory(writer: QuietWriter) -> Callable[..., QuietWriter]:
    def make(*_: object) -> QuietWriter:
        return writer

    return make


def _is_terminal(stream: IO[str]) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError, AttributeError):
        return False


def _stamp(clock: Clock) -> Callable[[object, str, EventDict], EventDict]:
    def stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["ts"] = dt.datetime.fromtimestamp(clock.now_ms() / 1_000, dt.UTC).isoformat(timespec="milliseconds")
        return event

    return stamp


def _ordered(event: EventDict) -> dict[str, Any]:
    first = {name: event.get(name) for name in ("ts", "level", "event")}
    return first | {name: value for name, value in event.items() if name not in first}


def _json(_logger: object, _method: str, event: EventDict) -> str:
    import orjson

    fields = _ordered(event)
    fields["ts"] = str(fields["ts"]).replace("+00:00", "Z")
    try:
        return orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a lone surrogate or an integer beyond 64 bits, from a file's name or content
        return orjson.dumps({name: ascii(value) for name, value in fields.items()}).decode()


def _console(_logger: object, _method: str, event: EventDict) -> str:
    fields = _ordered(event)
    stamp, level, name = str(fields.pop("ts")), str(fields.pop("level")), str(fields.pop("event"))
    trace = fields.pop("exception", None)
    words = [f"{stamp[11:19]} {level:<7} {_plain(name)}", *(f"{key}={_plain(value)}" for key, value in fields.items())]
    return " ".join(words) + (f"\n{trace}" if trace else "")


def _plain(value: object) -> str:
    """Give a value on one line that cannot command the terminal."""
    text = str(value)
    return text if text.isprintable() and " " not in text and text else ascii(text)
