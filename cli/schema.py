"""The JSON schema of stack files, with which editors complete and check them as they are written.

It is made from the models in ``infra.settings``; descriptions come from their docstrings.
"""

import json
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, SecretStr
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema
from rayfort.docstrings import descriptions, summary

from cli.stacks import directory
from infra.problems import NAMESPACE
from infra.settings import Settings

FILE: Final = "schema.json"
MODELINE: Final = f"# yaml-language-server: $schema={FILE}"

Json = dict[str, Any]

ENCRYPTED: Final[Json] = {
    "description": "A value encrypted by `pulumi config set --secret --path`.",
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}
# What Pulumi itself keeps in a stack's file.
_PULUMIS_OWN: Final[Json] = {
    "secretsprovider": {"type": "string", "description": "What encrypts the secrets, such as a cloud's KMS."},
    "encryptedkey": {"type": "string", "description": "Written by Pulumi."},
    "encryptionsalt": {"type": "string", "description": "Written by Pulumi."},
    "environment": {"description": "Pulumi ESC environments that the stack imports."},
}


def write_schema(root: Path) -> Path:
    """Write the schema beside the stack files.

    Args:
        root: the project's directory.

    Returns:
        The file.
    """
    path = directory(root) / FILE
    path.write_text(render(), encoding="utf-8")
    return path


def render() -> str:
    """The schema's text."""
    return json.dumps(stack_schema(), indent=2, ensure_ascii=False) + "\n"


def stack_schema() -> Json:
    """The schema of a stack file."""
    settings = Settings.model_json_schema(by_alias=True, schema_generator=_Generator)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made by `./rayfort schema` from infra/settings.py; change that.",
        "title": "A stack of Rayfort",
        "type": "object",
        "properties": {
            "config": {
                "description": settings.get("description", ""),
                "type": "object",
                "properties": {
                    f"{NAMESPACE}:{name}": value for name, value in settings["properties"].items()
                },
                # Settings of Pulumi and of its providers.
                "patternProperties": {f"^(?!{NAMESPACE}:)[^:]+:.+$": {}},
                "additionalProperties": False,
                "required": [f"{NAMESPACE}:{name}" for name in settings.get("required", [])],
            },
            **_PULUMIS_OWN,
        },
        "required": ["config"],
        "$defs": settings["$defs"],
    }


class _Generator(GenerateJsonSchema):
    """Pydantic's generator with descriptions from docstrings, and secrets that may be encrypted."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # pydantic's titles are the keys again, without their capitals

    def str_schema(self, schema: core_schema.StringSchema) -> Json:
        text = super().str_schema(schema)
        if schema.get("coerce_numbers_to_str"):
            text["type"] = ["string", "number"]
        return text

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> Json:
        """One model by its ``kind``, the first without one; of `oneOf` editors say only that none fits."""
        choices = {str(tag).strip("<>"): self.generate_inner(one) for tag, one in schema["choices"].items()}
        first, *others = choices
        made: Json = choices[first]
        for kind in reversed(others):
            asked = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
            made = {"if": asked, "then": choices[kind], "else": made}
        return made

    def model_schema(self, schema: core_schema.ModelSchema) -> Json:
        model: type[BaseModel] = schema["cls"]
        made = super().model_schema(schema)
        made["description"] = summary(model)
        texts = descriptions(model)
        for name, field in model.model_fields.items():
            value = made["properties"][field.alias or name]
            if holds_secret(field.annotation):
                value = _may_be_encrypted(value)
            if isinstance(value.get("default"), dict) and value["default"]:
                del value["default"]  # an editor would paste the whole object
            made["properties"][field.alias or name] = {"description": texts[name], **value}
        return made


def holds_secret(annotation: Any) -> bool:
    """Whether a field's type is, or holds, a secret."""
    return annotation is SecretStr or any(holds_secret(part) for part in get_args(annotation))


def _may_be_encrypted(value: Any) -> Any:
    """``value`` with every text replaced by a choice of text or an encrypted value."""
    if isinstance(value, list):
        return [_may_be_encrypted(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "string":
        return {"anyOf": [value, ENCRYPTED]}
    return {key: _may_be_encrypted(item) for key, item in value.items()}
