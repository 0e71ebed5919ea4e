"""Checks of what a stack with a GKE cluster needs: credentials, of the right project, APIs and quota."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rayfort.cluster.gke.access import PluginCredentials
from rayfort.cluster.gke.apis import APIS
from rayfort.cluster.gke.kubeconfig import INSTALL_HINT, PLUGIN
from rayfort.cluster.gke.spec import GkeClusterArgs

from cli.checks import Check, State, google, quota
from cli.checks.google import Api, Credentials, GoogleError
from cli.checks.sandbox import plugin

LOG_IN: Final = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
PLACEHOLDER: Final = "my-project"
FORBIDDEN: Final = (401, 403, 404)
MACHINE: Final = Path("/sys/class/dmi/id/product_name")


def checks(cluster: GkeClusterArgs, *, ask: bool) -> Iterator[Check]:
    """The checks of a GKE cluster.

    Args:
        cluster: what the stack says about it.
        ask: whether Google is asked as well, which takes seconds.
    """
    yield plugin("gcp", Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi"), stand_in=False)
    yield auth_plugin()
    if cluster.project == PLACEHOLDER:
        yield Check("project", State.MISSING, f"{PLACEHOLDER} stands for yours", "set cluster.project")
        return
    try:
        found = google.credentials(os.environ, Path.home())
    except GoogleError as error:
        yield Check("Google credentials", State.MISSING, str(error), LOG_IN)
        return
    if found is None and not on_google():
        yield Check("Google credentials", State.MISSING, "there are no application default ones", LOG_IN)
        return
    place = found.place if found else "those of this machine of Google's"
    yield Check("Google credentials", State.OK, place)
    if not ask:
        return
    if cluster.access.credentials is PluginCredentials.GCLOUD:
        yield gcloud_account(found)
    yield from answers(cluster, found)


def auth_plugin() -> Check:
    """The program that gets credentials for the cluster's API server."""
    path = shutil.which(PLUGIN)
    if path:
        return Check("credential plugin", State.OK, path)
    return Check("credential plugin", State.MISSING, f"{PLUGIN} is not on PATH", INSTALL_HINT)


def on_google() -> bool:
    """Whether this machine is one of Google's, whose metadata server has credentials."""
    try:
        return "Google" in MACHINE.read_text()
    except OSError:
        return False


def gcloud_account(found: Credentials | None) -> Check:
    """Whose credentials reach the cluster: gcloud's, which may be another person's than Pulumi's."""
    subject = "gcloud"
    try:
        account = google.gcloud("auth", "list", "--filter=status:ACTIVE", "--format=value(account)")
    except GoogleError as error:
        remedy = "install it: https://cloud.google.com/sdk/docs/install, and run `gcloud auth login`"
        return Check(subject, State.MISSING, str(error), remedy)
    if not account:
        return Check(subject, State.MISSING, "nobody is logged in", "run `gcloud auth login`")
    if found and found.account and found.account != account:
        text = f"{account} reaches the cluster, and {found.account} makes it"
        return Check(subject, State.WARN, text, "log both in as the same account, or give both their rights")
    return Check(subject, State.OK, account)


def answers(cluster: GkeClusterArgs, found: Credentials | None) -> Iterator[Check]:
    """What Google says about the project."""
    try:
        api = Api(google.token(), cluster.project)
        states = services(api)
    except GoogleError as error:
        yield unseen_project(cluster.project, found, error)
        return
    yield Check("project", State.OK, f"{cluster.project}, which these credentials see")
    off = [name for name in APIS if states.get(name) != "ENABLED"]
    if not off:
        yield Check("APIs", State.OK, "all are on")
    elif cluster.enable_apis:
        yield Check("APIs", State.LATER, f"`up` switches on {', '.join(off)}")
    else:
        remedy = f"run `gcloud services enable {' '.join(off)} --project {cluster.project}`"
        yield Check("APIs", State.MISSING, f"{', '.join(off)} are off", remedy)
    try:
        region = api.get(f"compute.googleapis.com/compute/v1/projects/{api.project}/regions/{cluster.region}")
    except GoogleError as error:
        yield Check("quota", State.WARN, f"it cannot be read: {error}", "look at it in the console")
        return
    yield from quota.judge(region.get("quotas", ()), quota.needs(cluster))


def services(api: Api) -> dict[str, str]:
    """Whether each API is on: its name and its state.

    Raises:
        GoogleError: if the credentials do not see the project, or nobody answers.
    """
    names = "&".join(f"names=projects/{api.project}/services/{name}" for name in APIS)
    found = api.get(f"serviceusage.googleapis.com/v1/projects/{api.project}/services:batchGet?{names}")
    return {
        str(item.get("name", "")).rpartition("/")[2]: str(item.get("state", ""))
        for item in found.get("services", ())
    }


def unseen_project(project: str, found: Credentials | None, error: GoogleError) -> Check:
    """A project that could not be looked at: with credentials of another one it never may be."""
    theirs = found.project if found else None
    if error.status in FORBIDDEN or theirs not in (None, project):
        whose = f" (they are of {theirs})" if theirs and theirs != project else ""
        text = (
            f"these credentials{whose} do not see {project}: {error}. A destroy with them finds nothing to "
            "delete, and forgets everything"
        )
        return Check("project", State.MISSING, text, "log in with an account of the project; destroy nothing")
    return Check("project", State.WARN, f"{project} could not be looked at: {error}", "try again online")
