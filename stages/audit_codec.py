"""Which clips a codec hears, and which test -> data/codec_sounds/<codec>, and an audit; fails where it hears a test."""

from collections.abc import Iterator

import pandas as pd

from beyond_spectrograms.codec.sounds import HEARD_COLUMNS, SPLIT, choose_clips
from beyond_spectrograms.data.clips import read_clips
from beyond_spectrograms.data.windows import columns_of, read_parts, read_windows
from beyond_spectrograms.leakage.audit import describe_pair
from beyond_spectrograms.leakage.heard import check_unheard, find_heard
from beyond_spectrograms.params.codecs import CodecSounds
from beyond_spectrograms.params.study import CLIPS, CODEC_SOUNDS, SPLITS, Study
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import write_json, written_beside
from stages.arguments import parse


def main() -> None:
    study, (name,) = parse(__doc__, "codec")
    recipe = study.params.codecs[name]
    heard = pd.concat([choose(sounds) for sounds in recipe.sounds], ignore_index=True)
    tested = pd.concat(tables_of_tested(study, name), ignore_index=True).drop_duplicates(["dataset", "clip"])
    apart_from = {sounds.dataset: sounds.apart_from for sounds in recipe.sounds}
    strength = study.params.audit.near_strength
    lines, pairs, quiet = find_heard(heard, tested, CLIPS, strength, apart_from)
    described = {
        "codec": name,
        "heard": heard["dataset"].value_counts(sort=False).to_dict(),
        "tested": tested["dataset"].value_counts(sort=False).to_dict(),
        "near_strength": strength,
        "clips_too_quiet_to_compare": quiet,
        "heard_and_tested": lines,
        "pairs": [describe_pair(pair) for pair in pairs],
    }
    write_json(study.codec_metrics(name) / "audit.json", described)
    check_unheard(name, lines, pairs)
    for file, clips in (("heard", heard), ("tested", tested)):  # judge_codec hangs on those that test
        with written_beside(CODEC_SOUNDS / name / f"{file}.csv") as beside:
            clips.to_csv(beside, index=False, lineterminator="\n")
    print(f"{name}: hears {len(heard)} clips; none of the {len(tested)} that test is among them, by name or by sound")


def choose(sounds: CodecSounds) -> pd.DataFrame:
    """List the clips of a data set that the codec hears."""
    splits = SPLITS / sounds.dataset
    apart = {name: set(read_windows(SPLITS / name)["group"]) for name in sounds.apart_from}
    return choose_clips(sounds, read_clips(CLIPS / sounds.dataset), read_windows(splits), read_parts(splits), apart)


def tables_of_tested(study: Study, name: str) -> Iterator[pd.DataFrame]:
    """Give the clips that test."""
    for dataset, fold in study.params.tests_of_codec(name):
        table, parts = read_windows(SPLITS / dataset), read_parts(SPLITS / dataset)
        columns = columns_of(SPLIT, parts)
        tests = (parts[columns if fold is None else [columns[fold - 1]]] == "test").any(axis=1)
        clips = table[tests].drop_duplicates("clip")[["clip", "label", "group"]]
        told = clips.merge(read_clips(CLIPS / dataset)[["clip", "sha256"]], on="clip").assign(dataset=dataset)
        yield told[list(HEARD_COLUMNS)]


if __name__ == "__main__":
    run_stage(main)
