"""The configuration: what goes before what, what is refused, and that the message names the place."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ccagent import config_reference
from ccagent.config import Config, OriginKind, load
from ccagent.config_keys import BUDGETED_LABELS, KEYS, Key, Kind
from ccagent.errors import ConfigError
from ccagent.follow.roots import Root
from ccagent.metrics.labels import BUDGETS

HOME = {"HOME": "/home/ada"}


def read(tmp_path: Path, text: str, env: dict[str, str] | None = None, **flags: object) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load(flags, HOME | (env or {}), path)


def refusal(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, env)
    return str(caught.value).replace(str(tmp_path), "")


def test_without_file_and_variables_every_key_has_its_default() -> None:
    config = load({}, HOME)

    assert config.listen_address == ("127.0.0.1", 9464)
    assert config.database == "/home/ada/.local/share/ccagent/ccagent.db"
    assert config.sources == ()
    assert config.privacy.tier is None
    assert config.otlp.endpoint is None
    assert {origin.kind for origin in config.origins.values()} == {OriginKind.DEFAULT}


def test_an_option_goes_before_the_variable_and_the_variable_before_the_file(tmp_path: Path) -> None:
    text, env = 'listen = "127.0.0.1:1"', {"CCAGENT_LISTEN": "127.0.0.1:2"}

    by_flag = read(tmp_path, text, env, listen="127.0.0.1:3")
    by_env = read(tmp_path, text, env)
    by_file = read(tmp_path, text)

    assert [config.listen for config in (by_flag, by_env, by_file)] == ["127.0.0.1:3", "127.0.0.1:2", "127.0.0.1:1"]
    kinds = [config.origins["listen"].kind for config in (by_flag, by_env, by_file)]
    assert kinds == [OriginKind.FLAG, OriginKind.ENV, OriginKind.FILE]


def test_an_empty_variable_and_an_option_not_given_count_as_not_set(tmp_path: Path) -> None:
    config = read(tmp_path, 'listen = "off"', {"CCAGENT_LISTEN": ""}, listen=None, sources=())

    assert config.listen_address is None


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_can_be_set_by_its_variable(key: Key) -> None:
    samples = {
        Kind.TEXT: "text",
        Kind.PATH: "/some/file",
        Kind.PATHS: "/some/folder",
        Kind.CHOICES: "traces",
        Kind.INTEGER: "2000000",
        Kind.NUMBER: "7.5",
        Kind.FLAG: "true",
        Kind.TABLE: "x-key=value",
    }
    named = {
        "listen": "localhost:1",
        "rollups.timezone": "Europe/Berlin",
        "log.level": "debug",
        "metrics.label_budgets": "tool=9",
        "alerts.enabled": "false",
        "alerts.default_channels": "desktop",
        "alerts.quiet_hours": "22:00-07:00",
        "alerts.project_budgets": "shop=5.5",
    }
    text = named.get(key.name) or (str(key.choices[0]) if key.choices else samples[key.kind])

    config = load({}, HOME | {key.variable: text})

    assert config.origins[key.name].kind is OriginKind.ENV
    assert config.value(key.name) != key.default or key.choices


def test_an_unknown_key_is_refused_with_place_and_nearest_match(tmp_path: Path) -> None:
    message = refusal(tmp_path, '# first\n[otlp]\nendpoint = "http://localhost:4317"\n  timeout_second = 3\n')

    assert message == "/config.toml:4:3: unknown key 'otlp.timeout_second'; did you mean 'otlp.timeout_seconds'?"


def test_a_key_in_the_wrong_table_is_told_its_right_name(tmp_path: Path) -> None:
    assert refusal(tmp_path, "tier = 1") == "/config.toml:1:1: unknown key 'tier'; did you mean 'privacy.tier'?"


def test_the_place_is_right_behind_values_of_several_lines(tmp_path: Path) -> None:
    text = 'sources = [\n  "/a",\n  # listen = 1\n  """\nlisten = 2""",\n]\n\n# said\nlisten = 3\n'

    assert refusal(tmp_path, text).startswith("/config.toml:9:1: listen is a text, not an integer")


def test_bad_toml_is_refused_with_line_and_column(tmp_path: Path) -> None:
    assert refusal(tmp_path, "listen = \n").startswith("/config.toml:1:10: this is no TOML")


@pytest.mark.parametrize(
    ("text", "told"),
    [("max_line_bytes = " + "9" * 5_000, "too many digits"), (f"sources = {'[' * 2_000}{']' * 2_000}", "too deep")],
)
def test_toml_that_is_too_much_for_its_parser_is_refused_like_any_other(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_bytes_that_are_no_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"# one\nlisten = '\xff'\n")

    with pytest.raises(ConfigError, match=r"config\.toml:2:1: not UTF-8"):
        load({}, HOME, path)


def test_a_named_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load({}, HOME, tmp_path / "absent.toml")


def test_the_variable_names_the_file_when_no_option_does(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text('listen = "off"')

    assert load({}, HOME | {"CCAGENT_CONFIG": str(path)}).listen == "off"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[privacy]\ntier = 3", "privacy.tier is one of 0, 1, 2, not 3"),
        ("[privacy]\ntier = true", "privacy.tier is an integer, not true or false"),
        ("[ingest]\nmax_line_bytes = 5", "ingest.max_line_bytes is at least"),
        ("[otlp]\ntimeout_seconds = nan", "otlp.timeout_seconds is a number"),
        ('[otlp]\nprotocol = "http"', "otlp.protocol is one of grpc, http/protobuf"),
        (
            "[metrics]\nlabel_budgets = { tool = 0 }",
            "metrics.label_budgets holds numbers of at least 1, not 0 for 'tool'",
        ),
        ("[metrics]\nlabel_budgets = { tol = 9 }", "metrics.label_budgets holds any of model, tool,"),
        ("[metrics]\nlabel_budgets = { tool = '9' }", "metrics.label_budgets is a table whose values are integers"),
        ('[otlp]\nsignals = ["smoke"]', "otlp.signals holds any of traces, metrics, logs, not 'smoke'"),
        ('[rollups]\ntimezone = "Europe/Atlantis"', "'Europe/Atlantis' is not known here"),
        ('[rollups]\ntimezone = "../../etc/passwd"', "is not known here"),
        ('sources = ["gemini:/x"]', 'knows the kinds "claude:" and "codex:", not "gemini:"'),
        ("otlp = 1", "otlp is a table"),
    ],
)
def test_a_value_that_is_none_of_its_key_is_refused_with_what_is_allowed(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


@pytest.mark.parametrize("listen", ["9464", "localhost:", "localhost:70000", ":80", "::1:80", "localhost:x"])
def test_a_listen_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match="CCAGENT_LISTEN"):
        load({}, HOME | {"CCAGENT_LISTEN": listen})


def test_an_ipv6_listen_address_comes_without_its_brackets() -> None:
    assert load({"listen": "[::1]:0"}, HOME).listen_address == ("::1", 0)


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("/a", ["/a"]),
        ("claude:/a", ["/a"]),
        ("/a:claude:/b:/c", ["/a", "/b", "/c"]),
        ("~/x", ["/home/ada/x"]),
        ("claude", ["claude"]),
        ("/a:codex:/b:claude:/c", ["/a", "codex:/b", "/c"]),
        ("codex:~/x", ["codex:/home/ada/x"]),
    ],
)
def test_the_source_variable_is_a_list_of_folders(text: str, folders: list[str]) -> None:
    assert [str(path) for path in load({}, HOME | {"CCAGENT_SOURCE": text}).sources] == folders


def test_a_relative_path_in_the_file_starts_from_the_files_folder(tmp_path: Path) -> None:
    config = read(tmp_path, 'sources = ["trees"]\ndatabase = "my.db"')

    assert config.sources == (Root(tmp_path / "trees"),)
    assert config.database == str(tmp_path / "my.db")


@pytest.mark.parametrize("url", ["sqlite:///data/x.db", "sqlite:////data/x.db"])
def test_a_database_url_names_a_file_by_its_absolute_path(url: str) -> None:
    assert load({"database": url}, HOME).database == "/data/x.db"


@pytest.mark.parametrize("url", ["mysql://ada:hunter2@db/x", "sqlite://", "sqlite://x.db", "sqlite:///"])
def test_a_url_that_names_no_file_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="--db: database is a path, sqlite:///path or postgresql://") as caught:
        load({"database": url}, HOME)

    assert "hunter2" not in str(caught.value)


def test_a_header_takes_its_secret_from_the_environment(tmp_path: Path) -> None:
    config = read(tmp_path, '[otlp.headers]\nAuthorization = "Bearer ${TOKEN}"', {"TOKEN": "s3cret"})

    assert config.otlp.headers == {"authorization": "Bearer s3cret"}


def test_a_header_whose_variable_is_not_set_is_refused_with_file_line_and_variable(tmp_path: Path) -> None:
    message = refusal(tmp_path, '[otlp.headers]\nx-scope = "1"\nAuthorization = "Bearer ${TOKEN}"')

    assert message.startswith("/config.toml:3:1:")
    assert "variable TOKEN" in message


@pytest.mark.parametrize("secret", ["Bearer abc", "Basic YWJj", "eyJhbGciOi.eyJzdWIiOi.x", "sk-ant-api03-abcdefgh"])
def test_a_secret_spelled_out_in_the_file_is_refused_and_not_repeated(tmp_path: Path, secret: str) -> None:
    message = refusal(tmp_path, f'[otlp]\nheaders = {{ x-token = "{secret}" }}')

    assert "put it into a variable" in message
    assert secret not in message


def test_header_variables_are_percent_decoded() -> None:
    config = load({}, HOME | {"CCAGENT_OTLP_HEADERS": "Authorization=Basic%20YWJj%3D%3D, x=1"})

    assert config.otlp.headers == {"authorization": "Basic YWJj==", "x": "1"}


def test_a_malformed_header_variable_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, HOME | {"CCAGENT_OTLP_HEADERS": "topsecret"})

    assert "topsecret" not in str(caught.value)


def test_an_unknown_variable_of_ours_is_a_notice_with_its_nearest_match() -> None:
    config = load({}, HOME | {"CCAGENT_OTLP_ENPOINT": "x", "CCAGENT_TEST_CORPUS": "y"})

    assert config.notices == ("the variable CCAGENT_OTLP_ENPOINT means nothing to ccagent; CCAGENT_OTLP_ENDPOINT?",)


def test_the_default_file_sets_nothing_and_names_every_key(tmp_path: Path) -> None:
    text = config_reference.default_file()

    config = read(tmp_path, text)

    assert all(origin.kind is OriginKind.DEFAULT for origin in config.origins.values())
    assert all(f"# {key.leaf} = " in text for key in KEYS)


def test_the_default_file_holds_for_each_key_a_value_that_is_accepted(tmp_path: Path) -> None:
    lines = config_reference.default_file().splitlines()
    text = "\n".join(line.removeprefix("# ") if line.startswith("# ") else line for line in lines)

    config = read(tmp_path, text, {"COLLECTOR_TOKEN": "t"})

    assert [key.name for key in KEYS if config.origins[key.name].kind is not OriginKind.FILE] == []
    assert list(config.destinations) == ["cloud"]
    unset_by_default = [key for key in KEYS if not key.unset]
    assert [key.name for key in unset_by_default if config.value(key.name) != key.default] == []


def test_shown_values_are_toml_and_hide_secrets(tmp_path: Path) -> None:
    env = {"TOKEN": "abcdefghijklmnopqrstuvwxyz"}
    config = read(
        tmp_path,
        '[otlp]\nendpoint = "https://ada:hunter2@far.example"\nheaders = { x = "${TOKEN}" }',
        env,
    )

    text = "\n".join(config_reference.show(config, origin=False))

    assert tomllib.loads(text)["otlp"]["headers"] == {"x": "abcd****"}
    assert "hunter2" not in text


@pytest.mark.parametrize(("secret", "shown"), [("", "****"), ("abc", "****"), ("abcdefgh", "ab****")])
def test_a_short_secret_shows_less(secret: str, shown: str) -> None:
    assert config_reference.mask(secret) == shown


def test_the_origin_of_a_shown_value_names_its_line(tmp_path: Path) -> None:
    config = read(tmp_path, "\n[log]\nlevel = 'debug'\n", {"CCAGENT_LISTEN": "off"})

    lines = list(config_reference.show(config, origin=True))

    assert f'log.level = "debug"  # file {tmp_path}/config.toml:3:1' in lines
    assert 'listen = "off"  # env CCAGENT_LISTEN' in lines
    assert "otlp.timeout_seconds = 10  # default" in lines


def test_a_password_in_the_databases_url_is_not_shown() -> None:
    config = load({"database": "postgresql://ann:secret@db/facts"}, HOME)

    assert config.database == "postgresql://ann:secret@db/facts"
    assert config_reference.shown(config)["database"] == "postgresql://ann:***@db/facts"


def test_a_password_in_the_file_is_refused_and_a_variable_is_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('database = "postgresql://ann:${DB_PASSWORD}@db/facts"\n')
    literal = tmp_path / "literal.toml"
    literal.write_text('database = "postgresql://ann:secret@db/facts"\n')

    filled = load({}, {**HOME, "DB_PASSWORD": "s/cr:t"}, file)

    assert filled.database == "postgresql://ann:s%2Fcr%3At@db/facts"
    with pytest.raises(ConfigError, match=r"literal\.toml.*password.*PGPASSFILE") as refused:
        load({}, HOME, literal)
    assert "secret" not in str(refused.value)
    with pytest.raises(ConfigError, match="DB_PASSWORD"):
        load({}, HOME, file)


@pytest.mark.parametrize("form", ["//ann:{}@db/facts", "//db/facts?user=ann&password={}"])
def test_the_databases_password_may_come_from_a_file_or_the_service_manager(tmp_path: Path, form: str) -> None:
    secret = tmp_path / "own" / "word"
    secret.parent.mkdir()
    secret.write_text("s/cr:t\n")
    secret.chmod(0o600)
    file = tmp_path / "config.toml"
    found = []
    for named in (f"${{file:{secret}}}", "${credential:word}"):
        file.write_text(f'database = "postgresql:{form.format(named)}"\n')
        found.append(load({}, {**HOME, "CREDENTIALS_DIRECTORY": str(secret.parent)}, file))

    assert {config.database for config in found} == {f"postgresql:{form.format('s%2Fcr%3At')}"}
    with pytest.raises(ConfigError, match="needs the credential word"):
        load({}, HOME, file)


@pytest.mark.parametrize("form", ["//ann:x{}@db/facts", "//db/facts?password=x{}", "//ann:{0}:b{0}@db:c@d/facts"])
def test_a_password_beside_what_is_filled_in_is_refused_all_the_same(tmp_path: Path, form: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'database = "postgresql:{form.format("${credential:word}")}"\n')

    with pytest.raises(ConfigError, match="holds no password"):
        load({}, HOME, file)


def test_budgets_of_labels_are_read_from_file_and_variable(tmp_path: Path) -> None:
    text = "[metrics]\nlabel_budgets = { tool = 80, model = 5 }"

    assert read(tmp_path, text).metrics.label_budgets == {"tool": 80, "model": 5}
    by_variable = read(tmp_path, text, {"CCAGENT_METRICS_LABEL_BUDGETS": "skill=7, tool=9"})
    assert by_variable.metrics.label_budgets == {"skill": 7, "tool": 9}
    assert set(BUDGETED_LABELS) <= set(BUDGETS)
