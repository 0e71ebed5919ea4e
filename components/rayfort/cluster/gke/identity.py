"""The identity of the nodes: a service account of their own, with the rights that a node needs."""

from collections.abc import Iterator, Sequence
from typing import Final

import pulumi
from pulumi_gcp import artifactregistry, projects, serviceaccount

from rayfort.cluster.gke.children import Children
from rayfort.cluster.gke.spec import GkeClusterArgs

# Google's role for it: metrics, logs and autoscaling.
NODE_ROLE: Final = "roles/container.defaultNodeServiceAccount"
READER_ROLE: Final = "roles/artifactregistry.reader"


def account_args(args: GkeClusterArgs) -> serviceaccount.AccountArgs:
    """The nodes' service account."""
    return serviceaccount.AccountArgs(
        project=args.project,
        account_id=f"{args.name}-nodes",
        display_name=f"Nodes of GKE cluster {args.name}",
    )


def reader_args(repository: str, member: pulumi.Input[str]) -> artifactregistry.RepositoryIamMemberArgs:
    """The right to read one repository, ``projects/P/locations/L/repositories/R``."""
    _, project, _, location, _, name = repository.split("/")
    return artifactregistry.RepositoryIamMemberArgs(
        project=project, location=location, repository=name, role=READER_ROLE, member=member
    )


def node_account(
    children: Children, after: Sequence[pulumi.Resource]
) -> tuple[serviceaccount.Account, list[pulumi.Resource]]:
    """The service account, and its rights, which nodes need before they start."""
    account = serviceaccount.Account(
        f"{children.name}-nodes", account_args(children.args), opts=children.options(*after)
    )
    return account, list(_rights(children, account))


def _rights(children: Children, account: serviceaccount.Account) -> Iterator[pulumi.Resource]:
    args = children.args
    yield projects.IAMMember(
        f"{children.name}-nodes",
        projects.IAMMemberArgs(project=args.project, role=NODE_ROLE, member=account.member),
        opts=children.options(),
    )
    for repository in args.image_repositories:
        yield artifactregistry.RepositoryIamMember(
            f"{children.name}-images-{repository.rpartition('/')[2]}",
            reader_args(repository, account.member),
            opts=children.options(),
        )
