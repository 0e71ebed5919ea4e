"""OCI images as files: layers, layouts, and the archive that containerd imports.

The same content gives the same bytes, so a digest says what is inside. The only libraries on PyPI for this
are experiments or wrap a program that is not here.
"""

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from sandbox.images.catalog import Config

_PREFIX: Final = "application/vnd.oci.image"
# One moment for every file: when it was built says nothing about what it is. Zip files know none before 1980.
EPOCH: Final = 946684800
_CHUNK: Final = 1 << 20
_LAYOUT: Final = {"imageLayoutVersion": "1.0.0"}
BLOB: Final = "layer.tar.gz"
_RECORD: Final = "layer.json"


@dataclass(frozen=True)
class Layer:
    """What an image says about one of its layers.

    Attributes:
        digest: of the file as it is.
        diff_id: of the tar inside.
        size: of the file, in bytes.
        unpacked: of the tar inside, in bytes.
    """

    digest: str
    diff_id: str
    size: int
    unpacked: int


class _Meter:
    """A writer that counts and digests what it passes on."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self.size += len(data)
        return self._target.write(data)

    def flush(self) -> None:
        self._target.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"


def layer_from_tree(tree: Path, folder: Path) -> Layer:
    """Write a directory's content as a layer.

    Args:
        tree: what becomes the root of the layer; owners and modes are taken over, times are not.
        folder: an existing directory that gets the layer's files.
    """

    def write(out: IO[bytes]) -> None:
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path in _sorted_paths(tree):
                member = tar.gettarinfo(path, arcname=str(path.relative_to(tree)))
                member.uname = member.gname = ""
                member.mtime = EPOCH
                if member.isreg():
                    with path.open("rb") as content:
                        tar.addfile(member, content)
                else:
                    tar.addfile(member)

    return _write_layer(write, folder)


def layer_from_tar(tar: Path, folder: Path) -> Layer:
    """Take a tar file as a layer, as it is; `folder` is an existing directory that gets the layer's files."""

    def write(out: IO[bytes]) -> None:
        with tar.open("rb") as content:
            while chunk := content.read(_CHUNK):
                out.write(chunk)

    return _write_layer(write, folder)


def read_layer(folder: Path) -> Layer:
    """Read what `layer_from_…` noted."""
    return Layer(**json.loads((folder / _RECORD).read_text()))


def _write_layer(write: Callable[[Any], None], folder: Path) -> Layer:
    with (folder / BLOB).open("wb") as file:
        packed = _Meter(file)
        # the fastest level: three times smaller is worth seconds, a tenth more is not
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=cast("IO[bytes]", packed), mtime=0) as zipped:
            plain = _Meter(cast("IO[bytes]", zipped))
            write(plain)
    layer = Layer(packed.digest, plain.digest, packed.size, plain.size)
    (folder / _RECORD).write_text(json.dumps(asdict(layer)))
    return layer


def _sorted_paths(tree: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(tree), key=lambda entry: entry.name):
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _sorted_paths(Path(entry.path))


def write_layout(
    folder: Path, reference: str, config: Config, layers: Iterable[Path], architecture: str
) -> None:
    """Write an image as an OCI layout: a directory that every tool for images can read.

    Args:
        folder: an existing empty directory on the file system of the layers, whose files it links.
        reference: the image's full name.
        config: how the image is started.
        layers: the layers' directories, the lowest first.
        architecture: what it runs on, in Go's words.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    descriptors, diff_ids = [], []
    for directory in layers:
        layer = read_layer(directory)
        os.link(directory / BLOB, blobs / _name(layer.digest))
        descriptors.append(_descriptor("layer.v1.tar+gzip", layer.digest, layer.size))
        diff_ids.append(layer.diff_id)
    image = {
        "architecture": architecture,
        "os": "linux",
        "config": _started(config),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_PREFIX}.manifest.v1+json",
        "config": _write_blob(blobs, "config.v1+json", image),
        "layers": descriptors,
    }
    described = _write_blob(blobs, "manifest.v1+json", manifest) | {
        "annotations": {
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
        },
        "platform": {"architecture": architecture, "os": "linux"},
    }
    _write_json(folder / "index.json", _index([described]))
    _write_json(folder / "oci-layout", _LAYOUT)


def write_archive(layouts: Iterable[Path], out: IO[bytes]) -> None:
    """Write images as one archive, for `ctr --namespace k8s.io images import -`.

    What several images share is in it once.

    Args:
        layouts: directories that `write_layout` made.
        out: gets the archive; it need not be seekable.
    """
    manifests: list[Any] = []
    blobs: dict[str, Path] = {}
    for layout in layouts:
        manifests += json.loads((layout / "index.json").read_text())["manifests"]
        blobs |= {str(path.relative_to(layout)): path for path in (layout / "blobs" / "sha256").iterdir()}
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name, value in (("oci-layout", _LAYOUT), ("index.json", _index(manifests))):
            data = _json(value)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, path in sorted(blobs.items()):
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(member, content)


def _started(config: Config) -> dict[str, Any]:
    values = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Env": [f"{name}={value}" for name, value in sorted(config.env.items())],
        "User": config.user,
        "WorkingDir": config.workdir,
    }
    return {name: value for name, value in values.items() if value}


def _index(manifests: list[Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": f"{_PREFIX}.index.v1+json", "manifests": manifests}


def _write_blob(blobs: Path, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    data = _json(value)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    (blobs / _name(digest)).write_bytes(data)
    return _descriptor(kind, digest, len(data))


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{_PREFIX}.{kind}", "digest": digest, "size": size}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_bytes(_json(value))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _name(digest: str) -> str:
    return digest.removeprefix("sha256:")
