"""Secrets of the configuration: where they may come from, and how one that was spelled out is recognised.

A value names a secret and never holds it: `${VARIABLE}` of the environment, `${file:PATH}` of a file that nobody else
may read, `${credential:NAME}` of what the service manager hands over. No message repeats a value.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ccagent import paths
from ccagent.errors import ConfigError
from ccagent.paths import display

CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
"""Set by the service manager for a unit with LoadCredential=."""

SECRET_BYTES: Final = 64 * 1024
"""A secret is a line; a larger file was named by mistake."""

RANDOM_CHARACTERS: Final = 24
"""From this length on a run of letters and digits without order is taken for a key: 24 of them are 120 bits."""

RANDOM_DISTINCT: Final = 10
"""Different characters in it at least: names and versions repeat theirs."""

NAMED: Final = re.compile(r"\$\{([^}]*)\}")

_FILE: Final = "file:"
_CREDENTIAL: Final = "credential:"
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_KNOWN_FORMS = re.compile(
    r"\b(?:bearer|basic)\s+[^\s$]"  # an authorization spelled out
    r"|\beyJ[\w-]{6,}\.[\w-]+\."  # a JSON web token
    r"|\b(?:sk|pk|rk|ghp|gho|ghs|ghu|github_pat|glpat|glc|glsa|hf|npm|xox[abpr])[-_][\w-]{8,}"  # the usual keys
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{12,}|\bAIza[\w-]{30,}|-----BEGIN ",
    re.IGNORECASE,
)
_SECRET_HEADER = re.compile(
    r"authorization|cookie|(?:^|-)(?:key|token|secret|password|auth|credentials?|apikey)(?:$|-)|honeycomb-team",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(?:bearer|basic|token|apikey|api-key|key|digest)\b", re.IGNORECASE)
_RUN = re.compile(rf"[A-Za-z0-9+/=_-]{{{RANDOM_CHARACTERS},}}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def fill(text: str, env: Mapping[str, str], where: str, what: str) -> str:
    """`text` with each `${…}` replaced by the secret that it names.

    Raises ConfigError, naming `where` and `what`, for one that cannot be had, and says how to mend that.
    """
    return NAMED.sub(lambda match: _resolve(match[1], env, where, what), text)


def is_spelled_out(name: str, text: str) -> bool:
    """Whether a header's value holds a secret as it stands, apart from every `${…}` in it."""
    literal = NAMED.sub("$", text)
    if _KNOWN_FORMS.search(literal) or any(_looks_random(run) for run in _RUN.findall(literal)):
        return True
    # In a header that is there for a secret whatever is spelled out is one.
    return bool(_SECRET_HEADER.search(name)) and bool(re.search(r"\w", _SCHEME.sub("", literal)))


def _looks_random(run: str) -> bool:
    return (
        not _UUID.fullmatch(run)  # tenants and instances are called so
        and any(char.isdigit() for char in run)
        and any(char.isalpha() for char in run)
        and len(set(run)) >= RANDOM_DISTINCT
        and not all(_is_word(part) for part in re.split(r"[-_/]", run))
    )


def _is_word(part: str) -> bool:
    """A piece of a name: letters with a number behind them at most."""
    return re.fullmatch(r"[A-Za-z]*[0-9]{0,4}", part) is not None and len(part) < RANDOM_CHARACTERS


def _resolve(named: str, env: Mapping[str, str], where: str, what: str) -> str:
    if named.startswith(_FILE):
        path = paths.expand(named.removeprefix(_FILE), env)
        return _content(path, where, what, private=True)
    if named.startswith(_CREDENTIAL):
        name = named.removeprefix(_CREDENTIAL)
        if not _CREDENTIAL_NAME.fullmatch(name) or name in (".", ".."):
            raise ConfigError(f"{where}: {what} names a credential that is none; letters, digits, dots and dashes")
        folder = env.get(CREDENTIALS)
        if not folder:
            raise ConfigError(
                f"{where}: {what} needs the credential {name}, but {CREDENTIALS} is not set; it is set for a service "
                f"with LoadCredential={name}:PATH"
            )
        # The service manager's folder is the service's own; its files may be readable for a group.
        return _content(Path(folder) / name, where, what, private=False)
    value = env.get(named)
    if not value:
        raise ConfigError(f"{where}: {what} needs the variable {named}, which is not set")
    return value


def _content(path: Path, where: str, what: str, *, private: bool) -> str:
    """A secret's file without the line end behind it."""
    if not path.is_absolute():
        raise ConfigError(f"{where}: {what} names the file {display(path)}; write its whole path")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise ConfigError(f"{where}: {what} names {display(path)}, which is no regular file")
            if private:
                _check_private(path, facts, where, what)
            data = file.read(SECRET_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{where}: {what} needs the file {display(path)}: {error.strerror}") from error
    if len(data) > SECRET_BYTES:
        raise ConfigError(f"{where}: {what} names {display(path)}, which is larger than {SECRET_BYTES} bytes")
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise ConfigError(f"{where}: {what} names {display(path)}, which holds no text; write the secret into it")
    return text


def _check_private(path: Path, facts: os.stat_result, where: str, what: str) -> None:
    if facts.st_uid != os.geteuid():
        raise ConfigError(
            f"{where}: {what} names {display(path)}, which belongs to somebody else; make it your own with "
            f"`chown {os.geteuid()} {display(path)}`"
        )
    if facts.st_mode & 0o077:
        raise ConfigError(
            f"{where}: {what} names {display(path)}, which others may read or write; `chmod 600 {display(path)}`"
        )
