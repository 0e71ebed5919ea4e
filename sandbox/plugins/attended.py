"""Run a module of Pulumi's SDK as `python -m` does, and end with the engine that started it.

An engine that was killed cannot close what runs its policy packs, which waits for it for ever. Executed as
a file, with the standard library alone: packs bring an environment of their own.
"""

import os
import runpy
import signal
import sys
import threading
import time
from typing import Final

PARENT: Final = "RAYFORT_PLUGIN_PARENT"  # the process that started the plugin
POLL_SECONDS: Final = 1.0


def parent() -> int:
    """The process that started this one, as the launcher told it or as it is now."""
    return int(os.environ.get(PARENT) or os.getppid())


def _watch(engine: int) -> None:
    while os.getppid() == engine:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _main(module: str, *arguments: str) -> None:
    threading.Thread(target=_watch, args=(parent(),), daemon=True).start()
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` has it
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
