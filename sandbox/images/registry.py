"""The official images, pulled from their registries where this machine reaches them.

`crane` does it, with the user's own logins (of docker or podman), proxies and certificates. What it leaves is
what `ImageStore` makes: an OCI layout that containerd imports, so nothing pulls on the node.

Layouts are kept in the folder `images/pulled` of the tool chain's cache, by reference and digest.
"""

import contextlib
import hashlib
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from filelock import FileLock, Timeout

from sandbox.processes import SandboxError
from sandbox.progress import Progress
from sandbox.tools.golang import this_platform

_NAME: Final = "io.containerd.image.name"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_DIGEST_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.5


class _CraneError(Exception):
    """What crane said."""


class PulledImages:
    """Finds images that were pulled, and pulls those that are missing.

    Args:
        cache: the directory of the tool chain's cache; nothing is touched yet.
        crane: the program.
        progress: tells of long work.
    """

    def __init__(self, cache: Path, crane: Path, progress: Progress) -> None:
        self._folder = cache.absolute() / "images" / "pulled"
        self._crane = crane
        self._progress = progress

    def ensure(self, references: Iterable[str]) -> Mapping[str, Path]:
        """Get images for this machine, pulling what is missing or has changed in its registry.

        Where a registry does not answer, what was pulled from it before is good enough, and it is said.

        Args:
            references: the images' full names.

        Returns:
            The OCI layout (a directory) of each by its reference.

        Raises:
            SandboxError: one could not be pulled; what was finished before is kept.
        """
        with self._exclusive():
            return MappingProxyType({reference: self._layout(reference) for reference in references})

    def _layout(self, reference: str) -> Path:
        folder = self._folder / _folder_name(reference)
        try:
            digest = self._digest(reference)
        except _CraneError as error:
            if not (copies := _copies(folder)):
                raise _refused(reference, error) from None
            self._progress.say(f"{reference}: the copy pulled earlier is used, since crane said: {error}")
            return copies[-1]
        layout = folder / digest.removeprefix("sha256:")
        if not layout.is_dir():
            with self._progress.step(f"pulling the image {reference}") as step:
                try:
                    self._pull(reference, digest, layout, step.note)
                except _CraneError as error:
                    raise _refused(reference, error) from None
        return layout

    def _digest(self, reference: str) -> str:
        """What the reference stands for now, on machines like this one."""
        said = self._run(["digest", reference], seconds=_DIGEST_SECONDS).split()
        if not said or not _DIGEST.fullmatch(said[-1]):
            raise _CraneError(f"no digest, but {' '.join(said) or 'nothing'}")
        return said[-1]

    def _pull(self, reference: str, digest: str, layout: Path, note: Callable[[str], None]) -> None:
        # By the digest that was just read: the tag may move on in between.
        exact = f"{reference.partition('@')[0]}@{digest}"
        with self._staging() as work:
            made = work / "layout"
            self._run(["pull", "--format=oci", exact, str(made)], look=lambda: note(_megabytes(made)))
            _name(made, reference)
            layout.parent.mkdir(parents=True, exist_ok=True)
            made.rename(layout)

    def _run(
        self,
        arguments: Sequence[str],
        *,
        seconds: float | None = None,
        look: Callable[[], None] | None = None,
    ) -> str:
        command = [str(self._crane), *arguments, f"--platform=linux/{this_platform().arch}"]
        with (
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=_environment()
            ) as process,
        ):
            try:
                code = _wait(process, seconds, look or (lambda: None))
            except BaseException:
                process.kill()
                raise
            out.seek(0)
            errors.seek(0)
            if code:
                raise _CraneError(_last_line(errors.read()) or f"nothing, and ended with exit code {code}")
            return out.read()

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let only this process pull: the cache is shared."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._folder / "lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                with self._progress.step("waiting for another process that pulls images"):
                    lock.acquire()
            try:
                shutil.rmtree(self._temporary, ignore_errors=True)  # what a killed pull left
                yield
            finally:
                lock.release()
        except OSError as error:
            raise SandboxError(
                f"The images could not be pulled: {error}. Make {self._folder} writable, free disk space, or "
                "choose another place with RAYFORT_CACHE=<directory>."
            ) from error

    @contextlib.contextmanager
    def _staging(self) -> Iterator[Path]:
        directory = self._temporary / uuid.uuid4().hex
        directory.mkdir(parents=True)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    @property
    def _temporary(self) -> Path:
        return self._folder / "tmp"


def _environment() -> dict[str, str]:
    """The user's variables; a command that sudo runs as root has the logins of who called it."""
    own = dict(os.environ)
    caller = own.get("SUDO_USER")
    if caller and "DOCKER_CONFIG" not in own:
        with contextlib.suppress(KeyError):
            logins = Path(pwd.getpwnam(caller).pw_dir) / ".docker"
            if (logins / "config.json").is_file():
                own["DOCKER_CONFIG"] = str(logins)
    return own


def _wait(process: subprocess.Popen[bytes], seconds: float | None, look: Callable[[], None]) -> int:
    left = seconds
    while True:
        try:
            return process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            look()
        if left is not None:
            left -= _LOOK_SECONDS
            if left <= 0:
                raise _CraneError(f"nothing within {seconds:.0f} seconds")


def _name(layout: Path, reference: str) -> None:
    """Write into a layout what containerd is to call the image."""
    index = json.loads((layout / "index.json").read_text())
    (image,) = index["manifests"]
    image["annotations"] = {**image.get("annotations", {}), _NAME: reference}
    (layout / "index.json").write_text(json.dumps(index, sort_keys=True))


def _copies(folder: Path) -> list[Path]:
    """What was pulled of a reference, the newest last."""
    return sorted(folder.iterdir(), key=lambda copy: copy.stat().st_mtime) if folder.is_dir() else []


def _folder_name(reference: str) -> str:
    """Readable, and different for different references."""
    short = re.sub(r"[^\w.]+", "-", reference.partition("@")[0])
    return f"{short}-{hashlib.sha256(reference.encode()).hexdigest()[:10]}"


def _megabytes(folder: Path) -> str:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # crane renames what is complete
                total += (Path(parent) / name).stat().st_size
    return f"{total / 1e6:.0f} MB"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else ""


def _refused(reference: str, error: _CraneError) -> SandboxError:
    return SandboxError(
        f"The image {reference} could not be pulled; crane said: {error}. Check its name and version in the "
        "stack's settings, the way to its registry (HTTPS_PROXY) and your login there (`docker login`). "
        "`./rayfort up --images local` does without: it makes the images from packages."
    )
