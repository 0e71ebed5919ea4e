"""The failures that a user can do something about: each is one message, without a traceback."""

from sandbox.processes import SandboxError
from sandbox.stack import StackError
from sandbox.tools.errors import ToolchainError

EXPECTED: tuple[type[Exception], ...] = (SandboxError, StackError, ToolchainError)
