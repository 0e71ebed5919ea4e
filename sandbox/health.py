"""Whether a local server is well."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import Final

from sandbox.kubeconfig import KeyPair

HOST: Final = "127.0.0.1"
_TIMEOUT: Final = 2.0


def answers(
    port: int, path: str, ca: Path | None = None, identity: KeyPair | None = None, host: str = HOST
) -> bool:
    """Whether the endpoint answers 200 within two seconds; over TLS if a `ca` is given."""
    connection: http.client.HTTPConnection
    if ca is None:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    else:
        context = ssl.create_default_context(cafile=str(ca))
        if identity is not None:
            context.load_cert_chain(identity.cert, identity.key)
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
