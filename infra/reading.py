"""From a stack's configuration to its settings.

Everything is parsed in one step, before any resource is registered. Mistakes are reported together, each with
its key, the problem and the remedy.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from infra.carried import not_carried
from infra.contradictions import contradictions
from infra.problems import NAMESPACE, Problem, SettingsError, from_validation
from infra.settings import Settings


def parse(values: Mapping[str, Any]) -> Settings:
    """The settings in a stack's configuration.

    Args:
        values: the values under ``rayfort:``, by their name without the prefix, as plain data.

    Raises:
        SettingsError: with every mistake.
    """
    if broken := list(not_carried(values)):
        raise SettingsError(broken)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(from_validation(error, Settings)) from None
    problems = list(contradictions(settings))
    if problems:
        raise SettingsError(problems)
    return settings


def decode(config: Mapping[str, str]) -> dict[str, Any]:
    """Values as Pulumi hands them to a program (text, objects as JSON), as plain data by bare name.

    Raises:
        SettingsError: if an object is not valid JSON.
    """
    values: dict[str, Any] = {}
    for full_name, text in config.items():
        prefix, _, name = full_name.partition(":")
        if prefix != NAMESPACE:
            continue
        if not text.lstrip().startswith(("{", "[")):
            values[name] = text or None  # Pulumi hands over a null as empty text
            continue
        try:
            values[name] = json.loads(text)
        except RecursionError:
            raise SettingsError([Problem(full_name, "is nested too deeply; make it flatter")]) from None
        except ValueError:  # not JSON, or a number of thousands of digits
            problem = Problem(full_name, "is not valid JSON; write it as YAML in the stack file")
            raise SettingsError([problem]) from None
    return values
