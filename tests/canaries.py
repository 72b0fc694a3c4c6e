"""Words that are planted in every text of a transcript, and must be found nowhere else.

`Canaries` invents the words and remembers where each was put. A word of content (what people, models and tools wrote)
may leave the transcripts in no form; a word of identity (folders, branches, URLs, repositories) may be in the local
database and on the local screen.
"""

from __future__ import annotations

import random
from collections.abc import Callable

Word = Callable[[str], str]


class Canaries:
    """Words of content and of identity, each with the place where it was put."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.content: dict[str, str] = {}
        self.identity: dict[str, str] = {}

    def _word(self, stem: str) -> str:
        return stem + "".join(self._chance.choices("bcdfghjkmnpqrstvwxz", k=10))

    def say(self, place: str) -> str:
        """A word of content."""
        word = self._word("zq")
        self.content[word] = place
        return word

    def name(self, place: str) -> str:
        """A word of identity."""
        word = self._word("yv")
        self.identity[word] = place
        return word

    def found(self, data: bytes) -> set[str]:
        """Places of the words of content that stand in the bytes."""
        low = data.lower()
        return {place for word, place in self.content.items() if word.encode() in low}

    def named(self, data: bytes) -> set[str]:
        """Places of the words of identity that stand in the bytes."""
        low = data.lower()
        return {place for word, place in self.identity.items() if word.encode() in low}


def shell_lines(say: Word, name: Word) -> list[tuple[str, str]]:
    """Command lines and what they print."""
    branch, file = name("branch of a command"), f"/srv/{name('path of a command')}"
    pull = f"https://github.com/{name('owner of a pull request')}/r/pull/7"
    body = f"{say('heredoc')}\nrm -rf {say('rm in a heredoc')}\ngit commit -m {say('commit in a heredoc')}\n"
    return [
        (f"echo {say('argument')} && TOKEN={say('environment')} printenv", say("output")),
        (f"cat > {file}.txt <<'EOF'\n{body}EOF", ""),
        (f"python3 - <<EOF\nprint('{say('script')}')\nEOF", f"Traceback: {say('traceback')}"),
        (
            f"git commit -m '{say('commit message')}' -m \"{say('second message')}\"",
            f"[main abc1234] {say('printed subject')}\n 2 files changed, 3 insertions(+), 1 deletion(-)\n"
            f" create mode 100644 {say('printed file')}",
        ),
        (
            f"git commit -m \"$(cat <<'EOF'\n{say('message in a heredoc')}\n\nFixes {say('second line')}\nEOF\n)\"",
            f"[{branch} bcd2345] {say('printed subject of a heredoc')}\n 1 file changed, 1 insertion(+)",
        ),
        (f"git commit -F - <<EOF\n{say('message of a file')}\nEOF", f"error: {say('failed commit')}"),
        (
            f"git commit --amend --author='{say('author')} <a@b>' --no-edit && git push --force origin {branch}",
            f"[{branch} cde3456] {say('amended')}\nremote: {say('remote words')}\n"
            f"To github.com:o/{name('repository')}.git\n"
            f" + abc1234...cde3456 {branch} -> {branch} (forced update)",
        ),
        (
            f"git push -u origin {branch} -o merge_request.title={say('push option')}",
            f"remote: {say('more remote words')}\n ! [rejected] {branch} -> {branch} ({say('reason of a rejection')})",
        ),
        (f"git checkout -b {branch} # {say('comment of a command')}", f"Switched to a new branch '{branch}'"),
        (f"git tag -a v1 -m {say('tag message')}; git stash push -m {say('stash message')}", say("tag output")),
        (
            f"gh pr create --title '{say('title of a pull request')}' --body \"{say('body of a pull request')}\"",
            f"Warning: {say('warning of gh')}\n{pull}",
        ),
        (f"gh pr comment 7 -b {say('comment')} && gh pr review 7 --approve --body '{say('review')}'", pull),
        (f"gh pr merge 7 --squash --subject '{say('merge subject')}' --body {say('merge body')}", say("merge output")),
        (f"gh pr edit 7 --title {say('new title')} --add-label {say('label')}", pull),
        (f"gh issue create --title {say('title of an issue')} --body {say('body of an issue')}", say("issue output")),
        (f"glab mr create --title {say('title of a merge request')} -d {say('description')}", say("glab output")),
        (
            f"pytest -q -k {say('chosen tests')}",
            f"FAILED tests/test_{say('failed test')}.py::x - {say('assertion')}\n1 failed, 2 passed in 0.10s",
        ),
        (
            f"npm run test:{say('script of npm')} -- {say('argument of npm')}",
            f"{say('npm output')}\nTests: 1 passed, 1 total",
        ),
        (
            f"make test-{say('target')}; tox -e {say('environment of tox')}; cargo test {say('cargo test')}",
            say("make output"),
        ),
        (f"go test ./... -run {say('go test')} | tee {file}.log", f"--- FAIL: {say('go failure')}\nFAIL"),
        (
            f"ruff check {file}.py && mypy --strict -c '{say('mypy code')}'",
            f"{file}.py:1:1: E501 {say('lint message')}",
        ),
        (f"rm -f {file}.old && echo {say('after rm')}", f"removed '{file}.old'\n{say('rm output')}"),
        (f'rm -rf "${{{say("variable of rm")}}}" $(echo {say("substitution of rm")})', ""),
        (f"curl -H 'Authorization: {say('header')}' https://x.test/{say('query')} | sh", say("curl output")),
        (f"psql -c \"DROP TABLE {say('table')}\" && eval '{say('evaluated')}'", say("psql output")),
        (f"bash -c 'echo {say('inner command')}' && ssh host \"git commit -m {say('remote command')}\"", ""),
        (f"sudo -u {say('user')} dd if=/dev/zero of=/dev/{say('device')}; chmod -R 777 /{say('mode of a path')}", ""),
        (f"export A='{say('unfinished quote')}\ngit commit -m {say('after an unfinished quote')}", ""),
    ]


def pieces(data: bytes, chance: random.Random, most: int = 5) -> list[bytes]:
    """The bytes in pieces of one to so many lines."""
    lines = data.splitlines(keepends=True)
    found = []
    while lines:
        size = chance.randint(1, most)
        found.append(b"".join(lines[:size]))
        lines = lines[size:]
    return found
