"""JupyterHub: the values of its chart, its secrets, and who may call whom."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from rayfort import JupyterHub, JupyterHubArgs
from rayfort.proxy import jupyterhub_hooks
from rayfort.proxy.jupyterhub_values import Batch, Surroundings, chart_values, hooks, stanza

from sandbox.images import catalog
from sandbox.jupyterhub_chart import write_chart
from tests.unit import samples
from tests.unit.recorder import Run, record

SCOPE = "access:services!service=kbatch"
BATCH = Batch(
    "http://kbatch-proxy.batch-system.svc.cluster.local:8080", "batch-system", ("alice",), ("team",)
)
CHART = samples.ROOT / "sandbox" / "charts" / "jupyterhub"


def make(batch: Batch | None = BATCH, *, preview: bool = False, **settings: Any) -> Run:
    return record(
        lambda: JupyterHub(
            "jupyterhub",
            samples.jupyterhub_args(**settings),
            samples.on_cluster(),
            batch=batch,
            mesh_namespace="istio-system",
        ),
        preview=preview,
    )


def values(batch: Batch | None = BATCH, **settings: Any) -> Any:
    around = Surroundings(mesh_namespace="istio-system")
    return chart_values(samples.jupyterhub_args(**settings), around, batch, "hub-secrets-1")


def refusal(**settings: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        samples.jupyterhub_args(**settings)
    return str(refused.value)


@pytest.mark.parametrize(
    ("batch", "roles"),
    [
        (Batch("u", "b"), {}),
        (Batch("u", "b", users=("alice",)), {"kbatch-users": {"scopes": [SCOPE], "users": ["alice"]}}),
        (Batch("u", "b", groups=("team",)), {"kbatch-users": {"scopes": [SCOPE], "groups": ["team"]}}),
        (Batch("u", "b", everybody=True), {"user": {"scopes": ["self", SCOPE]}}),
    ],
)
def test_the_scope_is_given_to_those_who_may_submit(batch: Batch, roles: Any) -> None:
    found = stanza(batch)["hub"]["loadRoles"]
    # Notebooks ask for it for their owner, who must have it: alone it gives nobody anything.
    server = {"scopes": ["users:activity!user", "access:servers!server", SCOPE]}
    assert found == {"server": server, **roles}


def test_the_service_is_no_administrator_and_has_no_role() -> None:
    """The recipe's `admin: true` would make of kbatch-proxy's token a key to every notebook."""
    found = stanza(BATCH)["hub"]
    assert found["services"] == {"kbatch": {"url": BATCH.url}}
    assert not any("services" in role for role in found["loadRoles"].values())


def test_kbatch_proxy_gets_through_to_the_hub_and_nobody_else_does() -> None:
    found = stanza(BATCH)
    (rule,) = found["hub"]["networkPolicy"]["ingress"]
    (peer,) = rule["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "batch-system"}
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kbatch-proxy"}
    assert "interNamespaceAccessLabels" not in found["hub"]["networkPolicy"]  # a label is anybody's to set


def test_notebooks_find_the_proxy_without_being_told() -> None:
    found = stanza(BATCH)["singleuser"]["extraEnv"]
    assert found == {"KBATCH_URL": "http://proxy-public/services/kbatch/"}


def test_what_the_chart_would_do_by_itself_is_closed() -> None:
    found = values()
    assert found["hub"]["config"]["JupyterHub"] == {"admin_access": False, "authenticator_class": "github"}
    assert found["proxy"]["service"] == {"type": "ClusterIP"}
    assert found["singleuser"]["cloudMetadata"] == {"blockWithIptables": False}  # a privileged container
    assert found["proxy"]["chp"]["networkPolicy"]["allowedIngressPorts"] == []
    policies = [found["hub"], found["proxy"]["chp"], found["singleuser"]]
    for policy in (each["networkPolicy"] for each in policies):
        assert policy["enabled"]
        assert not any(policy["egressAllowRules"].values())
    assert (
        found["singleuser"]["serviceAccountName"]
        != found["proxy"]["chp"]["extraPodSpec"]["serviceAccountName"]
    )


def test_no_secret_is_among_the_values() -> None:
    run = make(authenticator={"type": "dummy", "secrets": {"X": {"y": samples.CLIENT_SECRET}}})
    text = json.dumps(run.one("Release").inputs["values"])
    assert samples.CLIENT_SECRET not in text
    assert "password" not in text


def test_the_secrets_lie_where_the_chart_reads_them() -> None:
    run = make()
    secret = run.one("Secret").inputs
    content = secret["stringData"]
    assert set(content) == {
        "hub.config.JupyterHub.cookie_secret",
        "hub.config.CryptKeeper.keys",
        "hub.services.kbatch.apiToken",
        "values.yaml",
    }
    written = yaml.safe_load(content["values.yaml"])
    assert written == {"hub": {"config": {"GitHubOAuthenticator": {"client_secret": samples.CLIENT_SECRET}}}}
    assert run.one("Release").inputs["values"]["hub"]["existingSecret"] == secret["metadata"]["name"]


def test_another_secret_has_another_name() -> None:
    """So that the hub, which reads its secrets once, is started again."""
    one, other = (
        make(
            authenticator={"type": "github", "secrets": {"GitHubOAuthenticator": {"client_secret": text}}}
        ).one("Secret")
        for text in ("one", "other")
    )
    assert one.inputs["metadata"]["name"] != other.inputs["metadata"]["name"]


def test_the_password_of_the_dummy_is_random_unless_it_is_given() -> None:
    made = make(authenticator={"type": "dummy"}).one("Secret").inputs["stringData"]
    known = yaml.safe_load(made["values.yaml"])["hub"]["config"]["DummyAuthenticator"]
    assert known == {"password": made["password"]}
    assert len(made["password"]) >= 8
    given = {"DummyAuthenticator": {"password": "given-by-me"}}
    run = make(authenticator={"type": "dummy", "secrets": given})
    assert "password" not in run.one("Secret").inputs["stringData"]


@pytest.mark.parametrize("settings", [{}, {"authenticator": {}}, {"authenticator": {"type": ""}}])
def test_there_is_no_default_login(settings: dict[str, Any]) -> None:
    """The chart's own lets everybody in under any name."""
    with pytest.raises(ValidationError):
        JupyterHubArgs.model_validate(settings)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hub": {"existingSecret": "mine"}}, "hub.existingSecret cannot be set"),
        ({"hub": {"networkPolicy": {"enabled": False}}}, "hub.networkPolicy cannot be set"),
        ({"hub": {"config": {"JupyterHub": {"authenticator_class": "dummy"}}}}, "setting authenticator"),
        ({"proxy": {"secretToken": "x"}}, "proxy.secretToken cannot be set"),
        ({"proxy": {"service": {"type": "LoadBalancer"}}}, "setting callers"),
        ({"singleuser": {"networkPolicy": {"enabled": False}}}, "notebookEgress"),
        ({"ingress": {"enabled": True}}, "setting callers"),
        ({"fullnameOverride": "x"}, "policies know the Pods by it"),
        (
            {"hub": {"extraEnv": {"OAUTH_CLIENT_SECRET": "abc"}}},
            "OAUTH_CLIENT_SECRET is a credential by its name",
        ),
        ({"hub": {"services": {"grafana": {"apiToken": "abc"}}}}, "apiToken is a credential by its name"),
        ({"hub": {"db": {"password": "abc"}}}, "databasePassword"),
    ],
)
def test_values_that_something_rests_on_are_refused(given: dict[str, Any], said: str) -> None:
    assert said in refusal(values=given)


