"""What an error of Postgres means: worth another try, the end of the session, or a sentence for people.

Only the server's primary message is repeated: its details quote rows, and those are nobody else's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors

from ccagent.errors import AwayError, StoreError

_RETRYABLE: Final = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.UniqueViolation,  # another host was first: the next run finds its row
    errors.LockNotAvailable,  # lock_timeout among them
)

_LOST_STATES: Final = frozenset(
    {
        "57P01",  # admin_shutdown: the server stops, or somebody has terminated the session
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now: starting up
        "57P04",  # database_dropped
        "57P05",  # idle_session_timeout
        "25P03",  # idle_in_transaction_session_timeout
        "25P04",  # transaction_timeout
    }
)
_LOST_CLASS: Final = "08"
"""Connection exceptions."""

_REFUSED_CLASSES: Final = ("22", "23", "54")
"""Data exceptions, constraints, limits of a row: some value cannot be kept. (UniqueViolation says another thing.)"""

_PASSING: Final = ("57P03", "53300")
"""Of what has a sentence below: the server will take sessions again, and nobody has to do anything here."""

_MESSAGE_LENGTH: Final = 500
"""Characters of a server's message that are shown; it is one sentence, unless many addresses were tried."""

_PASSWORDS: Final = (
    re.compile(r"(://[^/\s:@]*:)[^/\s]*(?=@)"),
    re.compile(r"(\bpassword\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE),
)

# At connecting libpq gives no SQLSTATE, only the server's text, English unless the server was told otherwise: such
# a text is shown as it is, under the last sentence.
_SENTENCES: Final[tuple[tuple[str, str, str], ...]] = (
    # SQLSTATEs (or classes), pattern of the message, sentence
    (
        "53100",
        r"No space left on device",
        "{where} has no room left on its disk ({why}); free some on the server, following goes on by itself then",
    ),
    (
        "28P01 28000",
        r"authentication failed|no password supplied|no pg_hba\.conf entry|role \".*\" does not exist|not permitted to log in",
        "{where} refuses the login ({why}); check user and password in --db or in ~/.pgpass, and the server's pg_hba.conf",
    ),
    (
        "3D000",
        r"database \".*\" does not exist",
        "{where}: the server has no such database ({why}); create it with createdb, or name another with --db",
    ),
    (
        "42501",
        r"permission denied",
        "{where} does not allow this ({why}); GRANT the role of --db what is missing: CREATE on the database at the"
        " first start, later all rights on the schema `ccagent` and what it holds",
    ),
    (
        "25006",
        r"read-only transaction",
        "{where} takes no writes, it is a standby or was made read-only ({why}); name the primary with --db",
    ),
    (
        "53300",
        r"too many (clients|connections)|connection slots are reserved",
        "{where} takes no further connection ({why}); raise max_connections on the server, or close other sessions",
    ),
    (
        "57014",
        r"canceling statement",
        "{where} took too long and was stopped ({why}); see what keeps the server busy, then try again",
    ),
    (
        "42P01 3F000 42703",
        r"(relation|schema|column) \".*\" does not exist",
        "{where} has not the tables this ccagent knows ({why}); start `ccagent run`, which makes or migrates them",
    ),
    (
        "57P03",
        r"the database system is (starting up|shutting down|in recovery)|not yet accepting connections",
        "{where} is starting or stopping ({why}); try again in a moment",
    ),
)
_AWAY: Final = "{where} does not answer ({why}); see that the server runs and can be reached from this machine"
_ELSE: Final = "{where} refused: {why}; see the server's log, and report it if ccagent is at fault"


def retryable(error: BaseException | None) -> bool:
    """Whether the transaction may succeed when it is run again: somebody else's was in the way."""
    return isinstance(_cause(error), _RETRYABLE)


def lost(error: BaseException | None) -> bool:
    """Whether the session has ended: whatever was open in it is rolled back, and a COMMIT's fate is unknown.

    Of a StoreError its cause is judged.
    """
    error = _cause(error)
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        # libpq's own: not reached, broken off, no answer. PipelineAborted only follows another error.
        return isinstance(error, psycopg.OperationalError) and not isinstance(error, errors.PipelineAborted)
    severity = error.diag.severity_nonlocalized or error.diag.severity
    return error.sqlstate in _LOST_STATES or error.sqlstate.startswith(_LOST_CLASS) or severity in ("FATAL", "PANIC")


def refused(error: BaseException | None) -> bool:
    """Whether a value was refused: the same transaction without it may succeed. Of a StoreError its cause is judged."""
    error = _cause(error)
    if not isinstance(error, psycopg.Error) or retryable(error):
        return False
    return isinstance(error, psycopg.DataError) or (error.sqlstate or "").startswith(_REFUSED_CLASSES)


def store_error(error: psycopg.Error, display: str) -> StoreError:
    """What happened, where (`display`: the database, its password masked) and what to do next. AwayError where the
    server cannot be reached at the moment."""
    why = _said(error)
    state = error.sqlstate or ""
    for states, pattern, sentence in _SENTENCES:
        if state in states.split() or (not state and re.search(pattern, why)):
            kind = AwayError if any(each in states.split() for each in _PASSING) else StoreError
            return kind(sentence.format(where=display, why=why), reason="full" if state == "53100" else "other")
    if lost(error):
        return AwayError(_AWAY.format(where=display, why=why))
    return StoreError(_ELSE.format(where=display, why=why))


@contextmanager
def explained(display: str) -> Iterator[None]:
    """Errors of the driver within are raised as StoreError, with their cause."""
    try:
        yield
    except psycopg.Error as error:
        raise store_error(error, display) from error


def masked(text: str) -> str:
    """`text` without the passwords of URLs and connection strings in it."""
    for pattern in _PASSWORDS:
        text = pattern.sub(r"\1***", text)
    return text


def _said(error: psycopg.Error) -> str:
    text = masked(" ".join((error.diag.message_primary or str(error)).split())) or type(error).__name__
    return text if len(text) <= _MESSAGE_LENGTH else text[:_MESSAGE_LENGTH] + "…"


def _cause(error: BaseException | None) -> BaseException | None:
    return error.__cause__ if isinstance(error, StoreError) else error
