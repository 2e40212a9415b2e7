"""data/raw/<dataset> -> data/clips/<dataset>, and what was found in metrics/<dataset>/clips.json."""

import json

from beyond_spectrograms.clips import check_clips, describe_clips, prepare_clips, publish_clips, raw_files
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import write_json
from beyond_spectrograms.foretelling.forecasts import amount, compare, spending
from beyond_spectrograms.foretelling.pilot_resampling import foretell_resampling
from beyond_spectrograms.study import CLIPS, PARTIAL, RAW
from stages.arguments import parse


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    source, raw = study.params.datasets[dataset].source, RAW / dataset
    files = raw_files(raw / "audio")
    print(f"{dataset}: checking and resampling {len(files)} files; calibrating on a few", flush=True)
    foretold = foretell_resampling(files, source.seconds)
    size = amount(sum(path.stat().st_size for path in files))
    print(f"{dataset}: {size} of sound files; {foretold}, if no clip is kept", flush=True)
    work = PARTIAL / "clips" / dataset
    with spending() as spent:
        outcomes = prepare_clips(raw / "audio", work, source.seconds)
    print(compare(spent, foretold))
    for outcome in outcomes:
        if outcome.reason:
            print(f"set aside {outcome.clip}: {outcome.reason}")
    check_clips(dataset, outcomes, source.clips, source.classes, source.known_bad)
    publish_clips(outcomes, work, CLIPS / dataset)
    origin = json.loads((raw / "source.json").read_text(encoding="utf-8"))
    write_json(study.metrics(dataset) / "clips.json", {**describe_clips(dataset, outcomes), "source": origin})


if __name__ == "__main__":
    run_stage(main)
