"""The resource `kubernetes:helm.sh/v3:Release`: a chart installed by the real helm."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pulumi.runtime import proto

from sandbox.plugins import diff, objects, shape
from sandbox.plugins.helm_cli import NO_RELEASE, ChartSource, Helm, HelmError
from sandbox.plugins.properties import (
    UNKNOWN,
    Secret,
    Special,
    has_unknown,
    mark_secrets,
    marshal,
    plain,
    unmarshal,
)
from sandbox.plugins.server import EngineLog, InitFailed, InvalidRequest, urn_name
from sandbox.yaml_text import as_yaml

_INPUTS: Final = "__inputs"
_DEFAULT_TIMEOUT: Final = 300
_COMPUTED: Final = ("resourceNames", "status")
# Answered by the SDK, or without meaning for a release.
_NOT_INPUTS: Final = frozenset({"compat", "resourceNames", "status", "manifest", "allowNullValues"})
_IMMUTABLE: Final = (".name", ".namespace")
# On a release, which resource made it.
_MARK: Final = "pulumi-resource"
_UNFINISHED: Final = frozenset({"pending-install", "failed", "uninstalling", "unknown"})


class ReleaseHandler:
    """Serves releases.

    Args:
        helm: the program.
        log: for messages to the user.
        default_namespace: for releases that name none.
        problem: why there is no usable kubeconfig; empty if there is one.
    """

    def __init__(self, helm: Helm, log: EngineLog, default_namespace: str, problem: str) -> None:
        self._helm = helm
        self._log = log
        self._default_namespace = default_namespace
        self._problem = problem

    def close(self) -> None:
        """Give back what the process holds."""
        self._helm.close()

    def check(self, request: proto.CheckRequest) -> proto.CheckResponse:
        marked = unmarshal(request.news)
        olds = plain(unmarshal(request.olds))
        inputs = {key: value for key, value in plain(marked).items() if key not in _NOT_INPUTS}
        unsupported = sorted(inputs.keys() - _INPUT_NAMES)
        if unsupported:
            return _refused(request, unsupported[0], f"the stand-in plugin has no Release.{unsupported[0]}")
        _merge_value_files(inputs)
        if not inputs.get("name"):
            inputs["name"] = olds.get("name") or objects.autoname(urn_name(request.urn), request.randomSeed)
        inputs["namespace"] = inputs.get("namespace") or self._default_namespace
        if not inputs.get("skipAwait"):
            inputs.setdefault("timeout", _DEFAULT_TIMEOUT)
        if not has_unknown(inputs):
            try:
                self._resolve_chart(inputs)
            except HelmError as error:
                return _refused(
                    request, "chart", f"{error}; check the chart name and the repository configuration"
                )
        mark_secrets(inputs, {**marked, "values": _values_marks(marked)})
        return proto.CheckResponse(inputs=marshal(inputs))

    def _resolve_chart(self, inputs: dict[str, Any]) -> None:
        """Replace a version constraint by the version that it means, and note a local chart's content."""
        source = _source(inputs)
        chart = self._helm.fetch(source)
        found = self._helm.metadata(chart)
        if found.get("type") == "library":
            raise HelmError(f"{source.chart} is a library chart, which cannot be installed")
        inputs["version"] = str(found.get("version", ""))
        if source.local_path() is not None:
            inputs["checksum"] = _checksum(chart)

    def diff(self, request: proto.DiffRequest) -> proto.DiffResponse:
        olds = plain(unmarshal(request.olds))
        news = plain(unmarshal(request.news))
        old_inputs = olds.pop(_INPUTS, None) or {}
        if "version" in request.ignoreChanges:
            news["version"] = olds.get("version")
        base = shape.prune(olds, old_inputs)
        # Only local charts have one; a chart that moved to a repository loses it without a change.
        if "checksum" not in news:
            base.pop("checksum", None)
        found = [
            difference
            for difference in diff.differences(base, news)
            if not diff.is_ignored(difference.path, request.ignoreChanges)
        ]
        detail, replaces = diff.detailed(found, _IMMUTABLE)
        status = (olds.get("status") or {}).get("status")
        if status not in (None, "deployed", "superseded"):
            detail["status.status"] = proto.PropertyDiff(kind=proto.PropertyDiff.UPDATE)
        return proto.DiffResponse(
            changes=proto.DiffResponse.DIFF_SOME if detail else proto.DiffResponse.DIFF_NONE,
            diffs=sorted({str(difference.path[0]) for difference in found}),
            replaces=replaces,
            detailedDiff=detail,
            hasDetailedDiff=bool(detail),
        )

    def create(self, request: proto.CreateRequest) -> proto.CreateResponse:
        marked = unmarshal(request.properties)
        if request.preview:
            return proto.CreateResponse(properties=marshal(_preview(marked)))
        inputs = plain(marked)
        name, namespace = inputs["name"], inputs["namespace"]
        self._require_cluster()
        live = self._helm.status(name, namespace)
        again = live is not None and not self._clear_unfinished(request.urn, name, namespace, live)
        # An earlier run may have ended before it knew that the release was there.
        known = again and self._helm.has_label(name, namespace, _MARK, _mark(request.urn))
        step = self._upgrade if known else self._install
        problem = self._try(request.urn, lambda: step(request.urn, inputs))
        return proto.CreateResponse(
            id=objects.resource_id(namespace, name),
            properties=marshal(self._outcome(marked, inputs, problem, "created")),
        )

    def update(self, request: proto.UpdateRequest) -> proto.UpdateResponse:
        marked = unmarshal(request.news)
        if request.preview:
            return proto.UpdateResponse(properties=marshal(_preview(marked)))
        inputs = plain(marked)
        self._require_cluster()
        problem = self._try(request.urn, lambda: self._upgrade(request.urn, inputs))
        return proto.UpdateResponse(properties=marshal(self._outcome(marked, inputs, problem, "updated")))

    def read(self, request: proto.ReadRequest) -> proto.ReadResponse:
        self._require_cluster()
        state = unmarshal(request.properties)
        marked = state.pop(_INPUTS, None)
        marked = marked.value if isinstance(marked, Secret) else marked
        namespace, name = objects.split_id(request.id)
        live = self._helm.status(name, namespace or self._default_namespace)
        if live is None:
            return proto.ReadResponse()
        if marked is None:
            marked = self._imported(live)
        outputs = self._outputs(plain(marked), live)
        inputs = unmarshal(request.inputs) or marked
        return proto.ReadResponse(
            id=request.id, properties=marshal(_checkpoint(marked, outputs)), inputs=marshal(inputs)
        )

    def delete(self, request: proto.DeleteRequest) -> None:
        self._require_cluster()
        state = plain(unmarshal(request.properties))
        namespace, name = objects.split_id(request.id)
        flags = []
        if state.get("atomic") or not state.get("skipAwait"):
            flags = ["--wait", "--timeout", f"{_timeout(state)}s"]
        try:
            self._log.status(request.urn, f"uninstalling release {request.id}")
            self._helm.run(["uninstall", name, *flags], namespace=namespace or self._default_namespace)
        except HelmError as error:
            if NO_RELEASE not in str(error):
                raise HelmError(f"release {request.id} was not uninstalled: {error}") from None

    # Running helm.

    def _require_cluster(self) -> None:
        if self._problem:
            raise HelmError(f"the Kubernetes cluster is unreachable: {self._problem}")

    def _try(self, urn: str, step: Any) -> str:
        try:
            step()
        except HelmError as error:
            return str(error)
        finally:
            self._log.status(urn, "")
        return ""

    def _install(self, urn: str, inputs: Mapping[str, Any]) -> None:
        mark = ("--labels", f"{_MARK}={_mark(urn)}")
        self._chart_command("install", inputs, self._teller(urn, "installing", inputs), mark)

    def _upgrade(self, urn: str, inputs: Mapping[str, Any]) -> None:
        name, namespace = inputs["name"], inputs["namespace"]
        live = self._helm.status(name, namespace)
        if live is None or self._clear_unfinished(urn, name, namespace, live):
            self._install(urn, inputs)
            return
        if live["info"]["status"] in ("pending-upgrade", "pending-rollback"):
            # An interrupted upgrade locks the release; only a rollback unlocks it.
            self._log.status(urn, f"rolling release {namespace}/{name} back after an interrupted upgrade")
            self._helm.run(["rollback", name], namespace=namespace)
        self._chart_command("upgrade", inputs, self._teller(urn, "upgrading", inputs))

    def _clear_unfinished(self, urn: str, name: str, namespace: str, live: Mapping[str, Any]) -> bool:
        """Remove a release whose first installation never finished; whether it was one."""
        if live["info"]["status"] not in _UNFINISHED or live["version"] != 1:
            return False
        self._log.info(
            urn,
            f"release {namespace}/{name} is {live['info']['status']} since an earlier run; removing it",
        )
        self._helm.run(["uninstall", name, "--wait"], namespace=namespace)
        return True

    def _teller(self, urn: str, doing: str, inputs: Mapping[str, Any]) -> Callable[[float], None]:
        message = f"{doing} release {inputs['namespace']}/{inputs['name']}"
        self._log.status(urn, message)
        return lambda seconds: self._log.status(urn, f"{message} ({seconds:.0f} s)")

    def _chart_command(
        self, verb: str, inputs: Mapping[str, Any], tell: Callable[[float], None], more: tuple[str, ...] = ()
    ) -> None:
        chart = self._helm.fetch(_source(inputs))
        if inputs.get("dependencyUpdate") and chart.is_dir():
            self._helm.run(["dependency", "update", str(chart)])
        values = as_yaml(inputs.get("values") or {})
        if inputs.get("lint"):
            self._helm.run(["lint", str(chart), "--values", "-"], stdin=values)
        arguments = [verb, inputs["name"], str(chart), "--values", "-", *command_flags(verb, inputs), *more]
        self._helm.run(arguments, namespace=inputs["namespace"], stdin=values, tell=tell)

    def _outcome(
        self, marked: Mapping[str, Any], inputs: Mapping[str, Any], problem: str, verb: str
    ) -> dict[str, Any]:
        name, namespace = inputs["name"], inputs["namespace"]
        try:
            live = self._helm.status(name, namespace)
        except HelmError as error:
            raise HelmError("; ".join(part for part in (problem, str(error)) if part)) from None
        if live is None:
            raise HelmError(
                f"release {namespace}/{name}: {problem or 'helm does not know it after the command'}"
            )
        state = _checkpoint(marked, self._outputs(inputs, live))
        if not problem:
            return state
        if verb == "created" and live["info"]["status"] == "deployed":
            raise HelmError(f"release {namespace}/{name} was not installed: {problem}")
        raise InitFailed(
            f"release {namespace}/{name} was {verb}, but is {live['info']['status']}: {problem}",
            resource_id=objects.resource_id(namespace, name),
            outputs=state,
        )

    def _outputs(self, inputs: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
        name, namespace = str(live["name"]), str(live["namespace"])
        chart = self._helm.release_chart(name, namespace)
        outputs = dict(inputs)
        outputs |= {
            "name": name,
            "namespace": namespace,
            "values": live.get("config") or {},
            "version": chart["version"],
            "resourceNames": resource_names(live.get("manifest") or ""),
            "status": {
                "appVersion": chart.get("appVersion") or "",
                "chart": chart["chart"],
                "name": name,
                "namespace": namespace,
                "revision": live["version"],
                "status": live["info"]["status"],
                "version": chart["version"],
            },
        }
        return outputs

    def _imported(self, live: Mapping[str, Any]) -> dict[str, Any]:
        chart = self._helm.release_chart(live["name"], live["namespace"])
        return {
            "chart": chart["chart"],
            "name": live["name"],
            "namespace": live["namespace"],
            "timeout": _DEFAULT_TIMEOUT,
            "values": Secret(live.get("config") or {}),
            "version": chart["version"],
        }


def _mark(urn: str) -> str:
    return hashlib.sha256(urn.encode()).hexdigest()[:12]


_SWITCHES: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "atomic": ("--atomic", frozenset({"install", "upgrade"})),
    "cleanupOnFail": ("--cleanup-on-fail", frozenset({"upgrade"})),
    "createNamespace": ("--create-namespace", frozenset({"install"})),
    "disableCRDHooks": ("--no-hooks", frozenset({"upgrade"})),
    "disableOpenapiValidation": ("--disable-openapi-validation", frozenset({"install", "upgrade"})),
    "disableWebhooks": ("--no-hooks", frozenset({"install"})),
    "forceUpdate": ("--force", frozenset({"upgrade"})),
    "recreatePods": ("--recreate-pods", frozenset({"upgrade"})),
    "renderSubchartNotes": ("--render-subchart-notes", frozenset({"install", "upgrade"})),
    "replace": ("--replace", frozenset({"install"})),
    "resetValues": ("--reset-values", frozenset({"upgrade"})),
    "reuseValues": ("--reuse-values", frozenset({"upgrade"})),
    "skipCrds": ("--skip-crds", frozenset({"install", "upgrade"})),
    "takeOwnership": ("--take-ownership", frozenset({"install", "upgrade"})),
}
_INPUT_NAMES: Final = frozenset(
    {
        *_SWITCHES,
        "chart",
        "checksum",
        "dependencyUpdate",
        "description",
        "devel",
        "keyring",
        "lint",
        "maxHistory",
        "name",
        "namespace",
        "postrender",
        "repositoryOpts",
        "skipAwait",
        "timeout",
        "valueYamlFiles",
        "values",
        "verify",
        "version",
        "waitForJobs",
    }
)


