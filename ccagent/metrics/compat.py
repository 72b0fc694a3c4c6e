"""The compatible set: the eight metrics of Claude Code's own telemetry, under its names, rebuilt from transcripts.

A second registry beside the catalogue. It is off unless the owner asks for it; where Claude Code's own telemetry runs
too, both together would double every sum. The series stand under ccagent's own resource, so they can be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ccagent.metrics.spec import COMPATIBLE, Kind, MetricSpec

SESSION_COUNT: Final = COMPATIBLE + "session.count"
LINES_OF_CODE: Final = COMPATIBLE + "lines_of_code.count"
PULL_REQUEST_COUNT: Final = COMPATIBLE + "pull_request.count"
COMMIT_COUNT: Final = COMPATIBLE + "commit.count"
COST_USAGE: Final = COMPATIBLE + "cost.usage"
TOKEN_USAGE: Final = COMPATIBLE + "token.usage"
EDIT_DECISION: Final = COMPATIBLE + "code_edit_tool.decision"
ACTIVE_TIME: Final = COMPATIBLE + "active_time.total"

UNIT_WORDS: Final[Mapping[str, str]] = MappingProxyType({"USD": "USD", "tokens": "tokens", "s": "seconds"})
"""The last word of a Prometheus name by unit: these units are words, not UCUM codes."""

TOTAL: Final = "_total"

TOKEN_TYPES: Final = ("input", "output", "cacheRead", "cacheCreation")
START_TYPES: Final = ("resume", "fresh")
LINE_TYPES: Final = ("added", "removed")
QUERY_SOURCES: Final = ("main", "subagent", "auxiliary")
ACTIVE_TYPES: Final = ("user", "cli")
EDIT_TOOLS: Final = ("Edit", "MultiEdit", "Write", "NotebookEdit")
DECISIONS: Final = ("accept", "reject")
SOURCES: Final = ("config", "hook", "user_permanent", "user_temporary", "user_abort", "user_reject", "unknown")

LANGUAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bash": "Bash", "c": "C", "cc": "C++", "cpp": "C++", "cs": "C#", "css": "CSS", "cxx": "C++", "dart": "Dart",
        "ex": "Elixir", "exs": "Elixir", "go": "Go", "h": "C", "hpp": "C++", "hs": "Haskell", "htm": "HTML",
        "html": "HTML", "ipynb": "Jupyter Notebook", "java": "Java", "js": "JavaScript", "json": "JSON",
        "jsonl": "JSON", "jsx": "JavaScript", "kt": "Kotlin", "kts": "Kotlin", "less": "CSS", "lua": "Lua",
        "m": "Objective-C", "markdown": "Markdown", "md": "Markdown", "mdx": "Markdown", "mjs": "JavaScript",
        "mts": "TypeScript", "php": "PHP", "pl": "Perl", "ps1": "PowerShell", "py": "Python", "pyi": "Python",
        "r": "R", "rb": "Ruby", "rs": "Rust", "sass": "SCSS", "scala": "Scala", "scss": "SCSS", "sh": "Bash",
        "sql": "SQL", "svelte": "Svelte", "swift": "Swift", "tf": "Terraform", "toml": "TOML", "ts": "TypeScript",
        "tsx": "TypeScript", "vue": "Vue", "xml": "XML", "yaml": "YAML", "yml": "YAML", "zsh": "Bash",
    }
)  # fmt: skip
"""Languages by the last part of a file's name. The list is closed: a name of a file says nothing else."""

UNKNOWN_LANGUAGE: Final = "unknown"

OTHER_CLIENTS: Final = ("codex",)
"""How the entry points of other programs begin, whose transcripts are followed too."""

