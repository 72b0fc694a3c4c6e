"""Commands that destroy, overwrite history or give away control: a closed list of patterns, matched on words.

Rule: a pattern needs the command's own name and the options that make it dangerous, as the shell would read them. What
stands in a string (a commit message, an argument of echo or grep, a here-document for cat) is never a command. What is
hidden behind a variable, an alias, a script or a Makefile is not seen. The line is judged, not what came of it: the
status of the call says whether it ran.

| pattern | what |
|---|---|
| rm_rf | rm with a recursive option (without a terminal nothing asks, forced or not), rimraf, `find -delete`, \
Remove-Item -Recurse, rd /s |
| git_force_push | git push with --force, -f, --force-with-lease, --mirror or a refspec with `+` |
| git_reset_hard | git reset --hard |
| git_clean_force | git clean -f, unless -n |
| drop_table | DROP TABLE, DATABASE or SCHEMA, TRUNCATE, DELETE without WHERE, given to an SQL client by argument, pipe or \
here-document; dropdb, db:drop, db:reset, ecto.drop, ecto.reset, flush, migrate reset, FLUSHALL, FLUSHDB |
| chmod_777 | a mode that lets everybody write: chmod, mkdir -m, install -m |
| curl_pipe_shell | what curl or wget loads, run at once: `| sh`, `sh -c "$(curl …)"`, `sh <(curl …)`, iex |
| disk_write | dd, tee, cp or `>` to a disk, mkfs, wipefs, fdisk and the like |
| sudo | sudo or doas |
| skip_permissions | an agent started without its permission checks |
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from ccagent.facts.quality.launchers import LAUNCHERS, base, launched
from ccagent.facts.shell import SUBSTITUTED, Simple, split
from ccagent.facts.wrappers import SCRIPTS

PATTERNS: Final = (
    "chmod_777", "curl_pipe_shell", "disk_write", "drop_table", "git_clean_force", "git_force_push", "git_reset_hard",
    "rm_rf", "skip_permissions", "sudo",
)  # fmt: skip
"""The closed list; a fact's label holds those that match, in this order, joined by `+`."""


def dangerous(command: str) -> tuple[str, ...]:
    """The patterns of a command line, sorted; () for none."""
    commands = split(command)
    found: set[str] = set()
    for index, simple in enumerate(commands):
        word = simple.words[0]
        if word == "git" and not simple.wrappers and not simple.outputs:
            found.update(_git(simple.words[1:]))
        elif word in _NAMES or simple.wrappers or "/" in word or not word.islower() or "." in word:
            words = launched(simple.words)
            found.update(_of_one(simple, words))
            if _sql(commands, index, words):
                found.add("drop_table")
            if _runs_download(commands, index):
                found.add("curl_pipe_shell")
        elif simple.outputs and _to_disk(word, (), simple.outputs):
            found.add("disk_write")
    return tuple(sorted(found)) if found else ()


def _of_one(simple: Simple, words: tuple[str, ...]) -> list[str]:
    found = []
    name, arguments = base(words[0]).lower(), words[1:]
    if name in ("sudo", "doas") or "sudo" in simple.wrappers or "doas" in simple.wrappers:
        found.append("sudo")
    if _removes(name, arguments):
        found.append("rm_rf")
    if name == "git":
        found += _git(arguments)
    if name in ("chmod", "mkdir", "install") and _opens(name, arguments):
        found.append("chmod_777")
    if _to_disk(name, arguments, simple.outputs):
        found.append("disk_write")
    if _unguarded(name, arguments):
        found.append("skip_permissions")
    return found


def _flags(words: tuple[str, ...], letter: str, *names: str) -> bool:
    """Whether an option stands there, alone or in a cluster of short ones; not behind `--`."""
    for word in words:
        if word == "--":
            return False
        if word in names or (word[:1] == "-" and word[:2] != "--" and letter in word[1:].partition("=")[0]):
            return True
    return False


# ---- files ----------------------------------------------------------------------------------------------------------


def _removes(name: str, words: tuple[str, ...]) -> bool:
    if name == "rm":
        return _flags(words, "r", "--recursive") or _flags(words, "R")
    if name == "find":
        return "-delete" in words
    if name in ("remove-item", "ri"):
        return any(len(word) > 2 and "-recurse".startswith(word.lower()) for word in words)
    if name in ("rd", "rmdir"):
        return any(word.lower() == "/s" for word in words)
    return name == "rimraf" and bool(words)


_OCTAL: Final = re.compile(r"[0-7]{3,4}")
_SYMBOLIC: Final = re.compile(r"[ugoa]*[oa][ugoa]*[+=][rxXst]*w[rwxXst]*")


