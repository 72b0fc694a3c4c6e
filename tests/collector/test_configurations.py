"""The shipped configurations of the Collector: each is valid, starts without a complaint, and is explained."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.collector.stage import DEPLOY, collector, running, tool
from tests.daemon.rig import ROOT, until
from tests.otlp.receiver import grpc_receiver

LAID_OVER = "reconcile.yaml"
CONFIGURATIONS = sorted(path.name for path in DEPLOY.glob("*.yaml") if path.name != LAID_OVER)

USED = re.compile(r"\$\{env:([A-Z_]+)(?::-([^}]*))?\}")
IN_ALLOY = re.compile(r'sys\.env\("([A-Z_]+)"\)')
EXPLAINED = re.compile(r"^(#?)([A-Z_]+)=(.*)$", re.MULTILINE)

CLOUD = {
    "GRAFANA_CLOUD_OTLP_ENDPOINT": "https://otlp-gateway-prod-eu-west-2.grafana.net/otlp",
    "GRAFANA_CLOUD_INSTANCE_ID": "123456",
    "GRAFANA_CLOUD_TOKEN": "invented",
}

CONTAINER = {
    "COLLECTOR_GRPC": "0.0.0.0:4317",
    "COLLECTOR_HTTP": "0.0.0.0:4318",
    "COLLECTOR_HEALTH": "0.0.0.0:13133",
    "COLLECTOR_METRICS_HOST": "0.0.0.0",
    "COLLECTOR_LOG_ENCODING": "json",
    "TEMPO_ENDPOINT": "tempo:4317",
    "PROMETHEUS_OTLP_ENDPOINT": "http://prometheus:9090/api/v1/otlp",
    "LOKI_ENDPOINT": "http://loki:3100/otlp",
}
"""As in a network of containers."""

VARIANTS = {
    "as it is": {},
    "in a container": CONTAINER,
    "by remote write": {"COLLECTOR_METRICS": "prometheus_remote_write"},
}


def validated(configuration: Path, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What the Collector says of a configuration under these variables."""
    return subprocess.run(
        [tool("otelcol"), "validate", "--config", str(configuration)], text=True, capture_output=True, timeout=60,
        env={"COLLECTOR_STORAGE": str(folder / "queue"), "PATH": "/usr/bin:/bin", **CLOUD, **variables}, check=False,
    )  # fmt: skip


@pytest.mark.collector
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_each_configuration_is_valid(tmp_path: Path, configuration: str, variant: str) -> None:
    done = validated(DEPLOY / configuration, tmp_path, VARIANTS[variant])

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.collector
@pytest.mark.parametrize("variable", CLOUD)
def test_of_the_variables_of_grafana_cloud_the_address_alone_is_asked_for(tmp_path: Path, variable: str) -> None:
    """Which is why the example says what comes of it where the others are missing."""
    done = validated(DEPLOY / "grafana-cloud.yaml", tmp_path, {variable: ""})

    assert (done.returncode != 0) == (variable == "GRAFANA_CLOUD_OTLP_ENDPOINT")


@pytest.mark.collector
def test_validation_finds_a_misspelt_part(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text((DEPLOY / "collector.yaml").read_text().replace("otlp_http/loki:", "otlphttpp/loki:"))

    assert validated(broken, tmp_path, {}).returncode != 0


@pytest.mark.collector
@pytest.mark.parametrize("variables", [{}, {"COLLECTOR_METRICS": "prometheus_remote_write"}], ids=["otlp", "rw"])
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_start_and_an_end_have_nothing_to_complain_of(
    tmp_path: Path, configuration: str, variables: dict[str, str]
) -> None:
    with grpc_receiver() as tempo:
        found = collector(tmp_path, configuration, TEMPO_ENDPOINT=f"127.0.0.1:{tempo.port}", **CLOUD, **variables)
        with running(found):
            until(lambda: "Everything is ready" in found.words, "it says so")
            time.sleep(1)  # it says so a moment before it listens to signals

    assert "Shutdown complete" in found.words
    assert found.complaints == []


def test_every_variable_is_explained_with_the_default_that_applies() -> None:
    explained = {
        name: None if hidden else default
        for hidden, name, default in EXPLAINED.findall((DEPLOY / "collector.env.example").read_text())
    }
    used: dict[str, str | None] = {}
    for name in (*CONFIGURATIONS, LAID_OVER):
        used |= {variable: default or None for variable, default in USED.findall((DEPLOY / name).read_text())}
    alloy = set(IN_ALLOY.findall((DEPLOY / "alloy.config").read_text()))

    assert explained == used
    assert alloy - set(explained) == set()


def test_alloy_takes_out_what_the_collector_takes_out() -> None:
    yaml, alloy = ((DEPLOY / name).read_text() for name in ("grafana-cloud.yaml", "alloy.config"))
    listed = {
        json.loads(quoted) for quoted in re.findall(r'^      - ("(?:[^"\\\n]|\\.)*")(?: #.*)?$', yaml, re.MULTILINE)
    }
    deleted = {
        one.replace("$$", "$") for one in re.findall(r"^      - (delete_matching_keys\(.+\))$", yaml, re.MULTILINE)
    }

    assert len(deleted) == 6
    assert len(listed) == 12
    assert set(re.findall(r"^ +`(.+)`,$", alloy, re.MULTILINE)) == listed | deleted


def test_both_configurations_take_out_the_same() -> None:
    one, other = ((DEPLOY / name).read_text() for name in ("collector.yaml", "grafana-cloud.yaml"))
    middle = re.compile(r"^receivers:.*?^exporters:", re.MULTILINE | re.DOTALL)

    assert middle.findall(one) == middle.findall(other) != []


@pytest.mark.parametrize("page", ["docs/collector.md", "docs/recipes.md", "deploy/collector/README.md"])
def test_a_collector_that_is_started_by_a_page_can_make_its_queues(page: str) -> None:
    """/var/lib/otelcol can be made by root alone."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    starting = [block for block in blocks if re.search(r"otelcol-contrib --config|collector-contrib:", block)]

    assert starting
    assert [block for block in starting if "COLLECTOR_STORAGE" not in block and "/var/lib/otelcol" not in block] == []
