"""What the form of a model's or a tool's name says."""

from __future__ import annotations

import pytest

from ccagent.facts.naming import mcp_parts, provider_of, shown_model


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


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("claude-opus-4-6", "claude-opus-4-6"),
        ("eu.anthropic.claude-opus-4-6-v1:0", "eu.anthropic.claude-opus-4-6-v1:0"),
        ("arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-6-v1:0",
         "eu.anthropic.claude-opus-4-6-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku", "anthropic.claude-3-haiku"),
        ("ARN:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", "abc123"),
        ("arn:aws:bedrock:us-east-1:123456789012:custom", "custom"),
        ("arn:", "arn"),
    ],
)  # fmt: skip
def test_a_model_is_shown_without_the_account_of_an_arn(model: str, shown: str) -> None:
    assert shown_model(model) == shown
