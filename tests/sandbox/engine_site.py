"""Pulumi's own engine with the stand-in plugins, on a real API server, and stacks with inline programs."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi import automation

from sandbox.plugins.install import install

ROOT = Path(__file__).parents[2]
RETAIN = {"PULUMI_DIY_BACKEND_RETAIN_CHECKPOINTS": "true"}


class Site:
    """A cluster, an engine with the stand-ins, and a place for stacks."""

    def __init__(self, directory: Path, kubeconfig: str, tools: Mapping[str, Path]) -> None:
        self.directory = directory
        self.kubeconfig = kubeconfig
        self._kubectl = tools["kubectl"]
        self.helm_path = tools["helm"]
        self.config_path = directory / "kubeconfig"
        self.config_path.touch(mode=0o600)
        self.config_path.write_text(kubeconfig)
        plugins = install(directory / "plugins", Path(sys.executable), ROOT, helm=tools["helm"])
        (directory / "engine" / "bin").mkdir(parents=True)
        (directory / "engine" / "bin" / "pulumi").symlink_to(tools["pulumi"])
        (directory / "backend").mkdir()
        self.environment = {
            # First on PATH: here it is the stand-ins that are tested.
            "PATH": f"{plugins}{os.pathsep}{os.environ['PATH']}",
            "PULUMI_HOME": str(directory / "home"),
            "PULUMI_BACKEND_URL": f"file://{directory / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "for a test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
        }

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        command = [str(self._kubectl), "--kubeconfig", str(self.config_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, input=stdin).stdout

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def exists(self, *arguments: str) -> bool:
        return bool(self.kubectl("get", *arguments, "--ignore-not-found", "-o", "name").strip())

    def helm(self, *arguments: str) -> str:
        command = [str(self.helm_path), "--kubeconfig", str(self.config_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def provider(self, **settings: Any) -> k8s.Provider:
        return k8s.Provider("cluster", kubeconfig=pulumi.Output.secret(self.kubeconfig), **settings)


class Stack:
    """One stack with an inline program; everything that the engine said is kept in `said`."""

    def __init__(self, site: Site, name: str, program: Callable[[], None], **environment: str) -> None:
        self.said = ""
        self._backend = site.directory / "backend"
        command = automation.PulumiCommand(root=str(site.directory / "engine"), skip_version_check=True)
        self._stack = automation.create_or_select_stack(
            stack_name=name,
            project_name="plugins",
            program=program,
            opts=automation.LocalWorkspaceOptions(
                env_vars=site.environment | environment, pulumi_command=command
            ),
        )
        self._stack.workspace.program = program

    def _hear(self, text: str) -> None:
        self.said += text + "\n"

    def up(self, **options: Any) -> dict[str, Any]:
        result = self._stack.up(on_output=self._hear, on_error=self._hear, **options)
        return {key: output.value for key, output in result.outputs.items()}

    def fails_to_come_up(self, *, then: Callable[[], None] = lambda: None) -> str:
        timer = threading.Timer(1.0, then)
        with pytest.raises(automation.CommandError) as failed:
            timer.start()
            self.up()
        timer.join()
        return str(failed.value)

    def preview(self, **options: Any) -> dict[str, int]:
        result = self._stack.preview(on_output=self._hear, on_error=self._hear, **options)
        return {str(getattr(kind, "value", kind)): count for kind, count in result.change_summary.items()}

    def expect_no_changes(self) -> None:
        assert self.preview(expect_no_changes=True).keys() <= {"same", "read"}

    def refresh(self) -> dict[str, int]:
        changes = self._stack.refresh(on_output=self._hear).summary.resource_changes or {}
        return {str(kind): count for kind, count in changes.items()}

    def destroy(self) -> None:
        self._stack.destroy(on_output=self._hear)

    def state(self) -> dict[str, Any]:
        deployment = self._stack.export_stack().deployment or {}
        resources = deployment["resources"]
        return {resource["urn"].rsplit("::", 1)[1]: resource for resource in resources}

    def checkpoints(self) -> int:
        """Return how often the engine wrote the state; it keeps all with `RETAIN`."""
        return sum(1 for _ in self._backend.rglob(f"{self._stack.name}.json.[0-9]*"))

    def stored(self) -> str:
        """Return all that lies on disk about every stack, as it lies there."""
        files = [path for path in self._backend.rglob("*") if path.is_file()]
        assert any(path.name == f"{self._stack.name}.json" for path in files)
        return "\n".join(path.read_text() for path in files)
