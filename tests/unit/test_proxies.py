"""Traffic to the sandbox's API server asks no proxy, in Go's words and in Python's."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from typer.testing import CliRunner

from cli.commands import sandbox as command
from sandbox.plugins import cluster
from sandbox.proxies import direct

URL, HOST = "https://198.18.7.2:6443", "198.18.7.2"


@pytest.mark.parametrize(
    ("before", "go", "python"),
    [
        ({}, HOST, HOST),
        ({"NO_PROXY": "a.example"}, f"a.example,{HOST}", f"a.example,{HOST}"),
        ({"no_proxy": "a.example"}, f"a.example,{HOST}", f"a.example,{HOST}"),
        ({"NO_PROXY": "a, b", "no_proxy": "c"}, f"a,b,{HOST}", f"c,{HOST}"),
        ({"NO_PROXY": "", "no_proxy": "c"}, f"c,{HOST}", f"c,{HOST}"),
        ({"NO_PROXY": f"a,{HOST}"}, f"a,{HOST}", f"a,{HOST}"),
        ({"NO_PROXY": "*"}, "*", "*"),
    ],
)
def test_the_host_is_added_to_what_is_exempt_already(before: dict[str, str], go: str, python: str) -> None:
    made = direct({"HOME": "/home/me", **before}, URL)
    assert (made["NO_PROXY"], made["no_proxy"]) == (go, python)
    assert made["HOME"] == "/home/me"
    assert direct(made, URL) == made


def test_python_sends_nothing_to_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert not urllib.request.proxy_bypass(HOST)
    for name, value in direct(os.environ, URL).items():
        monkeypatch.setenv(name, value)
    assert urllib.request.proxy_bypass(HOST)
    assert not urllib.request.proxy_bypass("other.example")


@pytest.mark.parametrize("exempt", [False, True], ids=["another cluster", "the sandbox"])
def test_the_stand_in_plugin_asks_the_proxy_only_for_other_clusters(
    monkeypatch: pytest.MonkeyPatch, exempt: bool
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    for name, value in direct(os.environ, URL if exempt else "https://other.example").items():
        monkeypatch.setenv(name, value)
    kubeconfig = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": URL}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
    }
    manager = cluster._connect(kubeconfig).rest_client.pool_manager
    assert isinstance(manager, urllib3.ProxyManager) is not exempt


def test_kubectl_reaches_the_sandbox_and_nothing_else_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.touch()
    sandbox = SimpleNamespace(
        kubeconfig=kubeconfig,
        endpoints=SimpleNamespace(api_server=URL),
        tool=lambda name: tmp_path / name,
    )
    monkeypatch.setattr(command, "find_environment", lambda: sandbox)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "a.example")
    monkeypatch.delenv("no_proxy", raising=False)
    replaced: list[Any] = []
    monkeypatch.setattr(command.os, "execve", lambda *arguments: replaced.append(arguments))
    done = CliRunner().invoke(command.app, ["kubectl", "get", "pods", "--help"])
    assert done.exit_code == 0, done.output
    ((program, arguments, environment),) = replaced
    assert arguments == [str(program), "get", "pods", "--help"]
    assert environment["NO_PROXY"] == environment["no_proxy"] == f"a.example,{HOST}"
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert environment["KUBECONFIG"] == str(kubeconfig)
