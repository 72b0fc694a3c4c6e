"""The machine's zone by its IANA name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccagent.zone import FALLBACK, known, local_zone


@pytest.fixture
def berlin(tmp_path: Path) -> str:
    """A link as systems have it at /etc/localtime."""
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    return str(link)


def test_the_variable_goes_before_the_link(berlin: str) -> None:
    assert local_zone({"TZ": "America/New_York"}, berlin) == "America/New_York"


@pytest.mark.parametrize("text", [":Asia/Tokyo", "posix/Asia/Tokyo", ":right/Asia/Tokyo"])
def test_what_posix_puts_before_a_name_is_taken_off(berlin: str, text: str) -> None:
    assert local_zone({"TZ": text}, berlin) == "Asia/Tokyo"


@pytest.mark.parametrize("text", ["", "CET-1CEST,M3.5.0", "Mars/Olympus", "../../etc/passwd"])
def test_a_variable_that_names_no_zone_leaves_it_to_the_link(berlin: str, text: str) -> None:
    assert local_zone({"TZ": text}, berlin) == "Europe/Berlin"


def test_where_nothing_names_a_zone_it_is_utc(tmp_path: Path) -> None:
    assert local_zone({}, str(tmp_path / "absent")) == FALLBACK


def test_only_names_of_the_zone_data_are_known() -> None:
    assert [known(name) for name in ("Europe/Berlin", "UTC", "Nowhere/Land", "/etc/localtime", "")] == [
        True, True, False, False, False,
    ]  # fmt: skip
