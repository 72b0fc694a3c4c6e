"""On what a path lies: read from the system's own list of mounts, over links, covers and automounts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ccagent.errors import ConfigError
from ccagent.store import filesystem
from ccagent.store.filesystem import (
    filesystem_type,
    mount_of,
    mounts,
    parse_mount_output,
    parse_mountinfo,
    refuse_network,
)
from tests.store.namespace import in_a_mount_namespace

LAPTOP = rb"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 27 0:50 / /net rw,relatime shared:9 master:2 - autofs systemd-1 rw,fd=40,pgrp=1
31 27 0:51 / /home/u/share rw,relatime - nfs4 server:/export rw,vers=4.2
32 27 0:52 / /home/u/My\040Files rw - cifs //server/my\134files rw
33 27 0:53 / /home/u/ssh rw - fuse.sshfs u@server:/ rw,user_id=1000
34 27 254:0 /srv/data /home/u/bound rw,relatime - ext4 /dev/vda rw
35 31 254:3 / /home/u/share/local rw,relatime - xfs /dev/vdb rw
36 27 0:54 / /covered rw - nfs server:/old rw
37 36 0:55 / /covered rw - tmpfs tmpfs rw
38 27 0:56 / /hidden/deep rw - nfs server:/hidden rw
39 27 0:57 / /hidden rw - tmpfs tmpfs rw
""".strip()

MAC = """
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse, protect)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//me@nas._smb._tcp.local/My Share on /Volumes/My Share (smbfs, nodev, nosuid, mounted by me)
me@server:/ on /Users/me/far (macfuse, nodev, nosuid, synchronous, mounted by me)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/u/.local/share/ccagent/ccagent.db", "ext4"),
        ("/home/u/share/ccagent.db", "nfs4"),
        ("/home/u/shared/ccagent.db", "ext4"),
        ("/home/u/My Files/a/b.db", "cifs"),
        ("/home/u/ssh/x", "fuse.sshfs"),
        ("/home/u/bound/x.db", "ext4"),
        ("/net/server/x.db", "autofs"),
        ("/covered/x.db", "tmpfs"),
        ("/hidden/deep/x.db", "tmpfs"),
        ("/home/u/share/../own.db", "ext4"),
    ],
)
def test_the_type_is_that_of_the_mount_which_the_kernel_would_meet(path: str, kind: str) -> None:
    assert filesystem_type(path, parse_mountinfo(LAPTOP)) == kind


def test_below_a_network_mount_nothing_is_asked_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local disk mounted on a folder of a dead server can be reached only through that server."""
    asked: list[str] = []
    monkeypatch.setattr(os, "readlink", lambda place: asked.append(place) or (_ for _ in ()).throw(OSError()))

    found = mount_of("/home/u/share/local/x.db", parse_mountinfo(LAPTOP))

    assert found is not None
    assert found.point == "/home/u/share"
    assert asked == ["/home", "/home/u"]


def test_a_link_leads_to_the_type_of_its_target(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    far.mkdir()
    near.symlink_to("../" + tmp_path.name + "/far")
    known = parse_mountinfo(
        b"27 1 254:0 / / rw - ext4 /dev/vda rw\n40 27 0:9 / " + os.fsencode(far.resolve()) + b" rw - nfs4 s:/e rw"
    )

    assert filesystem_type(near / "ccagent.db", known) == "nfs4"
    assert filesystem_type(tmp_path / "ccagent.db", known) == "ext4"


def test_links_that_go_round_come_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")

    assert filesystem_type(tmp_path / "one" / "x.db") == filesystem_type(tmp_path)


def test_damaged_lines_and_unknown_fields_are_passed_over() -> None:
    text = b"\nnonsense\n1 2\n27 1 254:0 / / rw shared:1 propagate_from:2 new:field - ext4 /dev/vda rw\n28 27 -"

    assert [mount.type for mount in parse_mountinfo(text)] == ["ext4"]


def test_the_list_of_macos_is_understood() -> None:
    known = parse_mount_output(MAC)

    assert filesystem_type("/Users/me/Library/ccagent.db", known) == "apfs"
    assert filesystem_type("/Volumes/My Share/ccagent.db", known) == "smbfs"
    assert filesystem_type("/Users/me/far/ccagent.db", known) == "macfuse"
    assert filesystem_type("/System/Volumes/Data/x", known) == "apfs"


@pytest.mark.skipif(sys.platform != "linux", reason="mountinfo is Linux'")
@pytest.mark.parametrize("path", ["/", "/proc", "/sys", "/dev"])
def test_this_machines_own_mounts_are_named_as_the_system_names_them(path: str) -> None:
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True)

    found = filesystem_type(path)

    assert found is not None
    # stat(1) has names of its own for some: "ext2/ext3" for ext4, "tmpfs" for devtmpfs
    assert found == done.stdout.strip() or found[:3] in done.stdout or found.endswith(done.stdout.strip())


def test_where_the_system_lists_no_mounts_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(filesystem, "MOUNTINFO", tmp_path / "absent")
    monkeypatch.setattr(sys, "platform", "linux")

    assert mounts() == ()
    assert filesystem_type(tmp_path) is None
    refuse_network(tmp_path / "ccagent.db")


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.rclone", "ceph", "lustre", "9p", "virtiofs"]
)
def test_a_database_there_is_refused_with_the_reason_and_the_way_out(kind: str) -> None:
    known = parse_mountinfo(f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:9 / /mnt/far rw - {kind} x rw".encode())

    with pytest.raises(ConfigError) as refused:
        refuse_network("/mnt/far/data/ccagent.db", known)

    assert kind in str(refused.value)
    assert "/mnt/far" in str(refused.value)
    assert "--db" in str(refused.value)
    assert "postgresql://" in str(refused.value)
    refuse_network("/mnt/near/ccagent.db", known)


def test_a_root_that_a_small_virtual_machine_has_from_its_host_is_allowed() -> None:
    refuse_network("/data/ccagent.db", parse_mountinfo(b"1 0 0:9 / / rw - virtiofs kataShared rw"))


def test_a_root_on_the_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="nfs4"):
        refuse_network("/data/ccagent.db", parse_mountinfo(b"1 0 0:9 / / rw - nfs4 server:/root rw"))


def test_a_mount_with_a_subtype_is_found_while_its_server_is_dead(tmp_path: Path) -> None:
    """A FUSE mount that nobody serves: whoever touches it hangs, and the list of mounts calls it fuse.sshfs."""
    script = f"""
import ctypes, os, sys
from ccagent.errors import ConfigError
from ccagent.store.filesystem import filesystem_type, network_mounts, refuse_network
place = {str(tmp_path)!r}
held = os.open("/dev/fuse", os.O_RDWR)
data = f"fd={{held}},rootmode=40000,user_id=0,group_id=0".encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"me@server:/", place.encode(), b"fuse.sshfs", 0, data):
    sys.exit(f"cannot mount: {{os.strerror(ctypes.get_errno())}}")
print(filesystem_type(place + "/deep/ccagent.db"), place in network_mounts())
try:
    refuse_network(place + "/ccagent.db")
except ConfigError as error:
    print("refused")
os.close(held)
"""
    done = in_a_mount_namespace([sys.executable, "-c", script], needs="/dev/fuse")

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["fuse.sshfs", "True", "refused"]
