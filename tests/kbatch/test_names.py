"""What the settings know of users' names is what JupyterHub does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from rayfort.proxy.jupyterhub_names import names, problem

from tests.kbatch.programs import Programs
from tests.kbatch.running import bare

# JupyterHub's base class, on which its authenticators rest, with this configuration.
ASK = """
import json, sys
from jupyterhub.auth import DummyAuthenticator
given = json.load(sys.stdin)
said = []
for settings in given["settings"]:
    authenticator = DummyAuthenticator(**settings)
    known = [authenticator.normalize_username(name) for name in given["names"]]
    valid = [bool(authenticator.validate_username(name)) for name in given["names"]]
    said.append([known, valid])
print(json.dumps(said))
"""
NAMES = (
    "alice",
    "Carol",
    "DAN",
    "Éva",
    "İo",
    "a.b",
    "a@Example.org",
    "a b",
    " a",
    "a ",
    "a\n",
    "",
    ".",
    "..",
    "%2e%2E",
    "%20",
    "a/b",
    "A/..",
    "kube-system",
    "12",
)
MAP = {"carol": "caroline", "DAN": "daniel", "12": "Twelve"}


SETTINGS: tuple[dict[str, object], ...] = (
    {},
    {"username_map": MAP},
    {"username_pattern": "[a-z]+$"},
    {"username_pattern": "^a"},
)


def test_names_are_what_jupyterhub_makes_of_them(programs: Programs, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(programs.hub / "python"), "-c", ASK],
        env=bare(programs.hub, tmp_path),
        input=json.dumps({"settings": SETTINGS, "names": NAMES}),
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    for settings, (known, valid) in zip(SETTINGS, json.loads(done.stdout), strict=True):
        ours = names(False, {"Authenticator": settings})
        assert [ours.of(name) for name in NAMES] == known, settings
        assert [problem(name) is None and ours.takes(name) for name in NAMES] == valid, settings
