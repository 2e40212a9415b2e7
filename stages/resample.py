"""data/raw/<dataset> -> data/clips/<dataset>, and what was found in metrics/<dataset>/clips.json."""

from beyond_spectrograms.data.clips import CLIP_VERSIONS, check_clips, describe_clips, publish_clips
from beyond_spectrograms.data.labels import read_labels
from beyond_spectrograms.estimates.preparation import timed_resampling
from beyond_spectrograms.params.study import CLIPS, PARTIAL, RAW
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import locked, read_told, write_json
from stages.arguments import parse


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    source, raw, work = study.params.datasets[dataset].source, RAW / dataset, PARTIAL / "clips" / dataset
    with locked(work):
        versions = {noun: study.params.versions[noun] for noun in CLIP_VERSIONS}
        outcomes = timed_resampling(dataset, raw / "audio", work, source.seconds, versions)
        for outcome in outcomes:
            if outcome.reason:
                print(f"set aside {outcome.clip}: {outcome.reason}")
        told = read_labels(raw)
        check_clips(dataset, outcomes, source, told)
        publish_clips(outcomes, work, CLIPS / dataset, told)
    origin = read_told(raw / "source.json")
    write_json(study.metrics(dataset) / "clips.json", {**describe_clips(dataset, outcomes, told), "source": origin})


if __name__ == "__main__":
    run_stage(main)
