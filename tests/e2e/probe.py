"""Ask Ray's ports one request each, from inside a Pod: a program of its own, fed to its Python.

Arguments: an address and ports. Prints, for each port, whether the request was answered. gRPC servers
speak first, so bytes alone are no answer: only a server that heard the request acknowledges its settings.
"""

import json
import socket
import sys

TOKEN = ""
SECONDS = 8
HTTP = {8265, 52365}
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
SETTINGS_HEARD = bytes((0, 0, 0, 4, 1, 0, 0, 0, 0))


def ask(address: str, port: int) -> str:
    """`answered`, `refused` (nobody listens), `closed` (before an answer) or `silent`."""
    request = f"GET /api/version HTTP/1.1\r\nHost: ray\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    heard = b""
    try:
        with socket.create_connection((address, port), SECONDS) as wire:
            wire.sendall(request.encode() if port in HTTP else PREFACE)
            while part := wire.recv(65536):
                heard += part
                if heard.startswith(b"HTTP/1.") if port in HTTP else SETTINGS_HEARD in heard:
                    return "answered"
    except TimeoutError:
        return "silent"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        pass
    return "closed"


print(json.dumps({port: ask(sys.argv[1], int(port)) for port in sys.argv[2:]}))
