"""What Google Cloud says about a project, asked with a person's own credentials: read, and never changed."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SECONDS: Final = 20
APPLICATION_DEFAULT: Final = "application_default_credentials.json"
# Where a program looks for credentials, the first first; the last is Pulumi's provider's own.
VARIABLES: Final = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS")

Json = dict[str, Any]


class GoogleError(RuntimeError):
    """What Google, or gcloud, did not answer, and why; it never holds a token.

    Attributes:
        status: the HTTP status; 0 where there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Credentials:
    """Application default credentials that were found.

    Attributes:
        place: where.
        project: the project that they belong to or are billed to; None where they do not say.
        account: the service account that they are of; None for a person's.
    """

    place: str
    project: str | None
    account: str | None


def credentials(environment: Mapping[str, str], home: Path) -> Credentials | None:
    """The application default credentials, as Google's libraries look for them; None for none.

    Raises:
        GoogleError: if they are there and cannot be read.
    """
    for name in VARIABLES:
        if value := environment.get(name):
            if value.lstrip().startswith("{"):
                return _read(value, name)
            return _read(_content(Path(value), name), f"{name} ({value})")
    config = environment.get("CLOUDSDK_CONFIG")
    path = (Path(config) if config else home / ".config" / "gcloud") / APPLICATION_DEFAULT
    return _read(_content(path, str(path)), str(path)) if path.exists() else None


def _content(path: Path, place: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise GoogleError(f"{place} names a file that cannot be read") from None


def _read(content: str, place: str) -> Credentials:
    try:
        parsed = json.loads(content)
    except json.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise GoogleError(f"{place} does not hold credentials of Google") from None
    project = parsed.get("project_id") or parsed.get("quota_project_id")
    account = parsed.get("client_email")
    return Credentials(place, project, account if isinstance(account, str) else None)


def gcloud(*arguments: str) -> str:
    """What gcloud answers, on one line.

    Raises:
        GoogleError: if it is not here, or fails.
    """
    program = shutil.which("gcloud")
    if program is None:
        raise GoogleError("gcloud is not on PATH")
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        raise GoogleError("gcloud does not answer") from None
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "it fails")
        raise GoogleError(f"gcloud: {reason.removeprefix('ERROR: ')}")
    return done.stdout.strip()


def token() -> str:
    """An access token for the application default credentials.

    Raises:
        GoogleError: if there is none to be had.
    """
    return gcloud("auth", "application-default", "print-access-token")


class Api:
    """Google's APIs, for reading.

    Args:
        access_token: who asks.
        project: the project that the questions are about.
    """

    def __init__(self, access_token: str, project: str) -> None:
        self._token = access_token
        self.project = project

    def get(self, url: str) -> Json:
        """What a URL, without its scheme, answers.

        Raises:
            GoogleError: if it refuses, or there is no answer.
        """
        headers = {"Authorization": f"Bearer {self._token}", "x-goog-user-project": self.project}
        request = urllib.request.Request(f"https://{url}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise GoogleError(f"Google answers {error.code}", error.code) from None
        except (OSError, ValueError):
            raise GoogleError("Google does not answer") from None
        return found if isinstance(found, dict) else {}
