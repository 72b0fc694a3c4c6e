"""Reading the configuration again: the file anew, the command line as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccagent.config import Config, load
from ccagent.config_reload import again, needs_restart
from ccagent.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('listen = "127.0.0.1:9000"\n[log]\nlevel = "info"\n')
    return path


def started(file: Path) -> Config:
    flags = {
        "sources": (str(file.parent / "one"), str(file.parent / "two")), "database": str(file.parent / "a.db"),
        "listen": "127.0.0.1:0", "otlp.endpoint": "http://127.0.0.1:4318",
    }  # fmt: skip
    return load(flags, {}, file)


def test_an_unchanged_file_gives_an_equal_configuration(file: Path) -> None:
    config = started(file)

    assert again(config, {}) == config


def test_values_of_the_command_line_stay_above_the_file(file: Path) -> None:
    config = started(file)
    file.write_text('listen = "127.0.0.1:9001"\n[log]\nlevel = "debug"\n')

    fresh = again(config, {})

    assert (fresh.listen, fresh.log.level) == ("127.0.0.1:0", "debug")
    assert fresh.sources == config.sources


@pytest.mark.parametrize("text", ["log = 7\n", "[log]\nlevel = 7\n", "[nowhere]\n", "level ="])
def test_a_file_that_is_wrong_is_an_error(file: Path, text: str) -> None:
    config = started(file)
    file.write_text(text)

    with pytest.raises(ConfigError):
        again(config, {})


def test_only_parts_that_are_read_at_the_start_need_a_restart(file: Path) -> None:
    config = started(file)
    file.write_text('[log]\nlevel = "debug"\n[rollups]\ntimezone = "Asia/Tokyo"\n[metrics]\nproject_label = true\n')

    assert needs_restart(config, again(config, {})) == ["rollups"]
