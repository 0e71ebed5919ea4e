from collections.abc import Iterator

import pytest

from sandbox.plugins import kubernetes_provider, random_provider
from tests.unit.plugins import fake_api
from tests.unit.plugins.fake_api import FakeApi
from tests.unit.plugins.harness import Client, running


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api.serve(FakeApi()) as api:
        api.objects["/api/v1/namespaces/default"] = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "default", "uid": "0"},
        }
        yield api


@pytest.fixture
def plugin() -> Iterator[Client]:
    """A kubernetes plugin that is not configured."""
    with running(kubernetes_provider.make) as client:
        yield client


@pytest.fixture
def kube(plugin: Client, api: FakeApi) -> Client:
    """A kubernetes plugin on the fake API server."""
    plugin.configure(kubeconfig=api.kubeconfig())
    return plugin


@pytest.fixture
def random() -> Iterator[Client]:
    with running(random_provider.make) as client:
        yield client
