"""What the form of a name says: who serves a model, and which MCP server a tool belongs to."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

PROVIDER_FORMS: Final[tuple[tuple[str, str], ...]] = (
    # SQL LIKE patterns of model ids, so that the view and this module cannot differ; the first that fits wins.
    ("arn:aws:bedrock:%", "aws.bedrock"),
    ("anthropic.%", "aws.bedrock"),
    ("%.anthropic.%", "aws.bedrock"),
    ("claude-%@%", "gcp.vertex_ai"),
    ("claude-%", "anthropic"),
    ("gpt-%", "openai"),
    ("codex-%", "openai"),
    ("o3", "openai"),
    ("o3-%", "openai"),
    ("o4-%", "openai"),
    ("gemini-%", "gcp.gemini"),
    ("deepseek-%", "deepseek"),
)

UNNAMED_PROVIDER: Final = "anthropic"
"""Provider of what has no model, in transcripts that name no provider: only Claude Code's do not."""

PROVIDERS: Final = tuple(dict.fromkeys(provider for _, provider in PROVIDER_FORMS))

MCP_PREFIX: Final = "mcp__"
"""Tools of an MCP server are named `mcp__<server>__<tool>`; the server's name may hold single underscores."""

_MATCHES: Final = tuple(
    (re.compile(".*".join(map(re.escape, form.split("%"))), re.DOTALL | re.IGNORECASE), provider)
    for form, provider in PROVIDER_FORMS
)


@lru_cache(maxsize=512)
def provider_of(model: str | None) -> str | None:
    """Who serves a model, by the form of its id; None where that tells nobody."""
    if model is not None:
        for match, provider in _MATCHES:
            if match.fullmatch(model):
                return provider
    return None


@lru_cache(maxsize=512)
def shown_model(model: str) -> str:
    """A model's id as it may leave the machine: of an ARN, which names an account and a region, the last part only."""
    if not model.lower().startswith("arn:"):
        return model
    # arn:partition:service:region:account:resource; the resource itself may hold colons.
    resource = model.split(":", 5)[-1]
    return resource.rpartition("/")[2] or "arn"


@lru_cache(maxsize=2_048)
def mcp_parts(tool: str | None) -> tuple[str, str] | None:
    """Server and tool of an MCP tool's name, None for any other."""
    if tool is None or not tool.startswith(MCP_PREFIX):
        return None
    server, separator, name = tool[len(MCP_PREFIX) :].partition("__")
    return (server, name) if separator and server and name else None