AUXILIARY: Final = ("acompact", "aprompt_suggestion", "aside_question")
"""How the ids of sub-agents begin that the client starts for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatibleSpec(MetricSpec):
    """A metric of the compatible set. `name` is the whole OTel name, as it stands in the table of totals too."""

    def __post_init__(self) -> None:
        if not self.name.startswith(COMPATIBLE):
            raise ValueError(f"{self.name}: the compatible set holds names of {COMPATIBLE}* only")

    @property
    def otel_name(self) -> str:
        """`claude_code.token.usage`."""
        return self.name

    @property
    def prometheus_unit(self) -> str:
        """The word that the Prometheus name ends in for its unit, "" for none."""
        return UNIT_WORDS.get(self.unit, "")

    @property
    def prometheus_family(self) -> str:
        """`claude_code_token_usage_tokens`: as the usual translation makes it, a last word "total" moved to the end."""
        words = self.name.replace(".", "_").removesuffix(TOTAL)
        unit = self.prometheus_unit
        return f"{words}_{unit}" if unit else words

    def __hash__(self) -> int:
        return hash(self.name)


def _spec(
    name: str, unit: str, source: str, text: str, closed: Mapping[str, tuple[str, ...]], *labels: str,
    fill: tuple[str, ...] = (), scale: int = 1,
) -> CompatibleSpec:  # fmt: skip
    return CompatibleSpec(
        name=name, kind=Kind.COUNTER, unit=unit, help=text, source=source, labels=labels,
        closed=MappingProxyType(dict(closed)), fill=fill, scale=scale, from_facts=True,
    )  # fmt: skip


COMPAT: Final[Mapping[str, MetricSpec]] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            _spec(SESSION_COUNT, "", "session.lifecycle", "Sessions that were started, by how.",
                  {"start_type": START_TYPES}, "start_type", fill=("start_type",)),
            _spec(LINES_OF_CODE, "", "file.update", "Lines of code that accepted edits added and removed.",
                  {"type": LINE_TYPES}, "type", "model", fill=("type",)),
            _spec(PULL_REQUEST_COUNT, "", "pull_request", "Pull requests, each counted once by its address.", {}),
            _spec(COMMIT_COUNT, "", "git.commit", "Commits that results of tools show.", {}),
            _spec(COST_USAGE, "USD", "llm.request and dated prices", "API-equivalent cost in USD at list prices.",
                  {"query_source": QUERY_SOURCES}, "model", "query_source", fill=("query_source",), scale=1_000_000),
            _spec(TOKEN_USAGE, "tokens", "llm.request", "Tokens of API responses; both write tiers are cacheCreation.",
                  {"type": TOKEN_TYPES, "query_source": QUERY_SOURCES}, "type", "model", "query_source",
                  fill=("type", "query_source")),
            _spec(EDIT_DECISION, "", "tool.call", "Decisions on calls of tools that edit files.",
                  {"tool_name": EDIT_TOOLS, "decision": DECISIONS, "source": SOURCES,
                   "language": (*sorted(set(LANGUAGES.values())), UNKNOWN_LANGUAGE)},
                  "tool_name", "decision", "source", "language"),
            _spec(ACTIVE_TIME, "s", "turn, prompt", "Time at work; the part of type user is an estimate.",
                  {"type": ACTIVE_TYPES}, "type", fill=("type",), scale=1_000),
        )
    }
)  # fmt: skip
"""The eight metrics by their whole name, in the order in which they are shown."""


def language_of(path: str | None) -> str:
    """The language that a file's name tells, `unknown` where it tells none of the list."""
    name = (path or "").replace("\\", "/").rpartition("/")[2]
    return LANGUAGES.get(name.rpartition(".")[2].lower(), UNKNOWN_LANGUAGE) if "." in name else UNKNOWN_LANGUAGE


def query_source(agent: str | None, *, side: bool = False) -> str:
    """Who asked: main, subagent (`side`: of a sidechain whose sub-agent has no name), or auxiliary."""
    if agent is None:
        return "subagent" if side else "main"
    return "auxiliary" if agent.startswith(AUXILIARY) else "subagent"


def of_claude_code(provider: str | None, entrypoint: str | None) -> bool:
    """Whether a fact comes from Claude Code: transcripts of other clients name their provider, or themselves."""
    return provider is None and not (entrypoint or "").lower().startswith(OTHER_CLIENTS)
