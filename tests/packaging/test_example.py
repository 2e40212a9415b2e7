"""The example notebook runs from its first cell to its last, and is kept without what it printed."""

import nbformat
import pytest
from nbclient import NotebookClient

from support.repository import REPOSITORY

EXAMPLE = REPOSITORY / "docs/example.ipynb"


def test_the_example_is_kept_without_outputs() -> None:
    cells = nbformat.read(EXAMPLE, as_version=4).cells
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.long
def test_the_example_runs() -> None:
    notebook = nbformat.read(EXAMPLE, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": EXAMPLE.parent}}).execute()
    [answer] = notebook.cells[-2].outputs
    assert answer["data"]["text/plain"].startswith("[('")
    pictures = [output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in str(output)]
    assert len(pictures) == 2
