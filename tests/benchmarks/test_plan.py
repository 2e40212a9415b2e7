"""The plan for a large data set: arithmetic on rates that were measured."""

from pathlib import Path

import pytest

from benchmarks import plan
from beyond_spectrograms.estimates.timing import Rate
from beyond_spectrograms.util.commands import status_of
from beyond_spectrograms.util.files import read_told
from support.cells import write
from support.repository import REPOSITORY, Capture, Patch

SOUND_S = 20_843_200
RESAMPLING = Rate(units=100.0, seconds=0.5, disk_bytes=30_000_000)


def test_hours_are_seconds_of_sound_by_the_rates_that_were_measured() -> None:
    measured = read_told(REPOSITORY / plan.BENCH)["pairings"]["soundstream"]["per_second"]["ours"]
    told = plan.plan(read_told(REPOSITORY / plan.BENCH), RESAMPLING)
    assert told["representations"]["soundstream"]["encode_hours"] == pytest.approx(SOUND_S / measured / 3600)
    assert told["resample_hours"] == pytest.approx(SOUND_S * 0.005 / 3600)
    assert told["clips_bytes"] == SOUND_S * 300_000


def test_latents_of_encodec_are_as_large_as_they_are_known_to_be() -> None:
    """806 GB are 2.1 million clips; AudioSet's table of segments has 2,084,320."""
    table = plan.plan_table(plan.plan(read_told(REPOSITORY / plan.BENCH), RESAMPLING))
    [row] = [row for row in table.rows if row["representation"] == "encodec_24khz"]
    assert (row["features in fp32"], row["in fp16"], row["as codes"]) == ("800.4 GB", "400.2 GB", "25.0 GB")


def test_codes_of_small_codebooks_take_a_byte_each() -> None:
    planned = plan.plan(read_told(REPOSITORY / plan.BENCH), RESAMPLING)["representations"]
    assert {name: of["codes_bytes"] for name, of in planned.items()} == {
        "mel": None,
        "soundstream": SOUND_S * 30 * 50,
        "encodec_24khz": SOUND_S * 8 * 75 * 2,
        "encodec_24khz, bf16": SOUND_S * 8 * 75 * 2,
    }


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], "no sounds in folders of classes. Give data/raw/<data set>/audio, say."),
        (["dog/1.wav"], "none of the sounds that were tried can be resampled. Give others."),
    ],
)
def test_a_folder_without_sounds_that_read_is_refused(
    tmp_path: Path, files: list[str], told: str, monkeypatch: Patch, capsys: Capture
) -> None:
    for name in files:
        write(tmp_path / name, "no sound")
    monkeypatch.setattr("sys.argv", ["plan", str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    assert status_of(plan.main) == 1
    assert capsys.readouterr().err == f"{tmp_path}: {told}\n"
