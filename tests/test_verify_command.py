"""`ccagent verify` as a user calls it: exit codes, text, JSON and the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ccagent.cli import main
from tests.verifying import Ground, busy


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    ground = Ground(tmp_path)
    monkeypatch.setenv("HOME", str(ground.home))
    ground.tree.write(busy("one"))
    ground.take_in()
    return ground


def called(ground: Ground, *args: str) -> int:
    return main(["verify", "--db", ground.database, "--source", str(ground.tree.root), *args])


def test_a_sound_store_ends_with_0_and_says_so(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(ground, "--full") == 0

    out = capsys.readouterr().out
    assert "rollups by hour" in out
    assert out.endswith("equal: the store agrees with the transcripts\n")
    assert max(map(len, out.splitlines())) <= 80


def test_a_fault_ends_with_1_in_text_and_in_json(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    ground.damage("DELETE FROM fact WHERE type = 8")

    assert called(ground) == 1
    assert "missing" in capsys.readouterr().out
    assert called(ground, "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["status"], answer["facts_at_fault"][0]["fault"]) == ("fault", "missing")


def test_transcripts_that_are_gone_end_with_0(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    for path in ground.tree.root.rglob("*.jsonl"):
        path.unlink()

    assert called(ground) == 0
    assert "source gone" in capsys.readouterr().out


def test_a_manifest_is_written_then_held_then_broken(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    file = ground.home / "m.json"

    assert called(ground, "--manifest", str(file)) == 0
    assert called(ground, "--manifest", str(file)) == 0
    document = json.loads(file.read_bytes())
    document["files"][0]["hash"] = "0" * 32
    file.write_text(json.dumps(document))
    capsys.readouterr()
    assert called(ground, "--manifest", str(file)) == 1

    assert f"manifest  {document['files'][0]['path']}: its first" in capsys.readouterr().out


def test_a_file_that_is_no_manifest_ends_with_1_and_its_name(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ground.home / "letter.txt"
    file.write_text("dear reader")

    assert called(ground, "--manifest", str(file)) == 1
    assert "letter.txt is no manifest" in capsys.readouterr().err
    assert file.read_text() == "dear reader"


def test_a_database_that_is_not_there_is_no_data(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--db", str(ground.home / "none.db"), "--manifest", str(ground.home / "m.json")]) == 20

    assert not (ground.home / "m.json").exists()
