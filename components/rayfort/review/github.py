"""The few calls to GitHub's REST API: one comment, one issue, and the pull request of a workflow's run.

Only what has the marker *and* was written by the author is ever changed, so that nobody else's comment with
the marker in it is.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

API: Final = "https://api.github.com"
AUTHOR: Final = "github-actions[bot]"
_PAGE: Final = 100
_PAGES: Final = 30
_SECONDS: Final = 30


class GitHubError(RuntimeError):
    """GitHub did not do what was asked, with what to do about it; never with the token."""


@dataclass(frozen=True)
class GitHub:
    """A repository.

    Args:
        repository: ``owner/name``.
        token: of the workflow; needs ``pull-requests: write`` for comments and ``issues: write`` for issues.
        api: where the API is; another one for GitHub Enterprise.
        author: whose comments and issues these are.
    """

    repository: str
    token: str
    api: str = API
    author: str = AUTHOR

    def __repr__(self) -> str:
        return f"GitHub({self.repository!r})"

    def put_comment(self, pull_request: int, body: str, marker: str, *, create: bool = True) -> str:
        """Write the comment on a pull request, or change the one that is there.

        Args:
            pull_request: its number.
            body: the comment, which begins with the marker.
            marker: how the comment is found again.
            create: whether one is written where there is none.

        Returns:
            ``created``, ``updated`` or ``unchanged``.

        Raises:
            GitHubError: if GitHub refuses.
        """
        place = f"issues/{pull_request}/comments"
        for comment in self._pages(place):
            if self._ours(comment, marker):
                if comment["body"] == body.strip():
                    return "unchanged"
                self._call("PATCH", f"issues/comments/{comment['id']}", {"body": body})
                return "updated"
        if not create:
            return "unchanged"
        self._call("POST", place, {"body": body})
        return "created"

    def put_issue(self, title: str, body: str, marker: str) -> str:
        """Open the one issue, or change the one that is open.

        Returns:
            ``opened``, ``updated`` or ``unchanged``.
        """
        issue = self._issue(marker)
        if issue is None:
            self._call("POST", "issues", {"title": title, "body": body})
            return "opened"
        if issue["body"] == body.strip() and issue["title"] == title:
            return "unchanged"
        self._call("PATCH", f"issues/{issue['number']}", {"title": title, "body": body})
        return "updated"

    def close_issue(self, why: str, marker: str) -> str:
        """Close the one issue with a comment, if it is open.

        Returns:
            ``closed``, or ``unchanged`` where there is none.
        """
        issue = self._issue(marker)
        if issue is None:
            return "unchanged"
        self._call("POST", f"issues/{issue['number']}/comments", {"body": why})
        self._call("PATCH", f"issues/{issue['number']}", {"state": "closed", "state_reason": "completed"})
        return "closed"

    def pull_request(self, owner: str, branch: str, commit: str) -> int | None:
        """The open pull request whose newest commit this is; None where there is none any more.

        Args:
            owner: who owns the branch: for a fork, another than this repository's.
            branch: its name.
            commit: the full hash.
        """
        query = urllib.parse.urlencode({"state": "open", "head": f"{owner}:{branch}"})
        for found in self._pages(f"pulls?{query}"):
            if found["head"]["sha"] == commit:
                return int(found["number"])
        return None

    def _issue(self, marker: str) -> Mapping[str, Any] | None:
        query = urllib.parse.urlencode({"state": "open", "creator": self.author})
        issues = (issue for issue in self._pages(f"issues?{query}") if "pull_request" not in issue)
        return next((issue for issue in issues if self._ours(issue, marker)), None)

    def _ours(self, item: Mapping[str, Any], marker: str) -> bool:
        author = (item.get("user") or {}).get("login")
        return author == self.author and str(item.get("body") or "").startswith(marker)

    def _pages(self, place: str) -> Iterator[Mapping[str, Any]]:
        mark = "&" if "?" in place else "?"
        for page in range(1, _PAGES + 1):
            found = self._call("GET", f"{place}{mark}per_page={_PAGE}&page={page}")
            yield from found
            if len(found) < _PAGE:
                return

    def _call(self, method: str, place: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the workflow says where the API is
            f"{self.api}/repos/{self.repository}/{place}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            hint = "; check the job's `permissions:`" if error.code in {401, 403, 404} else ""
            raise GitHubError(
                f"GitHub answered {error.code} to {method} {place.partition('?')[0]}{hint}"
            ) from None
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            raise GitHubError(f"{self.api} cannot be reached: {reason}; run the job again") from None
