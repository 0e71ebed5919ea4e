"""What a user does with kbatch, step by step, by the client's own functions.

A program of its own, for the client's Python, with a configured client. Reads a JSON list in each line, the
name of a function below and its arguments, and prints a line of JSON with what it gave. `walk` gives for each
step `ok`, or what was said instead.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
from kbatch import _core
from kbatch._types import Job
from kubernetes.client.models import V1Job

COMMAND = ["sh", "-c", "echo hello"]


def job(name: str) -> Job:
    return Job(name=name, image="registry.example/lab/notebook:1", command=COMMAND, env={"COLOUR": "blue"})


def submit(name: str, code: Path | None = None) -> str:
    return str(_core.submit_job(job(name), code=code, model=V1Job)["metadata"]["name"])


def submit_with_code(name: str) -> str:
    with tempfile.TemporaryDirectory() as directory:
        code = Path(directory, "code")
        code.mkdir()
        (code / "main.py").write_text("print(1)\n")
        return submit(name, code)


def refused(submission: Callable[[str], str]) -> None:
    """A submission that Kubernetes refuses after the Secret for it, and the code, are there."""
    try:
        submission("Not A Name")
    except httpx.HTTPStatusError as error:
        if error.response.status_code != 422:
            raise
    else:
        raise AssertionError("it was not refused")


def shown(name: str) -> None:
    assert _core.show_job(name)["metadata"]["name"] == name


def listed(name: str) -> None:
    assert name in [each["metadata"]["name"] for each in _core.list_jobs()["items"]]


def pods_of(name: str) -> list[str]:
    return [each["metadata"]["name"] for each in _core.list_pods(job_name=name)["items"]]


def pod_shown(name: str) -> None:
    """The client has no command for it; the proxy does."""
    config = _core.load_config()
    headers = {"Authorization": f"token {config['token']}"}
    httpx.get(f"{config['kbatch_url']}pods/{name}", headers=headers).raise_for_status()


def followed(pod: str) -> None:
    """Until the first lines are there: kwok follows for ever."""
    with closing(_core.pod_logs_streaming(pod, read_timeout=15)) as lines:
        line = next(lines)
        assert "hello" in line, line


def walk(first: str, pod: str, second: str) -> dict[str, str]:
    """Every step: with a job and its Pod that stay, and a job that goes."""
    steps = {
        "submit": lambda: submit("plain"),
        "submit --code": lambda: submit_with_code("coded"),
        "refused": lambda: refused(submit),
        "refused --code": lambda: refused(submit_with_code),
        "job show": lambda: shown(first),
        "job list": lambda: listed(first),
        "pod list": lambda: pods_of(first),
        "pod show": lambda: pod_shown(pod),
        "job logs": lambda: _core.job_logs(first),
        "pod logs": lambda: _core.pod_logs(pod),
        "pod logs --stream": lambda: followed(pod),
        "job delete": lambda: _core.delete_job(second),
    }
    said = {}
    for name, step in steps.items():
        try:
            step()
            said[name] = "ok"
        except httpx.HTTPStatusError as error:
            said[name] = f"{error.response.status_code}: {error.response.text}"
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


if __name__ == "__main__":
    for line in sys.stdin:
        function, *arguments = json.loads(line)
        print(
            json.dumps({"submit": submit, "pods_of": pods_of, "walk": walk}[function](*arguments)), flush=True
        )
