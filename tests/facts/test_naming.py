"""What the form of a model's or a tool's name says."""

from __future__ import annotations

import pytest

from ccagent.facts.naming import mcp_parts, provider_of


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("claude-opus-4-6", "anthropic"),
        ("claude-opus-4-6[1m]", "anthropic"),
        ("claude-sonnet-4-5@20250929", "gcp.vertex_ai"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws.bedrock"),
        ("anthropic.claude-3-haiku", "aws.bedrock"),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/x", "aws.bedrock"),
        ("gpt-5.5", "openai"),
        ("glm-5", None),
        (None, None),
    ],
)
def test_the_form_of_a_model_id_names_its_provider(model: str | None, provider: str | None) -> None:
    assert provider_of(model) == provider


@pytest.mark.parametrize(
    ("tool", "parts"),
    [
        ("mcp__github__search_issues", ("github", "search_issues")),
        ("mcp__linear-server__get_issue", ("linear-server", "get_issue")),
        ("mcp__plugin_a_b__tool", ("plugin_a_b", "tool")),
        ("mcp__server__tool__with__more", ("server", "tool__with__more")),
        ("mcp__noserver", None),
        ("Bash", None),
        (None, None),
    ],
)
def test_an_mcp_tool_is_split_at_the_first_two_double_underscores(
    tool: str | None, parts: tuple[str, str] | None
) -> None:
    assert mcp_parts(tool) == parts
