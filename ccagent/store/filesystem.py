"""On what a path lies: a database in WAL mode needs a file system that one machine alone writes to.

SQLite's write-ahead log is shared memory of the processes of one kernel. On a network file system, or on a folder that
a virtual machine shares with its host, another kernel may write to the same file: locks do not meet, and the database
is damaged without a word. Such a place is refused before anything on it is touched: a dead server would never answer.

A folder of the host that is the root of this system (containers in small virtual machines have one of their own) is
shared with nobody and is allowed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccagent.errors import ConfigError
from ccagent.paths import display

NETWORK: Final = frozenset(
    """
    acfs afpfs afs beegfs ceph cifs coda davfs fhgfs ftp fuse.blobfuse fuse.blobfuse2 fuse.ceph fuse.ceph-fuse
    fuse.curlftpfs fuse.davfs2 fuse.gcsfuse fuse.glusterfs fuse.goofys fuse.gvfsd-fuse fuse.juicefs fuse.kio-fuse
    fuse.lizardfs fuse.mfs fuse.moosefs fuse.mount-s3 fuse.rclone fuse.s3fs fuse.seaweedfs fuse.smbnetfs fuse.sshfs
    glusterfs gpfs lustre macfuse ncpfs nfs nfs4 orangefs osxfuse panfs pvfs2 smb2 smb3 smbfs webdav
    """.split()
)
"""Types, as the system names them, whose files lie on another machine."""

SHARED: Final = frozenset(
    "9p drvfs fakeowner fuse.grpcfuse fuse.osxfs fuse.portal fuse.prl_fsd fuse.vmhgfs-fuse prl_fs vboxsf virtiofs"
    " vmhgfs".split()
)
"""Types by which a virtual machine sees folders of its host, which may write to them too."""

AUTOMOUNT: Final = "autofs"
"""Stands for what is mounted at the first look."""

MOUNTINFO: Final = Path("/proc/self/mountinfo")
MOUNT_SECONDS: Final = 5.0
"""macOS' `mount` asks no server; longer means that the machine has other troubles."""

MAX_LINKS: Final = 40
"""Symbolic links on one path, as Linux has it."""

_OCTAL: Final = re.compile(rb"\\([0-7]{3})")
_MAC_LINE: Final = re.compile(r"^.+? on (/.*) \(([^,()]+)[^()]*\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount: where it is attached, of what type, and below which other one. Without a number nothing is known of
    the order in which mounts cover one another."""

    point: str
    type: str
    number: int | None = None
    parent: int | None = None


def parse_mountinfo(text: bytes) -> tuple[Mount, ...]:
    """The mounts of Linux' `/proc/self/mountinfo`; a line that is none is passed over."""
    found = []
    for line in text.splitlines():
        before, separator, after = line.partition(b" - ")
        fields, kinds = before.split(b" "), after.split(b" ")
        if separator and len(fields) >= 6 and fields[0].isdigit() and fields[1].isdigit():
            point = os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), fields[4]))
            kind = kinds[0].decode("ascii", "replace")
            found.append(Mount(point=point, type=kind, number=int(fields[0]), parent=int(fields[1])))
    return tuple(found)


def parse_mount_output(text: str) -> tuple[Mount, ...]:
    """The mounts of macOS' `mount`: "//me@host/share on /Volumes/share (smbfs, nodev)"."""
    matches = (_MAC_LINE.match(line) for line in text.splitlines())
    return tuple(Mount(point=match[1], type=match[2].strip()) for match in matches if match)


def mounts() -> tuple[Mount, ...]:
    """What is mounted now; nothing where the system does not tell."""
    try:
        if sys.platform == "darwin":
            done = subprocess.run(["/sbin/mount"], capture_output=True, timeout=MOUNT_SECONDS, check=False)
            return parse_mount_output(done.stdout.decode("utf-8", "surrogateescape"))
        return parse_mountinfo(MOUNTINFO.read_bytes())
    except (OSError, subprocess.SubprocessError):
        return ()


