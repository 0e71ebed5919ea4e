"""Waiting until a new cluster can be used.

``kind create cluster --wait`` looks at the control plane only, and ends well where the time is over.
"""

import json
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from rayfort.cluster.kind import parsing
from rayfort.cluster.kind.errors import KindError

ANSWER_SECONDS: Final = 10.0
POLL_SECONDS: Final = 1.0


def wait(access: parsing.Access, nodes: int, seconds: float) -> None:
    """Wait until the API server is ready and all nodes are.

    Args:
        access: how to reach the cluster.
        nodes: how many nodes it has.
        seconds: how long to wait.

    Raises:
        KindError: the time is over; it names what is missing.
    """
    opener = _opener(access)
    deadline = time.monotonic() + seconds
    while (problem := _problem(opener, access.server, nodes)) is not None:
        if time.monotonic() > deadline:
            raise KindError(
                f"the cluster was made and is not ready after {seconds:.0f} seconds: {problem}.\n"
                "  what to do: give the container runtime more memory and processors, use fewer nodes, or "
                "raise `readySeconds`"
            )
        time.sleep(POLL_SECONDS)


def _problem(opener: urllib.request.OpenerDirector, server: str, nodes: int) -> str | None:
    try:
        _get(opener, f"{server}/readyz")
        return parsing.not_ready(json.loads(_get(opener, f"{server}/api/v1/nodes")), nodes)
    except urllib.error.HTTPError as error:
        return f"the API server answers {error.code}"
    except (OSError, ValueError) as error:
        return f"the API server does not answer ({error})"


def _get(opener: urllib.request.OpenerDirector, url: str) -> Any:
    with opener.open(url, timeout=ANSWER_SECONDS) as answer:
        return answer.read()


def _opener(access: parsing.Access) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cadata=access.authority)
    # ssl takes a client's key from a file only.
    with tempfile.TemporaryDirectory(prefix="rayfort-kind-") as directory:
        file = Path(directory) / "client.pem"
        file.touch(mode=0o600)
        file.write_text(access.certificate + access.key)
        context.load_cert_chain(file)
    # The cluster is on this machine: a proxy of the environment does not lead to it.
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
