"""data/clips/<dataset> -> the table of windows and the part each is in, in data/splits/<dataset>."""

import hashlib

from beyond_spectrograms.data.clips import read_clips
from beyond_spectrograms.data.splits import check_lists, deal_windows, describe_splits, read_lists
from beyond_spectrograms.data.windows import split_digests
from beyond_spectrograms.params.study import CLIPS, RAW, SPLITS
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import write_json, written_beside
from stages.arguments import parse


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    params, folder = study.params, CLIPS / dataset
    clips = read_clips(folder)

    lists = read_lists(RAW / dataset / "lists")
    source = params.datasets[dataset].source
    if lists is not None:
        check_lists(dataset, clips, lists, source.known_bad)
    elif "part" in clips:
        lists = dict(zip(clips["clip"], clips["part"], strict=True))
    windows = params.windows_of(dataset)
    dealt = deal_windows(dataset, clips, folder, source, windows=windows, splits=params.splits, lists=lists)
    table, parts = dealt.table, dealt.parts
    for name, frame in (("windows", table), ("parts", parts)):
        with written_beside(SPLITS / dataset / f"{name}.csv") as beside:
            frame.to_csv(beside, index=False, lineterminator="\n")
    metrics = describe_splits(dataset, table, parts, params.splits, dealt.straddling)
    metrics["sha256"] = split_digests(table, parts, params.splits)  # of windows and parts, by split
    manifest = clips[["clip", "sha256"]].to_csv(index=False, lineterminator="\n")
    metrics["clips_sha256"] = hashlib.sha256(manifest.encode()).hexdigest()
    metrics["clips_without_a_window"] = len(clips) - metrics["recordings"]
    metrics["clips_that_copy_another"] = int(clips["sha256"].duplicated().sum())
    write_json(study.metrics(dataset) / "splits.json", metrics)
    if too_short := metrics["clips_without_a_window"]:
        print(f"{too_short} clips are shorter than a window and are left out; windows.tail: reflect would keep them")
    print(f"{dataset}: {metrics['windows']} windows, {metrics['silent_windows']} silent; splits {', '.join(parts)}")


if __name__ == "__main__":
    run_stage(main)