def test_a_credential_among_the_authenticators_settings_is_refused() -> None:
    login = {"type": "github", "config": {"GitHubOAuthenticator": {"client_secret": "abc"}}}
    assert "authenticator.secrets" in refusal(authenticator=login)


def test_a_reference_to_a_secret_is_none() -> None:
    variable = {"OAUTH_TOKEN": {"valueFrom": {"secretKeyRef": {"name": "mine", "key": "token"}}}}
    assert samples.jupyterhub_args(values={"hub": {"extraEnv": variable}}).values


def test_each_hop_is_allowed_by_identity_and_nothing_else() -> None:
    run = make(callers=[{"namespace": "istio-ingress", "serviceAccount": "people"}])
    found = {each.inputs["metadata"]["name"]: each.inputs["spec"] for each in run.all("AuthorizationPolicy")}
    assert found.pop("allow-nothing") == {}
    hops = {
        (source.rpartition("/ns/")[2], port, name)
        for name, spec in found.items()
        for rule in spec["rules"]
        for source in rule["from"][0]["source"]["principals"]
        for port in rule["to"][0]["operation"]["ports"]
    }
    assert hops == {
        ("jupyterhub/sa/hub-proxy", "8081", "hub"),
        ("jupyterhub/sa/notebook", "8081", "hub"),
        ("batch-system/sa/kbatch-proxy", "8081", "hub"),
        ("jupyterhub/sa/hub", "8000", "proxy"),
        ("jupyterhub/sa/notebook", "8000", "proxy"),
        ("istio-ingress/sa/people", "8000", "proxy"),
        ("jupyterhub/sa/hub", "8001", "proxy"),
        ("jupyterhub/sa/hub", "8888", "singleuser-server"),
        ("jupyterhub/sa/hub-proxy", "8888", "singleuser-server"),
    }


def test_notebooks_are_addresses_of_a_headless_service() -> None:
    """The hub calls them by the addresses of their Pods: else those calls leave the mesh in plaintext."""
    service = make().one("Service").inputs
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert [port["appProtocol"] for port in service["spec"]["ports"]] == ["tcp"]
    assert service["metadata"]["annotations"]["networking.istio.io/exportTo"] == "."


