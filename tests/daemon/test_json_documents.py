"""The JSON answers hold the fields that docs/json.md names, and name all that they hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ccagent import otel_status
from ccagent.cli.usage_output import usage_document
from ccagent.config import load
from ccagent.service.live import Live, StatusFile
from ccagent.status import collect
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database
from ccagent.store.open import open_reader
from ccagent.store.queries import usage
from ccagent.verify import verify
from tests.sources.feed import Feed
from tests.transcripts import Session, Tree, text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"


def named(verb: str) -> set[str]:
    """The fields in the table of a verb."""
    (section,) = re.findall(rf"## `ccagent {verb} --json`\n(.*?)(?=\n## |\Z)", PAGE.read_text(), re.DOTALL)
    return {
        field for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for field in re.findall(r"`(\w+)`", row)
    }


def document(verb: str, tmp_path: Path) -> set[str]:
    """The fields of a real answer."""
    session = Session("one")
    session.prompt("hello")
    session.assistant(text("hi"))
    Tree(tmp_path / "projects").write(session)
    database = tmp_path / "one.db"
    feed = Feed(database).read(session)
    feed.store.set_meta("zone", "UTC")
    feed.close()
    env = {"HOME": str(tmp_path)}
    config = load({"sources": (str(tmp_path / "projects"),), "database": str(database)}, env)
    answer: dict[str, Any]
    if verb == "usage":
        with open_reader(database) as reader:
            rows = usage(reader, by="total", since_ms=None, until_ms=None, timezone=None)
        answer = usage_document(rows, by="total", since_ms=None, until_ms=None)
        answer = answer | answer["rows"][0]
    elif verb == "verify":
        answer = verify(config, env)
    elif verb == "status --otel":
        config = load({"database": str(database), "otlp.endpoint": "http://127.0.0.1:4318"}, env)
        answer = otel_status.collect(config, env)
        answer = answer | answer["destinations"][0]
    else:
        with InstanceLock(parse_database(str(database))):
            StatusFile(str(database)).write(Live())
            answer = collect(config, env)
        answer = answer | collect(config, env)  # of a daemon that is gone without a word
    return set(answer) - {"schema_version"}


@pytest.mark.parametrize("verb", ["usage", "status", "status --otel", "verify"])
def test_the_page_and_the_answer_name_the_same_fields(verb: str, tmp_path: Path) -> None:
    assert document(verb, tmp_path) == named(verb)
