"""Images from a registry: crane's own, on loopback, with images of ours in it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import pwd
import re
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.images import oci
from sandbox.images.catalog import Config
from sandbox.images.registry import PulledImages
from sandbox.processes import SandboxError
from sandbox.progress import Progress
from sandbox.toolchain import Toolchain
from sandbox.tools.golang import this_platform

pytestmark = pytest.mark.sandbox

OTHER = {"amd64": "arm64", "arm64": "amd64"}
Layout = Callable[..., Path]


class Registry:
    """A registry that serves until it is closed."""

    def __init__(self, crane: Path, log: Path) -> None:
        self._crane, self._log = crane, log
        self._process = subprocess.Popen(
            [str(crane), "registry", "serve", "--address", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log.open("w"),
        )
        deadline = time.monotonic() + 20
        while not (found := re.search(r"serving on port (\d+)", log.read_text())):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        self.address = f"127.0.0.1:{found[1]}"

    def push(self, layout: Path, name: str) -> str:
        """Push an image under a name without the registry; the result is the whole name."""
        self.crane("push", str(layout), f"{self.address}/{name}")
        return f"{self.address}/{name}"

    def crane(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._crane), *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture(scope="module")
def crane(toolchain: Toolchain) -> Path:
    return toolchain.ensure(["crane"])["crane"]


@pytest.fixture
def registry(crane: Path, tmp_path: Path) -> Iterator[Registry]:
    made = Registry(crane, tmp_path / "registry.log")
    yield made
    made.close()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Makes an image as the sandbox makes its own."""

    def make(text: str, architecture: str = "", name: str = "docker.io/library/ours:1") -> Path:
        folder = tmp_path / f"{text}-{architecture}"
        for part in ("tree", "layer", "layout"):
            (folder / part).mkdir(parents=True)
        (folder / "tree" / "file").write_text(text)
        oci.layer_from_tree(folder / "tree", folder / "layer")
        config = Config(("/bin/sh",), user="1000")
        own = architecture or this_platform().arch
        oci.write_layout(folder / "layout", name, config, [folder / "layer"], own)
        return folder / "layout"

    return make


@pytest.fixture
def told() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def images(crane: Path, tmp_path: Path, told: io.StringIO) -> PulledImages:
    return PulledImages(tmp_path / "the cache", crane, Progress(stream=told))


