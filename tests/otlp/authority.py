"""A certificate authority of the tests' own: made by openssl in a folder, thrown away with it."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import grpc
import pytest

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

DATABASE = """[ca]
default_ca = own
[own]
new_certs_dir = {folder}
database = {folder}/index.txt
serial = {folder}/serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


@lru_cache
def openssl() -> str:
    """The tool; without it the tests that need certificates are skipped."""
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("openssl is not installed, so no certificate can be made")
    return found


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path

    def server_context(self, clients: Path | None = None) -> ssl.SSLContext:
        """How an HTTP receiver shows this certificate; `clients`: the authority whose clients alone may come."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if clients is not None:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def server_credentials(self, clients: Path | None = None) -> grpc.ServerCredentials:
        """The same for a gRPC receiver."""
        return grpc.ssl_server_credentials(
            [(self.key.read_bytes(), self.certificate.read_bytes())],
            root_certificates=None if clients is None else clients.read_bytes(),
            require_client_auth=clients is not None,
        )


class Authority:
    """Signs certificates; its own is `certificate`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir()
        self._folder = folder
        self._made = 0
        self.certificate = folder / "ca.pem"
        self._run(
            "req", "-x509", *CURVE, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip
        (folder / "ca.cnf").write_text(DATABASE.format(folder=folder))
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01")

    def sign(self, subject: str = "IP:127.0.0.1", *, expired: bool = False) -> Pair:
        """A certificate for an address or name, as subjectAltName writes it."""
        self._made += 1
        name = f"pair{self._made}"
        self._run(
            "req", "-new", *CURVE, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=tests",
            "-addext", f"subjectAltName={subject}",
        )  # fmt: skip
        times = ["20200101000000Z", "20200201000000Z"] if expired else ["20200101000000Z", "20490101000000Z"]
        self._run(
            "ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in",
            f"{name}.csr", "-out", f"{name}.pem", "-startdate", times[0], "-enddate", times[1],
        )  # fmt: skip
        return Pair(certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")

    def _run(self, *words: str) -> None:
        subprocess.run([openssl(), *words], check=True, capture_output=True, timeout=30, cwd=self._folder)
