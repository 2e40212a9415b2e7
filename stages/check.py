"""Hold everything that is stored against the digest it was written with, and say which stage makes what anew.

Sounds, clips, windows, features, weights, answers, results, checkpoints, downloads, and DVC's own copies. Prints a line
for each damaged thing, and ends with status 1. Nothing is repaired; but copies in DVC's cache that are not what they
are named by are removed, or DVC would put them back.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from beyond_spectrograms.evaluation.records import SCORES_FILE
from beyond_spectrograms.integrity import contents
from beyond_spectrograms.integrity.outputs import (
    Damage,
    Output,
    check_output,
    is_as_in_git,
    read_outputs,
    tracked_by_git,
)
from beyond_spectrograms.params.study import RAW, SPLITS, Study, list_studies, load_study
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.progress import track


class DamageError(ProjectError):
    """Something stored is not what was written; a line each."""


def main() -> None:
    studies = [load_study(name) for name in list_studies()]
    tracked = tracked_by_git()
    outputs = [output for study in studies for output in read_outputs(study.folder / "dvc.lock")]
    files, damaged, vouched = check_outputs(outputs, tracked)
    for count, found in (contents.check_weights(studies), contents.check_checkpoints()):
        files += count
        damaged += found
    known = {file for output in outputs for file in (output.path, *output.path.rglob("*"))}
    for study in studies:
        count, found = check_by_hand(study, vouched, known)
        files += count
        damaged += found
    results = [path.parent for study in studies for path in (study.folder / "metrics").glob(f"**/{SCORES_FILE}")]
    for folder in results:
        damaged += contents.check_results(folder, dataset=folder.parts[folder.parts.index("metrics") + 1])
    below = {name for name in tracked if any(name.startswith(f"{folder.as_posix()}/") for folder in results)}
    for name in sorted(below - {path.as_posix() for path in known}):
        files += 1
        if not Path(name).exists() or not is_as_in_git(Path(name), tracked):
            damaged.append(Damage(Path(name), "not what git has", f"Restore it: git checkout -- {name}"))
    inner = {folder for each in damaged for folder in each.path.parents}  # of these folders files are named
    lines: dict[Path, str] = {}
    for each in damaged:
        if each.path not in inner:
            lines.setdefault(each.path, str(each))
    if lines:
        told = "\n".join(lines.values())
        raise DamageError(f"{told}\n{len(lines)} of {files} files are damaged. Run the stages above, then dvc repro.")
    print(f"{files} files are as they were written; dvc.lock has {len(outputs)} outputs of stages that are here")


def check_outputs(outputs: list[Output], tracked: dict[str, str]) -> tuple[int, list[Damage], set[Path]]:
    """Hold outputs against DVC's digests; give how many files, what is damaged, and which outputs are whole."""
    files, damaged, vouched = 0, list[Damage](), set[Path]()
    with ThreadPoolExecutor() as pool:
        for output in track(outputs, "check", len(outputs)):
            count, found = check_output(output, tracked, pool)
            files += count
            damaged += found
            vouched |= set() if found else {output.path}
    return files, damaged, vouched


def check_by_hand(study: Study, vouched: set[Path], known: set[Path]) -> tuple[int, list[Damage]]:
    """Check by this project's own digests what DVC does not vouch for, in the data sets of a study.

    Give how many files that are not `known` to DVC have such a digest, and what is damaged.
    """
    found, folders, held = list[Damage](), list[Path](), set[Path]()
    for dataset in study.params.grid.datasets:
        sounds = [RAW / dataset, SPLITS / dataset]
        if not set(sounds) <= vouched:
            held |= set(contents.held_sounds(study, dataset))
            found += contents.check_sounds(study, dataset)
        for name in study.params.grid.representations:
            if (features := study.features(dataset, name)) not in vouched:
                folders.append(features)
                found += contents.check_features(study, dataset, name)
            answers = [study.models(dataset, name), study.disturbed(dataset, name)]
            if not set(answers) <= vouched:
                folders += answers
                found += contents.check_models(study, dataset, name)
    files = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    held |= {path for path in files if path.name not in contents.WITHOUT_DIGEST}
    return len(held - known), found


if __name__ == "__main__":
    run(main)
