"""Front matter of planning documents: a small strict reader, and what it states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.frontmatter import LINES, Stated, front_matter, stated

READ = [
    ("---\na: b\n---\ntext", {"a": ["b"]}),
    ("---\r\na: b\r\n---\r\n", {"a": ["b"]}),
    ("---\na: [b, 'c d', \"e\"]\n---", {"a": ["b", "c d", "e"]}),
    ("---\na:\n  - b\n- c\nd: e\n---", {"a": ["b", "c"], "d": ["e"]}),
    ("---\nA-b: c # why\n# d: e\n---", {"a-b": ["c"]}),
    ("---\na: https://x.example/pull/1\n---", {"a": ["https://x.example/pull/1"]}),
    ("---\na: {b: c}\nd: |\n  long\ne:\n---", {"a": [], "d": [], "e": []}),
    ("---\na: null\nb: ''\n---", {"a": [], "b": []}),
    ("---\na: b\n", {}),  # it never ends
    ("a: b\n---\n", {}),
    ("text", {}),
    ("", {}),
    ("---\n" + "a: b\n" * (LINES + 1) + "---\n", {}),
]


@pytest.mark.parametrize(("text", "found"), READ)
def test_keys_and_lists_are_read_and_all_else_is_passed_over(text: str, found: dict[str, list[str]]) -> None:
    assert front_matter(text) == found


@given(st.text(max_size=300))
def test_any_text_is_answered(text: str) -> None:
    assert isinstance(front_matter("---\n" + text), dict)


SESSION = "8463c716-0000-4000-8000-000000000001"


def test_a_document_states_sessions_commits_and_pull_requests_of_its_feature() -> None:
    text = (
        f"---\nsessions: [{SESSION}, short]\ncommits:\n  - 1A2B3C4\n  - nothex!\n"
        "prs: [https://github.com/a/b/pull/9, 12]\n---\n# Login"
    )

    assert stated("docs/plans/login-form.md", text) == Stated(
        "login-form", frozenset([SESSION]), frozenset(["1a2b3c4"]), frozenset(["github.com/a/b/pull/9"])
    )


def test_the_front_matter_s_own_name_of_the_feature_comes_first() -> None:
    text = f"---\nfeature_slug: Login_Page-v2\nsession_id: {SESSION}\n---"

    found = stated("notes/x.md", text)

    assert found is not None
    assert (found.feature, found.sessions) == ("login-page", {SESSION})
    assert stated("notes/x.md", f"---\nsession_id: {SESSION}\n---") is None
