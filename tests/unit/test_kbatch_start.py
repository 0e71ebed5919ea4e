"""The modules that start kbatch-proxy's published image, against stand-ins of what is in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest
from rayfort.proxy.kbatch_app import Limited
from rayfort.proxy.kbatch_completed import START_SECONDS, Completed, followed, templated

SETTINGS = {
    "codeImage": "docker.io/library/busybox:1.37.0",
    "codePrefix": "kbatch-code-",
    "jobEnvironment": ["RAY_ADDRESS", "RAY_AUTH_TOKEN"],
    "jobEnvironmentSecret": "rayfort-job-env",
    "legacy": False,
    "restricted": False,
    "secretPrefix": "kbatch-env-",
    "serviceAccount": "kbatch-job",
    "users": {"alice": "alice"},
}
USER = "kbatch.jupyter.org/username"


class Anything:
    """An object of the Kubernetes client: it keeps what it is given, and None of everything else."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        return None


class Core:
    delete_namespaced_config_map = "deletes"


CLIENT = SimpleNamespace(
    **dict.fromkeys(
        (
            "V1Capabilities",
            "V1EnvVar",
            "V1EnvVarSource",
            "V1Job",
            "V1ObjectMeta",
            "V1PodSecurityContext",
            "V1SeccompProfile",
            "V1SecretKeySelector",
            "V1SecurityContext",
        ),
        Anything,
    ),
    CoreV1Api=Core,
)


def job(**pod: Any) -> Any:
    containers = [Anything(name="job", image="x", env=[Anything(name="A", value="b")])]
    spec = Anything(containers=containers, **pod)
    return Anything(
        metadata=Anything(name="chosen", generate_name="chosen-", labels={}),
        spec=Anything(template=Anything(metadata=Anything(labels={}), spec=spec)),
    )


def image(**settings: Any) -> tuple[Completed, Any, Any]:
    """The completed modules of an image that does nothing by itself but what is looked at here."""
    given: dict[str, Any] = {}

    def add_labels(each: Any, labels: Any, username: str) -> None:
        for place in (each.metadata, each.spec.template.metadata):
            place.labels[USER] = username.replace("A", "-41")

    def unzip(each: Any) -> None:
        each.spec.template.spec.init_containers = [Anything(name="init", image="busybox")]

    patch = SimpleNamespace(
        add_extra_env=lambda each, env, api_token=None: given.update(token=api_token),
        add_unzip_init_container=unzip,
        add_namespace_configmap=lambda config_map, namespace: given.update(namespace=namespace),
        add_labels=add_labels,
        extract_env_secret=lambda each: (each.metadata.name, each.metadata.generate_name),
        namespace_for_username=lambda username: f"kbatch-{username.lower()}--1",
    )
    utils = SimpleNamespace(basic_types={"str"}, merge_json_objects=lambda one, other: {**one, **other})
    completed = Completed({**SETTINGS, **settings}, utils, patch, CLIENT)
    completed.jobs()
    completed.names()
    return completed, patch, given


def test_jobs_get_their_ray_by_reference_and_say_who_they_are() -> None:
    _, patch, given = image()
    made = job()
    patch.add_extra_env(made, {}, "the-users-token")
    pod = made.spec.template.spec
    references = {each.name: each.value_from.secret_key_ref for each in pod.containers[0].env[1:]}
    assert set(references) == {"RAY_ADDRESS", "RAY_AUTH_TOKEN"}
    assert all(each.name == "rayfort-job-env" and each.optional for each in references.values())
    assert (pod.service_account_name, pod.automount_service_account_token) == ("kbatch-job", False)
    assert pod.security_context.seccomp_profile.type == "RuntimeDefault"
    assert pod.containers[0].security_context.allow_privilege_escalation is False
    assert pod.containers[0].security_context.capabilities is None
    assert given["token"] == "the-users-token"


def test_what_the_user_says_is_left_for_the_rules_to_judge() -> None:
    """A job that runs otherwise than its user wrote would surprise; a refusal says why."""
    _, patch, _ = image()
    made = job(service_account_name="other", automount_service_account_token=True, enable_service_links=True)
    made.spec.template.spec.containers[0].env.append(Anything(name="RAY_ADDRESS", value="auto"))
    patch.add_extra_env(made, {})
    pod = made.spec.template.spec
    assert (pod.service_account_name, pod.automount_service_account_token) == ("other", True)
    assert pod.enable_service_links is True
    assert [each.name for each in pod.containers[0].env] == ["A", "RAY_ADDRESS", "RAY_AUTH_TOKEN"]


