"""Everything that users of kbatch meet: the hub, its proxy, kbatch-proxy, and kbatch's own client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayfort.proxy.kbatch_config import PREFIX

from bench.local_ray import free_block
from tests.kbatch.deployed import ALICE, BOB, OUTSIDER, PLAIN, STRANGERS, Deployed
from tests.kbatch.hub import Hub, Token, hub
from tests.kbatch.programs import Programs
from tests.kbatch.proxy import TOKEN, Workload, proxy, workload
from tests.kbatch.running import bare
from tests.kbatch.web import Answer, request

CLIENT_SECONDS = 120
STEPS = Path(__file__).with_name("steps.py")


@dataclass
class Door:
    """A hub and a kbatch-proxy that run.

    Attributes:
        deployed: the platform.
        programs: the real ones.
        hub: the hub.
        port: of kbatch-proxy itself.
        workload: what the proxy's Deployment says.
        log: of kbatch-proxy.
        directory: for files of clients.
        tokens: one of each user, with the one scope that it needs.
    """

    deployed: Deployed
    programs: Programs
    hub: Hub
    port: int
    workload: Workload
    log: Path
    directory: Path
    tokens: dict[str, Token] = field(default_factory=dict)

    def token(self, user: str) -> Token:
        if user not in self.tokens:
            self.hub.add(user)
            self.tokens[user] = self.hub.token(user)
        return self.tokens[user]

    def call(
        self,
        user: str | Token | None,
        method: str,
        path: str,
        body: Any = None,
        scheme: str = "Bearer",
    ) -> Answer:
        """A request through the hub's proxy.

        Args:
            user: who sends it, or with which token; None sends none.
            method: of the request.
            path: below the service, sent as it stands.
            body: sent as JSON.
            scheme: of the header; the client's own is `token`.
        """
        token = self.token(user) if isinstance(user, str) else user
        headers = token.headers(scheme) if token else {}
        return request(self.hub.port, method, f"{PREFIX}/{path}", headers, body)

    def submit(self, user: str | Token | None, job: Mapping[str, Any], **more: Any) -> Answer:
        """A submission by HTTP, of any job at all."""
        return self.call(user, "POST", "jobs/", {"job": job, **more})

    def client(
        self, user: str, *arguments: str, home: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """kbatch's own command line, of a user who has configured it."""
        home = home or self.home(user)
        return subprocess.run(
            [str(self.programs.client / "kbatch"), *arguments],
            env={**bare(self.programs.client, home), "COLUMNS": "200"},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CLIENT_SECONDS,
            check=False,
        )

    def home(self, user: str) -> Path:
        """The home of a user whose client is configured."""
        home = self.directory / f"home-{user}"
        if not home.exists():
            home.mkdir()
            done = self.client(
                *(user, "configure", "--kbatch-url", self.hub.service, "--token", self.token(user).value),
                home=home,
            )
            assert done.returncode == 0, done.stdout
        return home

    @contextmanager
    def steps(self, user: str) -> Iterator[Steps]:
        """A program with the client's own functions, which has loaded them once."""
        home = self.home(user)
        with subprocess.Popen(
            [str(self.programs.client / "python"), str(STEPS)],
            env=bare(self.programs.client, home),
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            yield Steps(process)
            assert process.stdin
            process.stdin.close()


@dataclass(frozen=True)
class Steps:
    """That program, which answers one call after the other."""

    process: subprocess.Popen[str]

    def call(self, function: str, *arguments: str) -> Any:
        """What a function of it gives."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin and stdout
        stdin.write(json.dumps([function, *arguments]) + "\n")
        stdin.flush()
        return json.loads(stdout.readline())


@contextmanager
def door(deployed: Deployed, programs: Programs, directory: Path) -> Iterator[Door]:
    """A hub and a kbatch-proxy, as the stack has them, on the loopback."""
    found = workload(deployed.sandbox)
    port = free_block(1)
    kbatch = (port, found.container.environment[TOKEN])
    with hub(programs, directory / "hub", deployed.hub_values, kbatch, STRANGERS) as made:
        (directory / "proxy").mkdir()
        with proxy(programs, directory / "proxy", deployed.sandbox, found, port, made.api) as log:
            made.add(ALICE, BOB, PLAIN, OUTSIDER)
            yield Door(deployed, programs, made, port, found, log, directory)