def index(layout: Path) -> dict[str, Any]:
    (image,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert isinstance(image, dict)
    return image


@contextmanager
def archive(layout: Path) -> Iterator[tarfile.TarFile]:
    """What containerd is given."""
    out = io.BytesIO()
    oci.write_archive([layout], out)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        yield tar


def content(layout: Path) -> str:
    """The one file in the image, out of the archive that containerd is given."""
    with archive(layout) as tar:

        def blob(digest: str) -> bytes:
            file = tar.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert file
            data = file.read()
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
            return data

        (layer,) = json.loads(blob(index(layout)["digest"]))["layers"]
        with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"]))) as inner:
            file = inner.extractfile("file")
            assert file
            return file.read().decode()


def test_an_image_is_pulled_once_and_named_for_containerd(
    registry: Registry, layout: Layout, images: PulledImages, told: io.StringIO
) -> None:
    ours = layout("one")
    reference = registry.push(ours, "mirror/theirs:2")
    pulled = images.ensure([reference])
    assert list(pulled) == [reference]
    assert index(pulled[reference])["digest"] == index(ours)["digest"]
    assert index(pulled[reference])["annotations"]["io.containerd.image.name"] == reference
    assert content(pulled[reference]) == "one"
    assert f"pulling the image {reference}" in told.getvalue()
    before = told.getvalue()
    assert images.ensure([reference]) == pulled
    assert told.getvalue() == before


def test_a_tag_that_moved_is_pulled_anew(registry: Registry, layout: Layout, images: PulledImages) -> None:
    reference = registry.push(layout("one"), "mirror/theirs:2")
    first = images.ensure([reference])[reference]
    registry.push(layout("two"), "mirror/theirs:2")
    assert content(images.ensure([reference])[reference]) == "two"
    assert content(first) == "one"


def test_the_same_image_under_two_names_keeps_both(
    registry: Registry, layout: Layout, images: PulledImages
) -> None:
    ours = layout("one")
    references = [registry.push(ours, name) for name in ("mirror/theirs:2", "mirror/theirs:3")]
    pulled = images.ensure(references)
    names = [index(each)["annotations"]["io.containerd.image.name"] for each in pulled.values()]
    assert names == references


def test_of_several_platforms_this_machines_is_taken(
    registry: Registry, layout: Layout, images: PulledImages
) -> None:
    own = this_platform().arch
    manifests = [
        registry.push(layout(f"for {arch}", arch), f"mirror/theirs:{arch}") for arch in (OTHER[own], own)
    ]
    target = f"{registry.address}/mirror/theirs:all"
    registry.crane("index", "append", *(f"--manifest={each}" for each in manifests), "--tag", target)
    assert content(images.ensure([target])[target]) == f"for {own}"


def test_a_digest_is_a_name_too(registry: Registry, layout: Layout, images: PulledImages) -> None:
    ours = layout("one")
    registry.push(ours, "mirror/theirs:2")
    reference = f"{registry.address}/mirror/theirs@{index(ours)['digest']}"
    assert content(images.ensure([reference])[reference]) == "one"


def test_an_image_that_is_not_there_is_one_message(registry: Registry, images: PulledImages) -> None:
    reference = f"{registry.address}/mirror/theirs:2"
    with pytest.raises(SandboxError) as error:
        images.ensure([reference])
    said = str(error.value)
    assert said.startswith(f"The image {reference} could not be pulled; crane said: GET http://")
    assert "NAME_UNKNOWN" in said
    assert "`docker login`" in said and "`./rayfort up --images local`" in said
    assert "\n" not in said


def test_without_its_registry_the_copy_serves_and_others_fail(
    registry: Registry, layout: Layout, images: PulledImages, told: io.StringIO
) -> None:
    reference = registry.push(layout("one"), "mirror/theirs:2")
    registry.push(layout("two"), "mirror/theirs:3")
    pulled = images.ensure([reference])
    registry.close()
    assert images.ensure([reference]) == pulled
    assert f"{reference}: the copy pulled earlier is used, since crane said: " in told.getvalue()
    with pytest.raises(SandboxError, match="connection refused"):
        images.ensure([reference.replace(":2", ":3")])


@pytest.mark.parametrize("sudo", [False, True], ids=["as the user", "by sudo"])
def test_the_users_login_is_used(
    images: PulledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sudo: bool
) -> None:
    seen: list[str] = []

    class Private(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            self.send_response(404 if seen[-1] else 401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    login = base64.b64encode(b"robot:secret").decode()
    with ThreadingHTTPServer(("127.0.0.1", 0), Private) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {address: {"auth": login}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / ".docker"))
        if sudo:
            monkeypatch.delenv("DOCKER_CONFIG")
            monkeypatch.setenv("SUDO_USER", "me")
            monkeypatch.setattr(pwd, "getpwnam", lambda _: SimpleNamespace(pw_dir=str(tmp_path)))
        with pytest.raises(SandboxError) as error:
            images.ensure([f"{address}/mirror/theirs:2"])
        server.shutdown()
    assert f"Basic {login}" in seen
    assert "secret" not in str(error.value) and login not in str(error.value)


def test_what_a_killed_pull_left_is_cleared(
    registry: Registry, layout: Layout, images: PulledImages, tmp_path: Path
) -> None:
    left = tmp_path / "the cache" / "images" / "pulled" / "tmp" / "left" / "layout"
    left.mkdir(parents=True)
    images.ensure([registry.push(layout("one"), "mirror/theirs:2")])
    assert not left.exists()
