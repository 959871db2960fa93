"""An identity provider in a process of its own: HTTPS with its own authority, as good or bad as a file says.

Run as a script it serves; imported it starts and stops one.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answers as `state.json` says at this moment."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        state = json.loads((self.folder / "state.json").read_text())
        with (self.folder / "asked.log").open("a") as log:
            log.write(self.path + "\n")
        mode = state.get("mode", "good")
        if self.path.endswith("/.well-known/openid-configuration"):
            answer: Any = {"issuer": state["issuer"], "jwks_uri": state["jwks_uri"]}
        elif self.path.startswith("/keys"):
            answer = state["jwks"]
        else:
            mode, answer = "missing", {}
        getattr(self, f"say_{mode}")(answer)

    def say_good(self, answer: Any) -> None:
        self.say(200, json.dumps(answer).encode())

    def say_missing(self, answer: Any) -> None:
        self.say(404, b"{}")

    def say_broken(self, answer: Any) -> None:
        self.say(500, b"{}")

    def say_redirect(self, answer: Any) -> None:
        self.say(302, json.dumps(answer).encode(), ("location", "/keys"))

    def say_inward(self, answer: Any) -> None:
        self.say(307, b"{}", ("location", "http://169.254.169.254/latest/meta-data/"))

    def say_huge(self, answer: Any) -> None:
        self.say(200, json.dumps({**answer, "padding": "x" * 600_000}).encode())

    def say_endless(self, answer: Any) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
        except OSError:
            self.close_connection = True

    def say_long_head(self, answer: Any) -> None:
        self.say(200, b"{}", *((f"x-{n}", "y" * 1000) for n in range(90)))

    def say_slow(self, answer: Any) -> None:
        time.sleep(3)
        self.say_good(answer)

    def say_drip(self, answer: Any) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "100")
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass
        self.close_connection = True

    def say_html(self, answer: Any) -> None:
        self.say(200, json.dumps(answer).encode(), kind="text/html")

    def say_gzip(self, answer: Any) -> None:
        self.say(200, json.dumps(answer).encode(), ("content-encoding", "gzip"))

    def say_cut(self, answer: Any) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"{")
        self.close_connection = True

    def say_nonsense(self, answer: Any) -> None:
        self.say(200, b"[1, 2")

    def say_gibberish(self, answer: Any) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        self.close_connection = True

    def say(self, status: int, body: bytes, *headers: tuple[str, str], kind: str = "application/json") -> None:
        self.send_response(status)
        for name, value in (("content-type", kind), ("content-length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(folder: Path) -> None:
    Handler.folder = folder
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if (folder / "server.pem").exists():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_port, flush=True)
    server.serve_forever()


class Provider:
    """A running provider. `authority`: its certificate authority, as PEM."""

    def __init__(self, folder: Path, port: int, authority: str, scheme: str) -> None:
        self.folder = folder
        self.port = port
        self.host = f"localhost:{port}"
        self.url = f"{scheme}://{self.host}"
        self.authority = authority

    def say(self, **state: Any) -> None:
        whole = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "jwks": {"keys": []}, **state}
        fresh = self.folder / "state.new"
        fresh.write_text(json.dumps(whole))
        fresh.rename(self.folder / "state.json")

    @property
    def asked(self) -> list[str]:
        log = self.folder / "asked.log"
        return log.read_text().splitlines() if log.exists() else []


@contextmanager
def provider(folder: Path, *, tls: bool = True, name: str = "localhost", days: int = 1) -> Iterator[Provider]:
    """Run a provider with a certificate for `name` and 127.0.0.1 from an authority made for it."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = certify(folder, name=name, days=days) if tls else ""
    process = subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        made = Provider(folder, int(process.stdout.readline()), authority, "https" if tls else "http")
        made.say()
        yield made
    finally:
        process.kill()
        process.communicate()


def certify(folder: Path, *, name: str, days: int) -> str:
    """Write `server.pem` and return the authority's certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = dt.datetime.now(dt.UTC)

    def certificate(subject: str, issuer: str, key: Any, signer: Any, *, ca: bool) -> x509.Certificate:
        common = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (subject, issuer)]
        names = [x509.DNSName(subject), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        end = now + dt.timedelta(days=1 if ca else days)
        builder = (
            x509.CertificateBuilder().subject_name(common[0]).issuer_name(common[1]).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=3))
            .not_valid_after(end).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        usage = {n: False for n in (
            "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
            "decipher_only",
        )}
        usage |= {"digital_signature": not ca, "key_cert_sign": ca, "crl_sign": ca}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        if not ca:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256())

    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    own = certificate(name, "test authority", leaf, root, ca=False).public_bytes(pem)
    key = leaf.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(own + key)
    return certificate("test authority", "test authority", root, root, ca=True).public_bytes(pem).decode()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
