"""The program's entry point, started the way Pulumi's language host starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The host runs the directory that `main:` names, with that directory first on the path.
HOST = """
import runpy, sys
program, root = sys.argv[1:]
sys.path.insert(0, root)
from cli.recorder import record
sys.path[0] = program

for made in record(lambda: runpy.run_path(program, run_name="__main__"), "rayfort", "test").registrations:
    sys.stdout.write(f"registered {made.request.type}\\n")
"""


def start(config: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-P", "-c", HOST, str(ROOT / "infra"), str(ROOT)],
        cwd=ROOT / "infra",
        env={**environment, "PULUMI_CONFIG": json.dumps(config)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_infra_runs_as_pulumis_main_directory() -> None:
    """infra/platform.py must not hide Python's own module `platform`, which many libraries import."""
    kubeconfig = {
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    }
    done = start(
        {
            "rayfort:cluster": json.dumps({"kubeconfig": json.dumps(kubeconfig), "context": "c"}),
            "rayfort:workspaces": json.dumps([{"name": "team", "clusters": [{"name": "ray"}]}]),
        }
    )
    assert done.returncode == 0, done.stderr
    assert "registered pulumi:providers:kubernetes" in done.stdout
    assert "registered kubernetes:ray.io/v1:RayCluster" in done.stdout


def test_malformed_settings_end_the_program_before_any_resource() -> None:
    done = start({"rayfort:cluster": json.dumps({"contxt": "c"})})
    assert done.returncode != 0
    assert "registered" not in done.stdout
    assert "did you mean context?" in done.stderr
