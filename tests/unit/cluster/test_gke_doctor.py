"""`doctor` on a GKE stack: who acts, and whether Google lets him; Google is faked at its edge."""

from __future__ import annotations

import io
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml
from rayfort.cluster.gke.apis import APIS

from cli.checks import Check, State, gke, google, quota
from cli.checks.google import GoogleError
from cli.doctor import sections
from tests.unit import samples
from tests.unit.cluster import gke_samples

TOKEN = "ya29.token-of-google-51c0"
KEY = "private-key-of-an-account-88d1"
ROBOT = "ci@my-project-1.iam.gserviceaccount.com"
GCLOUD = f"""#!/bin/sh
case "$*" in
  "auth application-default print-access-token") echo {TOKEN} ;;
  "auth list --filter=status:ACTIVE --format=value(account)") echo "$ACCOUNT" ;;
  *) exit 64 ;;
esac
"""


class Google:
    """What Google answers, by the beginning of a URL; what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "https://serviceusage.googleapis.com/": {
                "services": [{"name": f"projects/7/services/{name}", "state": "ENABLED"} for name in APIS]
            },
            "https://compute.googleapis.com/": {
                "quotas": [
                    {"metric": "CPUS", "limit": 24, "usage": 4},
                    {"metric": "SSD_TOTAL_GB", "limit": 500, "usage": 0},
                ]
            },
        }
        self.asked: list[urllib.request.Request] = []

    def open(self, request: urllib.request.Request, *, timeout: float) -> io.BytesIO:
        assert timeout > 0
        self.asked.append(request)
        url = request.full_url
        answer = next(value for start, value in self.answers.items() if url.startswith(start))
        if isinstance(answer, int):
            raise urllib.error.HTTPError(url, answer, "refused", Message(), None)
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer if isinstance(answer, bytes) else json.dumps(answer).encode())


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Google:
    made = Google()
    monkeypatch.setattr(urllib.request, "urlopen", made.open)
    return made


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """A machine with nothing on it, and what puts a program on its PATH."""
    for name in (*google.VARIABLES, "CLOUDSDK_CONFIG", "PULUMI_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("ACCOUNT", ROBOT)
    monkeypatch.setattr(gke, "MACHINE", tmp_path / "no-such-machine")

    def put(name: str, script: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
        return path

    return put


@pytest.fixture
def ready(machine: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine from which the cluster can be made."""
    machine("gke-gcloud-auth-plugin", "#!/bin/sh\n")
    machine("gcloud", GCLOUD)
    machine("pulumi-resource-gcp", "#!/bin/sh\n")
    account_file(tmp_path, monkeypatch, "my-project-1")


def account_file(directory: Path, monkeypatch: pytest.MonkeyPatch, project: str) -> None:
    path = directory / "account.json"
    content = {"project_id": project, "client_email": ROBOT, "private_key": KEY}
    path.write_text(json.dumps(content))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


def checks(*, ask: bool = True, **changes: Any) -> dict[str, Check]:
    found = list(gke.checks(gke_samples.small(**changes), ask=ask))
    for check in found:
        assert TOKEN not in str(check)
        assert KEY not in str(check)
        assert check.remedy or check.state in (State.OK, State.LATER)
    return {check.subject: check for check in found}


@pytest.mark.usefixtures("ready")
def test_a_machine_that_is_ready_has_nothing_missing(cloud: Google) -> None:
    found = checks()
    assert {check.state for check in found.values()} == {State.OK}
    assert found["project"].text == "my-project-1, which these credentials see"
    for request in cloud.asked:
        assert request.full_url.startswith("https://")
        assert request.get_method() == "GET"
        assert request.get_header("Authorization") == f"Bearer {TOKEN}"


@pytest.mark.usefixtures("machine")
def test_a_bare_machine_is_told_what_to_install_and_nobody_is_asked(cloud: Google) -> None:
    found = checks()
    assert found["credential plugin"].state is State.MISSING
    assert "gcloud components install" in found["credential plugin"].remedy
    assert found["Google credentials"].state is State.MISSING
    assert "gcloud auth application-default login" in found["Google credentials"].remedy
    assert found["Pulumi plugin gcp"].state is State.LATER
    assert cloud.asked == []


