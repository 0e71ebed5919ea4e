"""The bytes of images: layers, layouts, archives; and the store around them."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox.images import catalog, debian, oci, store
from sandbox.images.catalog import BaseFile, Config, Folder, Image
from sandbox.images.store import ImageStore
from sandbox.processes import SandboxError
from sandbox.progress import Progress
from sandbox.toolchain import Toolchain


def _tree(folder: Path, text: str = "one") -> Path:
    (folder / "b").mkdir(parents=True)
    (folder / "b/file").write_text(text)
    (folder / "b/same").hardlink_to(folder / "b/file")
    (folder / "a").symlink_to("b/file")
    (folder / "b").chmod(0o1777)
    return folder


def _layer(tmp_path: Path, name: str, text: str = "one") -> Path:
    packed = tmp_path / f"{name}.layer"
    packed.mkdir()
    oci.layer_from_tree(_tree(tmp_path / name, text), packed)
    return packed


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = _layer(tmp_path, "first")
    time.sleep(0.01)
    second = _layer(tmp_path, "second")
    os.utime(tmp_path / "second/b/file", (1, 1))
    assert (first / oci.BLOB).read_bytes() == (second / oci.BLOB).read_bytes()
    assert oci.read_layer(first).digest != oci.read_layer(_layer(tmp_path, "third", "two")).digest


def test_layer_says_the_truth_about_itself(tmp_path: Path) -> None:
    folder = _layer(tmp_path, "tree")
    layer, blob = oci.read_layer(folder), (folder / oci.BLOB).read_bytes()
    plain = gzip.decompress(blob)
    assert layer.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert (layer.size, layer.unpacked) == (len(blob), len(plain))
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == ["a", "b", "b/file", "b/same"]
        assert members[0].issym()
        assert members[1].mode == 0o1777
        assert members[3].islnk()
        assert {member.mtime for member in members} == {oci.EPOCH}
        assert {member.uname for member in members} == {""}


def test_tar_becomes_a_layer_as_it_is(tmp_path: Path) -> None:
    tar = tmp_path / "root.tar"
    tar.write_bytes(b"any tar" * 1000)
    folder = tmp_path / "packed"
    folder.mkdir()
    oci.layer_from_tar(tar, folder)
    assert gzip.decompress((folder / oci.BLOB).read_bytes()) == tar.read_bytes()


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    assert member is not None
    return member.read()


def _blob(tar: tarfile.TarFile, descriptor: dict[str, Any]) -> bytes:
    data = _read(tar, descriptor["digest"].replace("sha256:", "blobs/sha256/"))
    assert hashlib.sha256(data).hexdigest() == descriptor["digest"].removeprefix("sha256:")
    assert len(data) == descriptor["size"]
    return data


def test_archive_holds_whole_images_and_shared_layers_once(tmp_path: Path) -> None:
    base, top = _layer(tmp_path, "base"), _layer(tmp_path, "top", "two")
    config = Config(("/x",), ("y",), {"B": "2", "A": "1"}, "1000:100", "/home")
    layouts = []
    for name, layers in (("one", [base, top]), ("two", [base])):
        folder = tmp_path / f"layout-{name}"
        folder.mkdir()
        oci.write_layout(folder, f"docker.io/example/{name}:1.0", config, layers, "arm64")
        layouts.append(folder)
    out = io.BytesIO()
    oci.write_archive(layouts, out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        names = tar.getnames()
        assert len(names) == len(set(names))
        assert json.loads(_read(tar, "oci-layout")) == {"imageLayoutVersion": "1.0.0"}
        found = {}
        for described in json.loads(_read(tar, "index.json"))["manifests"]:
            manifest = json.loads(_blob(tar, described))
            image = json.loads(_blob(tar, manifest["config"]))
            unpacked = [gzip.decompress(_blob(tar, layer)) for layer in manifest["layers"]]
            diff_ids = [f"sha256:{hashlib.sha256(plain).hexdigest()}" for plain in unpacked]
            assert image["rootfs"] == {"type": "layers", "diff_ids": diff_ids}
            assert (image["architecture"], image["os"]) == ("arm64", "linux")
            assert image["config"] == {
                "Entrypoint": ["/x"],
                "Cmd": ["y"],
                "Env": ["A=1", "B=2"],
                "User": "1000:100",
                "WorkingDir": "/home",
            }
            found[described["annotations"]["io.containerd.image.name"]] = diff_ids
    lower, upper = oci.read_layer(base).diff_id, oci.read_layer(top).diff_id
    assert found == {"docker.io/example/one:1.0": [lower, upper], "docker.io/example/two:1.0": [lower]}


IMAGE = Image(
    "docker.io/example/image:1.0",
    (BaseFile("/etc/file"), Folder("/home/me", uid=os.getuid(), gid=os.getgid())),
    Config(("/x",)),
    catalog.BASE,
)


class _Roots:
    """Makes tiny roots instead of Debian's, and counts them."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.fails = False

    def __call__(self, root: catalog.Root, work: Path, _commands: object) -> Path:
        self.made.append(root.name)
        if self.fails:
            (work / "half").write_text("made")
            raise SandboxError("no network")
        (work / "etc").mkdir()
        (work / "etc/file").write_text("file")
        (work / "usr/bin").mkdir(parents=True)
        tar = work / "root.tar"
        with tarfile.open(tar, "w") as out:
            for name in ("etc", "usr"):
                out.add(work / name, name)
        return tar


