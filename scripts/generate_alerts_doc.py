"""Writes the part of docs/alerts.md that has ccagent's own rules: `python scripts/generate_alerts_doc.py [--check]`.

Each rule stands there with its reason and what it would have done on the transcripts that tests read, as numbers only. These
are counted anew where CCAGENT_TEST_CORPUS names the transcripts; elsewhere they stay as they are on the page. With --check
nothing is written; it ends with 1 where the page is stale.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "alerts.md"
sys.path.insert(0, str(ROOT))

from ccagent.alerts.backtest import pastless  # noqa: E402 - the checkout goes before an installed package
from ccagent.alerts.expression import write_expression  # noqa: E402
from ccagent.alerts.pack import PACK  # noqa: E402
from ccagent.alerts.parsing import parse  # noqa: E402

CORPUS: Final = "CCAGENT_TEST_CORPUS"
BEGIN: Final = "<!-- rules: begin (scripts/generate_alerts_doc.py) -->"
END: Final = "<!-- rules: end -->"
DAY_MS: Final = 86_400_000

HEAD: Final = """\
## The rules that come with ccagent

The backtests are of 76 sessions of several people on 34 days with work, which lie within fourteen months; a rule about
hours or days sees all of them together, as if they were one person's.
"""
NO_PAST: Final = "none: it asks for what ccagent tells of itself, of which no past is kept"


def rendered(backtests: Mapping[str, str]) -> str:
    """The generated part, between its marks."""
    lines = [BEGIN, "", HEAD]
    for document in PACK:
        rule = parse(document)
        words = [f"scope {rule.scope}", str(rule.severity), "active" if rule.enabled else "off"]
        if rule.id in ("budget-daily", "budget-weekly", "budget-monthly"):
            words[-1] = "active where the budget is set, which is then the threshold"
        words += [
            f"{key.replace('_', ' ')} {document[key]}" for key in ("for", "keep_firing", "cooldown") if key in document
        ]
        if "schedule" in document:
            words.append(" ".join(document["schedule"].values()))
        lines += [
            f"### `{rule.id}`", "", *textwrap.wrap(f"**{rule.name}.** {rule.reason}", 120, break_on_hyphens=False), "",
            f"- rule: `{write_expression(document)}`; {', '.join(words)}",
            f"- backtest: {backtests[rule.id]}", "",
        ]  # fmt: skip
    return "\n".join([*lines, END])


def page(backtests: Mapping[str, str]) -> str:
    """The whole page with the generated part anew."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + rendered(backtests) + rest.partition(END)[2]


def written() -> dict[str, str]:
    """The backtests that stand on the page."""
    text = PAGE.read_text("utf-8")
    found = re.findall(r"^### `([a-z0-9-]+)`\n(?:(?!^### ).*\n)*?- backtest: (.*)$", text, re.MULTILINE)
    known = dict(found)
    return {str(document["id"]): known.get(str(document["id"]), "not counted yet") for document in PACK}


def counted(corpus: Path) -> dict[str, str]:
    """The backtests of the transcripts in a store of their own."""
    from ccagent.alert_backtest import place, replay
    from ccagent.config import load
    from ccagent.store.alert_span import span_of_facts
    from ccagent.store.open import open_reader

    with tempfile.TemporaryDirectory() as folder:
        env = {"HOME": folder, "PATH": os.environ.get("PATH", ""), "TZ": "UTC", "CCAGENT_ROLLUPS_TIMEZONE": "UTC"}
        database = str(Path(folder) / "corpus.db")
        subprocess.run(
            [sys.executable, "-m", "ccagent", "run", "--once", "--source", str(corpus / "projects"), "--db", database],
            check=True, capture_output=True, env=env | {"PYTHONPATH": str(ROOT)}, cwd=folder,
        )  # fmt: skip
        config = load({"database": database}, env)
        found = {}
        with open_reader(database, None) as reader:
            zone, first = place(reader, database)
            span = span_of_facts(reader)
            until = (span or (0, 0))[1] + 2 * DAY_MS
            for document in PACK:
                rule = parse({**document, "enabled": True})
                if pastless(rule) is not None:
                    found[rule.id] = NO_PAST
                    continue
                done = replay(config, reader, rule, zone=zone, since=first, until=until)
                found[rule.id] = sentence(len(done.firings), done.read, done.subjects, str(rule.scope))
    return found


def sentence(firings: int, hours: int, subjects: int, scope: str) -> str:
    """What a backtest came to."""
    if not hours:
        return "never fires; there was nothing to read"
    often = {0: "never fires", 1: "fires once", 2: "fires twice"}.get(firings, f"fires {firings} times")
    of = "" if scope == "global" else f", of {subjects} {scope}{'' if subjects == 1 else 's'}"
    return f"{often}, in {hours:,} hour{'' if hours == 1 else 's'} with anything to read{of}"


def main(arguments: list[str]) -> int:
    """Write the page, or with --check compare it."""
    parser = argparse.ArgumentParser(description="Write the generated part of docs/alerts.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where the page is stale")
    check: Any = parser.parse_args(arguments).check
    corpus = os.environ.get(CORPUS)
    text = page(counted(Path(corpus)) if corpus else written())
    if text == PAGE.read_text("utf-8"):
        return 0
    if check:
        print("docs/alerts.md is stale; run python scripts/generate_alerts_doc.py", file=sys.stderr)
        return 1
    PAGE.write_text(text, "utf-8")
    print("wrote docs/alerts.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
