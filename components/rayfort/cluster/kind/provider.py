"""The life of a Kind cluster, as a dynamic provider of Pulumi.

The provider is pickled into the stack's state. It has no state of its own and lies in an importable module,
so what is kept there is this module's name and nothing else.
"""

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
)

from rayfort.cluster.kind import journal, parsing, process, readiness
from rayfort.cluster.kind.errors import KindError
from rayfort.cluster.kind.process import Kind

# The inputs; all but the last make another cluster.
NAME: Final = "clusterName"
RUNTIME: Final = "runtime"
CONFIG: Final = "config"
NODE_COUNT: Final = "nodeCount"
READY_SECONDS: Final = "readySeconds"
INPUTS: Final = (NAME, RUNTIME, CONFIG, NODE_COUNT, READY_SECONDS)
# The outputs.
KUBECONFIG: Final = "kubeconfig"
IDENTIFIER: Final = "identifier"
NODES: Final = "nodes"
OUTPUTS: Final = (KUBECONFIG, IDENTIFIER, NODES)

_Result = TypeVar("_Result")


class KindProvider(ResourceProvider):
    """Creates, reads, replaces and deletes a Kind cluster by the ``kind`` program."""

    # There is nothing secret in it, and a secret would hide from a preview what changes.
    serialize_as_secret_always = False

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Whether this machine has what it takes; told before anything is touched."""
        try:
            process.runtime_version(news[RUNTIME])
            process.kind_version()
        except KindError as error:
            return CheckResult(news, [CheckFailure(RUNTIME, str(error))])
        return CheckResult(news, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """What a change means: another cluster, or nothing where it is about waiting only."""
        replaces = replacements(_olds, _news)
        return DiffResult(
            # Another patience changes nothing. As an update it would make the outputs unknown to a preview,
            # which would then tell that everything on the cluster is replaced.
            changes=bool(replaces),
            replaces=replaces,
            delete_before_replace=True,  # the name and the ports are taken as long as the old one is there
        )

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the cluster; what an interrupted creation left is removed first."""
        return _told(lambda: CreateResult(props[NAME], _create(props)))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What the cluster is like now; no id where somebody deleted it."""
        return _told(lambda: _read(id_, props))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Delete the cluster; one that is gone already is fine."""
        _told(lambda: _delete(_props))


def replacements(olds: Mapping[str, Any], news: Mapping[str, Any]) -> list[str]:
    """The inputs for whose sake the cluster is made anew.

    A node that somebody removed counts as well, once a refresh has seen it.
    """
    changed = [key for key in (NAME, RUNTIME, CONFIG) if olds.get(key) != news.get(key)]
    nodes = olds.get(NODES)
    if not changed and nodes is not None and len(nodes) != int(news[NODE_COUNT]):
        return [NODE_COUNT]
    return changed


def _create(props: Mapping[str, Any]) -> dict[str, Any]:
    name, runtime = props[NAME], props[RUNTIME]
    kind = Kind(runtime)
    with journal.making(runtime, name) as entry:
        if name in kind.clusters():
            if not entry.begun:
                raise KindError(
                    f"there is a Kind cluster {name!r} already, and this stack did not make it.\n"
                    f"  what to do: delete it (`kind delete cluster --name {name}`), or give this stack's "
                    "cluster another `name`"
                )
            kind.delete(name)
        entry.begin()
        try:
            kind.create(name, props[CONFIG], [entry.descriptor])
            kubeconfig = kind.kubeconfig(name)
            readiness.wait(parsing.access(kubeconfig), int(props[NODE_COUNT]), float(props[READY_SECONDS]))
            made = _outputs(props, kubeconfig, kind.nodes(name))
            if process.engine_is_gone():
                raise KindError("Pulumi's engine ended while the cluster was made; it is deleted again")
        except BaseException:
            with contextlib.suppress(KindError):  # it stays noted then, and the next time begins with it
                kind.delete(name)
                if not process.engine_is_gone():  # a container may still be on its way
                    entry.finish()
            raise
        entry.finish()
    return made


def _read(id_: str, props: Mapping[str, Any]) -> ReadResult:
    kind, name = Kind(props[RUNTIME]), props[NAME]
    if name not in kind.clusters():
        return ReadResult(None, {})
    return ReadResult(id_, _outputs(props, kind.kubeconfig(name), kind.nodes(name)))


def _delete(props: Mapping[str, Any]) -> None:
    Kind(props[RUNTIME]).delete(props[NAME])


def _inputs(props: Mapping[str, Any]) -> dict[str, Any]:
    return {key: props[key] for key in INPUTS}


def _outputs(props: Mapping[str, Any], kubeconfig: str, nodes: list[str]) -> dict[str, Any]:
    identifier = f"{props[NAME]}-{parsing.access(kubeconfig).fingerprint}"
    return {**_inputs(props), KUBECONFIG: kubeconfig, IDENTIFIER: identifier, NODES: nodes}


def _told(work: Callable[[], _Result]) -> _Result:
    try:
        return work()
    except KindError:
        # The SDK hands the whole traceback to the user; the message says what to do, the frames do not.
        sys.tracebacklimit = 0
        raise
