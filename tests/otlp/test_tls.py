"""TLS for real, over both protocols: an authority of one's own, client certificates, and everybody who is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ccagent.export.otlp.sender import Destination, Sender, make_sender
from ccagent.export.otlp.spans import trace_request
from ccagent.export.otlp.verdict import Kind
from tests.otlp.authority import Authority, Pair
from tests.otlp.receiver import REQUESTS, Running, grpc_receiver, http_receiver

PROTOCOLS = ("http/protobuf", "grpc")
SIGNALS = ("traces", "metrics", "logs")
REQUEST = trace_request([Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="one")], {"service.name": "ccagent"}, "1")

Secured = Callable[..., AbstractContextManager[Running]]
Connect = Callable[..., Sender]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that everybody ought to trust."""
    return Authority(tmp_path_factory.mktemp("tls") / "own")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority."""
    return Authority(tmp_path_factory.mktemp("tls") / "strange", "stranger")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    """The receiver's certificate."""
    return authority.sign()


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    """Both protocols."""
    return str(request.param)


@pytest.fixture
def secured(protocol: str) -> Secured:
    """Starts a receiver with a certificate: `secured(pair, clients=authority file)`."""

    def start(pair: Pair, clients: Path | None = None) -> AbstractContextManager[Running]:
        if protocol == "grpc":
            return grpc_receiver(credentials=pair.server_credentials(clients))
        return http_receiver(pair.server_context(clients))

    return start


@pytest.fixture
def connect(protocol: str) -> Iterator[Connect]:
    """Makes a sender over TLS to a receiver: `connect(running, host=…, **options of the destination)`."""
    made: list[Sender] = []

    def make(running: Running, host: str = "127.0.0.1", scheme: str = "https", **options: Any) -> Sender:
        base = f"{scheme}://{host}:{running.port}"
        urls: Any = {one: f"{base}/v1/{one}" if protocol != "grpc" else base for one in SIGNALS}
        given: dict[str, Any] = {"name": "test", "urls": urls, "protocol": protocol, "timeout_seconds": 5} | options
        made.append(make_sender(Destination(**given)))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


def refused(running: Running, sender: Sender) -> str:
    """The words of a refusal; nothing may have arrived, and it is to be tried again."""
    verdict = sender.send("traces", REQUEST)

    assert verdict.kind is Kind.RETRY, verdict
    assert running.received.offered == []
    return verdict.message


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_every_signal_arrives_unchanged_over_tls(
    secured: Secured, connect: Connect, authority: Authority, server: Pair, compression: str
) -> None:
    with secured(server) as running:
        sender = connect(running, certificate=authority.certificate, compression=compression)

        kinds = [sender.send("traces", REQUEST).kind, *(sender.send(one, REQUESTS[one]()).kind for one in SIGNALS[1:])]

    assert kinds == [Kind.ADVANCE] * 3
    assert running.received.taken == [REQUEST, *(REQUESTS[one]() for one in SIGNALS[1:])]


def test_a_client_certificate_opens_a_receiver_that_wants_one(
    secured: Secured, connect: Connect, authority: Authority, server: Pair
) -> None:
    own = authority.sign("DNS:ccagent.test")
    with secured(server, clients=authority.certificate) as running:
        sender = connect(
            running, certificate=authority.certificate, client_certificate=own.certificate, client_key=own.key
        )

        assert sender.send("traces", REQUEST).kind is Kind.ADVANCE


def test_without_a_client_certificate_such_a_receiver_stays_shut(
    secured: Secured, connect: Connect, authority: Authority, server: Pair
) -> None:
    with secured(server, clients=authority.certificate) as running:
        assert refused(running, connect(running, certificate=authority.certificate))


def test_a_client_certificate_of_another_authority_does_not_open_it(
    secured: Secured, connect: Connect, authority: Authority, stranger: Authority, server: Pair
) -> None:
    foreign = stranger.sign("DNS:ccagent.test")
    with secured(server, clients=authority.certificate) as running:
        sender = connect(
            running, certificate=authority.certificate, client_certificate=foreign.certificate, client_key=foreign.key
        )

        assert refused(running, sender)


def test_a_receiver_of_another_authority_is_refused(
    secured: Secured, connect: Connect, stranger: Authority, server: Pair
) -> None:
    with secured(server) as running:
        words = refused(running, connect(running, certificate=stranger.certificate))

    assert "certificate" in words.lower()


def test_the_authorities_of_the_machine_do_not_vouch_for_it(secured: Secured, connect: Connect, server: Pair) -> None:
    with secured(server) as running:
        assert "certificate" in refused(running, connect(running)).lower()


def test_an_expired_certificate_is_refused(secured: Secured, connect: Connect, authority: Authority) -> None:
    with secured(authority.sign(expired=True)) as running:
        words = refused(running, connect(running, certificate=authority.certificate))

    assert "certificate" in words.lower()


@pytest.mark.parametrize(("subject", "host"), [("DNS:elsewhere.test", "127.0.0.1"), ("IP:127.0.0.1", "localhost")])
def test_a_certificate_of_another_host_is_refused(
    secured: Secured, connect: Connect, authority: Authority, subject: str, host: str
) -> None:
    with secured(authority.sign(subject)) as running:
        assert refused(running, connect(running, host, certificate=authority.certificate))


def test_a_receiver_without_tls_is_never_spoken_to_in_the_clear(
    protocol: str, connect: Connect, authority: Authority
) -> None:
    with grpc_receiver() if protocol == "grpc" else http_receiver() as running:
        assert refused(running, connect(running, certificate=authority.certificate))


def test_plaintext_to_a_receiver_with_tls_is_no_success(secured: Secured, connect: Connect, server: Pair) -> None:
    with secured(server) as running:
        assert refused(running, connect(running, scheme="http"))


def test_a_certificate_that_is_renewed_is_read_at_the_next_connection(
    secured: Secured, connect: Connect, authority: Authority, stranger: Authority, server: Pair, tmp_path: Path
) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(stranger.certificate.read_bytes())
    with secured(server) as running:
        sender = connect(running, certificate=trusted)
        before = sender.send("traces", REQUEST).kind
        trusted.write_bytes(authority.certificate.read_bytes())

        after = sender.send("traces", REQUEST).kind

    assert (before, after) == (Kind.RETRY, Kind.ADVANCE)


def test_a_request_of_a_megabyte_passes_tls_compressed_and_plain(
    secured: Secured, connect: Connect, authority: Authority, server: Pair
) -> None:
    many = trace_request([Span(span_id=b"s" * 8, name="x" * 1_000)] * 1_000, {}, "1")
    with secured(server) as running:
        for compression in ("gzip", "none"):
            sender = connect(running, certificate=authority.certificate, compression=compression)

            assert sender.send("traces", many).kind is Kind.ADVANCE

    assert running.received.taken == [many, many]
