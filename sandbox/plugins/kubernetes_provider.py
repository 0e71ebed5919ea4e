"""Stand-in for the `kubernetes` plugin: every kind of object, Helm releases, YAML groups."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pulumi.runtime import proto

from sandbox.plugins import (
    apply,
    await_ready,
    checkpoint,
    diff,
    immutable,
    objects,
    provider_config,
    readiness,
    shape,
    wait_for,
)
from sandbox.plugins.apply import Operation
from sandbox.plugins.await_ready import NotReady
from sandbox.plugins.checkpoint import Origin
from sandbox.plugins.cluster import ApiError, Cluster, UnknownKind, Unreachable
from sandbox.plugins.helm_cli import Helm
from sandbox.plugins.helm_release import ReleaseHandler
from sandbox.plugins.objects import Kind, Object, kind_of, name_of, namespace_of, title
from sandbox.plugins.properties import (
    UNKNOWN,
    has_unknown,
    mark_secrets,
    marshal,
    plain,
    unmarshal,
)
from sandbox.plugins.provider_config import Settings
from sandbox.plugins.server import (
    EngineLog,
    InitFailed,
    InvalidRequest,
    Plugin,
    PluginError,
    package_version,
    serve,
    urn_name,
    urn_type,
)

_RELEASE: Final = "kubernetes:helm.sh/v3:Release"
_GONE: Final = proto.ReadResponse()
_UNREACHABLE_REMEDY: Final = (
    "if the cluster was deleted, run the command again with the environment variable "
    "PULUMI_K8S_DELETE_UNREACHABLE set to 'true' to remove its objects from the state"
)


class KubernetesPlugin(Plugin):
    """Keeps the objects of one cluster as a program describes them."""

    def __init__(self, version: str, log: EngineLog) -> None:
        super().__init__("kubernetes", version, log)
        self._settings = Settings(None, "the provider is not configured", "default")
        self._cluster: Cluster | None = None
        self._releases: ReleaseHandler | None = None
        self._declared_scopes: dict[tuple[str, str], str] = {}

    # The provider itself.

    def provider_schema(self) -> Mapping[str, Any]:
        return provider_config.schema()

    def check_config(self, request: proto.CheckRequest) -> proto.CheckResponse:
        given = plain(unmarshal(request.news))
        failures = [
            proto.CheckFailure(property=key, reason=reason)
            for key, reason in provider_config.problems(given).items()
        ]
        return proto.CheckResponse(inputs=request.news, failures=failures)

    def diff_config(self, request: proto.DiffRequest) -> proto.DiffResponse:
        olds = plain(unmarshal(request.old_inputs if request.old_inputs.fields else request.olds))
        news = plain(unmarshal(request.news))
        changed = {str(difference.path[0]) for difference in diff.differences(olds, news)}
        if not changed:
            return proto.DiffResponse(changes=proto.DiffResponse.DIFF_NONE)
        replaces = provider_config.replacements(olds, news, changed)
        return proto.DiffResponse(
            changes=proto.DiffResponse.DIFF_SOME, diffs=sorted(changed), replaces=replaces
        )

    def configure(self, request: proto.ConfigureRequest) -> proto.ConfigureResponse:
        self._settings = provider_config.settings(_configuration(request))
        if self._settings.selected is not None:
            self._cluster = Cluster(self._settings.selected, self.cancelled, self._settings.read_seconds)
        return super().configure(request)

    def stop(self) -> None:
        super().stop()
        if self._releases is not None:
            self._releases.close()

    # Objects.

    def check(self, request: proto.CheckRequest) -> proto.CheckResponse:
        if urn_type(request.urn) == _RELEASE:
            return self._release_handler().check(request)
        kind = self._served_kind(request.urn)
        marked = unmarshal(request.news)
        olds = plain(unmarshal(request.olds))
        obj: Object = objects.to_server(plain(marked))
        if f"{obj.get('kind')}Patch" == kind.kind:
            raise InvalidRequest(
                f"{urn_type(request.urn)}: the stand-in kubernetes plugin has no Patch resources; "
                f"put the official pulumi-resource-kubernetes on PATH to use them"
            )
        failures = _failures(obj, kind)
        if failures:
            return proto.CheckResponse(inputs=request.news, failures=failures)
        obj.setdefault("apiVersion", kind.api_version)
        obj.setdefault("kind", kind.kind)
        kind = kind_of(obj)
        obj["apiVersion"] = kind.api_version
        meta = obj.setdefault("metadata", {})
        if not objects.is_named(obj):
            _name(obj, olds, request)
        if isinstance(meta, dict) and not meta.get("namespace") and self._is_namespaced(kind):
            meta["namespace"] = self._settings.default_namespace
        if objects.is_crd(obj) and (defined := objects.defined_scope(obj)):
            self._declared_scopes[defined[0]] = defined[1]
        mark_secrets(obj, objects.to_server(marked))
        return proto.CheckResponse(inputs=marshal(obj))

    def diff(self, request: proto.DiffRequest) -> proto.DiffResponse:
        if urn_type(request.urn) == _RELEASE:
            return self._release_handler().diff(request)
        old = checkpoint.read(unmarshal(request.olds))
        new = objects.normalized(objects.to_server(plain(unmarshal(request.news))))
        old_inputs = objects.normalized(old.inputs)
        new = shape.rewritten(new, old.rewrites)
        base = shape.prune(old.live, old_inputs, shape.atomic_lists(old.live))
        self._align(base, new, old.live)
        found = [
            difference
            for difference in diff.differences(base, new)
            if not diff.is_ignored(difference.path, request.ignoreChanges)
        ]
        patterns = immutable.immutable_properties(
            new,
            old_inputs,
            mutable_secrets=self._settings.mutable_secrets,
            mutable_config_maps=self._settings.mutable_config_maps,
        )
        detail, replaces = diff.detailed(found, patterns)
        if self._must_replace_unready(new, old.live):
            replaces.append(f'metadata.annotations["{objects.REPLACE_UNREADY}"]')
        same_place = name_of(new) == name_of(old.live) and namespace_of(new) == namespace_of(base)
        return proto.DiffResponse(
            changes=proto.DiffResponse.DIFF_SOME if detail or replaces else proto.DiffResponse.DIFF_NONE,
            replaces=replaces,
            # Two objects of one name cannot exist side by side.
            deleteBeforeReplace=bool(replaces) and same_place and not objects.is_on(new, objects.AUTONAMED),
            detailedDiff=detail,
            hasDetailedDiff=True,
        )

    def create(self, request: proto.CreateRequest) -> proto.CreateResponse:
        if urn_type(request.urn) == _RELEASE:
            return self._release_handler().create(request)
        marked = objects.to_server(unmarshal(request.properties))
        obj: Object = objects.normalized(plain(marked))
        manager = checkpoint.field_manager(obj, "")
        op = self._operation(request.urn, request.timeout, obj)
        if op is None or (request.preview and not self._can_preview(obj, op.cluster)):
            if request.preview:
                return proto.CreateResponse(properties=request.properties)
            raise self._unreachable()
        force = self._settings.patch_force or objects.is_on(obj, objects.PATCH_FORCE)
        try:
            applied = apply.create(
                op, obj, manager, upsert=self._settings.upsert, force=force, dry_run=request.preview
            )
        except (ApiError, UnknownKind) as error:
            if request.preview and _says_nothing(error):
                return proto.CreateResponse(properties=request.properties)
            raise PluginError(f"{title(obj)} was not created: {error}") from None
        origin = Origin(kind_of(obj).api_version, manager, shape.rewrites(obj, applied))
        if request.preview:
            applied.pop("status", None)
            state = checkpoint.write(applied, obj, marked, origin)
            return proto.CreateResponse(properties=marshal(state))
        resource_id = objects.resource_id(namespace_of(applied), name_of(applied))
        live, problem = _awaited(op, applied, obj, updating=False)
        state = checkpoint.write(live, obj, marked, origin)
        if problem:
            raise InitFailed(
                f"{title(live)} was created, but is not ready: {problem}",
                resource_id=resource_id,
                outputs=state,
            )
        return proto.CreateResponse(id=resource_id, properties=marshal(state))

    def read(self, request: proto.ReadRequest) -> proto.ReadResponse:
        if urn_type(request.urn) == _RELEASE:
            if self._reachable() is None:
                return self._read_unreachable(request.urn)
            return self._release_handler().read(request)
        served = self._served_kind(request.urn)
        cluster = self._reachable()
        if cluster is None:
            return self._read_unreachable(request.urn)
        old = checkpoint.read(unmarshal(request.properties))
        marked = objects.to_server(unmarshal(request.inputs))
        known = objects.normalized(plain(marked))
        stated = kind_of(known) if known.get("kind") else kind_of(old.live)
        kind = stated if stated.kind else served
        namespace, name = self._place(kind, request.id)
        live = cluster.find(kind, namespace, name)
        if live is None:
            return _GONE
        inputs = shape.prune(live, known, shape.atomic_lists(live)) if known else _importable(live)
        manager = checkpoint.field_manager(known, old.field_manager)
        origin = Origin(old.initial_api_version or kind.api_version, manager, old.rewrites)
        state = checkpoint.write(live, inputs, marked, origin)
        kept = _kept(inputs, known, objects.from_server(marked), old.rewrites)
        problem = self._read_problem(request.urn, live, known, cluster)
        if problem:
            raise InitFailed(problem, resource_id=request.id, outputs=state, inputs=kept)
        return proto.ReadResponse(id=request.id, properties=marshal(state), inputs=marshal(kept))

    def update(self, request: proto.UpdateRequest) -> proto.UpdateResponse:
        if urn_type(request.urn) == _RELEASE:
            return self._release_handler().update(request)
        old = checkpoint.read(unmarshal(request.olds))
        marked = objects.to_server(unmarshal(request.news))
        obj: Object = objects.normalized(plain(marked))
        manager = checkpoint.field_manager(obj, old.field_manager)
        op = self._operation(request.urn, request.timeout, obj)
        if op is None or (request.preview and not self._can_preview(obj, op.cluster)):
            if request.preview:
                return proto.UpdateResponse(properties=request.news)
            raise self._unreachable()
        force = self._settings.patch_force or objects.is_on(obj, objects.PATCH_FORCE)
        try:
            applied = apply.update(
                op, obj, manager, force=force, dry_run=request.preview, ignored=request.ignoreChanges
            )
        except (ApiError, UnknownKind) as error:
            if request.preview and _says_nothing(error):
                return proto.UpdateResponse(properties=request.news)
            if isinstance(error, ApiError) and error.status == 404:
                raise PluginError(
                    f"{title(obj)} is not in the cluster any more; run `pulumi refresh`, then update again"
                ) from None
            raise PluginError(f"{title(obj)} was not updated: {error}") from None
        first = old.initial_api_version or kind_of(obj).api_version
        origin = Origin(first, manager, shape.rewrites(obj, applied))
        if request.preview:
            return proto.UpdateResponse(properties=marshal(checkpoint.write(applied, obj, marked, origin)))
        live, problem = _awaited(op, applied, obj, updating=True)
        state = checkpoint.write(live, obj, marked, origin)
        if problem:
            raise InitFailed(
                f"{title(live)} was updated, but is not ready: {problem}",
                resource_id=request.id,
                outputs=state,
            )
        return proto.UpdateResponse(properties=marshal(state))

    def delete(self, request: proto.DeleteRequest) -> None:
        release = urn_type(request.urn) == _RELEASE
        cluster = self._reachable()
        if cluster is None:
            if not self._settings.delete_unreachable:
                raise self._unreachable()
            self.log.warning(request.urn, "the cluster is unreachable; removed from the state only")
            return
        if release:
            self._release_handler().delete(request)
            return
        old = checkpoint.read(unmarshal(request.properties))
        kind = kind_of(old.live) if old.live.get("kind") else self._served_kind(request.urn)
        namespace, name = self._place(kind, request.id)
        op = self._operation(request.urn, request.timeout, old.inputs)
        if op is None:
            raise self._unreachable()
        try:
            apply.delete(op, kind, namespace, name, old.inputs)
        except PluginError as error:
            raise PluginError(f"{kind} {request.id} was not deleted: {error}") from None

    async def construct(self, request: proto.ConstructRequest) -> proto.ConstructResponse:
        # Imported late: only programs with YAML groups need the SDK's component machinery.
        from sandbox.plugins import yaml_group  # noqa: PLC0415

        return await yaml_group.construct(
            request,
            engine_address=self.engine_address or "",
            default_namespace=self._settings.default_namespace,
            is_namespaced=self._is_namespaced,
            version=self.version,
            messages=self.log,
        )

    # Helpers.

    def _served_kind(self, urn: str) -> Kind:
        token = urn_type(urn)
        kind = objects.kind_of_token(token)
        builtin = "." not in kind.group.removesuffix(".k8s.io")
        if builtin and kind.kind.endswith("List"):
            raise InvalidRequest(f"{token}: lists cannot be created; declare the objects in it instead")
        return kind

    def _is_namespaced(self, kind: Kind) -> bool:
        cluster = self._reachable()
        if cluster is not None:
            try:
                return cluster.resource(kind).namespaced
            except UnknownKind:
                pass
        # A preview of the update that installs the definition.
        declared = self._declared_scopes.get((kind.group, kind.kind))
        return declared != "Cluster" if declared else objects.scope_without_server(kind)

    def _place(self, kind: Kind, resource_id: str) -> tuple[str, str]:
        """Namespace and name of an id, which a person may have written without a namespace."""
        namespace, name = objects.split_id(resource_id)
        if not namespace and self._is_namespaced(kind):
            namespace = self._settings.default_namespace
        return namespace, name

    def _reachable(self) -> Cluster | None:
        return self._cluster if self._cluster is not None and self._cluster.is_reachable() else None

    def _unreachable(self) -> PluginError:
        reason = self._settings.problem
        if self._cluster is not None:
            try:
                self._cluster.require_reachable()
            except Unreachable as error:
                reason = str(error)
        return Unreachable(f"the Kubernetes cluster is unreachable: {reason}; {_UNREACHABLE_REMEDY}")

    def _read_unreachable(self, urn: str) -> proto.ReadResponse:
        if not self._settings.delete_unreachable:
            raise self._unreachable()
        self.log.warning(urn, "the cluster is unreachable; removed from the state only")
        return _GONE

    def _operation(self, urn: str, requested: float, inputs: Mapping[str, Any]) -> Operation | None:
        cluster = self._reachable()
        if cluster is None:
            return None
        timeout = await_ready.seconds(requested, inputs, apply.DEFAULT_TIMEOUT)
        return Operation(cluster, self.log, urn, self.cancelled, timeout)

    def _can_preview(self, obj: Object, cluster: Cluster) -> bool:
        return not has_unknown(obj) and cluster.serves(kind_of(obj))

    def _align(self, base: Object, new: Object, live: Mapping[str, Any]) -> None:
        """Take differences out of name and namespace that mean nothing."""
        base_meta, new_meta = base.setdefault("metadata", {}), new.setdefault("metadata", {})
        if not isinstance(base_meta, dict) or not isinstance(new_meta, dict):
            return
        if self._is_namespaced(kind_of(new)):
            base_meta["namespace"] = base_meta.get("namespace") or "default"
            new_meta["namespace"] = new_meta.get("namespace") or "default"
        else:
            base_meta.pop("namespace", None)
            new_meta.pop("namespace", None)
        if name_of(new):
            base_meta["name"] = name_of(live)

    def _must_replace_unready(self, new: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
        if not objects.is_on(new, objects.REPLACE_UNREADY) or kind_of(new).kind != "Job":
            return False
        cluster = self._reachable()
        found = cluster and cluster.find(kind_of(new), namespace_of(live), name_of(live))
        return bool(found) and not readiness.check(found or {}, readiness.Situation(cluster)).ready  # type: ignore[arg-type]

    def _read_problem(self, urn: str, live: Object, inputs: Mapping[str, Any], cluster: Cluster) -> str:
        if not inputs or not readiness.is_read(kind_of(live)) or objects.is_on(inputs, objects.SKIP_AWAIT):
            return ""
        if objects.annotation(inputs, objects.WAIT_FOR):
            return ""
        op = Operation(cluster, self.log, urn, self.cancelled)
        verdict = await_ready.check(op, live, waited=float("inf"), updating=True)
        return "" if verdict.ready else f"{title(live)} is not ready: {verdict.message}"

    def _release_handler(self) -> ReleaseHandler:
        if self._releases is None:
            selected = self._settings.selected
            binary = os.environ.get("RAYFORT_HELM") or shutil.which("helm")
            helm = Helm(
                binary=Path(binary) if binary else None,
                kubeconfig=selected,
                environment=self._settings.helm_environment,
                cancelled=self.cancelled,
            )
            self._releases = ReleaseHandler(
                helm, self.log, self._settings.default_namespace, self._settings.problem
            )
        return self._releases


def _configuration(request: proto.ConfigureRequest) -> dict[str, Any]:
    if request.args.fields:
        return dict(plain(unmarshal(request.args)))
    return {key.rsplit(":", 1)[-1]: value for key, value in request.variables.items()}


def _name(obj: Object, olds: Mapping[str, Any], request: proto.CheckRequest) -> None:
    if olds and objects.is_on(olds, objects.AUTONAMED) and name_of(olds):
        objects.set_name(obj, name_of(olds))
        return
    if obj["metadata"].get("generateName"):
        raise InvalidRequest("metadata.generateName does not go with server-side apply; leave the name out")
    options = request.autonaming
    if options.mode == proto.CheckRequest.AutonamingOptions.DISABLE:
        raise InvalidRequest("autonaming is disabled, so metadata.name must be given")
    name = options.proposed_name or objects.autoname(urn_name(request.urn), request.randomSeed)
    objects.set_name(obj, name)


def _failures(obj: Mapping[str, Any], kind: Kind) -> list[proto.CheckFailure]:
    found: dict[str, str] = {}
    if obj.get("kind", kind.kind) not in (kind.kind, UNKNOWN):
        found["kind"] = f"kind is {obj['kind']!r}, but the resource's type says {kind.kind!r}"
    meta = obj.get("metadata", {})
    if meta is UNKNOWN:
        meta = {}
    if not isinstance(meta, Mapping):
        found["metadata"] = "metadata must be a mapping"
        meta = {}
    for key in ("name", "namespace"):
        value = meta.get(key, "")
        if value is not UNKNOWN and value is not None and not isinstance(value, str):
            found[f"metadata.{key}"] = f"metadata.{key} must be text, not {type(value).__name__}"
    for key in ("labels", "annotations"):
        entries = meta.get(key) or {}
        if entries is UNKNOWN:
            continue
        if not isinstance(entries, Mapping):
            found[f"metadata.{key}"] = f"metadata.{key} must be a mapping of text to text"
            continue
        for name, value in entries.items():
            if value is not UNKNOWN and not isinstance(value, str):
                path = diff.path_text(("metadata", key, name))
                found[path] = f"{path} must be text, not {type(value).__name__}"
    if wanted := objects.annotation(obj, objects.WAIT_FOR):
        try:
            wait_for.parse(wanted)
        except InvalidRequest as error:
            found[diff.path_text(("metadata", "annotations", objects.WAIT_FOR))] = str(error)
    return [proto.CheckFailure(property=path, reason=reason) for path, reason in found.items()]


def _says_nothing(error: ApiError | UnknownKind) -> bool:
    """Whether an error of a preview may be gone by the time of the update."""
    if isinstance(error, UnknownKind) or error.status in (403, 404, 409) or error.status >= 500:
        return True
    return "does not support dry run" in str(error)


def _kept(inputs: Object, known: Object, given: Object, rewrites: list[dict[str, Any]]) -> Object:
    """The inputs that a read gives the engine to keep.

    Those that were given where the server says the same in other words, such as `data` for `stringData`: the
    engine would write its whole state for each resource whose inputs changed, now and again when the program
    says what it said before.
    """
    if known and not any(diff.differences(inputs, shape.rewritten(known, rewrites))):
        return given
    kept: Object = objects.from_server(inputs)
    mark_secrets(kept, given)
    return kept


def _importable(live: Object) -> Object:
    inputs = objects.normalized(live)
    inputs.pop("status", None)
    annotations = inputs["metadata"].get("annotations") or {}
    for key in ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"):
        annotations.pop(key, None)
    return inputs


def _awaited(op: Operation, applied: Object, inputs: Object, *, updating: bool) -> tuple[Object, str]:
    try:
        return await_ready.wait(op, applied, inputs, updating=updating), ""
    except NotReady as error:
        return error.live, str(error)
    except PluginError as error:
        return applied, str(error)  # it exists, whatever went wrong after that


def make(log: EngineLog) -> KubernetesPlugin:
    """Return the plugin as `server.serve` wants it."""
    return KubernetesPlugin(package_version("pulumi-kubernetes"), log)


if __name__ == "__main__":
    serve(make)
