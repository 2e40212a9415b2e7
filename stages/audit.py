"""data/clips and data/splits -> metrics/<dataset>/audit.json, .md: what leaks between parts; fails where none may."""

import pandas as pd

from beyond_spectrograms.data.clips import read_clips
from beyond_spectrograms.data.windows import columns_of, read_parts, read_windows
from beyond_spectrograms.leakage import audit
from beyond_spectrograms.leakage.cues import measure_cues, score_cues
from beyond_spectrograms.leakage.fingerprints import evidence
from beyond_spectrograms.leakage.tables import print_audit
from beyond_spectrograms.params.study import CLIPS, SPLITS
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import read_told, write_json, write_text
from stages.arguments import parse


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    params, metrics, folder, splits = study.params, study.metrics(dataset), CLIPS / dataset, SPLITS / dataset
    table, parts = read_windows(splits), read_parts(splits)
    clips = read_clips(folder).drop(columns="group", errors="ignore")  # the table has that of copies too
    clips = clips.merge(table[["clip", "group"]].drop_duplicates(), on="clip")
    known_pairs = params.datasets[dataset].known_pairs
    audit.check_known_pairs(dataset, clips["clip"], known_pairs)

    sounds = audit.fingerprint_clips(folder, clips["clip"])
    places = audit.parts_of_clips(table, parts, clips["clip"])
    pairs = audit.find_pairs(clips, sounds, places, params.audit.near_strength, known_pairs)
    source = params.datasets[dataset].source
    repetitions = audit.describe_repetitions(clips, pairs, places, source.known_repetitions)
    described = audit.describe_splits(table, parts, params.splits, pairs, repetitions)

    by_clip = pd.DataFrame({column: [min(of, default="") for of in sets] for column, sets in places.items()})
    source_splits = {name: columns_of(name, parts) for name, split in params.splits.items() if split.kind == "source"}
    seen = by_clip[[column for columns in source_splits.values() for column in columns]]
    heard = clips[seen.isin(["train", "validation"]).any(axis=1)]
    cues = measure_cues(folder, heard)
    scored = {
        name: score_cues(cues, heard["label"], heard["group"], by_clip.loc[heard.index, columns], params.audit)
        for name, columns in source_splits.items()
    }

    heard_before = {name: of for name in params.representations if (of := params.shared_corpora(dataset, name))}
    moved = read_told(metrics / "splits.json")
    found = {
        "dataset": dataset,
        "clips": len(clips),
        "groups": int(clips["group"].nunique()),
        "near_strength": params.audit.near_strength,
        "clips_too_quiet_to_compare": sum(evidence(s.cells) < params.audit.near_strength for s in sounds),
        "heard_before": heard_before,
        "splits": described,
        "cues": scored,
        "known_errors": {"moved": moved["groups_moved_to_one_fold"], "repetitions": repetitions},
        "pairs": [audit.describe_pair(pair) for pair in pairs],
    }
    write_json(metrics / "audit.json", found)
    write_text(metrics / "audit.md", print_audit(found))
    audit.check_no_leak(dataset, described, pairs)
    acknowledged = sum(pair.known for pair in pairs)
    if heard_before:
        print(f"{dataset}: weights that may know its sounds: {', '.join(heard_before)}")
    print(f"{dataset}: {len(pairs)} pairs of clips are the same sound, {acknowledged} of them acknowledged")
    print(f"{dataset}: nothing else stands in two parts of a split that promises no leak")


if __name__ == "__main__":
    run_stage(main)
