"""One name for each pull request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.pulls import (
    Pull,
    mcp_action,
    numbered,
    pull_of,
    pulls_in,
    recorded_action,
    repository_of,
    state_action,
)

HUB = Pull("github.com/o/r/pull/7", "github.com/o/r", 7)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/o/r/pull/7", "http://github.com/o/r/pull/7", "https://GitHub.com/o/r/pull/7/",
        "https://www.github.com/o/r/pull/7/files", "https://github.com/o/r/pull/7#issuecomment-1",
        "https://github.com/o/r/pull/7?diff=split", "https://github.com/o/r.git/pull/7", "github.com/o/r/pull/7",
        "https://user:secret@github.com/o/r/pull/7", "https://api.github.com/repos/o/r/pulls/7", " https://github.com/o/r/pull/7\n",
    ],
)  # fmt: skip
def test_many_ways_to_write_one_pull_request(url: str) -> None:
    assert pull_of(url) == HUB


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://gitlab.com/g/s/p/-/merge_requests/5", ("gitlab.com/g/s/p/-/merge_requests/5", "gitlab.com/g/s/p", 5)),
        ("https://gitlab.com/g/p/merge_requests/5/diffs", ("gitlab.com/g/p/-/merge_requests/5", "gitlab.com/g/p", 5)),
        ("https://bitbucket.org/w/r/pull-requests/5", ("bitbucket.org/w/r/pull-requests/5", "bitbucket.org/w/r", 5)),
        ("https://codeberg.org/o/r/pulls/5", ("codeberg.org/o/r/pulls/5", "codeberg.org/o/r", 5)),
        ("https://ghe.example.org:8443/o/r/pull/5", ("ghe.example.org:8443/o/r/pull/5", "ghe.example.org:8443/o/r", 5)),
        ("https://ghe.example.org/api/v3/repos/o/r/pulls/5", ("ghe.example.org/o/r/pull/5", "ghe.example.org/o/r", 5)),
    ],
)
def test_other_forges(url: str, expected: tuple[str, str, int]) -> None:
    assert pull_of(url) == expected


@pytest.mark.parametrize(
    "text",
    ["", "7", "#7", "topic", "https://github.com/o/r/issues/7", "https://github.com/o/r/pull/new/topic",
     "https://github.com/o/r/pull/0", "https://github.com/pull/7", "https://github.com/o/r/pull/7x"],
)  # fmt: skip
def test_what_is_no_pull_request(text: str) -> None:
    assert pull_of(text) is None


def test_a_url_names_itself() -> None:
    for url in ("https://gitlab.com/g/p/merge_requests/5", "https://api.github.com/repos/o/r/pulls/7"):
        pull = pull_of(url)
        assert pull is not None
        assert pull_of(pull.url) == pull


def test_those_of_a_text_each_once() -> None:
    text = "see https://github.com/o/r/pull/8, (https://github.com/o/r/pull/7) and https://github.com/o/r/pull/8#x; not o/r/pull/9"

    assert [pull.number for pull in pulls_in(text)] == [8, 7]


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://github.com/o/r.git", "github.com/o/r"), ("git@github.com:o/r.git", "github.com/o/r"),
        ("github.com:o/r.git", "github.com/o/r"), ("ssh://git@host.example:2222/o/r", "host.example/o/r"),
        ("https://token@GitHub.com/o/r", "github.com/o/r"), ("gitlab.com:g/s/p.git", "gitlab.com/g/s/p"),
        ("/srv/repo.git", None), ("../repo", None), ("origin", None), ("C:/Users/me/repo", None), ("", None),
    ],
)  # fmt: skip
def test_the_repository_of_a_remote(remote: str, expected: str | None) -> None:
    assert repository_of(remote) == expected


def test_a_number_needs_its_repository() -> None:
    assert numbered("", 7, "github.com") == "#7"
    assert numbered("o/r", 7, "github.com") == HUB.url
    assert numbered("https://github.com/o/r", 7, "github.com") == HUB.url
    assert numbered("$REPO", 7, "github.com") == "#7"


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("create_pull_request", "opened"), ("merge_pull_request", "merged"), ("update_pull_request", "edited"),
        ("create_pull_request_review", "reviewed"), ("pull_request_review_write", "reviewed"),
        ("submit_pending_pull_request_review", "reviewed"), ("create_and_submit_pull_request_review", "reviewed"),
        ("create_merge_request", "opened"), ("merge_merge_request", "merged"), ("get_pull_request", None),
        ("list_pull_requests", None), ("update_pull_request_branch", None), ("create_issue", None),
    ],
)  # fmt: skip
def test_tools_of_servers(tool: str, expected: str | None) -> None:
    assert mcp_action(tool) == expected


def test_words_of_records_and_states() -> None:
    assert [recorded_action(word) for word in ("created", "approved", "exploded", None)] == [
        "opened",
        "reviewed",
        None,
        None,
    ]
    assert [state_action(word) for word in ("closed", "open", "draft", None)] == ["closed", "reopened", None, None]


@given(st.text(alphabet="https://github.com-_pulrqe7#@.gi\n", max_size=60))
def test_no_text_breaks_it_and_every_name_names_itself(text: str) -> None:
    for pull in [*pulls_in(text), *filter(None, [pull_of(text), pull_of("https://github.com/o/r/pull/7" + text)])]:
        assert pull_of(pull.url) == pull
        assert pull.number > 0
    repository_of(text)
