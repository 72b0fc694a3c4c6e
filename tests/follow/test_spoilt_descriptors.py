"""Descriptors of hot files that a network drive has made useless: the file is read anew, or is gone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ccagent.follow.state import GONE, LIVE
from tests.follow.driver import Session, append, write_new


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return (tmp_path / "projects").resolve()


def started(root: Path) -> tuple[Session, Path]:
    """A follower that has read a file and keeps its descriptor."""
    path = write_new(root / "p" / "a.jsonl", b"one\ntwo\n")
    session = Session(root)
    session.catch_up()
    return session, path


def spoilt(session: Session, path: Path, tmp_path: Path) -> None:
    """What a network drive does to a descriptor when somebody else removes the file: reading through it fails."""
    handles = session.follower._turns.handles
    handle = handles.get(session.follower._files.by_path[os.fsencode(path)])
    assert handle is not None
    folder = os.open(tmp_path, os.O_RDONLY)
    os.dup2(folder, handle.descriptor)
    os.close(folder)


def test_a_file_in_the_place_of_one_whose_descriptor_is_spoilt_is_read(root: Path, tmp_path: Path) -> None:
    session, path = started(root)
    spoilt(session, path, tmp_path)
    append(path, b"three\n")

    session.catch_up()
    session.catch_up()

    assert session.texts() == [b"one", b"two", b"three"]
    assert session.ledger.states[1].state == LIVE


def test_a_deleted_file_whose_descriptor_is_spoilt_is_gone(root: Path, tmp_path: Path) -> None:
    session, path = started(root)
    spoilt(session, path, tmp_path)
    path.unlink()

    session.catch_up()

    assert session.ledger.states[1].state == GONE
    assert session.follower.caught_up
    assert session.follower.files == 0


def test_a_descriptor_that_nothing_can_be_asked_of_ends_no_scan(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, path = started(root)
    path.unlink()

    def stale(descriptor: int) -> os.stat_result:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", stale)  # what NFS answers; there is none here
        session.follower.scan()
    session.drain()

    assert session.ledger.states[1].state == GONE