def test_the_old_proxy_writes_no_token_into_jobs() -> None:
    _, patch, given = image(legacy=True)
    patch.add_extra_env(job(), {}, "the-users-token")
    assert given["token"] is None


def test_code_is_unpacked_by_an_image_that_the_platform_names() -> None:
    """kbatch-proxy's own has no tag."""
    _, patch, _ = image(restricted=True)
    made = job()
    patch.add_unzip_init_container(made)
    (init,) = made.spec.template.spec.init_containers
    assert init.image == SETTINGS["codeImage"]
    assert init.security_context.capabilities.drop == ["ALL"]


def test_no_user_chooses_the_name_of_a_secret_or_a_config_map() -> None:
    _, patch, _ = image()
    made, code = job(), Anything(metadata=Anything(name="istio-ca-root-cert", finalizers=["a/b"]))
    assert patch.extract_env_secret(made) == (None, "kbatch-env-")
    assert (made.metadata.name, made.metadata.generate_name) == ("chosen", "chosen-")
    patch.add_namespace_configmap(code, "kbatch-alice")
    assert vars(code.metadata) == {"generate_name": "kbatch-code-"}
    assert Core.delete_namespaced_config == "deletes"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("user", "label"), [("alice", "alice"), ("Alice", "kbatch-alice--1")])
def test_every_user_has_a_label(user: str, label: str) -> None:
    """A name with a capital at its beginning is escaped to what is no label, and every job is refused."""
    _, patch, _ = image()
    made = job()
    patch.add_labels(made, {}, user)
    assert made.metadata.labels == made.spec.template.metadata.labels == {USER: label}


def test_users_of_the_old_proxy_are_known_by_their_exact_names() -> None:
    """With 0.4 A-B and a-b have one namespace."""
    completed, patch, _ = image(legacy=True)
    completed.users(PermissionError)
    assert patch.namespace_for_username("alice") == "alice"
    with pytest.raises(PermissionError, match="user Alice may not submit"):
        patch.namespace_for_username("Alice")


@pytest.mark.parametrize("error", [AttributeError("'Dict[str, str]'"), NotImplementedError("TODO")])
def test_a_client_that_cannot_be_read_is_told_at_the_start(error: Exception) -> None:
    completed, _, _ = image()

    def parse(_: Any, __: Any) -> Any:
        raise error

    completed._utils.parse = parse
    assert "would answer 500 to every submission" in str(completed.check())
    assert type(error).__name__ in str(completed.check())


def test_a_client_that_loses_a_boolean_is_told_as_well() -> None:
    completed, _, _ = image()
    completed._utils.parse = lambda *_: job(automount_service_account_token=None)
    assert completed.check()


