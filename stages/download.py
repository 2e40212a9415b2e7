"""Archive, folder, synthesis or mixing -> data/raw/<dataset>: audio/<label>/<file>, lists/<part>.txt, source.json.

And labels.csv, where sounds may have several labels or a table says which fold or part they are in.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beyond_spectrograms.data.archives import check_list, check_sounds, unpack, unpack_lists
from beyond_spectrograms.data.downloads import fetch
from beyond_spectrograms.data.elsewhere import take_elsewhere
from beyond_spectrograms.data.folders import copy_sounds, find_folder, list_sounds
from beyond_spectrograms.params.datasets import SplitLists
from beyond_spectrograms.params.study import DOWNLOADS, PARTIAL, RAW, Study
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import fresh_work, replace_folder, write_json
from beyond_spectrograms.util.storage.places import is_elsewhere
from stages.arguments import parse


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    source, work = study.params.datasets[dataset].source, PARTIAL / "raw" / dataset
    fetched = PARTIAL / "fetched" / dataset  # what was fetched so far, for a run that is stopped
    with fresh_work(work):
        record = take_sounds(dataset, study, work / "audio", fetched)
        record |= check_sounds(dataset, work / "audio", source)
        if source.lists is not None:
            take_lists(dataset, source.lists, work / "lists")
        write_json(work / "source.json", record)
        replace_folder(work, RAW / dataset)
        shutil.rmtree(fetched, ignore_errors=True)
    print(f"{dataset}: {record['files']} files in {len(record['classes'])} classes")
    if left_out := record.get("left_out"):
        print("left out:", ", ".join(f"{count} {kind}" for kind, count in left_out.items()))


def take_sounds(dataset: str, study: Study, audio: Path, fetched: Path) -> dict[str, Any]:
    """Fill `audio` from the origin that the data set's source names; return what source.json says of it.

    `fetched` keeps what comes from elsewhere. Lists of parts that the archive itself holds go to `lists` beside it.
    """
    source, stage = study.params.datasets[dataset].source, study.stage("download", dataset)
    if source.path is not None:
        print(f"{dataset}: copying {source.path}. DVC does not watch it: once it changes, say dvc repro -f {stage}")

    def check(names: Sequence[str]) -> None:
        from beyond_spectrograms.data.splits import check_groups  # not before it is needed: it imports pandas

        check_groups(dataset, names, source)

    if source.path is not None and (source.layout is not None or is_elsewhere(source.path)):
        told = take_elsewhere(source, fetched, audio, check)
        return {"kind": "path", "path": source.path, **told}
    if source.path is not None and source.members is not None:
        left_out = unpack(find_folder(source.path), source.members, source.label_table, audio)
        return {"kind": "path", "path": source.path, "left_out": left_out}
    if source.path is not None:
        check(sorted(list_sounds(source.path).paths))
        copied = copy_sounds(source.path, audio)
        shortened = {
            name: path for name, path in copied.paths.items() if Path(name).name != "__".join(Path(path).parts[1:])
        }
        told = {"kind": "path", "path": source.path, "left_out": copied.left_out}
        return told | ({"shortened": shortened} if shortened else {})
    if source.synthetic is not None:
        from beyond_spectrograms.data.synthesis import synthesise

        print(f"{dataset}: synthesising")
        synthesise(audio, **source.synthetic.model_dump())
        return {"kind": "synthetic", **source.synthetic.model_dump()}
    if source.mixtures is not None:
        from beyond_spectrograms.data.mixtures import make_mixtures

        print(f"{dataset}: mixing sounds of {source.mixtures.of}")
        other = study.params.datasets[source.mixtures.of]
        make_mixtures(dataset, source.mixtures, other, RAW / source.mixtures.of / "audio", audio)
        return {"kind": "mixtures", **source.mixtures.model_dump()}
    found = fetch(dataset, source.archives or [], DOWNLOADS)
    left_out = unpack(found.path, source.members or "", source.label_table, audio)
    if source.lists_inside is not None:
        unpack_lists(dataset, found.path, source.lists_inside, audio, audio.parent / "lists")
    # Bytes that differ from one download to the next are left out: data/raw has to be the same on every machine.
    size, digest = (found.bytes, found.sha256) if found.record.sha256 else (None, None)
    origin = {"url": found.record.url, "licence": found.record.licence, "bytes": size, "sha256": digest}
    return {"kind": "archive", **origin, "left_out": left_out}


def take_lists(dataset: str, lists: SplitLists, folder: Path) -> None:
    """Fetch the published list of each part as `folder`/<part>.txt."""
    folder.mkdir()
    for part, record in lists:
        found = fetch(f"{dataset}, list {part}", [record], DOWNLOADS)
        check_list(f"{dataset}, list {part}", found.path, record.entries)
        shutil.copyfile(found.path, folder / f"{part}.txt")


if __name__ == "__main__":
    run_stage(main)
