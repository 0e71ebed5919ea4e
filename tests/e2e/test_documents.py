"""The documents' lines that need containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import documents
from tests.e2e.sandbox import Sandbox

pytestmark = pytest.mark.real

LINES = documents.of_category("real")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, in which lines may write."""
    return documents.checkout(tmp_path_factory.mktemp("documents") / "check out")


@pytest.mark.parametrize("document", LINES)
def test_the_documents_lines_run(document: str, sandbox: Sandbox, checkout: Path) -> None:
    documents.run(
        LINES[document], checkout, {"RAYFORT_STATE": str(sandbox.state), "STATE": str(sandbox.state)}
    )
