"""One comment and one issue, kept through GitHub's REST API; a server on loopback plays GitHub."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rayfort.review.comment import DRIFT_MARKER, MARKER
from rayfort.review.github import AUTHOR, GitHub, GitHubError
from rayfort.review.model import Change, Effect, Review, to_json
from typer.testing import CliRunner

from cli.review import app

TOKEN = "a-token-of-a-test"
BODY = f"{MARKER}\nbody\n"


class FakeGitHub:
    """The little of GitHub that is asked for."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.issues: list[dict[str, Any]] = []
        self.pulls: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str]] = []
        self.refuse = 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or "null")
                known = self.headers["Authorization"] == f"Bearer {TOKEN}"
                code = 401 if not known else fake.refuse or 200
                answer = fake.answer(self.command, self.path, body) if code == 200 else {"message": "no"}
                data = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = _do

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, body: Any) -> Any:
        url = urlsplit(target)
        assert url.path.startswith("/repos/owner/name/")
        place, query = url.path.removeprefix("/repos/owner/name/"), parse_qs(url.query)
        self.calls.append((method, place))
        lists = {"issues/7/comments": self.comments, "issues": self.issues, "pulls": self.pulls}
        if method == "GET":
            found = lists[place]
            if place == "issues":
                found = [each for each in found if each["state"] == "open"]
                assert query["creator"] == [AUTHOR]
            page, size = int(query["page"][0]), int(query["per_page"][0])
            return found[(page - 1) * size : page * size]
        if method == "POST" and place in lists:
            made = {"id": len(lists[place]) + 1000, "user": {"login": AUTHOR}, "state": "open", **body}
            made |= {"number": made["id"], "body": body["body"].strip()}  # GitHub strips it
            lists[place].append(made)
            return made
        if method == "PATCH":
            number = int(place.rpartition("/")[2])
            [item] = [each for each in (*self.comments, *self.issues) if each["id"] == number]
            item |= body
            return item
        return {}  # a comment on an issue


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    made = FakeGitHub()
    yield made
    made.close()


@pytest.fixture
def github(fake: FakeGitHub) -> GitHub:
    return GitHub("owner/name", TOKEN, fake.url)


def by(login: str, body: str, number: int = 1) -> dict[str, Any]:
    return {
        "id": number,
        "number": number,
        "user": {"login": login},
        "body": body,
        "state": "open",
        "title": "t",
    }


def test_the_comment_is_made_once_and_then_changed_in_place(fake: FakeGitHub, github: GitHub) -> None:
    assert github.put_comment(7, BODY, MARKER) == "created"
    assert github.put_comment(7, BODY, MARKER) == "unchanged"
    assert github.put_comment(7, f"{BODY}more", MARKER) == "updated"
    assert [each["body"] for each in fake.comments] == [f"{BODY}more"]


def test_a_comment_of_somebody_else_with_the_marker_stays_as_it_is(fake: FakeGitHub, github: GitHub) -> None:
    fake.comments += [by("mallory", BODY), by(AUTHOR, f"quoted: {MARKER}", 2)]
    assert github.put_comment(7, f"{BODY}mine", MARKER) == "created"
    assert [each["body"] for each in fake.comments[:2]] == [BODY, f"quoted: {MARKER}"]


def test_the_comment_is_found_behind_hundreds_of_others(fake: FakeGitHub, github: GitHub) -> None:
    fake.comments += [by("alice", "hello", number) for number in range(250)]
    fake.comments.append(by(AUTHOR, BODY, 999))
    assert github.put_comment(7, f"{BODY}new", MARKER) == "updated"
    assert len(fake.comments) == 251


def test_nothing_is_said_where_there_is_nothing_to_say(fake: FakeGitHub, github: GitHub) -> None:
    assert github.put_comment(7, BODY, MARKER, create=False) == "unchanged"
    assert fake.comments == []
    fake.comments.append(by(AUTHOR, BODY))
    assert github.put_comment(7, f"{MARKER}\nNo stack is affected.", MARKER, create=False) == "updated"


def test_there_is_one_issue_and_it_is_closed_when_all_is_clean(fake: FakeGitHub, github: GitHub) -> None:
    body = f"{DRIFT_MARKER}\ndrift"
    assert github.close_issue("clean", DRIFT_MARKER) == "unchanged"
    assert github.put_issue("Drift in a", body, DRIFT_MARKER) == "opened"
    assert github.put_issue("Drift in a", body, DRIFT_MARKER) == "unchanged"
    assert github.put_issue("Drift in a, b", body, DRIFT_MARKER) == "updated"
    assert [each["title"] for each in fake.issues] == ["Drift in a, b"]
    assert github.close_issue("clean", DRIFT_MARKER) == "closed"
    assert fake.issues[0]["state"] == "closed"
    assert github.put_issue("Drift in a", body, DRIFT_MARKER) == "opened"
    assert len(fake.issues) == 2


def test_a_pull_request_is_that_whose_newest_commit_was_looked_at(fake: FakeGitHub, github: GitHub) -> None:
    fake.pulls += [{"number": 3, "head": {"sha": "b" * 40}}, {"number": 7, "head": {"sha": "a" * 40}}]
    assert github.pull_request("fork", "branch", "a" * 40) == 7
    assert github.pull_request("fork", "branch", "c" * 40) is None