def _opens(name: str, words: tuple[str, ...]) -> bool:
    """Whether it gives a mode by which everybody may write."""
    if name == "chmod":
        modes = next(
            (word for word in words if not word.startswith("--") and not re.fullmatch(r"-[RfcvHLP]+", word)), ""
        )
    else:
        modes = ""
        for index, word in enumerate(words):
            if word in ("-m", "--mode"):
                modes = words[index + 1] if index + 1 < len(words) else ""
            elif word.startswith(("-m", "--mode=")):
                modes = word.partition("=")[2] or word[2:]
    if _OCTAL.fullmatch(modes):
        return int(modes[-1]) & 2 != 0
    return any(_SYMBOLIC.fullmatch(mode) for mode in modes.split(","))


_DISK: Final = re.compile(r"/dev/(?:sd[a-z]|hd[a-z]|vd[a-z]|xvd[a-z]|nvme\d|mmcblk\d|r?disk\d|dm-\d|md\d|mapper/\w)\w*")
_DISK_TOOLS: Final = frozenset(
    ("wipefs", "fdisk", "sfdisk", "cfdisk", "gdisk", "sgdisk", "parted", "blkdiscard", "shred")
)
_ONLY_LOOK: Final = frozenset(("-l", "--list", "print", "-p", "--print", "-d", "--dump", "-n", "--no-act", "--help"))


def _to_disk(name: str, words: tuple[str, ...], outputs: tuple[str, ...]) -> bool:
    if any(_DISK.fullmatch(target) for target in outputs):
        return True
    if name == "dd":
        return any(word.startswith("of=") and _DISK.fullmatch(word[3:]) for word in words)
    if name == "mkfs" or name.startswith("mkfs."):
        return bool(words) and words[0] not in ("--help", "-V")
    if name in _DISK_TOOLS:
        return any(_DISK.fullmatch(word) for word in words) and _ONLY_LOOK.isdisjoint(words)
    if name in ("tee", "cp"):
        return bool(words) and any(_DISK.fullmatch(word) for word in (words if name == "tee" else words[-1:]))
    return name == "diskutil" and bool(words) and words[0].lower().startswith(("erase", "partition", "zerodisk"))


# ---- git ------------------------------------------------------------------------------------------------------------

_GIT_VALUED: Final = frozenset(("-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path"))


