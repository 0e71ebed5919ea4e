"""What the probe Pod runs: a program of its own, handed to the Python of Ray's image.

Argument: JSON with ``knock`` (addresses and ports to connect to) and ``talk`` (addresses and ports to speak
TLS and plaintext with). Prints JSON: of each, how it ended. It sends nothing but handshakes and one GET.
"""

import concurrent.futures
import json
import re
import socket
import ssl
import sys

SECONDS = 4
REFUSAL_SECONDS = 2
HTTP = b"HTTP/"
GET = b"GET /api/version HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"


def _connect(address: str, port: int) -> socket.socket:
    return socket.create_connection((address, port), SECONDS)


def _knock(address: str, port: int) -> str:
    """`open`, `refused`, `silent` or the error."""
    try:
        _connect(address, port).close()
    except TimeoutError:
        return "silent"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return str(error)
    return "open"


def _plain(address: str, port: int) -> str:
    """`answered` in HTTP, `closed` or `silent`."""
    heard = b""
    try:
        with _connect(address, port) as wire:
            wire.sendall(GET)
            while len(heard) < len(HTTP) and (part := wire.recv(len(HTTP))):
                heard += part
        return "answered" if heard == HTTP else "closed"
    except TimeoutError:
        return "silent"
    except OSError:
        return "closed"


def _heard(tls: ssl.SSLSocket) -> bytes:
    """What comes. TLS 1.3 refuses a client after the handshake: a request would race with that."""
    tls.settimeout(REFUSAL_SECONDS)
    try:
        return tls.recv(1)
    except TimeoutError:
        tls.settimeout(SECONDS)
        tls.sendall(GET)
        return tls.recv(1)


def _identity(certificate: bytes) -> str:
    """The SPIFFE identity in a certificate: a URI, which DER writes as its tag, its length and itself."""
    shown = re.search(rb"\x86\x81?(?P<length>.)(?=spiffe://)", certificate, re.DOTALL)
    return certificate[shown.end() : shown.end() + shown["length"][0]].decode() if shown else ""


def _handshake(address: str, port: int, version: ssl.TLSVersion) -> dict[str, str]:
    """How TLS of one version ends for a client without certificate, and who the server says it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    found = {}
    try:
        with _connect(address, port) as wire, context.wrap_socket(wire) as tls:
            found["identity"] = _identity(tls.getpeercert(True) or b"")
            found["said"] = "accepted" if _heard(tls) else "closed"
    except TimeoutError:
        found["said"] = "silent"
    except ssl.SSLError as error:
        found["said"] = error.reason or str(error)
    except OSError as error:
        found["said"] = type(error).__name__
    return found


def _talk(address: str, port: int) -> dict[str, str]:
    found = {"connect": _knock(address, port)}
    if found["connect"] == "open":
        new = _handshake(address, port, ssl.TLSVersion.TLSv1_3)
        found["plain"] = _plain(address, port)
        found["tls12"] = _handshake(address, port, ssl.TLSVersion.TLSv1_2)["said"]
        found["tls13"] = new["said"]
        found["identity"] = new.get("identity", "")
    return found


def _main() -> None:
    asked = json.loads(sys.argv[1])
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        said = {
            kind: dict(
                zip(
                    [f"{address}:{port}" for address, port in asked[kind]],
                    pool.map(lambda each, act=act: act(*each), asked[kind]),
                    strict=True,
                )
            )
            for kind, act in (("knock", _knock), ("talk", _talk))
        }
    print(json.dumps(said))


if __name__ == "__main__":
    _main()
