"""Mains or battery, from the files of a Linux machine and the words of a Mac."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccagent.power import linux_battery, macos_battery, mains, pmset, system_power

ON_BATTERY = """Now drawing from 'Battery Power'
 -InternalBattery-0 (id=4653155)\t71%; discharging; 5:02 remaining present: true
"""
ON_MAINS = """Now drawing from 'AC Power'
 -InternalBattery-0 (id=4653155)\t71%; charging; 0:49 remaining present: true
"""

CABLE = {"type": "Mains", "online": "1"}
NO_CABLE = {"type": "Mains", "online": "0"}
EMPTIED = {"type": "Battery", "status": "Discharging"}
CHARGED = {"type": "Battery", "status": "Charging"}
FULL = {"type": "Battery", "status": "Not charging"}
MOUSE = {"type": "Battery", "status": "Discharging", "scope": "Device"}
DOCK = {"type": "USB", "online": "1"}
PLUGLESS_PORT = {"type": "USB", "online": "0"}


def supplies(folder: Path, *found: dict[str, str]) -> Path:
    """A folder as Linux shows it, one below for each supply."""
    for number, values in enumerate(found):
        place = folder / f"supply{number}"
        place.mkdir(parents=True)
        for name, value in values.items():
            (place / name).write_text(value + "\n")
    return folder


@pytest.mark.parametrize(
    "found", [(NO_CABLE, EMPTIED), (EMPTIED,), (EMPTIED, CHARGED), (EMPTIED, MOUSE, PLUGLESS_PORT)]
)
def test_a_battery_that_is_emptied_without_a_cable_is_battery(
    tmp_path: Path, found: tuple[dict[str, str], ...]
) -> None:
    assert linux_battery(supplies(tmp_path, *found))


@pytest.mark.parametrize(
    "found", [(), (CABLE,), (CABLE, CHARGED), (CABLE, EMPTIED), (EMPTIED, DOCK), (NO_CABLE, FULL), (MOUSE,), ({},)]
)
def test_everything_else_is_mains(tmp_path: Path, found: tuple[dict[str, str], ...]) -> None:
    assert not linux_battery(supplies(tmp_path, *found))


def test_a_machine_without_such_a_folder_is_on_mains(tmp_path: Path) -> None:
    assert not linux_battery(tmp_path / "none")


def test_a_supply_whose_driver_fails_is_passed_over(tmp_path: Path) -> None:
    folder = supplies(tmp_path, EMPTIED, {"type": "Mains"})
    (folder / "supply1" / "online").mkdir()  # a read of it fails, as that of a supply that is just taken out

    assert linux_battery(folder)


@pytest.mark.parametrize(("said", "expected"), [(ON_BATTERY, True), (ON_MAINS, False), ("", False)])
def test_a_mac_is_believed_on_its_first_line(said: str, expected: bool) -> None:
    assert macos_battery(lambda: said) is expected


def test_a_battery_named_below_the_first_line_says_nothing() -> None:
    assert not macos_battery(lambda: ON_MAINS + ON_BATTERY)


def test_a_machine_without_pmset_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccagent.power.PMSET", ("/nonexistent/pmset",))

    assert pmset() == ""
    assert not system_power("darwin")()


def test_each_system_has_its_own_way_and_others_are_on_mains() -> None:
    assert system_power("linux") is linux_battery
    assert system_power("freebsd14") is mains
    assert not mains()
