"""The rules as documentation; ``python -m rayfort.policies.reference FILE`` writes them into a document."""

import re
import sys
from pathlib import Path
from typing import Final

from rayfort.policies.catalog import RULES
from rayfort.policies.rule import ResourceRule, Rule

BEGIN: Final = "<!-- rules: written by python -m rayfort.policies.reference -->"
END: Final = "<!-- end of the rules -->"


def table() -> str:
    """A Markdown table of all rules."""
    rows = ["| rule | what holds | why | development | production |", "|---|---|---|---|---|"]
    rows += [
        f"| `{rule.name}` | {rule.description}{_remediation(rule)} | {rule.why} | {rule.development} "
        f"| {rule.production} |"
        for rule in RULES
    ]
    return "\n".join(rows)


def settings() -> str:
    """A Markdown table of the rules' settings."""
    rows = ["| rule | setting | type | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{rule.name}` | `{name}` | {schema['type']} | {schema['description']} |"
        for rule in RULES
        for name, schema in rule.settings.items()
    ]
    return "\n".join(rows)


def _remediation(rule: Rule) -> str:
    return " †" if isinstance(rule, ResourceRule) and rule.remediate else ""


def written_into(document: str) -> str:
    """A document with the tables between its marks.

    Raises:
        ValueError: if it has no marks.
    """
    if BEGIN not in document or END not in document:
        raise ValueError(f"the document lacks the marks {BEGIN} and {END}")
    tables = f"{BEGIN}\n\n{table()}\n\n† can be put right by the pack.\n\n{settings()}\n\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: tables, document, flags=re.DOTALL)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(written_into(file.read_text()))