@pytest.mark.parametrize(("code", "hint"), [(403, "permissions"), (404, "permissions"), (500, "500")])
def test_a_refusal_says_what_to_do_and_never_the_token(
    fake: FakeGitHub, github: GitHub, code: int, hint: str
) -> None:
    fake.refuse = code
    with pytest.raises(GitHubError) as caught:
        github.put_comment(7, BODY, MARKER)
    assert hint in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(github)


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(GitHubError, match="cannot be reached"):
        GitHub("owner/name", TOKEN, "http://127.0.0.1:9").put_comment(7, BODY, MARKER)


WEAK = Review(stack="gke-dev", changes=(Change(effect=Effect.DELETE, name="Service a/b"),))


def run(fake: FakeGitHub, *arguments: str, **more: str) -> Any:
    environment = {
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_API_URL": fake.url,
        "GITHUB_SHA": "a" * 40,
        "RAYFORT_EXPECTED": "",
        **more,
    }
    return CliRunner().invoke(app, arguments, env=environment)


def test_the_command_puts_the_comment_and_says_how_it_went(fake: FakeGitHub, tmp_path: Path) -> None:
    (tmp_path / "review-gke-dev.json").write_text(to_json([WEAK]))
    done = run(fake, "comment", str(tmp_path), "--pull-request", "7", RAYFORT_EXPECTED='["gke-dev"]')
    assert done.exit_code == 0, done.output
    [made] = fake.comments
    assert "`Service a/b`" in made["body"]
    assert "`aaaaaaaaaaaa`" in made["body"]


def test_a_stack_whose_job_ended_without_a_preview_is_told_as_failed(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    (tmp_path / "review-gke-dev.json").write_text(to_json([WEAK]))
    done = run(
        fake, "comment", str(tmp_path), "--pull-request", "7", RAYFORT_EXPECTED='["gke-dev", "gke-prod"]'
    )
    assert done.exit_code == 1
    assert "`gke-prod` | ❌ failed" in fake.comments[0]["body"]
    missing = run(
        fake, "comment", str(tmp_path / "no"), "--pull-request", "7", RAYFORT_EXPECTED='["gke-prod"]'
    )
    assert missing.exit_code == 1


def test_where_no_stack_is_affected_nobody_is_bothered(fake: FakeGitHub, tmp_path: Path) -> None:
    done = run(fake, "comment", str(tmp_path), "--pull-request", "7", RAYFORT_EXPECTED="[]")
    assert done.exit_code == 0, done.output
    assert fake.comments == []


def test_what_a_fork_says_is_marked_as_its_own_word(fake: FakeGitHub, tmp_path: Path) -> None:
    """Whatever its file says that it is, and however it ended."""
    file = tmp_path / "plan.json"
    file.write_text(to_json([WEAK.model_copy(update={"errors": ("broken",), "failed": True})]))
    fake.pulls.append({"number": 7, "head": {"sha": "a" * 40}})
    done = run(fake, "comment", str(file), "--head", "fork:branch", RAYFORT_UNVOUCHED="1")
    assert done.exit_code == 0, done.output
    assert "by the code of this pull request itself" in fake.comments[0]["body"]


def test_a_fork_that_pushed_again_meanwhile_gets_no_comment(fake: FakeGitHub, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(to_json([WEAK]))
    fake.pulls.append({"number": 7, "head": {"sha": "b" * 40}})
    done = run(fake, "comment", str(file), "--head", "fork:branch", RAYFORT_UNVOUCHED="1")
    assert done.exit_code == 0
    assert fake.comments == []


def test_the_command_keeps_one_issue_about_drift(fake: FakeGitHub, tmp_path: Path) -> None:
    file = tmp_path / "review.json"
    file.write_text(to_json([WEAK]))
    assert run(fake, "drift", str(file), "--post").exit_code == 3
    assert [each["title"] for each in fake.issues] == ["Drift in gke-dev"]
    file.write_text(to_json([Review(stack="gke-dev")]))
    assert run(fake, "drift", str(file), "--post").exit_code == 0
    assert fake.issues[0]["state"] == "closed"
    assert run(fake, "drift", str(tmp_path / "no"), "--post").exit_code == 2


@pytest.mark.parametrize(
    "text", ["no json", "{}", '{"format":1,"reviews":[{"stack":"x","surprise":"<script>"}]}']
)
def test_a_file_that_is_no_review_is_refused(fake: FakeGitHub, tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    done = run(fake, "comment", str(file), "--pull-request", "7")
    assert done.exit_code == 2
    assert "script" not in done.output
    assert fake.comments == []


def test_without_a_token_nothing_is_posted(fake: FakeGitHub, tmp_path: Path) -> None:
    file = tmp_path / "review.json"
    file.write_text(to_json([WEAK]))
    done = run(fake, "comment", str(file), "--pull-request", "7", GITHUB_TOKEN="")
    assert done.exit_code == 2
    assert "GITHUB_TOKEN" in done.output
