"""Everything that ccagent raises on purpose, as one tree, each with the exit code it ends the command with.

    CcagentError (1)
    ├── UsageError (2)             options that contradict each other or cannot be read
    ├── NotRunningError (3)        a verb needs the running daemon
    ├── NoDataError (20)           a report was asked of an empty store
    ├── ThreadDiedError (70)       one of the daemon's threads ended; the supervisor restarts it whole
    ├── InstanceRunningError (75)  another instance holds the database
    ├── ConfigError (78)           the configuration is wrong; a restart would not help
    ├── PortTakenError (1)         another socket holds the listener's address
    ├── ManifestError (1)          a manifest cannot be read, understood or written
    ├── ServiceError (1)           the service manager is absent, or refuses
    ├── ReconcileError (1)         a file of telemetry cannot be read or understood
    └── StoreError (1)             the database cannot be opened, read or written
        ├── DamagedError (1)       what it holds is not what was written into it
        ├── ForeignError (78)      a newer ccagent or another program made its tables; a restart would not help
        ├── AwayError (1)          its server cannot be reached at the moment
        └── OutdatedError (1)      it has gone on, or back, without this process

Every message says what happened, where, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class CcagentError(Exception):
    """Root of the tree: raised only as one of its children, caught where the command ends."""

    exit_code: ClassVar[int] = 1


class UsageError(CcagentError):
    """Raised when an option or argument cannot be understood or contradicts another."""

    exit_code: ClassVar[int] = 2


class NotRunningError(CcagentError):
    """Raised when a verb needs the running daemon and there is none."""

    exit_code: ClassVar[int] = 3


class NoDataError(CcagentError):
    """Raised when a report is asked of a store that holds no facts yet."""

    exit_code: ClassVar[int] = 20


class ThreadDiedError(CcagentError):
    """Raised when a long-lived thread ended by itself: the process goes with it, never half a daemon."""

    exit_code: ClassVar[int] = 70


class InstanceRunningError(CcagentError):
    """Raised when another process holds the lock of the same database."""

    exit_code: ClassVar[int] = 75


class ConfigError(CcagentError):
    """Raised when an option, a variable or the configuration file holds what cannot be honoured."""

    exit_code: ClassVar[int] = 78


class PortTakenError(CcagentError):
    """Raised when another socket holds the address; under a service manager the bind is worth repeating."""


class ManifestError(CcagentError):
    """Raised when the file given as manifest is none, or cannot be read or written."""


class ReconcileError(CcagentError):
    """Raised when a file that should hold Claude Code's own telemetry cannot be read, or holds something else."""


class ServiceError(CcagentError):
    """Raised when there is no service manager, it refuses, or the files of the service cannot be written."""


class StoreError(CcagentError):
    """Raised when the database cannot be opened, is of a foreign version, or refuses a write.

    `reason` is a label of the metric `store.failures`: busy, full, readonly, io, corrupt or other.
    """

    def __init__(self, message: str, *, reason: str = "other") -> None:
        super().__init__(message)
        self.reason = reason


class DamagedError(StoreError):
    """Raised when the database does not hold what was written into it: pages in ruins, rows that name what is not there."""


class ForeignError(StoreError):
    """Raised when a newer ccagent, or another program, has made the tables: as with a bad configuration no restart helps."""

    exit_code: ClassVar[int] = 78


class AwayError(StoreError):
    """Raised when the database's server cannot be reached, is starting, or takes no further session: it may by itself."""


class OutdatedError(StoreError):
    """Raised when the database does not stand where this process left it: what was read from it must be read anew."""