def merge(one: Any, other: Any) -> Any:
    """kbatch-proxy's way: the template wins, and what is no object is replaced."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    return {**one, **{key: merge(one[key], value) if key in one else value for key, value in other.items()}}


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"backoff_limit": 1}}


@pytest.mark.parametrize("key", ["job_template", "jobTemplate"])
def test_the_template_reaches_the_jobs_of_a_cron_job(key: str) -> None:
    """kbatch-proxy lays it over the CronJob, which drops what it does not know."""
    made = templated(merge)({"spec": {"schedule": "x", key: {"spec": {"backoff_limit": 5}}}}, TEMPLATE)
    assert made["spec"]["job_template"] == TEMPLATE
    assert made["spec"]["schedule"] == "x"


def test_a_job_does_not_escape_the_template_by_looking_like_a_cron_job() -> None:
    data = {"spec": {"backoff_limit": 9, "jobTemplate": {"spec": {}}}}
    assert templated(merge)(data, TEMPLATE)["spec"]["backoff_limit"] == 1


@pytest.mark.parametrize("template", [None, {}])
def test_without_a_template_nothing_is_changed(template: Any) -> None:
    data = {"spec": {"job_template": {"spec": {"a": 1}}}}
    assert templated(lambda one, _: one)(data, template) == data


Message = MutableMapping[str, Any]


def ask(chunks: list[bytes], length: str | None = None, most: int = 10) -> tuple[int, bytes | None]:
    """The status of a request behind a limit, and the body that the application saw."""
    seen: list[bytes] = []
    sent: list[Message] = []
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
        for number, chunk in enumerate(chunks, 1)
    ]

    async def app(_: Any, receive: Any, send: Any) -> None:
        message = await receive()
        assert not message["more_body"]
        seen.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-length", length.encode())] if length is not None else []
    asyncio.run(Limited(app, most)({"type": "http", "headers": headers}, receive, send))
    status = sent[0]["status"]
    if status == 413:
        assert json.loads(sent[1]["body"]) == {"detail": f"the request is larger than {most} bytes"}
    return status, seen[0] if seen else None


@pytest.mark.parametrize(
    ("chunks", "length", "answer"),
    [
        ([b""], None, (200, b"")),
        ([b"12345", b"67890"], "10", (200, b"1234567890")),
        ([b"12345", b"67890"], None, (200, b"1234567890")),
        ([b"12345", b"678901"], None, (413, None)),
        ([b"12345", b"678901"], "5", (413, None)),
        ([b"12345678901"], "11", (413, None)),
        ([b"1"], "many", (413, None)),
        ([b"1234567890"] * 9 + [b"never read"] * 2, None, (413, None)),
    ],
)
def test_requests_are_read_up_to_a_limit(chunks: list[bytes], length: str | None, answer: Any) -> None:
    """A body is read into memory whole; a stated length is not believed."""
    assert ask(chunks, length) == answer


def test_what_is_no_request_passes() -> None:
    """The server tells the application of its own start."""
    passed: list[str] = []

    async def app(scope: Any, _: Any, __: Any) -> None:
        passed.append(scope["type"])

    asyncio.run(Limited(app, 1)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert passed == ["lifespan"]


class Refused(Exception):
    """What the Kubernetes client raises."""

    def __init__(self, status: int, body: str = "") -> None:
        self.status, self.body, self.reason = status, body, "a reason"


STARTING = Refused(400, json.dumps({"message": "container job is waiting to start"}))


class Logs:
    """A job whose logs are refused a few times before they are there."""

    def __init__(self, *refusals: Refused, lines: tuple[str, ...] = ("one", "", "two")) -> None:
        self.refusals, self.lines, self.asked = list(refusals), lines, 0

    def stream(self, *given: Any, **named: Any) -> Iterator[str]:
        self.asked += 1
        if self.refusals:
            raise self.refusals.pop(0)
        yield from self.lines

    def followed(self, pause: Callable[[float], None] = lambda _: None) -> list[str]:
        return list(followed(self.stream, Refused, pause)("read", name="pod"))


def test_who_follows_a_job_waits_for_its_start() -> None:
    """kbatch-proxy would leave an answer without an end, and the user with a traceback after a minute."""
    logs = Logs(STARTING, STARTING)
    assert logs.followed() == ["one\n", "\n", "two\n"]
    assert logs.asked == 3


def test_who_follows_a_job_that_does_not_start_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("rayfort.proxy.kbatch_completed.time.monotonic", lambda: clock[0])

    def pause(seconds: float) -> None:
        clock[0] += seconds

    logs = Logs(*[STARTING] * 1000)
    assert logs.followed(pause) == ["kbatch-proxy: container job is waiting to start; ask again\n"]
    assert logs.asked == START_SECONDS + 1


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (Refused(403, json.dumps({"message": "cannot get pods/log"})), "cannot get pods/log"),
        (Refused(404, "no JSON"), "a reason"),
        (Refused(500, "[]"), "a reason"),
    ],
)
def test_what_is_refused_is_told_and_not_asked_again(refusal: Refused, says: str) -> None:
    logs = Logs(refusal)
    assert logs.followed() == [f"kbatch-proxy: {says}\n"]
    assert logs.asked == 1


def test_no_line_is_told_twice() -> None:
    """Where the connection to the node is lost in the middle."""

    def stream() -> Iterator[str]:
        yield "one"
        raise STARTING

    assert list(followed(stream, Refused)()) == ["one\n", "kbatch-proxy: container job is waiting to start\n"]


def test_the_images_own_class_follows_logs_so() -> None:
    completed, _, _ = image()
    watch = SimpleNamespace(stream=Logs(lines=("one",)).stream)
    CLIENT.ApiException = Refused
    completed.logs(watch)
    assert list(watch.stream("read")) == ["one\n"]
