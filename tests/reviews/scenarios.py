"""Changes to the sandbox's stack whose previews are recorded: each is what a pull request could do."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Config = dict[str, Any]
Edit = Callable[[Config], None]

BIG: Final = 80


@dataclass(frozen=True)
class Scenario:
    """One preview.

    Attributes:
        name: of its files.
        edit: changes the stack's settings, by their name without ``rayfort:``; others have their namespace.
        when: ``empty`` before the first `up`, ``up`` after it, ``drifted`` after objects were changed by
            hand, ``stopped`` when the cluster does not answer any more.
        fails: whether the engine ends with an error.
        breaks: what the program ends with after its resources.
    """

    name: str
    edit: Edit
    when: str = "up"
    fails: bool = False
    breaks: str = ""

    def settings(self, content: Mapping[str, Any]) -> Config:
        """The stack file's content with this change."""
        changed = copy.deepcopy(dict(content))
        config = changed["config"]
        own = {key.removeprefix("rayfort:"): value for key, value in config.items()}
        self.edit(own)
        changed["config"] = {key if ":" in key else f"rayfort:{key}": value for key, value in own.items()}
        return changed


def nothing(_: Config) -> None:
    """Changes nothing."""


def _cluster(config: Config) -> Config:
    return config["workspaces"][0]["clusters"][0]  # type: ignore[no-any-return]


def _rotate(config: Config) -> None:
    _cluster(config)["auth"] = {"rotation": "2"}


def _move_proxy(config: Config) -> None:
    config["kbatch"]["namespace"] = "batch-two"


def _remove_proxy(config: Config) -> None:
    del config["kbatch"]
    config.pop("jupyterhub", None)  # whose users go through it


def _other_password(config: Config) -> None:
    config["workspaces"][0]["netrc"][0]["password"] = "another-password-of-a-test"


def _weaken(config: Config) -> None:
    config["mesh"] |= {"mtls": "PERMISSIVE", "minTls": "TLSV1_2"}


def _weaken_production(config: Config) -> None:
    _weaken(config)
    config["rayfort-policies:stage"] = "production"


def _misspell(config: Config) -> None:
    config["mesh"]["mtlsMode"] = "STRICT"
    config["workspaces"][0]["name"] = "Team A"


def _upgrade(config: Config) -> None:
    config["mesh"] |= {"version": "1.31.1", "tag": "1.31.1"}
    _cluster(config)["rayVersion"] = "2.56.0"


def _grow(config: Config) -> None:
    _cluster(config)["workerGroups"][0]["replicas"] = 3
    config["workspaces"][0]["quota"]["requests.cpu"] = "128"


def _second_team(config: Config) -> None:
    config["workspaces"].append({"name": "team-b", "clusters": [{"name": "ray"}]})


def _many_teams(config: Config) -> None:
    _remove_proxy(config)
    _weaken(config)
    config["workspaces"] += [{"name": f"team-{n:02}", "clusters": [{"name": "ray"}]} for n in range(BIG)]


SCENARIOS: Final = (
    Scenario("create", nothing, when="empty"),
    Scenario("no-change", nothing),
    Scenario("rotate-token", _rotate),
    Scenario("replace", _move_proxy),
    Scenario("delete", _remove_proxy),
    Scenario("policy-failure", _weaken_production, fails=True),
    Scenario("program-failure", _grow, fails=True, breaks="the price list does not answer"),
    Scenario("secret-change", _other_password),
    Scenario("weakened", _weaken),
    Scenario("settings-error", _misspell, fails=True),
    Scenario("upgrade", _upgrade),
    Scenario("scale", _grow),
    Scenario("second-team", _second_team),
    Scenario("many-teams", _many_teams),
    Scenario("drift", nothing, when="drifted"),
    Scenario("unreachable", nothing, when="stopped", fails=True),
)
BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}