@pytest.mark.usefixtures("ready")
def test_only_the_stack_that_is_asked_for_costs_a_question(cloud: Google) -> None:
    """`doctor` without a stack looks at all of them."""
    assert "project" not in checks(ask=False)
    assert cloud.asked == []


@pytest.mark.usefixtures("ready")
def test_the_project_of_the_example_is_nobodys(cloud: Google, tmp_path: Path) -> None:
    """A copied stack file must not look for a project of that name."""
    assert checks()["project"].state is State.OK  # the tests' own
    (tmp_path / "stacks").mkdir()
    for name in ("Pulumi.yaml", "pyproject.toml", "requirements.lock"):
        shutil.copy(samples.ROOT / name, tmp_path)
    stack = yaml.safe_load((samples.ROOT / "stacks" / "Pulumi.gke-dev.yaml").read_text())
    (tmp_path / "stacks" / "Pulumi.gke-dev.yaml").write_text(yaml.safe_dump(stack))
    cloud.asked.clear()
    _, section = sections(tmp_path, "gke-dev")
    [project] = [check for check in section.checks if check.subject == "project"]
    assert (project.state, project.remedy) == (State.MISSING, "set cluster.project")
    assert cloud.asked == []


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("status", [401, 403, 404])
def test_credentials_of_another_project_are_refused(
    cloud: Google, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destroy with them would find nothing, and empty the state."""
    account_file(tmp_path, monkeypatch, "another-project")
    cloud.answers["https://serviceusage.googleapis.com/"] = status
    check = checks()["project"]
    assert check.state is State.MISSING
    assert "(they are of another-project) do not see my-project-1" in check.text
    assert "forgets everything" in check.text
    assert "destroy nothing" in check.remedy


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("project", "state"), [("my-project-1", State.WARN), ("another-project", State.MISSING)]
)
def test_without_an_answer_the_credentials_own_project_decides(
    cloud: Google, project: str, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_file(tmp_path, monkeypatch, project)
    cloud.answers["https://serviceusage.googleapis.com/"] = urllib.error.URLError("no network")
    assert checks()["project"].state is state


@pytest.mark.usefixtures("ready")
def test_an_account_of_another_project_may_have_rights_in_this_one(
    cloud: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI's accounts often live elsewhere."""
    account_file(tmp_path, monkeypatch, "ci-accounts")
    assert checks()["project"].state is State.OK


@pytest.mark.usefixtures("ready")
def test_apis_that_are_off(cloud: Google) -> None:
    listed = cloud.answers["https://serviceusage.googleapis.com/"]["services"]
    listed[0]["state"] = "DISABLED"
    assert checks()["APIs"] == Check("APIs", State.LATER, f"`up` switches on {APIS[0]}")
    check = checks(enableApis=False)["APIs"]
    assert check.state is State.MISSING
    assert check.remedy == f"run `gcloud services enable {APIS[0]} --project my-project-1`"


@pytest.mark.usefixtures("ready")
def test_two_accounts_are_told_apart(cloud: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """One makes the cluster, and the other one is not let in."""
    monkeypatch.setenv("ACCOUNT", "somebody@example.com")
    check = checks()["gcloud"]
    assert check.state is State.WARN
    assert check.text == f"somebody@example.com reaches the cluster, and {ROBOT} makes it"
    monkeypatch.setenv("ACCOUNT", "")
    assert checks()["gcloud"].state is State.MISSING
    access = {
        "dnsEndpoint": False,
        "ipEndpoint": True,
        "authorizedNetworks": [{"cidr": "10.0.0.0/8", "name": "vpn"}],
        "credentials": "application-default",
    }
    assert "gcloud" not in checks(access=access)


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("answer", [b"<html>", 500, TimeoutError()])
def test_an_odd_answer_is_a_warning(cloud: Google, answer: Any) -> None:
    cloud.answers["https://serviceusage.googleapis.com/"] = answer
    assert checks()["project"].state is State.WARN


@pytest.mark.usefixtures("ready")
def test_quota_that_cannot_be_read_is_a_warning(cloud: Google) -> None:
    cloud.answers["https://compute.googleapis.com/"] = 403
    assert checks()["quota"].state is State.WARN


@pytest.mark.usefixtures("ready")
def test_gcloud_that_fails_is_a_warning_with_its_reason(
    machine: Callable[[str, str], Path], cloud: Google
) -> None:
    machine("gcloud", "#!/bin/sh\necho 'ERROR: (gcloud.auth) log in again' >&2\nexit 1\n")
    found = checks()
    assert "log in again" in found["gcloud"].text
    assert "log in again" in found["project"].text
    assert cloud.asked == []


def test_machines_of_googles_need_no_file(
    machine: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = tmp_path / "product_name"
    name.write_text("Google Compute Engine\n")
    monkeypatch.setattr(gke, "MACHINE", name)
    assert checks(ask=False)["Google credentials"].state is State.OK


# Credentials.


def places(directory: Path) -> Iterator[tuple[dict[str, str], str]]:
    """Environments that lead to credentials, and the place that is told."""
    content = json.dumps({"quota_project_id": "p", "type": "authorized_user"})
    for path in (directory / "a.json", directory / ".config" / "gcloud" / google.APPLICATION_DEFAULT):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    yield {"GOOGLE_APPLICATION_CREDENTIALS": str(directory / "a.json")}, "GOOGLE_APPLICATION_CREDENTIALS"
    yield {"GOOGLE_CREDENTIALS": content}, "GOOGLE_CREDENTIALS"
    yield {"CLOUDSDK_CONFIG": str(directory / ".config" / "gcloud")}, google.APPLICATION_DEFAULT
    yield {}, google.APPLICATION_DEFAULT


def test_credentials_are_looked_for_where_google_does(tmp_path: Path) -> None:
    for environment, place in places(tmp_path):
        found = google.credentials(environment, tmp_path)
        assert found is not None
        assert place in found.place
        assert (found.project, found.account) == ("p", None)
    assert google.credentials({}, tmp_path / "elsewhere") is None


@pytest.mark.parametrize("content", ["", "[]", "{broken", "\xff"])
def test_broken_credentials_are_told_without_their_content(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(GoogleError, match="GOOGLE_APPLICATION_CREDENTIALS") as caught:
        google.credentials({"GOOGLE_APPLICATION_CREDENTIALS": str(path)}, tmp_path)
    assert not content or content not in str(caught.value)
    with pytest.raises(GoogleError, match="cannot be read"):
        google.credentials({"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none")}, tmp_path)


# Quota.


def test_what_the_pools_take() -> None:
    assert quota.needs(gke_samples.small()) == {"CPUS": (8, 8), "SSD_TOTAL_GB": (200, 200)}
    prod = quota.needs(gke_samples.of_stack("gke-prod"))
    assert prod["NVIDIA_L4_GPUS"] == (0, 8)
    assert prod["PREEMPTIBLE_NVIDIA_L4_GPUS"] == (0, 16)
    assert prod["CPUS"] == (12, 24)  # the system pool's; those of spot VMs are another quota
    assert prod["N2_CPUS"] == (24, 96)


@pytest.mark.parametrize(
    ("free", "state"), [(7, State.MISSING), (8, State.WARN), (15, State.WARN), (16, State.OK)]
)
def test_quota_is_judged_by_the_fewest_and_the_most_nodes(free: int, state: State) -> None:
    quotas = [{"metric": "CPUS", "limit": free + 4, "usage": 4}]
    [check] = quota.judge(quotas, {"CPUS": (8, 16), "UNHEARD_OF": (1, 1)})
    assert check.state is state
    assert "CPUS" in check.text
