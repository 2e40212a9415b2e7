"""Evaluation computes and report shows: the first never needs the second."""

from support.repository import REPOSITORY


def test_evaluation_imports_nothing_of_report() -> None:
    modules = sorted((REPOSITORY / "beyond_spectrograms/evaluation").glob("*.py"))
    assert len(modules) > 10
    assert [path.name for path in modules if "beyond_spectrograms.report" in path.read_text(encoding="utf-8")] == []
