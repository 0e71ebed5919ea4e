"""What a stack says about JupyterHub: the arguments, and what they may not say."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, field_validator

from rayfort import network, versions
from rayfort.chart import Chart
from rayfort.model import (
    Cidr,
    DnsLabel,
    HttpUrl,
    JsonObject,
    Model,
    Port,
    Seconds,
    SecretInput,
    SemVer,
    refuse_all,
)
from rayfort.policies.credentials import is_literal, names_credential
from rayfort.proxy.kbatch_config import USER_NAMESPACE_PREFIX
from rayfort.workspace import Client

NAMESPACE: Final = "jupyterhub"
CHART: Final = "jupyterhub"
RELEASE: Final = "jupyterhub"
DUMMY: Final = "dummy"
_DUMMY_SECTION: Final = "DummyAuthenticator"
# Values of the chart that policies, identities or secrets rest on, and the setting to use instead.
_OWN_VALUES: Final[Mapping[str, str]] = {
    "hub.existingSecret": "Rayfort keeps the hub's secrets in a Secret of its own",
    "hub.cookieSecret": "Rayfort makes it",
    "hub.serviceAccount": "policies know the hub by it",
    "hub.networkPolicy": "Rayfort writes it",
    "hub.service": "Rayfort writes it",
    "hub.services.kbatch": "the setting kbatch writes it",
    "hub.config.JupyterHub.authenticator_class": "use the setting authenticator",
    "hub.db.password": "use the setting databasePassword",
    "proxy.secretToken": "the chart makes it, and keeps it in a Secret",
    "proxy.service": "people come by port-forward, or through a gateway of the mesh: use the setting callers",
    "proxy.https": "the mesh encrypts; a gateway of the mesh ends people's TLS",
    "proxy.chp.networkPolicy": "Rayfort writes it",
    "singleuser.networkPolicy": "use the setting notebookEgress",
    "singleuser.serviceAccountName": "policies know notebooks by it",
    "ingress": "it would lead plaintext into the mesh, which is refused; use the setting callers",
    "httpRoute": "it would lead past the mesh; use the setting callers",
    "fullnameOverride": "policies know the Pods by it",
    "nameOverride": "policies know the Pods by it",
}


def _values(values: JsonObject) -> JsonObject:
    own = [
        f"{path} cannot be set here: {instead}"
        for path, instead in _OWN_VALUES.items()
        if _at(values, path) is not None
    ]
    credentials = [
        f"{path} is a credential by its name, and everybody who may read the release reads a chart's "
        "values; put it under authenticator.secrets or databasePassword, or name a Secret"
        for path in _credentials(values)
        if not any(f"{path}.".startswith(f"{known}.") for known in _OWN_VALUES)
    ]
    refuse_all(((), problem) for problem in (*own, *credentials))
    return values


def _at(values: object, path: str) -> object:
    for key in path.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _credentials(values: object, path: str = "") -> Iterator[str]:
    """The paths of credentials in clear text, by their names."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            where = f"{path}.{key}" if path else str(key)
            if names_credential(str(key), in_chart=True) and is_literal(value):
                yield where
            yield from _credentials(value, where)
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from _credentials(value, f"{path}[{index}]")


class Authenticator(Model):
    """How people log in; there is no default, since the chart's own lets everybody in under any name.

    Args:
        type: JupyterHub's ``authenticator_class``: a registered name such as ``github``, ``google``,
            ``generic-oauth`` or ``ldap``, or a class by its path. ``dummy`` is for tests: everybody who knows
            its one password, which is random unless given, is whoever they say.
        config: sections of JupyterHub's configuration, by class: who may log in, client ids, callback URLs.
        secrets: the same for secret values, such as ``GitHubOAuthenticator: {client_secret: …}``; they
            reach the hub in a Secret.
    """

    type: str = Field(min_length=1)
    config: dict[str, JsonObject] = {}
    secrets: dict[str, dict[str, SecretInput]] = Field(default={}, repr=False)

    @field_validator("config")
    @classmethod
    def _no_secrets(cls, value: dict[str, JsonObject]) -> dict[str, JsonObject]:
        problem = "is a credential by its name; put it under authenticator.secrets"
        refuse_all(((), f"{path} {problem}") for path in _credentials(value))
        return value

    @field_validator("config", "secrets")
    @classmethod
    def _sections(cls, value: dict[str, Any]) -> dict[str, Any]:
        refuse_all(
            ((), f"{name} is no class of JupyterHub's, such as GitHubOAuthenticator; name one")
            for name in value
            if not name[:1].isupper()
        )
        return value

    @property
    def makes_password(self) -> bool:
        """Whether the dummy authenticator's one password is still to be made."""
        return self.type == DUMMY and "password" not in self.secrets.get(_DUMMY_SECTION, {})

    @property
    def lets_everybody_in(self) -> bool:
        """Whether everybody with an account at the identity provider may log in."""
        return any(section.get("allow_all") is True for section in self.config.values())

    def sections(self, password: Any = None) -> dict[str, dict[str, Any]]:
        """The secret sections, with the dummy authenticator's password where one was made."""
        made = {_DUMMY_SECTION: {"password": password}} if password is not None else {}
        return {
            name: {**self.secrets.get(name, {}), **made.get(name, {})} for name in {**self.secrets, **made}
        }


class NotebookEgress(Model):
    """Where notebooks may connect outside of the cluster.

    Args:
        cidrs: address blocks. Metadata servers and private addresses are cut out of every block that does not
            lie among them itself.
        ports: TCP ports.
    """

    cidrs: Annotated[tuple[Cidr, ...], Field(min_length=1)] = (network.ANYWHERE,)
    ports: Annotated[tuple[Port, ...], Field(min_length=1)] = (443,)


class JupyterHubArgs(Model):
    """Arguments of `JupyterHub`.

    Args:
        authenticator: how people log in.
        version: the chart's version.
        chart: where the chart comes from; by default the official repository at ``version``.
        namespace: where it runs.
        create_namespace: whether Rayfort makes the namespace.
        callers: workloads of the mesh through which people come, such as a gateway. Without any, people come
            by port-forward.
        public_url: the address under which people reach it, for the stack's outputs.
        notebook_egress: where notebooks may connect outside of the cluster; None for nowhere.
        database_password: the password of an external database (``hub.db`` in ``values``).
        in_mesh: whether its Pods get sidecars.
        values: further chart values, laid over what Rayfort computes; not those that policies and secrets
            rest on, and never a secret.
        timeout_seconds: how long to wait for the release, in seconds.
    """

    authenticator: Authenticator
    version: SemVer = versions.JUPYTERHUB_CHART
    chart: Chart | None = None
    namespace: DnsLabel = NAMESPACE
    create_namespace: bool = True
    callers: tuple[Client, ...] = ()
    public_url: HttpUrl | None = None
    notebook_egress: NotebookEgress | None = NotebookEgress()
    database_password: SecretInput | None = Field(default=None, repr=False)
    in_mesh: bool = True
    values: Annotated[JsonObject, AfterValidator(_values)] = {}
    timeout_seconds: Seconds = 600

    @field_validator("namespace")
    @classmethod
    def _not_a_users(cls, value: str) -> str:
        if value.startswith(USER_NAMESPACE_PREFIX):
            raise ValueError(f"{value} could be the namespace of a user of kbatch; choose another one")
        return value

    @property
    def chart_source(self) -> Chart:
        """The chart in force."""
        return self.chart or Chart(
            chart=CHART, repository=versions.JUPYTERHUB_CHART_REPOSITORY, version=self.version
        )
