"""Every pipeline with every cell of it finished (outputs made up): nothing is run again but what an edit touches."""

import re
from pathlib import Path

import pytest

from beyond_spectrograms.params.study import PAPER
from support.cells import study_in
from support.clones import STUDIES, clone, dvc, edit, make_up, ran

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A clone of this project in which every output of every stage is there and committed, and how many stages."""
    folder = clone(tmp_path_factory.mktemp("finished"))
    return folder, make_up(folder, *STUDIES)


def test_nothing_is_run_again_in_finished_pipelines(finished: tuple[Path, int]) -> None:
    folder, stages = finished
    said = dvc(folder, "repro", "--all-pipelines")
    assert len(re.findall("didn't change, skipping", said)) == stages
    assert ran(said) == []


def test_the_root_runs_no_study_and_all_pipelines_run_each(finished: tuple[Path, int]) -> None:
    folder, _ = finished
    known = (folder / "versions.yaml").read_text(encoding="utf-8")
    edit(folder, "versions.yaml", {"training": 2, "costs": 2, "report": 2})
    alone, together = (dvc(folder, "repro", "--dry", *which) for which in ((), ("--all-pipelines",)))
    (folder / "versions.yaml").write_text(known, encoding="utf-8")
    params = study_in(folder).params
    trained = {f"train@{dataset}-{name}" for dataset in params.grid.datasets for name in params.grid.representations}
    assert trained <= set(ran(alone))
    assert re.findall(r"Running stage 'studies/", alone) == []
    studies = set(re.findall(r"Running stage 'studies/(\w+)/dvc.yaml:", together))
    assert studies == set(STUDIES) - {PAPER}
