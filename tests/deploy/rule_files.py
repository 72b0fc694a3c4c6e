"""Reads the shipped rule files of Prometheus: groups, rules and tests, as far as these files use YAML, and no further."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.spec import Kind, MetricSpec

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"

RULE_FILES = sorted(path for path in DEPLOY.glob("ccagent.*.yml") if not path.name.endswith(".test.yml"))
TEST_FILES = sorted(DEPLOY.glob("ccagent.*.test.yml"))

TARGET_LABELS = frozenset(("job", "instance"))
"""What Prometheus itself puts on every series."""

SELECTOR = re.compile(
    r"(?<![\w:$.\"-])((?:ccagent|job|instance|job_project|instance_project):?[\w:]*|up)(?:\{([^}]*)\})?"
)
MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*[\"']([^\"']*)[\"']")
GROUPING = re.compile(r"\b(?:by|on|group_left)\s*\(([^)]*)\)")
NUMBER = re.compile(r"(?<![\w.:\"\[])\d+(?:\.\d+)?(?![\w.\"\]])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a file: `name` is that of the alert or of the recorded series."""

    file: str
    kind: str  # "alert" or "record"
    name: str
    expr: str
    held: str = ""  # its `for`
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def selectors(self) -> list[tuple[str, str]]:
        """Series that it asks for, with their matchers as they are written."""
        grouped = GROUPING.sub(" ", self.expr)
        return [(name, matchers) for name, matchers in SELECTOR.findall(grouped) if name not in TARGET_LABELS]

    @property
    def numbers(self) -> set[float]:
        """Numbers in its expression, those of windows left out."""
        bare = re.sub(r"\{[^}]*\}", "", self.expr)
        return {float(number) for number in NUMBER.findall(bare)}


def read(path: Path) -> list[Rule]:
    """The rules of a file. ValueError for a line that this reader does not know."""
    found: list[dict[str, Any]] = []
    block: str | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.strip()
        if (
            not words
            or words.startswith("#")
            or words == "groups:"
            or re.fullmatch(r"  - name: [\w-]+|    rules:", line)
        ):
            continue
        started = re.fullmatch(r"      - (alert|record): (\S+)", line)
        plain = re.fullmatch(r"        (expr|for): (.+)", line)
        inner = re.fullmatch(r"          (\w+): (.+)", line)
        if started is not None:
            found.append({"kind": started[1], "name": started[2], "expr": "", "labels": {}, "annotations": {}})
            block = None
        elif re.fullmatch(r"        (labels|annotations):", line) or line == "        expr: |":
            block = words.rstrip(":| ")
        elif plain is not None:
            found[-1]["held" if plain[1] == "for" else "expr"] = plain[2]
        elif block == "expr" and line.startswith(" " * 10):
            found[-1]["expr"] += words + "\n"
        elif block in ("labels", "annotations") and inner is not None:
            found[-1][block][inner[1]] = _unquoted(inner[2])
        else:
            raise ValueError(f"{path.name}:{number}: not of the form that rules have here: {line}")
    return [Rule(file=path.name, **rule) for rule in found]


def all_rules() -> list[Rule]:
    """The rules of all files."""
    return [rule for path in RULE_FILES for rule in read(path)]


def alerts() -> list[Rule]:
    """The alerting rules of all files."""
    return [rule for rule in all_rules() if rule.kind == "alert"]


def series() -> dict[str, MetricSpec]:
    """What the page shows by its names in Prometheus, the parts of histograms among them."""
    found = {}
    for spec in METRICS.values():
        if spec.kind is Kind.HISTOGRAM:
            found |= {f"{spec.prometheus_family}{part}": spec for part in ("_bucket", "_count", "_sum")}
        else:
            found[spec.prometheus_name] = spec
    return found


def _unquoted(words: str) -> str:
    return words[1:-1] if words[0] == words[-1] and words[0] in "'\"" else words