def command_flags(verb: str, inputs: Mapping[str, Any]) -> list[str]:
    """Return the flags of `helm install` or `helm upgrade` that the inputs of a release mean."""
    flags = [flag for key, (flag, verbs) in _SWITCHES.items() if inputs.get(key) and verb in verbs]
    if not inputs.get("skipAwait"):
        flags.append("--wait")
        flags += ["--wait-for-jobs"] if inputs.get("waitForJobs") else []
    flags += ["--timeout", f"{_timeout(inputs)}s"]
    if inputs.get("description"):
        flags += ["--description", inputs["description"]]
    if inputs.get("postrender"):
        flags += ["--post-renderer", inputs["postrender"]]
    if verb == "upgrade":
        flags += ["--history-max", str(inputs.get("maxHistory") or 0)]
    return flags


def _timeout(inputs: Mapping[str, Any]) -> int:
    return int(inputs.get("timeout") or _DEFAULT_TIMEOUT)


def resource_names(manifest: str) -> dict[str, list[str]]:
    """Return the names of a manifest's objects by kind, e.g. `Deployment.apps/apps/v1` → `ns/name`."""
    found: dict[str, set[str]] = {}
    for obj in _objects(manifest):
        kind = objects.kind_of(obj)
        group_kind = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
        name = objects.resource_id(objects.namespace_of(obj), objects.name_of(obj))
        found.setdefault(f"{group_kind}/{kind.api_version}", set()).add(name)
    return {kind: sorted(names) for kind, names in sorted(found.items())}