@pytest.fixture
def roots(monkeypatch: pytest.MonkeyPatch) -> _Roots:
    made = _Roots()
    monkeypatch.setattr(debian, "make_root", made)
    return made


def _store(tmp_path: Path) -> ImageStore:
    progress = Progress(quiet=True)
    return ImageStore(tmp_path, Toolchain(tmp_path, progress), progress)


def test_store_builds_once(tmp_path: Path, roots: _Roots) -> None:
    layout = _store(tmp_path).ensure([IMAGE])[IMAGE.reference]
    before = (layout / "index.json").stat().st_mtime_ns
    assert _store(tmp_path).ensure([IMAGE])[IMAGE.reference] == layout
    assert (layout / "index.json").stat().st_mtime_ns == before
    assert roots.made == ["base"]
    node = _store(tmp_path).node_root()
    assert _store(tmp_path).node_root() == node
    assert roots.made == ["base", "node"]
    with tarfile.open(node) as tar:
        assert "etc/file" in tar.getnames()


def test_images_share_the_base_on_disk(tmp_path: Path, roots: _Roots) -> None:
    other = Image("docker.io/example/other:1.0", (), Config(("/y",)), catalog.BASE)
    layouts = _store(tmp_path).ensure([IMAGE, other])
    blobs = [
        {path.stat().st_ino for path in (layout / "blobs/sha256").iterdir()} for layout in layouts.values()
    ]
    assert len(blobs[0] & blobs[1]) == 1
    assert roots.made == ["base"]


def test_store_builds_anew_what_has_changed(tmp_path: Path, roots: _Roots) -> None:
    changed = Image(IMAGE.reference, IMAGE.contents, Config(("/other",)), IMAGE.base)
    first = _store(tmp_path).ensure([IMAGE])[IMAGE.reference]
    second = _store(tmp_path).ensure([changed])[IMAGE.reference]
    assert first != second
    assert first.is_dir()
    assert len(list((tmp_path / "images/layers").iterdir())) == 2  # the content is the same


def test_failed_build_leaves_nothing_that_is_taken_for_whole(tmp_path: Path, roots: _Roots) -> None:
    roots.fails = True
    with pytest.raises(SandboxError, match="no network"):
        _store(tmp_path).ensure([IMAGE])
    images = tmp_path / "images"
    assert [path for name in ("layers", "layouts", "tmp") for path in (images / name).rglob("*")] == []
    roots.fails = False
    assert _store(tmp_path).ensure([IMAGE])[IMAGE.reference].is_dir()


def test_leftovers_of_a_killed_build_are_cleared_away(tmp_path: Path, roots: _Roots) -> None:
    leftover = tmp_path / "images/tmp/killed/tree"
    leftover.mkdir(parents=True)
    _store(tmp_path).ensure([IMAGE])
    assert not leftover.exists()


def test_full_disk_is_told_with_what_to_do(
    tmp_path: Path, roots: _Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_tree: Path, _folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.oci, "layer_from_tree", full)
    with pytest.raises(SandboxError, match=r"(?s)example/image:1\.0.*No space left.*RAYFORT_CACHE"):
        _store(tmp_path).ensure([IMAGE])
