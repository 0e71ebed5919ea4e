"""Pulumi's wire format as plain data, with every secret masked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime import rpc

from cli.stacks import MASK

UNKNOWN: Final = "[known after up]"


@dataclass
class Reader:
    """Reads what the SDK sends. Objects come out with sorted keys.

    Args:
        paths: what stands for a resource that is referred to, by its URN.
        keep_keys: whether a secret object keeps its keys, each with its own mask.

    Attributes:
        secrets: where a secret was masked.
        unknowns: where a value is not known yet.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    keep_keys: bool = False
    secrets: list[str] = field(default_factory=list)
    unknowns: list[str] = field(default_factory=list)

    def object(self, message: Struct) -> dict[str, Any]:
        """The message's content."""
        plain: dict[str, Any] = self._read(json_format.MessageToDict(message), "")
        return plain

    def _read(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return self._mapping(value, key)
        if isinstance(value, list):
            return [self._read(item, f"{key}[{index}]") for index, item in enumerate(value)]
        if value == rpc.UNKNOWN:
            self.unknowns.append(key)
            return UNKNOWN
        # The wire format knows one kind of number.
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def _mapping(self, value: dict[str, Any], key: str) -> Any:
        kind = value.get(rpc._special_sig_key)
        if kind == rpc._special_secret_sig:
            return self._secret(value.get("value"), key)
        if kind == rpc._special_resource_sig:
            return self.paths.get(value["urn"], UNKNOWN)
        return {
            name: self._read(item, join(key, name))
            for name, item in sorted(value.items())
            if name != rpc._special_sig_key
        }

    def _secret(self, value: Any, key: str) -> Any:
        if self.keep_keys and isinstance(value, dict) and value:
            self.secrets += [join(key, name) for name in sorted(value)]
            return dict.fromkeys(sorted(value), MASK)
        self.secrets.append(key)
        return MASK


def join(key: str, name: str) -> str:
    """The key of ``name`` inside ``key``; names with dots and the like are quoted."""
    if not re.fullmatch(r"[-\w/]+", name):
        return f"{key}[{json.dumps(name)}]"
    return f"{key}.{name}" if key else name
