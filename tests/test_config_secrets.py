"""Secrets come from where nobody else reads them; those that are spelled out are recognised."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ccagent.config_secrets import fill, is_spelled_out
from ccagent.errors import ConfigError

SECRET = "kanarienvogel"


def taken(text: str, **env: str) -> str:
    return fill(text, env, "config.toml:1:1", "the header 'authorization'")


def refusal(text: str, **env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        taken(text, **env)
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def test_a_variable_a_file_and_a_credential_stand_in_for_what_they_hold(file: Path) -> None:
    assert taken("Bearer ${TOKEN}", TOKEN=SECRET) == f"Bearer {SECRET}"
    assert taken(f"Bearer ${{file:{file}}}") == f"Bearer {SECRET}"
    assert taken("Bearer ${credential:token}", CREDENTIALS_DIRECTORY=str(file.parent)) == f"Bearer {SECRET}"
    assert taken("${A}-${B}", A="1", B="2") == "1-2"


def test_a_file_below_the_home_is_found(file: Path) -> None:
    assert taken("${file:~/token}", HOME=str(file.parent)) == SECRET


def test_a_variable_that_is_not_set_is_named() -> None:
    assert "needs the variable TOKEN, which is not set" in refusal("Bearer ${TOKEN}")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_a_file_that_others_may_use_is_refused_with_what_to_do(file: Path, mode: int) -> None:
    file.chmod(mode)

    assert f"`chmod 600 {file}`" in refusal(f"${{file:{file}}}")


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_a_file_of_somebody_else_is_refused_with_what_to_do(file: Path) -> None:
    os.chown(file, 65_534, 65_534)

    assert "belongs to somebody else" in refusal(f"${{file:{file}}}")


def test_what_is_no_file_with_a_secret_is_refused(file: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "empty").touch(0o600)
    (tmp_path / "large").touch(0o600)
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").touch(0o600)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    assert "No such file" in refusal(f"${{file:{tmp_path}/none}}")
    assert "no regular file" in refusal(f"${{file:{tmp_path}/pipe}}")
    assert "holds no text" in refusal(f"${{file:{tmp_path}/empty}}")
    assert "larger than" in refusal(f"${{file:{tmp_path}/large}}")
    assert "holds no text" in refusal(f"${{file:{tmp_path}/binary}}")
    assert "whole path" in refusal("${file:token}")


def test_a_credential_needs_the_service_manager_and_a_plain_name(file: Path) -> None:
    assert "CREDENTIALS_DIRECTORY is not set" in refusal("${credential:token}")
    for name in ("../token", "..", "", "a/b"):
        assert "names a credential that is none" in refusal(
            f"${{credential:{name}}}", CREDENTIALS_DIRECTORY=str(file.parent)
        )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("authorization", "Bearer abc"),
        ("authorization", "Basic dXNlcjpwYXNz"),
        ("Authorization", "whatever"),
        ("x-api-key", "short"),
        ("api-key", "${A}literal"),
        ("x-honeycomb-team", "abc123"),
        ("cookie", "session=1"),
        ("x-auth-token", "abc"),
        ("x-anything", "sk-ant-api03-abcdefgh"),
        ("x-anything", "ghp_" + "a1" * 18),
        ("x-anything", "glc_eyJvIjoiMTIz"),
        ("x-anything", "eyJhbGciOi.eyJzdWIiOi.abc"),
        ("x-anything", "AKIA" + "ABCDEFGHIJKL1234"),
        ("x-anything", "9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c"),
    ],
)
def test_a_secret_that_is_spelled_out_is_recognised(name: str, text: str) -> None:
    assert is_spelled_out(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("authorization", "Bearer ${TOKEN}"),
        ("authorization", "Basic ${file:/run/secret}"),
        ("x-api-key", "${KEY}"),
        ("x-scope-orgid", "tenant-one"),
        ("x-scope-orgid", "3fa85f64-5717-4562-b3fc-2c963f66afa6"),
        ("x-dataset", "coding-agents-of-the-platform-team-2026"),
        ("stream-name", "default"),
        ("x-langfuse-ingestion-version", "4"),
    ],
)
def test_what_is_no_secret_passes(name: str, text: str) -> None:
    assert not is_spelled_out(name, text)
