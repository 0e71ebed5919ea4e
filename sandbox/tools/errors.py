"""The one error of the tool chain, and what it advises."""

import re
from collections.abc import Iterable
from pathlib import Path

LOG_LINES = 15

# What the tail of a log says about the cause -> what the reader can do about it. The first match counts.
_ADVICE = (
    (
        r"no space left on device",
        "free disk space, or put the cache on a larger disk with RAYFORT_CACHE=<directory>",
    ),
    (
        r"signal: killed|cannot allocate memory|out of memory",
        "memory ran out: close other programs and run the command again; finished packages are kept",
    ),
    (
        r"checksum mismatch|SECURITY ERROR|do not match the hashes",
        "what was downloaded differs from what is pinned: find out what rewrites downloads on the way "
        "(a proxy, a mirror) and do not use its answer",
    ),
    (
        r"x509|certificate verify failed|CERTIFICATE_VERIFY_FAILED",
        "the machine does not trust the certificate that answered: install your site's CA certificate, "
        "or point SSL_CERT_FILE at it",
    ),
    (
        r"\b(401|403|407)\b.*(Forbidden|Unauthorized|Proxy)|(Forbidden|Unauthorized)",
        "the download was refused: check HTTPS_PROXY and its credentials, or point GOPROXY (Go modules) "
        "or PIP_INDEX_URL (Go itself) at a mirror that you may use",
    ),
    (
        r"dial tcp|no such host|i/o timeout|TLS handshake timeout|proxyconnect|connection re(fused|set)"
        r"|Network is unreachable|name resolution|Max retries exceeded|Failed to establish",
        "check the network: where there is no direct way out, set HTTPS_PROXY, or point GOPROXY (Go modules) "
        "and PIP_INDEX_URL (Go itself) at a mirror; then run the command again, it resumes",
    ),
    (
        r"No module named pip",
        "this Python has no pip to install Go with: run `python -m ensurepip`, or install Go yourself",
    ),
    (
        r"No matching distribution found",
        "there is no ready-made Go for this kind of machine: install Go yourself, in the version that the "
        "go.mod files in sandbox/tools ask for or newer",
    ),
    (
        r"missing go\.sum entry|updates to go\.mod needed",
        "the go.mod and go.sum of this tool do not belong together: restore them with git, or follow the "
        "README beside them after a change of version",
    ),
)
# Hiccups of a network that works: Go gives up at the first.
_TRANSIENT = re.compile(
    r"i/o timeout|TLS handshake timeout|connection reset|unexpected EOF|GOAWAY|stream error"
    r"|\b(429|500|502|503|504) [A-Z]"
)
_OTHERWISE = "read the full log, then run the command again; what is finished is kept"


class ToolchainError(Exception):
    """A tool could not be had. The message names the tool, what failed and what to do."""


def advice(text: str) -> str:
    """What to do about a failure, judged from the end of its log."""
    for pattern, remedy in _ADVICE:
        if re.search(pattern, text, re.IGNORECASE):
            return remedy
    return _OTHERWISE


def last_lines(log: Path) -> list[str]:
    """The end of a log, where an error is; what precedes it only hides it."""
    try:
        return log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []


def is_transient(lines: Iterable[str]) -> bool:
    """Whether the same command may well succeed a moment later."""
    return any(_TRANSIENT.search(line) for line in lines)


def failure(subject: str, what: str, log: Path) -> ToolchainError:
    """Make the error for a command that failed.

    Args:
        subject: what could not be had, as "etcd v3.6.16".
        what: what failed, as "go build ended with exit code 1".
        log: the file with the command's output.
    """
    tail = "\n".join(f"    {line}" for line in last_lines(log))
    said = f"\n{tail}" if tail else " It said nothing."
    return ToolchainError(
        f"{subject}: {what}.{said}\n  full log: {log}\n  what to do: {advice(tail)}",
    )
