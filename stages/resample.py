"""data/raw/<dataset> -> data/clips/<dataset>, and what was found in metrics/datasets/<dataset>.json."""

import argparse
from pathlib import Path

from beyond_spectrograms.clips import (
    CLIP_VERSIONS,
    check_clips,
    describe_clips,
    prepare_clips,
    publish_clips,
    raw_files,
)
from beyond_spectrograms.code_versions import load_versions
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import write_json
from beyond_spectrograms.foretelling.forecasts import amount, compare, spending
from beyond_spectrograms.foretelling.pilot_resampling import foretell_resampling
from beyond_spectrograms.params import load_params


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=params.datasets)
    dataset = parser.parse_args().dataset
    source = params.datasets[dataset].source
    raw = Path("data/raw", dataset, "audio")
    files = raw_files(raw)
    print(f"{dataset}: checking and resampling {len(files)} files; calibrating on a few", flush=True)
    foretold = foretell_resampling(files, source.seconds)
    size = amount(sum(path.stat().st_size for path in files))
    print(f"{dataset}: {size} of sound files; {foretold}, if no clip is kept", flush=True)
    work = Path("data/partial/clips", dataset)
    with spending() as spent:
        outcomes = prepare_clips(raw, work, source.seconds, load_versions().of(*CLIP_VERSIONS))
    print(compare(spent, foretold))
    for outcome in outcomes:
        if outcome.reason:
            print(f"set aside {outcome.clip}: {outcome.reason}")
    check_clips(dataset, outcomes, source.clips, source.classes, source.known_bad)
    publish_clips(outcomes, work, Path("data/clips", dataset))
    described = describe_clips(dataset, outcomes)
    write_json(
        Path("metrics/datasets", f"{dataset}.json"), {**described, "foretold": foretold.record(), "spent": spent}
    )


if __name__ == "__main__":
    run_stage(main)
