"""What holds for every test."""

import signal
from pathlib import Path

import pytest
from filelock import FileLock

import sandbox.plugins  # noqa: F401 - before Pulumi's own google.rpc.Status: see there
from sandbox import needs
from sandbox.host import why_not_real
from sandbox.images.catalog import collector, every_image
from sandbox.node_kind import NodeKind
from sandbox.progress import Progress
from sandbox.toolchain import Toolchain

# Whoever starts the tests in the background of a script hands them an ignored Ctrl-C, which every process
# that a test starts would inherit: none of them could be interrupted then.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
# Folders whose tests share a platform each, and the limit of one test in seconds: the first brings it up.
PLATFORMS = {"kbatch": 1200, "mesh": 1800, "ray": 1200}
# What shares a sandbox with nobody else, and takes long: whichever worker is free first takes it.
APART = ("faults", "sandbox/test_kind.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--nodes",
        choices=("real", "simulated"),
        help="The nodes of the tests that need containers to run: real by default where this machine can, "
        "else simulated, which leaves those tests out.",
    )


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs containers where none can run, and say why; name what shares a sandbox."""
    for item in items:
        if folder := _platform(item):
            item.add_marker(pytest.mark.sandbox)
            item.add_marker(pytest.mark.timeout(PLATFORMS[folder]))
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
    asked = config.getoption("--nodes")
    reason = "simulated nodes were asked for" if asked == "simulated" else why_not_real()
    if asked == "real" and reason:
        raise pytest.UsageError(f"--nodes real: {reason}")
    if reason:
        skip = pytest.mark.skip(reason=f"the data plane was not run: {reason}")
        for item in items:
            if item.get_closest_marker("real"):
                item.add_marker(skip)


def _group(item: pytest.Item) -> str | None:
    """What an item shares a sandbox, or ports, with: all others of its kind."""
    if item.get_closest_marker("real"):
        return "real"
    if not item.get_closest_marker("sandbox"):
        return None
    if _platform(item):
        return "platform"
    place = item.path.relative_to(TESTS)
    return next((each for each in APART if place.is_relative_to(each)), "sandbox")


def _platform(item: pytest.Item) -> str | None:
    """The folder whose platform an item shares."""
    folder = item.path.relative_to(TESTS).parts[0]
    return folder if folder in PLATFORMS else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get the tools before the first test, all at once: building them takes longer than any test may."""
    if session.config.option.collectonly:
        return
    if session.config.option.__dict__.get("loadgroup"):
        spread = [
            item.nodeid
            for item in session.items
            if _group(item) and not item.nodeid.endswith(f"@{_group(item)}")
        ]
        assert not spread, f"xdist would spread a sandbox over its workers: {spread[0]}"
    tools: set[str] = set()
    for item in session.items:
        if item.get_closest_marker("real") and not item.get_closest_marker("skip"):
            tools |= set(needs.tools(NodeKind.REAL, [*every_image(), collector()]))
        elif item.get_closest_marker("sandbox"):
            extra = {"actionlint", "kind", "pulumi-language-yaml", "sdkgen"}
            tools |= {*needs.tools(NodeKind.SIMULATED, ()), *extra}
    if tools:
        capture = session.config.pluginmanager.getplugin("capturemanager")
        toolchain = Toolchain(progress=Progress())
        toolchain.cache.mkdir(parents=True, exist_ok=True)
        # One worker at a time: both would build twice as much at once as the machine has room for.
        with capture.global_and_fixture_disabled(), FileLock(toolchain.cache / "tests.lock"):
            toolchain.ensure(sorted(tools))
