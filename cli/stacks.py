"""Stack files as they stand on disk: read without Pulumi's engine, without decrypting, without a network."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from cli.pulumi_yaml import PulumiLoader

MASK: Final = "[secret]"
PROJECT_FILE: Final = "Pulumi.yaml"


class StackFileError(ValueError):
    """A stack that cannot be read, with what to do about it; the message never holds a value."""


@dataclass(frozen=True)
class StackFile:
    """What a stack's file says.

    Attributes:
        name: the stack.
        path: the file, relative to the project's directory.
        namespace: what its keys begin with: the project's name.
        config: the values by their name without the namespace, with the project's defaults, as plain data;
            what is encrypted reads `MASK`.
        secrets: the keys that are encrypted, such as ``rayfort:workspaces[0].netrc[0].password``.
        passphrase: whether the encrypted values need Pulumi's passphrase.
    """

    name: str
    path: Path
    namespace: str
    config: Mapping[str, Any] = field(repr=False)  # may hold a password that nobody encrypted
    secrets: frozenset[str]
    passphrase: bool

    @property
    def program_config(self) -> dict[str, str]:
        """The values by full name as Pulumi hands them to a program: as text, objects as JSON."""
        return {f"{self.namespace}:{name}": _handed_over(value) for name, value in self.config.items()}


def names(root: Path) -> list[str]:
    """The stacks that have a file, in alphabetical order; none where the project cannot be read.

    Args:
        root: the project's directory.
    """
    try:
        files = _files(directory(root))
    except StackFileError:
        return []
    return sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in files)


def directory(root: Path) -> Path:
    """Where the stack files are.

    Raises:
        StackFileError: if the project cannot be read.
    """
    return _directory(root, _project(root))


def load(root: Path, name: str) -> StackFile:
    """Read a stack's file.

    Args:
        root: the project's directory.
        name: the stack.

    Raises:
        StackFileError: if there is no such stack, its file is not what Pulumi takes, or it sets nothing.
    """
    known = names(root)
    project = _project(root)
    path = _directory(root, project) / f"Pulumi.{name}.yaml"
    shown = _shown(path, root)
    if name not in known:
        raise StackFileError(_unknown(name, known, shown))
    content = _mapping(path, shown)
    namespace = str(project["name"])
    given = content.get("config")
    if given is not None and not isinstance(given, dict):
        raise StackFileError(f"{shown}: `config` is not a list of settings; write them as `key: value`")
    values = {bare: value for key, value in (given or {}).items() if (bare := _bare(key, namespace, shown))}
    if not values:
        raise StackFileError(
            f"{shown}: has no {namespace}: settings under `config:`; copy them from another stack's file"
        )
    secrets = frozenset(
        found for name_, value in values.items() for found in _encrypted(value, f"{namespace}:{name_}")
    )
    return StackFile(
        name=name,
        path=shown,
        namespace=namespace,
        config={key: _masked(value) for key, value in (_defaults(project, namespace) | values).items()},
        secrets=secrets,
        passphrase="encryptionsalt" in content,
    )


def _handed_over(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _project(root: Path) -> dict[str, Any]:
    project = _mapping(root / PROJECT_FILE, Path(PROJECT_FILE))
    if not isinstance(project.get("name"), str):
        raise StackFileError(f"{PROJECT_FILE}: has no `name`; restore it")
    return project


def _directory(root: Path, project: Mapping[str, Any]) -> Path:
    return root / str(project.get("stackConfigDir", "."))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("Pulumi.*.yaml") if path.is_file())


def _shown(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _unknown(name: str, known: list[str], path: Path) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        hint = f"did you mean {close[0]}?"
    elif known:
        hint = f"there are: {', '.join(known)}."
    else:
        hint = "there is none yet."
    return f"there is no stack {name!r}; {hint} A new one begins with a file {path}"


def _bare(key: Any, namespace: str, shown: Path) -> str | None:
    """The key without this project's namespace; None for another namespace's."""
    prefix, colon, name = str(key).partition(":")
    if not colon:
        raise StackFileError(
            f"{shown}: {key}: Pulumi takes only keys with a namespace; write {namespace}:{key}"
        )
    return name if prefix == namespace else None


def _defaults(project: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """The values that the project file gives to every stack."""
    defaults: dict[str, Any] = {}
    for key, entry in (project.get("config") or {}).items():
        prefix, colon, name = str(key).partition(":")
        if colon and prefix != namespace:
            continue
        bare = name if colon else prefix
        if not isinstance(entry, dict):
            defaults[bare] = entry
        elif stated := entry.keys() & {"default", "value"}:
            defaults[bare] = entry["value" if "value" in stated else "default"]
    return defaults


def _is_encrypted(value: Any) -> bool:
    """Whether this is what Pulumi writes for a secret: an object with the one key ``secure``."""
    return isinstance(value, dict) and value.keys() == {"secure"} and isinstance(value["secure"], str)


def _encrypted(value: Any, key: str) -> Iterator[str]:
    if _is_encrypted(value):
        yield key
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _encrypted(item, f"{key}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _encrypted(item, f"{key}[{index}]")


def _masked(value: Any) -> Any:
    if _is_encrypted(value):
        return MASK
    if isinstance(value, dict):
        return {str(name): _masked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return value


def _mapping(path: Path, shown: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_bytes(), PulumiLoader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise StackFileError(f"{shown}: {error.strerror or 'it cannot be read'}") from error
    except yaml.MarkedYAMLError as error:
        # Only the problem: the rest of the error quotes the file.
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise StackFileError(f"{shown}{line}: is not valid YAML: {error.problem}; correct it") from None
    except yaml.YAMLError:
        raise StackFileError(f"{shown}: is not valid YAML: it holds characters that YAML forbids") from None
    if not isinstance(content, dict):
        raise StackFileError(f"{shown}: is not a YAML mapping; write `config:` and the settings below it")
    return content
