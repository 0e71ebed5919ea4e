"""The faults: a row each, in an order in which one phase leaves what the next one needs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from signal import SIGINT, SIGTERM

from tests.faults import breaks
from tests.faults.breaks import ENGINE, HELM, KUBERNETES, RANDOM, Break
from tests.faults.proxy import Moment, Request
from tests.faults.world import Phase

# The first words of what a failed command says.
FAILED = "rayfort: pulumi up failed"
PREVIEW_FAILED = "rayfort: pulumi preview failed"
DOWN_FAILED = "rayfort: pulumi destroy failed"
INTERRUPTED = "rayfort: interrupted; run the command again to go on"
UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        phase: of which command.
        what: what breaks.
        moment: when; None for a request that the seed chooses.
        says: parts of what the command says as it fails; none if it must succeed all the same.
        either: whether it may succeed or fail, as the moment has it.
        silent: whether the command is killed and so says nothing.
        short: whether it is in the short form: one of each command, each of another kind.
    """

    phase: Phase
    what: Break
    moment: Moment | None = None
    says: tuple[str, ...] = ()
    either: bool = False
    silent: bool = False
    short: bool = False

    @property
    def name(self) -> str:
        """What happens when, in words."""
        when = str(self.moment) if self.moment else "at a chosen moment"
        return f"{self.phase.value}: {self.what.what} {when}"

    def when(self, chance: random.Random) -> Moment:
        """The moment; one that is left to the seed is the same in every run with it."""
        return self.moment or after(ANY, chance.randint(1, CHOSEN_FROM[self.phase]))


# Requests that a fault can name.
NAMESPACE = Request("the namespace", r"^(POST|PATCH) /api/v1/namespaces(\?|/team-a\?)")
DEFINITION = Request("the definition", r"^POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions")
MARK = Request("the object of an own kind", r"^POST .*/marks")
TOKEN = Request("a Secret", r"^POST /api/v1/namespaces/team-a/secrets\?")
RAY = Request("the Ray cluster", r"^(POST|PATCH) /apis/ray.io/v1/namespaces/team-a/rayclusters")
POLICY = Request("a mesh policy", r"^POST /apis/security.istio.io/v1/namespaces/team-a/peerauthentications")
RELEASE_RECORD = Request(
    "helm's record",
    r"^(POST /api/v1/namespaces/team-a/secrets$|PUT /api/v1/namespaces/team-a/secrets/sh\.helm)",
)
# Not the one that takes fields over.
SETTING = Request("the quota", r"^PATCH /api/v1/namespaces/team-a/resourcequotas/.*force=")
READ = Request("reading an object", r"^GET /api.*/namespaces/team-a/")
DELETE_RAY = Request("deleting the Ray cluster", r"^DELETE /apis/ray.io")
DELETE_SECRET = Request("deleting the old token", r"^DELETE /api/v1/namespaces/team-a/secrets/ray-auth")
DELETE_NAMESPACE = Request("deleting the namespace", r"^DELETE /api/v1/namespaces/team-a$")
DELETE_DEFINITION = Request("deleting the definition", r"^DELETE /apis/apiextensions")
ANY = Request("any request", r".")
# From how many requests of a command the seed chooses: somewhat fewer than each sends at least.
CHOSEN_FROM = {Phase.FIRST: 50, Phase.CHANGE: 60, Phase.ROTATE: 40, Phase.DOWN: 40}


def before(request: Request, number: int = 1) -> Moment:
    """A request that the API server has not got yet."""
    return Moment(request, number)


def after(request: Request, number: int = 1) -> Moment:
    """A request that the API server has carried out, and of which nobody knows it yet."""
    return Moment(request, number, after=True)


def _kills(phase: Phase, request: Request, failed: str) -> list[Fault]:
    engine = breaks.kill(ENGINE, "the engine")
    plugin = breaks.kill(KUBERNETES, "the kubernetes plugin")
    return [
        Fault(phase, engine, after(request), (failed,)),
        Fault(phase, plugin, after(request), (failed,)),
        Fault(phase, breaks.power_loss(), after(request), silent=True),
    ]