def _objects(manifest: str) -> Iterator[Mapping[str, Any]]:
    for document in yaml.load_all(manifest, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(document, Mapping) and document.get("kind"):
            yield document


def _source(inputs: Mapping[str, Any]) -> ChartSource:
    repository = inputs.get("repositoryOpts") or {}
    return ChartSource(
        chart=str(inputs.get("chart") or "").strip(),
        version=str(inputs.get("version") or "").strip(),
        repository=repository.get("repo") or "",
        username=repository.get("username") or "",
        password=repository.get("password") or "",
        ca_file=repository.get("caFile") or "",
        cert_file=repository.get("certFile") or "",
        key_file=repository.get("keyFile") or "",
        devel=bool(inputs.get("devel")),
        verify=bool(inputs.get("verify")),
        keyring=inputs.get("keyring") or "",
    )


def _checksum(chart: Path) -> str:
    digest = hashlib.sha256()
    files = [chart] if chart.is_file() else sorted(path for path in chart.rglob("*") if path.is_file())
    for path in files:
        content = path.read_bytes()
        name = path.relative_to(chart).as_posix() if path != chart else ""
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _refused(request: proto.CheckRequest, key: str, reason: str) -> proto.CheckResponse:
    failure = proto.CheckFailure(property=key, reason=reason)
    return proto.CheckResponse(inputs=request.news, failures=[failure])


def _merge_value_files(inputs: dict[str, Any]) -> None:
    """Fold `valueYamlFiles` under `values`, as the official plugin does."""
    files = inputs.pop("valueYamlFiles", None)
    if not files or files is UNKNOWN:
        return
    merged: dict[str, Any] = {}
    for asset in files:
        merged = _merge(merged, _asset_values(asset))
    given = inputs.get("values")
    inputs["values"] = given if given is UNKNOWN else _merge(merged, given or {})


def _asset_values(asset: Any) -> dict[str, Any]:
    fields = asset.fields if isinstance(asset, Special) else {}
    if fields.get("text"):
        text = fields["text"]
    elif fields.get("path"):
        text = Path(fields["path"]).read_text()
    else:
        raise InvalidRequest("valueYamlFiles takes file and text assets only")
    values = yaml.safe_load(text) or {}
    if not isinstance(values, dict):
        raise InvalidRequest("a file of valueYamlFiles holds no mapping")
    return values


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        both = isinstance(value, Mapping) and isinstance(known, Mapping)
        result[key] = _merge(known, value) if both else value  # type: ignore[arg-type]
    return result


def _values_marks(marked: Mapping[str, Any]) -> Any:
    """What says which values are secret: a secret file makes all of them so."""
    values = marked.get("values") or {}
    return Secret(values) if isinstance(marked.get("valueYamlFiles"), Secret) else values


def _preview(marked: Mapping[str, Any]) -> dict[str, Any]:
    outputs = dict(plain(marked)) | dict.fromkeys(_COMPUTED, UNKNOWN)
    return _checkpoint(marked, outputs)


def _checkpoint(marked: Mapping[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    mark_secrets(outputs, marked)
    return outputs | {_INPUTS: Secret(dict(marked))}
