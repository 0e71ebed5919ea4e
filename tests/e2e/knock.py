"""Ask HTTP servers one request each, from inside a Pod: a program of its own, fed to its Python.

Arguments: addresses as host:port. Prints, for each, the status of its answer, `closed` or `silent`.
"""

import http.client
import json
import sys

SECONDS = 6


def ask(place: str) -> "int | str":
    """The status, or that there was none."""
    wire = http.client.HTTPConnection(place, timeout=SECONDS)
    try:
        wire.request("GET", "/")
        return wire.getresponse().status
    except TimeoutError:
        return "silent"
    except (OSError, http.client.HTTPException):
        return "closed"
    finally:
        wire.close()


print(json.dumps({place: ask(place) for place in sys.argv[1:]}))