ROWS: tuple[Fault, ...] = (
    # First up: what is made, and not yet known to be made.
    *_kills(Phase.FIRST, TOKEN, FAILED),
    *_kills(Phase.FIRST, RAY, FAILED),
    *_kills(Phase.FIRST, DEFINITION, FAILED),
    Fault(Phase.FIRST, breaks.kill(ENGINE, "the engine"), before(NAMESPACE), (FAILED,)),
    Fault(Phase.FIRST, breaks.kill(ENGINE, "the engine"), after(MARK), (FAILED,)),
    Fault(
        Phase.FIRST, breaks.kill(HELM, "helm"), before(RELEASE_RECORD, 2), (FAILED, "release team-a/small")
    ),
    Fault(Phase.FIRST, breaks.kill(HELM, "helm"), after(RELEASE_RECORD), (FAILED, "release team-a/small")),
    Fault(Phase.FIRST, breaks.power_loss(), after(RELEASE_RECORD), silent=True, short=True),
    Fault(Phase.FIRST, breaks.kill(RANDOM, "the random plugin"), before(RAY), either=True),
    Fault(Phase.FIRST, breaks.kill_command(), before(TOKEN), silent=True),
    Fault(Phase.FIRST, breaks.kill_daemon("kube-apiserver"), before(TOKEN), (FAILED,)),
    Fault(Phase.FIRST, breaks.kill_daemon("etcd"), before(RAY), (FAILED,)),
    Fault(Phase.FIRST, breaks.kill_daemon("etcd", "kube-apiserver"), before(POLICY), (FAILED,)),
    Fault(Phase.FIRST, breaks.kill_workload("kuberay-operator"), before(RAY)),
    Fault(Phase.FIRST, breaks.kill_workload("istiod"), before(NAMESPACE), (FAILED, "webhook"), either=True),
    Fault(Phase.FIRST, breaks.end_workload("istiod"), before(POLICY), (FAILED, "webhook")),
    Fault(Phase.FIRST, breaks.freeze("istiod"), before(POLICY), (FAILED, "webhook")),
    Fault(Phase.FIRST, breaks.answer(409), before(RAY), (FAILED,)),
    Fault(Phase.FIRST, breaks.answer(429), before(TOKEN)),
    Fault(Phase.FIRST, breaks.answer(500), before(TOKEN), (FAILED, "500")),
    Fault(Phase.FIRST, breaks.answer(503, 2), before(RAY)),
    Fault(Phase.FIRST, breaks.reset(), after(TOKEN), either=True),
    Fault(Phase.FIRST, breaks.reset(), after(RAY), either=True),
    Fault(Phase.FIRST, breaks.slow(3, 5), before(POLICY)),
    Fault(Phase.FIRST, breaks.refuse(), before(TOKEN), (FAILED,)),
    # What creates is not sent twice, so it is told of its connection and never sees the certificate.
    Fault(Phase.FIRST, breaks.stranger(), before(RAY), (FAILED, "no answer from")),
    Fault(Phase.FIRST, breaks.signalled(SIGINT), before(TOKEN), (INTERRUPTED,)),
    Fault(Phase.FIRST, breaks.signalled(SIGINT, SIGINT), before(RAY), (INTERRUPTED,)),
    Fault(Phase.FIRST, breaks.signalled(SIGINT, group=False), before(RELEASE_RECORD), either=True),
    Fault(Phase.FIRST, breaks.signalled(SIGTERM, group=False), before(RELEASE_RECORD), (INTERRUPTED,)),
    Fault(Phase.FIRST, breaks.full_disk(), before(TOKEN), (FAILED, "no space left")),
    # Early, when little is made at once: the engine tries half a minute for each.
    Fault(Phase.FIRST, breaks.read_only(), before(DEFINITION), (FAILED, "read-only")),
    Fault(Phase.FIRST, breaks.second(Phase.SAME), before(RAY)),
    # No-change up.
    Fault(Phase.SAME, breaks.kill(ENGINE, "the engine"), before(READ, 5), (FAILED,)),
    Fault(Phase.SAME, breaks.kill(KUBERNETES, "the kubernetes plugin"), before(READ, 5), (FAILED,)),
    Fault(Phase.SAME, breaks.power_loss(), before(READ, 9), silent=True),
    Fault(Phase.SAME, breaks.kill_daemon("kube-apiserver"), before(READ, 3), (FAILED,), short=True),
    Fault(Phase.SAME, breaks.refuse(), before(READ, 2), (FAILED,)),
    Fault(Phase.SAME, breaks.stranger(), before(ANY, 1), (FAILED, "certificate")),
    Fault(Phase.SAME, breaks.slow(2, 4), before(READ, 3)),
    Fault(Phase.SAME, breaks.answer(500), before(READ, 4), (FAILED, "500")),
    Fault(Phase.SAME, breaks.answer(503, 3), before(READ, 4)),
    Fault(Phase.SAME, breaks.file_limit(64), before(ANY, 1), ("too large", "ulimit -f")),
    Fault(Phase.SAME, breaks.signalled(SIGTERM), before(READ, 6), (INTERRUPTED,)),
    # Change of a setting.
    Fault(Phase.CHANGE, breaks.kill(ENGINE, "the engine"), after(SETTING), (FAILED,)),
    Fault(Phase.CHANGE, breaks.kill(KUBERNETES, "the kubernetes plugin"), after(SETTING), (FAILED,)),
    Fault(Phase.CHANGE, breaks.power_loss(), after(RELEASE_RECORD), silent=True),
    Fault(Phase.CHANGE, breaks.kill(HELM, "helm"), after(RELEASE_RECORD), (FAILED, "release team-a/small")),
    Fault(Phase.CHANGE, breaks.answer(409), before(SETTING), (FAILED, "the fault suite answers 409")),
    Fault(Phase.CHANGE, breaks.answer(429, 2), before(SETTING)),
    Fault(Phase.CHANGE, breaks.full_disk(), before(SETTING), (FAILED, "no space left")),
    Fault(Phase.CHANGE, breaks.signalled(SIGINT), before(RELEASE_RECORD), (INTERRUPTED,), short=True),
    Fault(Phase.CHANGE, breaks.outage(3), before(SETTING), either=True),
    # Rotation: two tokens for a moment.
    *_kills(Phase.ROTATE, TOKEN, FAILED),
    *_kills(Phase.ROTATE, RAY, FAILED),
    Fault(Phase.ROTATE, breaks.kill(ENGINE, "the engine"), after(DELETE_SECRET), (FAILED,), short=True),
    Fault(Phase.ROTATE, breaks.kill_daemon("kube-apiserver"), before(RAY), (FAILED,)),
    Fault(Phase.ROTATE, breaks.kill_workload("kuberay-operator"), after(RAY)),
    Fault(Phase.ROTATE, breaks.signalled(SIGINT), before(TOKEN), (INTERRUPTED,)),
    Fault(Phase.ROTATE, breaks.reset(), before(DELETE_SECRET), either=True),
    # Preview: nothing changes, whatever breaks.
    Fault(Phase.PREVIEW, breaks.kill(ENGINE, "the engine"), before(READ, 4), (PREVIEW_FAILED,)),
    Fault(Phase.PREVIEW, breaks.kill_daemon("kube-apiserver"), before(READ, 4), (PREVIEW_FAILED,)),
    Fault(Phase.PREVIEW, breaks.refuse(), before(ANY, 1), (PREVIEW_FAILED, UNREACHABLE), short=True),
    Fault(Phase.PREVIEW, breaks.signalled(SIGINT), before(READ, 4), (INTERRUPTED,)),
    # Down.
    *_kills(Phase.DOWN, DELETE_RAY, DOWN_FAILED),
    Fault(Phase.DOWN, breaks.kill(ENGINE, "the engine"), after(DELETE_NAMESPACE), (DOWN_FAILED,)),
    Fault(Phase.DOWN, breaks.kill(ENGINE, "the engine"), after(DELETE_DEFINITION), (DOWN_FAILED,)),
    Fault(Phase.DOWN, breaks.kill_daemon("kube-apiserver"), before(DELETE_RAY), (DOWN_FAILED,)),
    Fault(Phase.DOWN, breaks.kill_daemon("etcd"), after(DELETE_RAY), (DOWN_FAILED,)),
    Fault(Phase.DOWN, breaks.kill_workload("kuberay-operator"), after(DELETE_RAY)),
    Fault(Phase.DOWN, breaks.refuse(), before(DELETE_NAMESPACE), (DOWN_FAILED,)),
    Fault(Phase.DOWN, breaks.answer(500), before(DELETE_RAY), (DOWN_FAILED, "500")),
    Fault(Phase.DOWN, breaks.answer(503, 2), before(DELETE_NAMESPACE), short=True),
    Fault(Phase.DOWN, breaks.signalled(SIGINT), before(DELETE_RAY), (INTERRUPTED,)),
    # Moments that the seed chooses.
    *(
        Fault(phase, what, None, either=True)
        for phase in (Phase.FIRST, Phase.CHANGE, Phase.ROTATE, Phase.DOWN)
        for what in (breaks.kill(ENGINE, "the engine"), breaks.power_loss())
    ),
)


def chosen(seed: int, *, everything: bool) -> list[Fault]:
    """The faults of a run: all of them, or those of the short form.

    They come in rounds from first up to down, so that little is done between two faults.
    """
    rows = list(ROWS)
    if not everything:
        rows = [row for row in ROWS if row.short]
    chance = random.Random(seed)
    chance.shuffle(rows)
    queues = {phase: [row for row in rows if row.phase is phase] for phase in Phase}
    rounds = max((len(queue) for queue in queues.values()), default=0)
    order: list[Fault] = []
    for _ in range(rounds):
        for queue in queues.values():
            if queue:
                order.append(queue.pop(0))
    return order
