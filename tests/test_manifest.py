"""The manifest: written once, checked later or elsewhere, and every way in which it may no longer hold."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from ccagent.errors import ManifestError
from ccagent.manifest import Entry, Manifest, read, write
from tests.transcripts import Usage
from tests.verifying import Ground, busy

ONE = "-home-demo-atlas/one.jsonl"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    ground = Ground(tmp_path / "here")
    ground.tree.write(busy("one"), busy("two", cwd="/home/demo/bolt"))
    ground.take_in()
    return ground


@pytest.fixture
def file(ground: Ground, tmp_path: Path) -> Path:
    """A manifest of the ground, freshly written."""
    file = tmp_path / "manifest.json"
    assert ground.verify(manifest=file)["manifest"]["written"] is True
    return file


def moved(ground: Ground, place: Path) -> Ground:
    """The same tree under another path, in a database of its own."""
    other = Ground(place)
    shutil.copytree(ground.tree.root, other.tree.root, dirs_exist_ok=True)
    other.take_in()
    return other


def test_a_manifest_names_every_file_below_its_root_and_nothing_above(file: Path, ground: Ground) -> None:
    document = json.loads(file.read_bytes())

    assert set(document) == {"schema_version", "created_at", "ccagent", "totals", "files"}
    assert [(row["root"], row["path"]) for row in document["files"]] == sorted(
        (0, str(path.relative_to(ground.tree.root))) for path in ground.tree.root.rglob("*.jsonl")
    )
    assert str(ground.home) not in file.read_text()
    assert document["totals"]["requests"] == ground.verify()["totals"][0]["stored"]


def test_what_a_manifest_says_of_a_file_does_not_depend_on_the_others(file: Path) -> None:
    rows = json.loads(file.read_bytes())["files"]
    main = [row for row in rows if row["path"].endswith(("one.jsonl", "two.jsonl"))]
    data = busy("one").content

    assert {row["lines"] for row in main} == {data.count(b"\n")}
    # One session, five requests, three calls, one compaction.
    assert {row["facts"] for row in main} == {10}
    assert main[0]["length"] == len(data)


def test_a_manifest_is_private_and_leaves_nothing_beside_it(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.glob(".manifest*")) == []


def test_the_same_tree_holds(file: Path, ground: Ground) -> None:
    answer = ground.verify(manifest=file)

    assert answer.status == "equal"
    assert {name: answer["manifest"][name] for name in ("written", "same", "grown", "gone", "faults")} == {
        "written": False, "same": 4, "grown": 0, "gone": 0, "faults": [],
    }  # fmt: skip


def test_a_tree_that_was_copied_to_another_machine_holds(file: Path, ground: Ground, tmp_path: Path) -> None:
    answer = moved(ground, tmp_path / "there").verify(manifest=file)

    assert (answer.status, answer["manifest"]["same"]) == ("equal", 4)


def test_files_that_have_grown_hold(file: Path, ground: Ground) -> None:
    session = busy("one")
    session.request("more", usage=Usage(output=50))
    ground.tree.write(session, busy("three"))
    ground.take_in()

    answer = ground.verify(manifest=file)

    assert (answer.status, answer["manifest"]["grown"], answer["manifest"]["faults"]) == ("equal", 1, [])


def test_a_file_that_is_gone_is_told_and_no_fault(file: Path, ground: Ground) -> None:
    shutil.rmtree(ground.tree.root / "-home-demo-bolt")

    answer = ground.verify(manifest=file)

    assert (answer.status, answer["equal"]) == ("source gone", True)
    assert answer["manifest"]["gone"] == 2
    assert answer["manifest"]["gone_paths"][0].startswith("-home-demo-bolt/")


def test_a_tampered_byte_names_its_file(file: Path, ground: Ground, tmp_path: Path) -> None:
    other = Ground(tmp_path / "there")
    shutil.copytree(ground.tree.root, other.tree.root, dirs_exist_ok=True)
    path = other.tree.root / ONE
    path.write_bytes(path.read_bytes().replace(b"hello", b"hellO"))
    other.take_in()

    answer = other.verify(manifest=file)

    assert (answer.status, answer["equal"]) == ("fault", False)
    ((where, what),) = [(row["path"], row["fault"]) for row in answer["manifest"]["faults"]]
    assert where == ONE
    assert "are not those that were there" in what


def test_a_truncated_file_is_named_with_both_lengths(file: Path, ground: Ground, tmp_path: Path) -> None:
    other = Ground(tmp_path / "there")
    shutil.copytree(ground.tree.root, other.tree.root, dirs_exist_ok=True)
    path = other.tree.root / ONE
    whole = path.stat().st_size
    os.truncate(path, 900)
    other.take_in()

    faults = other.verify(manifest=file)["manifest"]["faults"]

    assert {"path": ONE, "fault": f"has 900 bytes, {whole} were there"} in faults
    assert {row["path"] for row in faults if "path" in row} == {ONE}


def test_a_store_that_has_not_read_as_far_is_a_fault(file: Path, ground: Ground, tmp_path: Path) -> None:
    other = Ground(tmp_path / "there")
    other.tree.write(busy("one"))
    other.take_in()
    shutil.copytree(ground.tree.root, other.tree.root, dirs_exist_ok=True)

    faults = other.verify(manifest=file)["manifest"]["faults"]

    assert any(row.get("path", "").endswith("two.jsonl") and "only 0 of" in row["fault"] for row in faults)
    assert {"name": "sessions", "manifest": 2, "stored": 1} in faults


def test_a_store_that_lost_facts_of_files_that_are_gone_is_a_fault(file: Path, ground: Ground) -> None:
    shutil.rmtree(ground.tree.root / "-home-demo-bolt")
    ground.damage(
        "DELETE FROM fact WHERE type = 4 AND context IN (SELECT c.id FROM context c JOIN name n ON n.id = c.session"
        " WHERE n.value = 'two')"
    )

    answer = ground.verify(manifest=file)

    assert answer.status == "fault"
    assert {row["name"] for row in answer["manifest"]["faults"]} >= {"requests", "tokens.output"}


def test_after_retention_the_files_still_must_hold(file: Path, ground: Ground) -> None:
    ground.damage("INSERT INTO pruned (key) SELECT key FROM fact WHERE type = 4")
    ground.damage("DELETE FROM fact WHERE type = 4")

    answer = ground.verify(manifest=file)

    assert (answer.status, answer["manifest"]["faults"]) == ("sealed", [])


def test_changed_totals_of_a_manifest_are_found(file: Path, ground: Ground) -> None:
    document = json.loads(file.read_bytes())
    document["totals"]["tokens.output"] -= 1
    file.write_text(json.dumps(document))

    answer = ground.verify(manifest=file)

    assert [row["name"] for row in answer["manifest"]["faults"]] == ["tokens.output"]


def test_several_roots_are_told_apart_by_the_order_they_are_named_in(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "here")
    ground.tree.write(busy("one"))
    second = Ground(tmp_path / "also")
    second.tree.write(busy("two"))
    ground.more = (second.tree.root,)
    ground.take_in()
    file = tmp_path / "manifest.json"
    ground.verify(manifest=file)
    # On the other machine the second root sorts before the first.
    there = Ground(tmp_path / "zz")
    shutil.copytree(ground.tree.root, there.tree.root, dirs_exist_ok=True)
    shutil.copytree(second.tree.root, tmp_path / "aa")
    there.more = (tmp_path / "aa",)
    there.take_in()

    answer = there.verify(manifest=file)

    assert {row["root"] for row in json.loads(file.read_bytes())["files"]} == {0, 1}
    assert (answer["manifest"]["same"], answer["manifest"]["faults"]) == (4, [])


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "here")
    folder = Path(os.fsdecode(os.fsencode(ground.tree.root) + b"/-home-\xff"))
    folder.mkdir()
    (folder / "one.jsonl").write_bytes(busy("one").content)
    ground.take_in()
    manifest = tmp_path / "manifest.json"
    ground.verify(manifest=manifest)

    assert ground.verify(manifest=manifest)["manifest"]["same"] == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no manifest"),
        (b"{", "no manifest"),
        (b"[]", "no manifest"),
        (b'{"schema_version": 1}', "no manifest"),
        (b'{"schema_version": 2}', "newer ccagent"),
        (b'{"schema_version":1,"created_at":"","ccagent":"","totals":{},"files":[{"root":0,"path":"../x","length":1,'
         b'"hash":"","lines":0,"facts":0}]}', "no manifest"),
        (b'{"schema_version":1,"created_at":"","ccagent":"","totals":{"requests":"many"},"files":[]}', "no manifest"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_manifest_is_refused_with_its_name(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "other.json"
    file.write_bytes(content)

    with pytest.raises(ManifestError, match=words) as caught:
        read(file)

    assert "other.json" in str(caught.value)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    manifest = Manifest(created_at="", version="", files=[], totals={})

    with pytest.raises(ManifestError, match="cannot write the manifest"):
        write(tmp_path / "nowhere" / "m.json", manifest)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    entry = Entry(root=0, path="a/b.jsonl", length=3, hash="00", lines=1, facts=0)
    manifest = Manifest(created_at="2026-02-10T00:00:00Z", version="1", files=[entry], totals={"requests": 0})
    write(tmp_path / "m.json", manifest)

    assert read(tmp_path / "m.json") == manifest
