"""Claude Code's own telemetry is found where Claude Code itself looks, and keeps the compatible set off."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ccagent.config import CompatConfig, load
from ccagent.follow.roots import CODEX, Root
from ccagent.native_telemetry import SETTINGS_LIMIT, VARIABLE, Native, beside, choose, detect
from ccagent.otlp_settings import OtlpSettings, resolve
from ccagent.store.filesystem import Mount

ASKED = CompatConfig(claude_code=True, force=False)
FORCED = CompatConfig(claude_code=True, force=True)
UNASKED = CompatConfig(claude_code=False, force=False)


def found(folder: Path, env: dict[str, str] | None = None, **options: object) -> Native | None:
    managed = folder / "managed"
    return detect(env or {}, [Root(folder / ".claude" / "projects")], managed=managed, **options)  # type: ignore[arg-type]


def write(path: Path, settings: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return path


def on(value: object = "1") -> dict[str, object]:
    return {"model": "opus", "env": {VARIABLE: value, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=canary-secret"}}


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert found(tmp_path) is None


def test_the_environment_is_looked_at(tmp_path: Path) -> None:
    assert found(tmp_path, {VARIABLE: "1"}) == Native(where=f"the variable {VARIABLE}")
    assert found(tmp_path, {VARIABLE: "0"}) is None
    assert found(tmp_path, {VARIABLE: ""}) is None


@pytest.mark.parametrize(
    "place", [".claude/settings.json", ".claude/settings.local.json", "managed/managed-settings.json",
              "managed/managed-settings.d/10-telemetry.json"],
)  # fmt: skip
def test_the_settings_are_looked_at(tmp_path: Path, place: str) -> None:
    path = write(tmp_path / place, on())

    native = found(tmp_path)

    assert native is not None
    assert native.where.endswith(path.name)
    assert "canary" not in native.where


@pytest.mark.parametrize("value", ["0", "false", "", " off ", 0, False, None, ["1"]])
def test_a_value_that_switches_nothing_on(tmp_path: Path, value: object) -> None:
    write(tmp_path / ".claude" / "settings.json", on(value))

    assert found(tmp_path) is None


@pytest.mark.parametrize("value", [1, True, "true", "yes"])
def test_a_value_that_switches_it_on(tmp_path: Path, value: object) -> None:
    write(tmp_path / ".claude" / "settings.json", on(value))

    assert found(tmp_path) is not None


@pytest.mark.parametrize("text", ["{", "[]", f'{{"env": "{VARIABLE}"}}', f'{{"env": ["{VARIABLE}"]}}'])
def test_settings_of_another_shape_say_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path / ".claude" / "settings.json", text)

    assert found(tmp_path) is None


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    settings = tmp_path / ".claude" / "settings.json"
    write(settings, json.dumps(on()) + " " * SETTINGS_LIMIT)
    local = settings.with_name("settings.local.json")
    os.mkfifo(local)

    assert found(tmp_path) is None


def test_the_settings_of_a_project_and_of_codex_are_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "work" / ".claude" / "settings.json", on())
    write(tmp_path / ".codex" / "settings.json", on())

    roots = [Root(tmp_path / ".claude" / "projects"), Root(tmp_path / ".codex" / "sessions", CODEX)]

    assert detect({}, roots, managed=tmp_path / "managed") is None


def test_a_file_system_of_another_machine_is_not_touched(tmp_path: Path) -> None:
    write(tmp_path / "share" / "settings.json", on())
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "settings.json").symlink_to(tmp_path / "share" / "settings.json")
    here = Mount(point="/", type="ext4", number=1)
    there = Mount(point=str(tmp_path / "share"), type="nfs4", number=2, parent=1)

    assert found(tmp_path, among=[here]) is not None
    assert found(tmp_path, among=[here, there]) is None


def test_the_set_is_made_where_it_is_asked_for_and_alone() -> None:
    assert choose(UNASKED, None).on is False
    assert choose(ASKED, None) == choose(FORCED, None)
    assert choose(ASKED, None).on is True
    assert choose(ASKED, None).notices == ()


def test_beside_the_native_one_it_stays_off_and_says_why() -> None:
    native = Native(where="~/.claude/settings.json")

    choice = choose(ASKED, native)

    assert choice.on is False
    assert "settings.json" in choice.notices[0]
    assert "stays off" in choice.notices[0]


def test_who_did_not_ask_for_the_set_is_not_bothered() -> None:
    choice = choose(UNASKED, Native(where="the variable"))

    assert (choice.on, choice.notices) == (False, ())
    assert choice.native is not None


def test_forced_it_is_made_beside_the_native_one_with_a_warning() -> None:
    choice = choose(FORCED, Native(where="the variable"))

    assert choice.on is True
    assert "doubled" in choice.notices[0]


def settings_with_events() -> OtlpSettings:
    flags = {"otlp.endpoint": "http://127.0.0.1:4318", "otlp.native_events": True, "otlp.signals": ("logs",)}
    return resolve(load(flags, {"HOME": "/nowhere"}), {})


@pytest.mark.parametrize(("compat", "events"), [(UNASKED, False), (ASKED, False), (FORCED, True)])
def test_events_under_native_names_are_left_to_the_native_telemetry(compat: CompatConfig, events: bool) -> None:
    settings = settings_with_events()
    assert [one.native_events for one in settings.destinations] == [True]

    found = beside(settings, compat, Native(where="the variable"))

    assert [one.native_events for one in found.destinations] == [events]
    assert found.resource_attributes["ccagent.native_telemetry"] == "true"
    assert any("native_events stays off" in notice for notice in found.notices) is not events
    assert beside(settings, compat, None) is settings
