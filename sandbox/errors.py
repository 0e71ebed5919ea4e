"""The failures that a user can do something about: each is one message, without a traceback."""

from sandbox.processes import SandboxError
from sandbox.tools.errors import ToolchainError


class StackError(RuntimeError):
    """Pulumi failed; the message holds what it said went wrong."""


EXPECTED: tuple[type[Exception], ...] = (SandboxError, StackError, ToolchainError)
