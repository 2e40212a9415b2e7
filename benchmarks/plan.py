"""What AudioSet would take on machines like this one, by rates that were measured: metrics/plan.json and .md.

`python -m benchmarks.plan FOLDER` resamples a few sounds of FOLDER/<class>/ to see what that takes. The rates of
encoders and of training are those of metrics/bench.json, which `make bench` measured.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.results import publish
from beyond_spectrograms.data.clips import raw_files
from beyond_spectrograms.estimates.preparation import pilot_resampling
from beyond_spectrograms.estimates.timing import Rate, amount, roughly
from beyond_spectrograms.report.table import Row, Table, texts
from beyond_spectrograms.representations.recipes import type_of_codes
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import read_told

CLIPS, CLIP_S = 2_084_320, 10.0  # AudioSet's segments (Gemmeke et al., ICASSP 2017)
EPOCHS = 10
MACHINES = (1, 20)
BENCH, RESULTS = Path("metrics/bench.json"), Path("metrics/plan.json")


class Features(NamedTuple):
    """Numbers of a second of sound: bands times frames, and codebooks times frames where it has codes.

    `encoded` and `trained` are names of metrics/bench.json. A codebook has so many `entries`.
    """

    encoded: str
    trained: str
    numbers: int
    codes: int = 0
    entries: int = 1


# EnCodec at 6 kbit/s has 8 codebooks of 1024 entries at 24 kHz, 75 frames (encodec.model); SoundStream 30 of 16 at
# 6 kbit/s, 50 frames (Lyra's lyra_config.cc). mel is the paper's: 128 bands, hops of 128 at 22050 Hz.
FEATURES = {
    "mel": Features("mel", "train_mel", 128 * 173),
    "soundstream": Features("soundstream", "train_soundstream", 64 * 50, 30 * 50, 16),
    "encodec_24khz": Features("encodec_24khz_untrained", "train_encodec_24khz", 128 * 75, 8 * 75, 1024),
    "encodec_24khz, bf16": Features("encodec_24khz_untrained_bf16", "train_encodec_24khz", 128 * 75, 8 * 75, 1024),
}


def plan(bench: dict[str, Any], resampling: Rate) -> dict[str, Any]:
    """Lay out metrics/plan.json: hours of one machine, and bytes, for every step of every representation."""
    sound_s = CLIPS * CLIP_S
    per_second = {name: float(of["per_second"]["ours"]) for name, of in bench["pairings"].items()}
    rows = {}
    for name, of in FEATURES.items():
        rows[name] = {
            "encode_hours": sound_s / per_second[of.encoded] / 3600,
            "train_hours": EPOCHS * sound_s / per_second[of.trained] / 3600,  # windows of a second
            "fp32_bytes": 4 * of.numbers * sound_s,
            "fp16_bytes": 2 * of.numbers * sound_s,
            "codes_bytes": type_of_codes(of.entries).itemsize * of.codes * sound_s if of.codes else None,
        }
    return {
        "clips": CLIPS, "clip_seconds": CLIP_S, "epochs": EPOCHS,
        "processor": bench["processor"], "cores": bench["cores"],
        "resample_hours": sound_s * resampling.seconds / resampling.units / 3600,
        "clips_bytes": sound_s * resampling.disk_bytes / resampling.units,
        "representations": rows,
    }  # fmt: skip


def plan_table(planned: dict[str, Any]) -> Table:
    """Lay out a row a representation."""
    rows: list[Row] = []
    for name, of in planned["representations"].items():
        hours = planned["resample_hours"] + of["encode_hours"]
        rows.append(
            {
                "representation": name,
                "machine-hours to encode": f"{of['encode_hours']:.0f}",
                **{f"resampled and encoded by {count}": roughly(3600 * hours / count) for count in MACHINES},
                f"machine-hours of {EPOCHS} epochs": f"{of['train_hours']:.0f}",
                "features in fp32": amount(of["fp32_bytes"]),
                "in fp16": amount(of["fp16_bytes"]),
                "as codes": "-" if of["codes_bytes"] is None else amount(of["codes_bytes"]),
            }
        )
    notes = [
        f"{planned['clips']:,} clips of {planned['clip_seconds']:g} s, in windows of a second; a machine is "
        f"{planned['cores']} cores of {planned['processor']}.",
        f"Resampling takes {planned['resample_hours']:.0f} machine-hours, and clips in "
        f"the four formats {amount(planned['clips_bytes'])}.",
        "Encoders and training by the rates of metrics/bench.json; codes at 6 kbit/s, in whole bytes each.",
    ]  # fmt: skip
    return Table("AudioSet, planned", rows, texts(*rows[0]), notes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="sounds in folders of classes")
    folder: Path = parser.parse_args().folder
    if not (files := raw_files(folder) if folder.is_dir() else []):
        raise ProjectError(f"{folder}: no sounds in folders of classes. Give data/raw/<data set>/audio, say.")
    resampling = pilot_resampling(files, (0.1, 600.0))
    if not resampling.disk_bytes:
        raise ProjectError(f"{folder}: none of the sounds that were tried can be resampled. Give others.")
    planned = plan(read_told(BENCH), resampling)
    publish(RESULTS, planned, plan_table(planned))


if __name__ == "__main__":
    run(main)
