"""What holds for every test."""

import signal

import pytest

from sandbox import needs
from sandbox.host import why_not_real
from sandbox.images.catalog import every_image
from sandbox.node_kind import NodeKind
from sandbox.progress import Progress
from sandbox.toolchain import Toolchain

# Whoever starts the tests in the background of a script hands them an ignored Ctrl-C, which every process
# that a test starts would inherit: none of them could be interrupted then.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--nodes",
        choices=("real", "simulated"),
        help="The nodes of the tests that need containers to run: real by default where this machine can, "
        "else simulated, which leaves those tests out.",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs containers where none can run, and say why."""
    asked = config.getoption("--nodes")
    reason = "simulated nodes were asked for" if asked == "simulated" else why_not_real()
    if asked == "real" and reason:
        raise pytest.UsageError(f"--nodes real: {reason}")
    if reason:
        skip = pytest.mark.skip(reason=f"the data plane was not run: {reason}")
        for item in items:
            if item.get_closest_marker("real"):
                item.add_marker(skip)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get the tools before the first test, all at once: building them takes longer than any test may."""
    if session.config.option.collectonly:
        return
    tools: set[str] = set()
    for item in session.items:
        if item.get_closest_marker("real") and not item.get_closest_marker("skip"):
            tools |= set(needs.tools(NodeKind.REAL, every_image()))
        elif item.get_closest_marker("sandbox"):
            tools |= set(needs.tools(NodeKind.SIMULATED, ()))
    if tools:
        capture = session.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            Toolchain(progress=Progress()).ensure(sorted(tools))
