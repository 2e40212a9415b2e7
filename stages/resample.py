"""data/raw/<dataset> -> data/clips/<dataset>, and what was found in metrics/datasets/<dataset>.json."""

import argparse
from pathlib import Path

from beyond_spectrograms.clips import check_clips, describe_clips, prepare_clips, publish_clips, raw_files
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import write_json
from beyond_spectrograms.params import load_params


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=params.datasets)
    dataset = parser.parse_args().dataset
    source = params.datasets[dataset].source
    raw = Path("data/raw", dataset, "audio")
    print(f"{dataset}: checking and resampling {len(raw_files(raw))} files")
    work = Path("data/partial/clips", dataset)
    outcomes = prepare_clips(raw, work, source.seconds)
    for outcome in outcomes:
        if outcome.reason:
            print(f"set aside {outcome.clip}: {outcome.reason}")
    check_clips(dataset, outcomes, source.clips, source.classes, source.known_bad)
    publish_clips(outcomes, work, Path("data/clips", dataset))
    write_json(Path("metrics/datasets", f"{dataset}.json"), describe_clips(dataset, outcomes))


if __name__ == "__main__":
    run_stage(main)
