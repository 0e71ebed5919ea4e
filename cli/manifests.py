"""A plan as files, one for each Kubernetes object, for reviews and for tools that check manifests.

They say what `up` would apply; they are not meant to be applied. Where a secret was masked or a value is
not known before `up`, an API server refuses the object or has no such kind.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from cli.offline import Json, Plan, Resource
from cli.recorder import SECRET_TYPE
from cli.stacks import MASK
from cli.wire import UNKNOWN

CLUSTER_DIRECTORY: Final = "_cluster"
INDEX: Final = ".rayfort-manifests"
MASKED_ANNOTATION: Final = "rayfort.dev/masked"
UNKNOWN_ANNOTATION: Final = "rayfort.dev/known-after-up"
# No cluster serves this API: what Helm or Pulumi makes of these is not an object yet.
PLAN_API: Final = "plan.rayfort.dev/v1"
RELEASE_TYPE: Final = "kubernetes:helm.sh/v3:Release"
FILES_TYPE: Final = "kubernetes:yaml/v2:ConfigGroup"


class ManifestsError(ValueError):
    """The directory cannot take the manifests, with what to do about it."""


def render(plan: Plan) -> dict[str, str]:
    """The files of a plan: YAML by path relative to the directory, in the order of the paths."""
    files: dict[str, str] = {}
    for resource in plan.resources:
        document = _document(resource)
        if document is None:
            continue
        path = _path(document, resource)
        if path in files:  # the same kind of another API group
            path = path.replace(f"/{document['kind'].lower()}-", f"/{_text(_qualified(document))}-")
        files[path] = _yaml(document)
    return dict(sorted(files.items()))


def write(files: Mapping[str, str], directory: Path, *, force: bool = False) -> None:
    """Write rendered files into a directory.

    Files of an earlier plan are replaced or removed. Each file appears at once and whole, and an interrupted
    run can be repeated.

    Args:
        files: YAML by relative path.
        directory: made where it is missing.
        force: take a directory that holds other files as well. They stay, unless a manifest has the name.

    Raises:
        ManifestsError: if the directory holds something else, or is not a directory.
        OSError: if it cannot be written.
    """
    if directory.exists() and not directory.is_dir():
        raise ManifestsError(f"{directory} is not a directory; name one")
    ours = _index(directory)
    foreign = sorted(_existing(directory) - ours - {INDEX})
    if foreign and not force:
        raise ManifestsError(
            f"{directory} holds files that are not of a plan ({foreign[0]}); name another directory, or add "
            "--force, which leaves them where no manifest has their name"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as place:
        staged = Path(place) / "new"
        _fill(staged, files)
        if not directory.exists():
            staged.rename(directory)
        else:
            _replace(staged, directory, files, ours)


def _document(resource: Resource) -> Json | None:
    if resource.type == RELEASE_TYPE:
        return _release(resource)
    if resource.type == FILES_TYPE:
        metadata = _metadata({"name": resource.name}, resource, prefix="spec.")
        return _plan_document("Files", metadata, {"files": resource.inputs.get("files", [])})
    if not {"apiVersion", "kind"} <= resource.inputs.keys():
        return None
    return _object(resource)


def _object(resource: Resource) -> Json:
    inputs = dict(resource.inputs)
    if resource.type == SECRET_TYPE:
        # `[` is no base64: an API server refuses `data` with a mask, and would take `stringData`.
        entries = [inputs.pop(name) for name in ("data", "stringData") if name in inputs]
        whole = next((entry for entry in entries if not isinstance(entry, dict)), None)
        inputs["data"] = whole or {name: value for entry in entries for name, value in entry.items()}
    head = {
        "apiVersion": inputs.pop("apiVersion"),
        "kind": inputs.pop("kind"),
        "metadata": _metadata(inputs.pop("metadata", {}), resource),
    }
    return head | inputs


def _release(resource: Resource) -> Json:
    inputs = resource.inputs
    place: Json = {key: value for key, value in inputs.items() if key in {"name", "namespace"}}
    repository = inputs.get("repositoryOpts")
    spec = {
        "chart": inputs.get("chart"),
        "version": inputs.get("version"),
        "repository": repository.get("repo") if isinstance(repository, dict) else repository,
        "skipCrds": inputs.get("skipCrds"),
        "values": inputs.get("values", {}),
    }
    metadata = _metadata(place, resource, prefix="spec.")
    return _plan_document("Release", metadata, {key: item for key, item in spec.items() if item is not None})


def _plan_document(kind: str, metadata: Json, spec: Json) -> Json:
    return {"apiVersion": PLAN_API, "kind": kind, "metadata": metadata, "spec": spec}


def _metadata(given: Json | str, resource: Resource, prefix: str = "") -> Json:
    """Metadata, with annotations that name what is masked or unknown."""
    metadata: Json = given if isinstance(given, dict) else {"name": UNKNOWN}
    masked = [f"{prefix}{key}".replace("stringData", "data", 1) for key in resource.secret_keys]
    unknown = [f"{prefix}{key}" for key in resource.unknown_keys]
    added = {
        name: ", ".join(keys)
        for name, keys in ((MASKED_ANNOTATION, masked), (UNKNOWN_ANNOTATION, unknown))
        if keys
    }
    if not added:
        return metadata
    return {**metadata, "annotations": {**metadata.get("annotations", {}), **added}}


def _path(document: Json, resource: Resource) -> str:
    metadata = document["metadata"]
    # Pulumi's own name where the object's is not known yet.
    known = metadata.get("name") not in {None, UNKNOWN, MASK}
    name = metadata["name"] if known else resource.name
    directory = metadata.get("namespace") or CLUSTER_DIRECTORY
    return f"{_text(directory)}/{document['kind'].lower()}-{_text(name)}.yaml"


def _qualified(document: Json) -> str:
    group = document["apiVersion"].rpartition("/")[0] or "core"
    return f"{document['kind'].lower()}.{group}"


def _text(name: str) -> str:
    """A name as part of a path, on every file system."""
    return re.sub(r"[^-.\w]", "_", name).strip(".") or "_"


def _index(directory: Path) -> set[str]:
    """What an earlier plan wrote here."""
    try:
        return set((directory / INDEX).read_text().splitlines())
    except OSError:
        return set()


def _existing(directory: Path) -> set[str]:
    return {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def _fill(directory: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    directory.mkdir(exist_ok=True)
    _write_index(directory, files)


def _write_index(directory: Path, paths: Mapping[str, str] | set[str]) -> None:
    (directory / INDEX).write_text("".join(f"{path}\n" for path in sorted(paths)))


def _replace(staged: Path, directory: Path, files: Mapping[str, str], old: set[str]) -> None:
    """Move new files over old ones; until the end, the index names both."""
    index = staged / INDEX
    final = index.read_text()
    _write_index(staged, old | files.keys())
    index.replace(directory / INDEX)
    for path in files:
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (staged / path).replace(target)
    for path in _inside(old - files.keys()):
        (directory / path).unlink(missing_ok=True)
    for parent in sorted({(directory / path).parent for path in _inside(old)} - {directory}):
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()
    index.write_text(final)
    index.replace(directory / INDEX)


def _inside(paths: set[str]) -> Iterator[str]:
    """Only paths below the directory, whoever wrote the index."""
    for path in paths:
        if not Path(path).is_absolute() and ".." not in Path(path).parts:
            yield path


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _string)


def _yaml(document: Any) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
