"""The better proof: real `kind`, real docker, real nodes, on a machine that has none of them.

Docker comes out of Debian's packages into a directory and namespaces of its own, and the node image is made
here. Not part of a plain run: it takes some minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.progress import Progress
from sandbox.toolchain import Toolchain
from tests.kind import node_image
from tests.kind.docker import Docker

pytestmark = [pytest.mark.real, pytest.mark.timeout(2400)]

INSIDE = Path(__file__).with_name("inside.py")


def test_pulumi_up_makes_a_real_cluster(tmp_path: Path) -> None:
    toolchain = Toolchain(progress=Progress())
    toolchain.ensure(["pulumi", "helm", "kind"])
    tree = node_image.root(tmp_path)
    docker = Docker(tmp_path / "docker", tree)
    try:
        docker.start()
        node_image.build(docker, tree, tmp_path, toolchain, Progress())
        environment = {
            **os.environ,
            **docker.environment,
            "PATH": os.pathsep.join([str(docker.client.parent), os.environ["PATH"]]),
            "PAUSE_IMAGE": node_image.pause_image(toolchain),
        }
        command = [
            "nsenter",
            "--net",
            "--target",
            str(docker.pid),
            sys.executable,
            "-m",
            "pytest",
            str(INSIDE),
        ]
        command += ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inside'}"]
        done = subprocess.run(
            command, env=environment, cwd=INSIDE.parents[2], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-6000:]
    finally:
        docker.stop()
    assert not docker.group.exists
