"""Which addresses are accepted, and TLS with an authority of one's own."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ccagent.errors import ConfigError
from ccagent.export.otlp.sender import Destination, make_sender
from ccagent.export.otlp.spans import trace_request
from ccagent.export.otlp.verdict import Kind
from tests.otlp.receiver import http_receiver

REQUEST = trace_request([], {}, "1")


def destination(url: str, **options: Any) -> Destination:
    return Destination(name="test", urls={"traces": url}, **options)


@pytest.mark.parametrize("url", ["http://127.0.0.1:4318/v1/traces", "http://localhost:4318", "http://[::1]:4317"])
def test_plaintext_to_this_machine_is_allowed(url: str) -> None:
    make_sender(destination(url)).close()


def test_plaintext_to_another_machine_needs_to_be_wanted() -> None:
    with pytest.raises(ConfigError, match=r"use https://, or set otlp\.insecure"):
        make_sender(destination("http://collector:4318/v1/traces"))
    make_sender(destination("http://collector:4318/v1/traces", insecure=True)).close()


@pytest.mark.parametrize(
    "url", ["collector:4318", "ftp://x", "https://", "http://localhost:99999", "", "https://u:p@x"]
)
def test_an_address_that_cannot_be_used_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match=r"correct it|headers instead"):
        make_sender(destination(url))


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ca\.pem is not a readable file"):
        make_sender(destination("https://localhost:1", certificate=tmp_path / "ca.pem"))


def test_a_destination_does_not_show_its_headers() -> None:
    assert "secret" not in repr(destination("https://x", headers={"authorization": "secret"}))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, so no certificate can be made")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", cert, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return cert, key


def test_https_is_trusted_by_the_named_authority_only(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with http_receiver(context) as running:
        url = f"https://127.0.0.1:{running.port}/v1/traces"
        trusting, doubting = make_sender(destination(url, certificate=certificate[0])), make_sender(destination(url))

        verdicts = [trusting.send("traces", REQUEST), doubting.send("traces", REQUEST)]

        trusting.close()
        doubting.close()

    assert [verdict.kind for verdict in verdicts] == [Kind.ADVANCE, Kind.RETRY]
    assert "certificate verify failed" in verdicts[1].message


def test_a_wrong_host_name_is_refused_and_never_answered_in_plaintext(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with http_receiver(context) as running:
        url = f"https://localhost:{running.port}/v1/traces"
        sender = make_sender(destination(url, certificate=certificate[0]))

        verdict = sender.send("traces", REQUEST)

        sender.close()

    assert verdict.kind is Kind.RETRY
    assert running.received.offered == []


@pytest.mark.parametrize("headers", [{"bad header": "secret"}, {"x": "secret\r\nInjected: 1"}, {"x": "secretü"}])
def test_a_header_that_cannot_be_sent_is_named_without_its_value(headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="cannot be sent") as caught:
        make_sender(destination("http://localhost:4317", headers=headers))

    assert "secret" not in str(caught.value)
