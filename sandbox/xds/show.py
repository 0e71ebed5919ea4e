"""Configuration in a form that can be read and compared."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from sandbox.xds.kinds import message_class

OPAQUE: Final = "opaque"


def as_dict(message: Any) -> dict[str, Any]:
    """A message as JSON with the names of the proto files, what it packs included.

    A packed message whose type is unknown stands as ``{"@type": ".../google.protobuf.Struct", "value":
    {"opaque": <its type>, "bytes": <its length>}}``.
    """
    return MessageToDict(_readable(message), preserving_proto_field_name=True)


def _readable(message: Any) -> Any:
    """A copy in which every packed message can be read."""
    copy = type(message)()
    copy.CopyFrom(message)
    _visit(copy)
    return copy


def _visit(message: Any) -> None:
    if isinstance(message, AnyMessage):
        _open(message)
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for each in value.values():
                    _visit(each)
        elif field.is_repeated:
            for each in value:
                _visit(each)
        else:
            _visit(value)


def _open(packed: Any) -> None:
    if not packed.type_url:
        return
    known = message_class(packed.type_url)
    if known is None:
        inside = Struct()
        inside.update({OPAQUE: packed.type_url, "bytes": len(packed.value)})
    else:
        inside = known()
        inside.ParseFromString(packed.value)
        _visit(inside)
    packed.Pack(inside)