def git_verb(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Verb and arguments behind git's own options; "" where there is none."""
    index = 0
    while index < len(words) and words[index].startswith("-"):
        index += 2 if words[index] in _GIT_VALUED else 1
    return (words[index], words[index + 1 :]) if index < len(words) else ("", ())


def _git(words: tuple[str, ...]) -> list[str]:
    verb, rest = git_verb(words)
    if verb == "push":
        if "--dry-run" in rest or _flags(rest, "n"):
            return []
        forced = _flags(rest, "f", "--force", "--mirror")
        lease = any(word.startswith("--force-with-lease") for word in rest)
        plus = any(word.startswith("+") and len(word) > 1 for word in rest)
        return ["git_force_push"] if forced or lease or plus else []
    if verb == "reset":
        return ["git_reset_hard"] if "--hard" in rest else []
    if verb == "clean":
        dry = _flags(rest, "n", "--dry-run")
        return ["git_clean_force"] if _flags(rest, "f", "--force") and not dry else []
    return []


# ---- databases ------------------------------------------------------------------------------------------------------

_CLIENTS: Final = frozenset(
    "psql mysql mariadb sqlite3 sqlite duckdb sqlcmd clickhouse-client cockroach snowsql bq pgcli mycli d1 usql".split()
)
_COMMENT: Final = re.compile(
    r"--[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^']|'')*(?:'|\Z)", re.DOTALL
)  # an open one goes to the end
_DROP: Final = re.compile(r"\s*(?:DROP\s+(?:TABLE|DATABASE|SCHEMA)\b|TRUNCATE\s+\w)", re.IGNORECASE)
_DELETE: Final = re.compile(
    r"\s*DELETE\s+FROM\s+\S{1,300}\s*(?:$|(?!.*\b(?:WHERE|USING|LIMIT)\b))", re.IGNORECASE | re.DOTALL
)
_TASKS: Final[dict[str, tuple[str, ...]]] = {
    "rails": ("db:drop", "db:reset", "db:purge"),
    "rake": ("db:drop", "db:reset", "db:purge"),
    "mix": ("ecto.drop", "ecto.reset"),
    "manage.py": ("flush", "reset_db"),
    "redis-cli": ("flushall", "flushdb"),
    "artisan": ("migrate:fresh", "migrate:reset", "db:wipe"),
}


def _destroys(sql: str) -> bool:
    statements = _COMMENT.sub("''", sql).split(";")
    return any(_DROP.match(each) or _DELETE.match(each) for each in statements)


def _sql(commands: tuple[Simple, ...], index: int, words: tuple[str, ...]) -> bool:
    simple = commands[index]
    name = base(words[0]).lower()
    if name == "dropdb":
        return len(words) > 1 and "--help" not in words
    tasks = _TASKS.get(name)
    if tasks is not None:
        return any(word.lower() in tasks for word in words[1:])
    if name in ("prisma", "supabase"):
        return "reset" in words[1:3] or "--force-reset" in words
    if name == "wrangler":
        name = "d1" if "d1" in words else name
    if name not in _CLIENTS:
        return False
    if any(_destroys(_argument(word)) for word in words[1:]) or (simple.stdin is not None and _destroys(simple.stdin)):
        return True
    before = commands[index - 1] if index and simple.joiner == "|" else None
    if before is None:
        return False
    if before.name in ("echo", "printf"):
        return _destroys(" ".join(word for word in before.words[1:] if not word.startswith("-")))
    return before.name == "cat" and before.stdin is not None and _destroys(before.stdin)


def _argument(word: str) -> str:
    """`--command=SQL` and `-eSQL` hold their SQL in the same word."""
    if word.startswith("--"):
        return word.partition("=")[2]
    return word[2:] if re.match(r"-[ceqQ]\s*\S", word) else word


# ---- what is loaded and run, and agents without guards --------------------------------------------------------------

_LOADERS: Final = frozenset(("curl", "wget", "fetch", "aria2c", "iwr", "irm", "invoke-webrequest", "invoke-restmethod"))
_INTERPRETERS: Final = re.compile(r"(?:ba|z|da|k|fi)?sh|python[\d.]*|node|perl|ruby|php|pwsh|powershell")
_PASSING: Final = frozenset(
    ("tee", "cat", "gunzip", "zcat", "gzip", "tr", "sed", "base64", "head", "tail", "grep", "envsubst")
)


def _reads_commands(simple: Simple) -> bool:
    """Whether it runs what comes in on its standard input: an interpreter without a script."""
    name = base(simple.words[0]).lower()
    if name in ("iex", "invoke-expression"):
        return True
    if not _INTERPRETERS.fullmatch(name):
        return False
    operands = [word for word in simple.words[1:] if not word.startswith("-") or word == "-"]
    if "-s" in simple.words or "-" in simple.words or "/dev/stdin" in simple.words:
        return True
    return not operands and not any(
        word in ("-c", "-m", "-e", "-p", "--version", "--help") for word in simple.words[1:]
    )


def _runs_download(commands: tuple[Simple, ...], index: int) -> bool:
    simple = commands[index]
    before = index - 1
    if simple.words[0] == SUBSTITUTED:  # sh -c "$(curl …)", eval "$(curl …)"
        return not SCRIPTS.isdisjoint(simple.wrappers) and before >= 0 and _loads(commands[before])
    name = base(simple.words[0]).lower()
    if before >= 0 and commands[before].nested and not simple.nested and (name in SCRIPTS or name in ("source", ".")):
        # sh <(curl …), source <(curl …)
        return len(simple.words) == 1 and _loads(commands[before])
    if simple.joiner != "|" or not _reads_commands(simple):
        return False
    while before >= 0:
        if _loads(commands[before]):
            return True
        if commands[before].joiner != "|" or base(commands[before].words[0]) not in _PASSING:
            return False
        before -= 1
    return False


def _loads(simple: Simple) -> bool:
    return base(simple.words[0]).lower() in _LOADERS


_AGENT_OPTIONS: Final[dict[str, frozenset[str]]] = {
    "claude": frozenset(("--dangerously-skip-permissions", "--allow-dangerously-skip-permissions")),
    "claude-code": frozenset(("--dangerously-skip-permissions", "--allow-dangerously-skip-permissions")),
    "codex": frozenset(("--dangerously-bypass-approvals-and-sandbox", "--yolo")),
    "gemini": frozenset(("--yolo", "-y", "--approval-mode=yolo")),
    "qwen": frozenset(("--yolo", "-y", "--approval-mode=yolo")),
    "copilot": frozenset(("--allow-all-tools", "--yolo", "--allow-all")),
    "amp": frozenset(("--dangerously-allow-all",)),
}


def _unguarded(name: str, words: tuple[str, ...]) -> bool:
    options = _AGENT_OPTIONS.get(name.partition("@")[0])
    if options is None:
        return False
    if not options.isdisjoint(words) or "--permission-mode=bypassPermissions" in words:
        return True
    return any(
        (option, value) in (("--permission-mode", "bypassPermissions"), ("--approval-mode", "yolo"))
        for option, value in pairwise(words)
    )


_NAMES: Final = (
    frozenset(
        (
            "rm find ri rd rmdir rimraf git chmod mkdir install dd mkfs tee cp diskutil sudo doas dropdb prisma supabase"
            " wrangler iex source . node perl ruby php irm iwr"
        ).split()
    )
    | frozenset(LAUNCHERS) | _CLIENTS | frozenset(_TASKS) | frozenset(_AGENT_OPTIONS) | _DISK_TOOLS | SCRIPTS
    | frozenset(("fish", "dash", "python", "python2", "python3", "pwsh", "powershell"))
)  # fmt: skip
"""Names that a pattern may begin with; others are looked at only where a path, a dot or a capital stands in them."""
