"""The doctor's report: every check in turn, none of which may end another."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ccagent import __version__
from ccagent.config import Config, load
from ccagent.config_keys import CONFIG_VARIABLE, ENV_PREFIX
from ccagent.doctor import knowledge, network, running, storage, transcripts
from ccagent.doctor.finding import Finding, State, counted, fail, ok, warn, worst
from ccagent.doctor.ground import Ground
from ccagent.errors import CcagentError, ConfigError, NoDataError
from ccagent.installation import installer
from ccagent.store.location import parse_database

SCHEMA_VERSION: Final = 1

FAILED: Final = 1
SOMETHING_TO_DO: Final = 10
"""Exit codes where a check failed, and where one warns: as for an alert."""

Check = Callable[[Ground], Iterator[Finding]]

CHECKS: Final[Mapping[str, Check]] = {
    "daemon": running.daemon,
    "service": running.service,
    "version": running.version,
    "roots": transcripts.roots,
    "transcripts": transcripts.readable,
    "watching": transcripts.watching,
    "database": storage.database,
    "permissions": storage.permissions,
    "offsets": transcripts.offsets,
    "lag": transcripts.lag,
    "clock": transcripts.clock,
    "disk": storage.disk,
    "port": network.port,
    "collector": network.collector,
    "alerts": network.channels,
    "drift": knowledge.drift,
    "prices": knowledge.prices,
}
"""In the order of the report: what explains the rest comes first."""

_KERNEL: Final = re.compile(r"\d+(?:\.\d+)*")


def configuration(
    flags: Mapping[str, object], env: Mapping[str, str], path: Path | None
) -> tuple[Config | None, Finding]:
    """The configuration and what is to be said of it. A refused one is told, and the defaults hold instead; None where not
    even these can be had."""
    try:
        config = load(flags, env, path)
        parse_database(config.database)
    except ConfigError:
        told = fail("config", "it is refused; what follows is about the defaults", "`ccagent config check` says why")
        bare = {name: value for name, value in env.items() if not name.startswith(ENV_PREFIX)}
        try:
            return load({}, {**bare, CONFIG_VARIABLE: "/dev/null"}, None), told
        except ConfigError:
            return None, told
    keys = sum(config.is_set(name) for name in config.origins)
    where = "a file is read" if config.file else "no file"
    if config.notices:
        said = f"{where}; {counted(len(config.notices), 'variable')} mean nothing to ccagent"
        return config, warn("config", said, "`ccagent config check` names them")
    return config, ok("config", f"{where}, {counted(keys, 'key')} set")


def examine(ground: Ground, found: Finding | None = None) -> list[Finding]:
    """All findings; `found` (of the configuration) stands first."""
    findings = [] if found is None else [found]
    for name, check in CHECKS.items():
        findings += _run(name, check, ground)
    return findings


def _run(name: str, check: Check, ground: Ground) -> list[Finding]:
    findings: list[Finding] = []
    try:
        for finding in check(ground):
            findings.append(finding)
    except NoDataError:
        return findings  # nothing is stored yet
    except CcagentError:
        # Its words may name places and projects. The check of the database tells what is wrong with that.
        findings.append(warn(name, "it could not be looked at", "see to what the other lines say, then ask again"))
    except OSError as error:
        said = f"the system refused a look ({type(error).__name__})"
        findings.append(fail(name, said, "run it as the user that ccagent runs as"))
    return findings


def document(findings: list[Finding]) -> dict[str, Any]:
    """The report as docs/json.md has it."""
    states = [finding.state for finding in findings]
    return {
        "schema_version": SCHEMA_VERSION,
        "state": worst(findings).value,
        **about(),
        "counts": {state.value: states.count(state) for state in State},
        "checks": [finding.document() for finding in findings],
    }


def about() -> dict[str, str]:
    """On what this runs, without the names that people give to machines and kernels."""
    from ccagent.store.engine import sqlite_version

    kernel = _KERNEL.match(platform.release())
    return {
        "ccagent": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {kernel[0] if kernel else ''} {platform.machine()}".replace("  ", " "),
        "sqlite": sqlite_version(),
        "installed_by": installer(Path(sys.prefix)),
    }


def exit_code(findings: list[Finding]) -> int:
    """What the verb ends with."""
    return {State.OK: 0, State.WARN: SOMETHING_TO_DO, State.FAIL: FAILED}[worst(findings)]
