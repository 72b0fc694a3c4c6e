"""The texts that are shipped: units that a real systemd accepts and judges as closed, a property list that parses."""

from __future__ import annotations

import json
import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ccagent.install.place import shipped
from tests.house.source import PACKAGE, ROOT

MOST_EXPOSED = 2.0

LIGHT_EXPOSED = 6.2
"""What docs/platforms.md says of the unit with the lighter drop-in: most of it counts what only a namespace could take."""

NEWER = ("RestartSteps", "RestartMaxDelaySec")
"""Keys that systemd knows from 254 on; an older one says so and goes on, as the units' comment has it."""

UNITS = ("ccagent.service", "ccagent@.service")

analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")


def verified(folder: Path, name: str) -> list[str]:
    """What systemd has to say against a unit, with a program that exists."""
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", shipped(f"systemd/{name}"), flags=re.MULTILINE)
    (folder / name).write_text(text)
    return complaints(folder / name)


def complaints(unit: Path) -> list[str]:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False
    )
    said = (done.stdout + done.stderr).splitlines()
    return [line for line in said if not re.search(rf"Unknown key.* '({'|'.join(NEWER)})'.*ignoring", line)]


def exposure(unit: Path) -> float:
    """How exposed `systemd-analyze security` finds a unit, 0 to 10."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", unit], capture_output=True, text=True, timeout=60, check=False
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    return float(found[1])


@analyze
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_leaves_little_exposed(name: str) -> None:
    assert exposure(PACKAGE / "packaging" / "systemd" / name) <= MOST_EXPOSED


@analyze
def test_the_lighter_unit_is_no_more_exposed_than_the_documents_say(tmp_path: Path) -> None:
    unit, _, rest = shipped("systemd/ccagent.service").partition("[Install]")
    light = shipped("systemd/no-user-namespaces.conf").partition("[Service]")[2]
    (tmp_path / "ccagent.service").write_text(f"{unit}{light}\n[Install]{rest}")

    assert exposure(tmp_path / "ccagent.service") <= LIGHT_EXPOSED
    assert f"{LIGHT_EXPOSED} of 10" in (ROOT / "docs" / "platforms.md").read_text()


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_says_which_of_its_keys_older_managers_pass_over(name: str) -> None:
    text = shipped(f"systemd/{name}")

    assert all(f"\n{key}=" in text for key in NEWER)
    assert "254" in text.partition(f"\n{NEWER[0]}=")[0].rpartition("\nRestartSec=")[2]


@analyze
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_every_line_of_a_unit(name: str, tmp_path: Path) -> None:
    assert verified(tmp_path, name) == []


@analyze
def test_systemd_understands_every_line_of_the_lighter_drop_in(tmp_path: Path) -> None:
    drop_ins = tmp_path / "ccagent.service.d"
    drop_ins.mkdir()
    (drop_ins / "light.conf").write_text(shipped("systemd/no-user-namespaces.conf"))

    assert verified(tmp_path, "ccagent.service") == []


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify", "WatchdogSec=120", "Restart=on-failure", "RestartPreventExitStatus=78", "UMask=0077",
        "LimitCORE=0", "MemoryMax=512M", "NoNewPrivileges=yes",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_promises_what_the_daemon_relies_on(name: str, line: str) -> None:
    assert line in shipped(f"systemd/{name}").splitlines()


def test_the_lighter_drop_in_takes_back_only_what_the_unit_demands() -> None:
    unit = {line.partition("=")[0] for line in shipped("systemd/ccagent.service").splitlines() if "=" in line}
    light = {
        line.partition("=")[0]
        for line in shipped("systemd/no-user-namespaces.conf").splitlines()
        if "=" in line and not line.startswith("#")
    }

    assert light
    assert light <= unit


@pytest.mark.skipif(not (ROOT / "packaging").is_symlink(), reason="a source distribution has no links")
def test_the_folder_packaging_is_what_the_package_ships() -> None:
    assert (ROOT / "packaging").resolve() == PACKAGE / "packaging"


def test_the_package_ships_units_and_a_property_list() -> None:
    shipped_names = {path.name for path in (PACKAGE / "packaging").rglob("*.*")}

    assert shipped_names >= {*UNITS, "no-user-namespaces.conf", "local.ccagent.plist"}


def test_the_property_list_restarts_on_failure_only_and_stays_in_the_background() -> None:
    document = plistlib.loads(shipped("launchd/local.ccagent.plist").encode())

    assert document["KeepAlive"] == {"SuccessfulExit": False}
    assert document["ProgramArguments"][1:] == ["run"]
    wanted = {
        "RunAtLoad": True, "ThrottleInterval": 30, "ProcessType": "Background", "LowPriorityIO": True,
        "LowPriorityBackgroundIO": True, "Nice": 10, "ExitTimeOut": 20, "Umask": 0o077, "AbandonProcessGroup": False,
    }  # fmt: skip
    assert {key: document[key] for key in wanted} == wanted
    assert json.dumps(document["SoftResourceLimits"]) == '{"NumberOfFiles": 8192, "Core": 0}'
