"""Write ccagent/facts/windows.json from the context windows that the installed genai-prices knows.

    python scripts/generate_windows.py            rewrite the table
    python scripts/generate_windows.py --check    exit 1 when the committed table is stale

The table names every model by its exact ids, in small letters, as the price table does (scripts/generate_prices.py).
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

from genai_prices.data_snapshot import get_snapshot
from generate_prices import DATED, DATED_IDS, ids_of, keep, literals

TABLE = Path(__file__).resolve().parent.parent / "ccagent" / "facts" / "windows.json"

ASSUMED = 200_000
"""The window of a model that is not in the table: the smallest of those that Claude Code was made for."""

LONG = 1_000_000
"""The window that the suffix [1m] asks for."""

Period = tuple[str | None, int]

HISTORY: dict[str, list[Period]] = {
    # A million tokens had to be asked for until the higher price of long prompts was given up; without that, clients
    # of the time compacted these at 167,000, as those with a window of 200,000.
    "claude-opus-4-6": [(None, ASSUMED), ("2026-03-13", LONG)],
    "claude-sonnet-4-6": [(None, ASSUMED), ("2026-03-13", LONG)],
}
"""Models whose window has changed, which genai-prices does not tell; for all ids of the model, each with the reason."""

OWN: dict[str, list[Period]] = {
    # genai-prices keeps one window for the family; 2.0 had half of it.
    "claude-2.0": [(None, 100_000)],
}
"""Single ids whose window is not that of their family, each with the reason."""

GATEWAYS = (
    # Codex writes its models without dates, and with a point between the numbers.
    ("openai", re.compile(r"gpt-[5-9](\.\d+)?(-[a-z]+)*")),
    ("moonshotai", re.compile(r"kimi.*")),
    ("deepseek", re.compile(r"deepseek.*")),
    ("minimax", re.compile(r"minimax.*")),
    ("zhipuai", re.compile(r"glm-.*")),
)
"""(provider, form of the ids in small letters) of models met behind gateways."""


def build_models() -> dict[str, list[Period]]:
    """All models of the table: id → (first day in UTC or None, tokens), oldest first."""
    providers = {provider.id: provider for provider in get_snapshot().providers}
    anthropic = providers["anthropic"]
    mined = {
        name
        for provider in providers.values()
        for model in provider.models
        for text in (model.id, *literals(model.match))
        for name in DATED.findall(text)
    }
    table: dict[str, list[Period]] = {}
    for model in anthropic.models:
        if model.context_window:
            names = ids_of(anthropic, model, mined | set(DATED_IDS))
            periods = HISTORY.get(model.id, [(None, model.context_window)])
            table.update({name.lower(): periods for name in names})
    for provider_id, form in GATEWAYS:
        for model in providers[provider_id].models:
            if model.context_window:
                names = {name.lower() for name in ids_of(providers[provider_id], model)}
                table.update({name: [(None, model.context_window)] for name in names if form.fullmatch(name)})
    if missing := (OWN.keys() | HISTORY.keys()) - table.keys():
        raise ValueError(f"genai-prices does not know {sorted(missing)}: correct the tables at the top of this script")
    return table | OWN


def render(models: dict[str, list[Period]], day: str) -> str:
    """The file's text: one model a line, sorted, so that a changed window is a changed line."""
    claude = {tokens for name, periods in models.items() if name.startswith("claude-") for _, tokens in periods}
    head = {
        "version": f"{day}-genai-prices-{version('genai-prices')}",
        "unit": "tokens",
        "assumed": ASSUMED,
        "long": LONG,
        "ladder": sorted(tokens for tokens in claude if tokens >= ASSUMED),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    rows = [f"    {json.dumps(name)}: {json.dumps(models[name])}" for name in sorted(models)]
    return "\n".join(["{", *lines, '  "models": {', ",\n".join(rows), "  }", "}", ""])


def main(arguments: list[str] | None = None) -> int:
    """Write or check the table of windows."""
    title = "Generate the bundled table of context windows from genai-prices."
    return keep(TABLE, title, build_models(), render, arguments)


if __name__ == "__main__":
    sys.exit(main())
