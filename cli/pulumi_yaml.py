"""YAML as Pulumi's engine reads it, which differs from PyYAML's older idea of it."""

import re
from typing import Any, Final

import yaml

# Values that a file has once its aliases are written out; the largest stack has a hundredth of them.
MAX_VALUES: Final = 1_000_000
_YAML: Final = "tag:yaml.org,2002:"
_TAGS: Final = frozenset(f"{_YAML}{kind}" for kind in ("bool", "float", "int", "map", "null", "seq", "str"))


class PulumiLoader(yaml.SafeLoader):
    """YAML as Pulumi reads it: ``yes``, dates and ``1:30`` are text, and no key stands twice.

    Aliases that hold themselves, or that would be a whole disk when they are written out, are refused as
    Pulumi's engine does, and tags of values that a stack cannot have.
    """

    def get_single_node(self) -> yaml.Node | None:
        try:
            node: yaml.Node | None = super().get_single_node()
            if node is not None:
                self._count(node, {})
        except RecursionError:
            raise yaml.constructor.ConstructorError(
                None, None, "it is nested too deeply", self.get_mark()
            ) from None
        return node

    def _count(self, node: yaml.Node, known: dict[int, int]) -> int:
        """How many values a node is when aliases are written out; 0 is one that is being counted."""
        counted = known.get(id(node))
        if counted == 0:
            raise _refused("an alias stands inside of what it names", node)
        if counted is not None:
            return counted
        known[id(node)] = 0
        if node.tag not in _TAGS and node.tag != f"{_YAML}merge":
            raise _refused(f"the tag {node.tag} is of no value that a stack can have", node)
        inside = [part for item in node.value for part in item] if isinstance(node, yaml.MappingNode) else []
        if isinstance(node, yaml.SequenceNode):
            inside = node.value
        total = 1 + sum(self._count(part, known) for part in inside)
        if total > MAX_VALUES:
            raise _refused(f"its aliases stand for more than {MAX_VALUES} values", node)
        known[id(node)] = total
        return total

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (KeyError, ValueError):  # 0b_, or a number of thousands of digits
            raise _refused("is not a value of its kind; put it into quotes", node) from None

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise _refused(f"the key {key.value} stands twice", key)
            seen.add(key.value)
        return node


def _refused(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_SCALARS: Final = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
}
_REPLACED: Final = {f"{_YAML}{kind}" for kind in ("timestamp", "value", *_SCALARS)}
PulumiLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, (_pattern, _first) in _SCALARS.items():
    _tag = f"{_YAML}{_kind}"
    PulumiLoader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))
