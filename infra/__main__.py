"""The program that ``pulumi up`` runs."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Pulumi puts infra/ first on the path, where platform.py would hide Python's own module of that name.
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT / "infra")]

import pulumi  # noqa: E402

from infra.program import run  # noqa: E402

pulumi.run(lambda: run(ROOT))
