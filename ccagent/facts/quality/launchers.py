"""Commands that run a tool of the project: npx, uv run, poetry run, docker compose exec … taken off its front."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Launcher(NamedTuple):
    """`verbs`: words that must follow, each a path of words ("compose exec"), () for none; `valued`: options with a
    value in the next word; `operands`: words before the command (the service of `docker compose exec`)."""

    verbs: tuple[tuple[str, ...], ...] = ()
    valued: frozenset[str] = frozenset()
    operands: int = 0
    assigns: bool = False
    needs_dashes: bool = False


_NPX: Final = frozenset(("-p", "--package", "-w", "--workspace", "--registry"))
_UV: Final = frozenset(
    (
        "--with --with-requirements --with-editable --extra --group --only-group --no-group -p --python"
        " --project --directory --env-file --package --index --from --index-url"
    ).split()
)
_DOCKER: Final = frozenset(
    (
        "-e --env -u --user -w --workdir -v --volume --name -p --publish --network --env-file -f --file"
        " --entrypoint --mount --platform --index --profile -n --net -c --container --namespace --context"
        " --project-name --project-directory -h --hostname"
    ).split()
)
_COMPOSE: Final = Launcher((("exec",), ("run",)), _DOCKER, 1)
_RUN: Final = Launcher((("run",),))

LAUNCHERS: Final[dict[str, Launcher]] = {
    "npx": Launcher((), _NPX),
    "bunx": Launcher((), _NPX),
    "pnpx": Launcher((), _NPX),
    "npm": Launcher((("exec",), ("x",)), _NPX),
    "pnpm": Launcher((("exec",), ("dlx",)), frozenset(("-C", "--dir", "-F", "--filter", "--package"))),
    "yarn": Launcher((("exec",), ("dlx",)), frozenset(("--cwd", "-p"))),
    "bun": Launcher((("x",),)),
    "uv": Launcher((("run",), ("tool", "run")), _UV),
    "uvx": Launcher((), _UV),
    "pipx": Launcher((("run",),), frozenset(("--spec", "--python"))),
    "poetry": Launcher((("run",),), frozenset(("-C", "-P", "--directory", "--project"))),
    "pipenv": _RUN,
    "pdm": Launcher((("run",),), frozenset(("-p", "--project"))),
    "rye": _RUN,
    "hatch": Launcher((("run",),), frozenset(("-e", "--env"))),
    "conda": Launcher((("run",),), frozenset(("-n", "--name", "-p", "--prefix", "--cwd"))),
    "mamba": Launcher((("run",),), frozenset(("-n", "--name", "-p", "--prefix"))),
    "micromamba": Launcher((("run",),), frozenset(("-n", "--name", "-p", "--prefix"))),
    "pixi": Launcher((("run",),), frozenset(("-e", "--environment", "--manifest-path"))),
    "bundle": Launcher((("exec",),)),
    "mise": Launcher((("exec",), ("x",)), frozenset(("-C", "--cd")), 0, False, needs_dashes=True),
    "asdf": Launcher((("exec",),)),
    "rbenv": Launcher((("exec",),)),
    "direnv": Launcher((("exec",),), frozenset(), 1),
    "volta": Launcher((("run",),), frozenset(("--node", "--npm"))),
    "fnm": Launcher((("exec",),), frozenset(("--using",))),
    "nix": Launcher((("develop", "-c"), ("develop", "--command"), ("shell", "-c"))),
    "doppler": Launcher((("run",),), frozenset(("-p", "-c")), 0, False, needs_dashes=True),
    "op": Launcher((("run",),), frozenset(("--env-file",)), 0, False, needs_dashes=True),
    "infisical": Launcher((("run",),), frozenset(("--env",)), 0, False, needs_dashes=True),
    "dotenv": Launcher((), frozenset(("-e", "-f", "--file"))),
    "dotenvx": Launcher((("run",),), frozenset(("-f", "--env-file"))),
    "cross-env": Launcher((), frozenset(), 0, assigns=True),
    "c8": Launcher((), frozenset(("-r", "--reporter"))),
    "nyc": Launcher((), frozenset(("-r", "--reporter"))),
    "coverage": Launcher((("run",),), frozenset(("--source", "--rcfile", "--omit", "--include"))),
    "docker": Launcher((("compose", "exec"), ("compose", "run"), ("exec",), ("run",)), _DOCKER, 1),
    "podman": Launcher((("exec",), ("run",)), _DOCKER, 1),
    "docker-compose": _COMPOSE,
    "kubectl": Launcher((("exec",),), _DOCKER, 1),
    "php": Launcher((), frozenset(("-d", "-c"))),
    "xcrun": Launcher((), frozenset(("--sdk",))),
    "corepack": Launcher(),
    "arch": Launcher(),
}
_PYTHON: Final = re.compile(r"(?:python|pypy)[\d.]*|py")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
SCRIPTS_OF_PROJECTS: Final = frozenset(("manage.py", "setup.py"))
LEVELS: Final = 6
"""Launchers within launchers that are followed."""


def base(word: str) -> str:
    """Name of a command without its folder and a Windows suffix."""
    name = word.replace("\\", "/").rpartition("/")[2]
    return name[:-4] if name.endswith((".exe", ".cmd", ".bat")) else name


def launched(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command that these words run in the end: themselves, where nothing launches it."""
    for _ in range(LEVELS):
        word = words[0]
        if word not in LAUNCHERS and not word.startswith("py") and "/" not in word and "." not in word:
            break
        inner = _inner(words)
        if not inner:
            break
        words = inner
    return words


def _inner(words: tuple[str, ...]) -> tuple[str, ...] | None:
    name = base(words[0])
    launcher = LAUNCHERS.get(name)
    if launcher is not None:
        return _behind(launcher, words)
    if _PYTHON.fullmatch(name):
        return _module(words)
    return None


def _module(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """`python -m module arguments` → module arguments; `python manage.py test` → manage.py test."""
    for index, word in enumerate(words[1:], 1):
        if word == "-m":
            return words[index + 1 :] or None
        if not word.startswith("-") or word == "-c":
            return words[index:] if base(word) in SCRIPTS_OF_PROJECTS else None
    return None


def _behind(launcher: Launcher, words: tuple[str, ...]) -> tuple[str, ...] | None:
    index = _past_options(launcher, words, 1)
    if launcher.verbs:
        for verb in launcher.verbs:
            if words[index : index + len(verb)] == verb:
                index += len(verb)
                break
            # options stand between the words of `docker compose -f x exec`
            if len(verb) == 2 and words[index : index + 1] == verb[:1]:
                further = _past_options(launcher, words, index + 1)
                if words[further : further + 1] == verb[1:]:
                    index = further + 1
                    break
        else:
            return None
    operands = launcher.operands
    dashes = False
    while index < len(words):
        word = words[index]
        if word == "--":
            dashes = True
            index += 1
            break
        if word == "-m":  # uv run -m pytest, coverage run -m pytest
            return words[index + 1 :] or None
        if word in launcher.valued:
            index += 2
        elif (word.startswith("-") and len(word) > 1) or (launcher.assigns and _ASSIGNMENT.match(word)):
            index += 1
        elif operands:
            operands -= 1
            index += 1
        else:
            break
    if launcher.needs_dashes and not dashes:
        return None
    return words[index:] or None


def _past_options(launcher: Launcher, words: tuple[str, ...], index: int) -> int:
    while index < len(words) and words[index].startswith("-") and len(words[index]) > 1:
        if words[index] in ("--", "-m") or any(words[index] == verb[0] for verb in launcher.verbs):
            break
        index += 2 if words[index] in launcher.valued else 1
    return index