def network_mounts() -> tuple[str, ...]:
    """Mount points of file systems of other machines: a look below one may hang."""
    return tuple(mount.point for mount in mounts() if unsafe(mount))


def unsafe(mount: Mount) -> bool:
    """Whether another machine may write there too."""
    return mount.type in NETWORK or (mount.type in SHARED and mount.point != "/")


def filesystem_type(path: str | Path, among: Sequence[Mount] | None = None) -> str | None:
    """The type of the file system that `path` lies on, or would lie on; None where the system does not tell.

    `among` are the mounts to choose from, by default those of this moment.
    """
    found = mount_of(path, among)
    return None if found is None else found.type


def mount_of(path: str | Path, among: Sequence[Mount] | None = None) -> Mount | None:
    """The mount that `path` lies on, or would lie on; None where the system does not tell.

    Goes the way of the kernel: part by part, over links and mounts. It ends at the first mount that another machine may
    write to, so that no question waits for that machine.
    """
    known = mounts() if among is None else tuple(among)
    here = _over(known, None, "/")
    rest = [part for part in reversed(os.path.abspath(path).split("/")) if part]  # noqa: PTH100 - resolve() asks servers
    place = ""
    links = 0
    while rest and not (here is not None and unsafe(here)):
        part = rest.pop()
        if part == "..":
            place = os.path.dirname(place)  # noqa: PTH120
            here = _at(known, place or "/")
            continue
        step = f"{place}/{part}"
        below = _over(known, here, step)
        if below is not None and below.type == AUTOMOUNT and among is None:
            _trigger(step)
            known = mounts()
            below = _at(known, step)
        if below is not here:
            here, place = below, step
            continue
        target = _link(step)
        if target is None or links >= MAX_LINKS:
            place = step
            continue
        links += 1
        rest += [piece for piece in reversed(target.split("/")) if piece not in ("", ".")]
        if target.startswith("/"):
            place, here = "", _over(known, None, "/")
    return here


def refuse_network(path: str | Path, among: Sequence[Mount] | None = None) -> None:
    """ConfigError, with the way out, where a database at `path` would lie on a file system of another machine."""
    found = mount_of(path, among)
    if found is not None and unsafe(found):
        whose = "network file system" if found.type in NETWORK else "folder of the host of this virtual machine"
        raise ConfigError(
            f"the database {display(path)} would lie on a {whose} ({found.type}, mounted at {display(found.point)}), where"
            " SQLite's write-ahead log is not safe: other machines may write to it unseen; name a path on a local disk"
            " with --db, or a Postgres database (postgresql://…)"
        )


def _at(known: Sequence[Mount], place: str) -> Mount | None:
    """The mount of a place that holds no links."""
    here = _over(known, None, "/")
    step = ""
    for part in place.split("/"):
        if part:
            step = f"{step}/{part}"
            here = _over(known, here, step)
    return here


def _over(known: Sequence[Mount], here: Mount | None, place: str) -> Mount | None:
    """What is mounted at `place` as seen from the mount `here` (None: at the very top), `here` where nothing is."""
    if any(mount.number is None for mount in known):
        return next((mount for mount in reversed(known) if mount.point == place), here)
    if here is None:
        numbers = {mount.number for mount in known}
        roots = [mount for mount in known if mount.point == place and mount.parent not in numbers - {mount.number}]
        if not roots:
            return None
        here = roots[-1]
    passed = {here.number}
    while True:
        # Mounts upon mounts: each is the child of the one that it covers.
        upon = [m for m in known if m.parent == here.number and m.point == place and m.number not in passed]
        if not upon:
            return here
        here = upon[-1]
        passed.add(here.number)


def _link(place: str) -> str | None:
    try:
        return os.readlink(place)  # noqa: PTH115
    except (OSError, ValueError):
        return None  # no link, or not there yet


def _trigger(place: str) -> None:
    try:
        os.close(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return