def test_without_a_mesh_there_is_nothing_of_it() -> None:
    run = make(inMesh=False)
    kinds = {each.type.rpartition(":")[2] for each in run.resources}
    assert not kinds & {"AuthorizationPolicy", "DestinationRule", "Service"}
    assert not any("istio" in label for label in run.one("Namespace").inputs["metadata"]["labels"])


def test_the_sandboxes_chart_knows_the_values_that_rayfort_writes() -> None:
    known = yaml.safe_load((CHART / "values.yaml").read_text())
    open_ended = (
        "config",
        "services",
        "loadRoles",
        "labels",
        "extraLabels",
        "extraEnv",
        "extraPodSpec",
        "extraConfig",
    )

    def unknown(given: Any, there: Any, path: str = "") -> list[str]:
        if not isinstance(given, dict) or path.rpartition(".")[2] in (*open_ended, "egressAllowRules"):
            return []
        missing = [f"{path}.{key}" for key in given if key not in (there or {})]
        inner = (unknown(value, (there or {}).get(key), f"{path}.{key}") for key, value in given.items())
        return missing + [each for found in inner for each in found]

    assert unknown(values(), known) == []


def test_the_sandboxes_chart_has_the_version_of_the_official_one(tmp_path: Path) -> None:
    chart = write_chart("4.4.0", tmp_path)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert (about["name"], about["version"]) == ("jupyterhub", "4.4.0")
    assert (chart / "templates" / "hub.yaml").exists()


def test_the_pinned_lists_agree_on_the_versions() -> None:
    """What the tests run as processes is what the images hold."""

    def pinned(lock: str) -> dict[str, str]:
        lines = (catalog.REQUIREMENTS / f"{lock}.txt").read_text().splitlines()
        pairs = (line.split()[0].partition("==") for line in lines if "==" in line and line[0].isalpha())
        return {name: version for name, _, version in pairs}

    image = pinned("jupyter")
    for lock in ("jupyterhub", "kbatch"):
        other = pinned(lock)
        shared = image.keys() & other.keys()
        assert lock in shared
        assert {name: image[name] for name in shared} == {name: other[name] for name in shared}
    locked = json.loads((catalog.REQUIREMENTS / "configurable-http-proxy" / "package-lock.json").read_text())
    proxy = locked["packages"]["node_modules/configurable-http-proxy"]
    assert proxy["version"] == catalog.CONFIGURABLE_HTTP_PROXY
    assert (
        yaml.safe_load((CHART / "values.yaml").read_text())["proxy"]["chp"]["image"]["tag"]
        == proxy["version"]
    )


class Api:
    """A client of the Kubernetes API that keeps what it is asked to make."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Any]] = []

    async def create_namespaced_secret(self, namespace: str, body: Any) -> None:
        self.made.append((namespace, body))


def test_a_notebooks_token_is_not_in_its_pod() -> None:
    """The hub's configuration, run as the chart runs it, on a Pod as KubeSpawner makes it."""
    config = SimpleNamespace(KubeSpawner=SimpleNamespace())
    exec(hooks(), {"c": config})
    variables = {"JUPYTERHUB_API_TOKEN": "t0", "JPY_API_TOKEN": "t0", "JUPYTERHUB_USER": "alice"}
    env = [SimpleNamespace(name=name, value=value, value_from=None) for name, value in variables.items()]
    bare = SimpleNamespace(env=None)
    pod = SimpleNamespace(
        metadata=SimpleNamespace(name="jupyter-alice"),
        spec=SimpleNamespace(containers=[SimpleNamespace(env=env), bare]),
    )
    spawner = SimpleNamespace(namespace="jupyterhub", api=Api())
    made = config.KubeSpawner.modify_pod_hook(spawner, pod)
    assert made is pod
    assert [each.value for each in env] == [None, None, "alice"]
    created = {"metadata": {"name": "jupyter-alice", "uid": "u-1"}}
    asyncio.run(config.KubeSpawner.after_pod_created_hook(spawner, created))
    ((namespace, secret),) = spawner.api.made
    assert namespace == "jupyterhub"
    assert secret["stringData"] == {"JUPYTERHUB_API_TOKEN": "t0", "JPY_API_TOKEN": "t0"}
    assert secret["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "jupyter-alice", "uid": "u-1"}
    ]
    for each in env[:2]:
        assert each.value_from == {"secretKeyRef": {"name": secret["metadata"]["name"], "key": each.name}}


def test_every_notebook_has_a_secret_of_its_own() -> None:
    """The one of the notebook before may still be there."""
    names = set()
    for _ in range(2):
        variable = SimpleNamespace(name="JUPYTERHUB_API_TOKEN", value="t0", value_from=None)
        pod = SimpleNamespace(
            metadata=SimpleNamespace(name="jupyter-alice"),
            spec=SimpleNamespace(containers=[SimpleNamespace(env=[variable])]),
        )
        jupyterhub_hooks.by_reference(SimpleNamespace(), pod)
        names.add(variable.value_from["secretKeyRef"]["name"])
    assert len(names) == 2
