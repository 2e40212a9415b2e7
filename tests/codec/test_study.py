"""The study of codecs from sounds to a table, small, by the real DVC; and a test recording planted in what is heard."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from support.clones import TINY, clone, commit, dvc, edit, ran, stage

STUDY = "studies/codec/dvc.yaml"
CODEC = "studies/codec/metrics/codecs/pilot"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clone the project, its sounds few, its codec the smallest, kept after 0 and 3 steps and probed after both."""
    folder = clone(tmp_path_factory.mktemp("codec"))
    for name, seed in (("demo", 0), ("synthesised", 1)):
        source = {**TINY, "seed": seed}
        edit(folder, f"datasets/{name}.yaml", {"source.synthetic": source, "source.clips": 24, "max_epochs": 2})
    network = {
        **{"sample_rate": 16_000, "channels": 1, "filters": 2, "strides": [8, 5, 4, 2], "dimension": 8, "lstm": 0},
        **{"causal": True, "norm": "weight_norm", "by_level": False, "codebooks": 3, "entries": 16, "bitrates": [600]},
    }
    grid = {"datasets": ["demo"], "representations": ["early", "late"], "protocols": ["probe_mean_deviation"]}
    grid |= {"only": {}}
    latents = {"kind": "codec", "weights": None, "codec": "pilot", "seed": 0}
    edit(
        folder,
        "studies/codec/params.yaml",
        {
            **{f"grid.{key}": value for key, value in (grid | {"codecs": ["pilot"]}).items()},
            "contrasts.pairs": [["late", "early"]],
            "codecs.pilot.network": network,
            "codecs.pilot.batch_size": 2,
            "codecs.pilot.steps": [0, 3],
            "codecs.pilot.judged": [{"dataset": "demo", "fold": 1, "clips": 2, "seconds": 1.0}],
            "representations": {"early": {**latents, "step": 0}, "late": {**latents, "step": 3}},
        },
    )
    pipeline = folder / STUDY
    others = "".join(
        f"      - data/codecs/{name}\n" for name in ("environment", "environment_log_mel", "speech", "both")
    )
    text = pipeline.read_text()
    assert others in text
    pipeline.write_text(text.replace(others, "      - data/codecs/pilot\n"))
    commit(folder, "smaller")
    return folder


@pytest.mark.long
def test_the_study_goes_from_sounds_to_codecs_and_to_tables_of_their_latents(small: Path) -> None:
    asked = ("export_codec@pilot", "listen_codec@pilot", "report@demo")
    told = dvc(small, "repro", *(f"{STUDY}:{name}" for name in asked))
    assert {"audit_codec_pilot", "train_codec@pilot", "judge_codec@pilot", "featurize@demo-late"} <= set(ran(told))
    assert "pilot: hears 24 clips; none of the 24 that test is among them, by name or by sound\n" in told
    heard = pd.read_csv(small / "data/codec_sounds/pilot/heard.csv")
    assert set(heard["dataset"]) == {"synthesised"}
    quality = json.loads((small / CODEC / "quality.json").read_text())["results"]
    assert [(each["step"], each["bitrate"], len(each["clips"])) for each in quality] == [(0, 600, 2), (3, 600, 2)]
    card = json.loads((small / "data/exported_codecs/pilot/card.json").read_text())
    assert (card["steps"], card["seed"], card["sounds"][0]["dataset"]) == (3, 0, "synthesised")
    assert card["sounds"][0]["notice"]["licence"] == "none needed"
    assert card["bytes"] == (small / "data/exported_codecs/pilot/codec.safetensors").stat().st_size
    assert "The codec pilot, to hear" in (small / "data/heard/codec/codecs/pilot/index.html").read_text()
    table = (small / "studies/codec/metrics/demo/tables/results.md").read_text()
    assert "early" in table
    assert "late" in table
    assert ran(dvc(small, "repro", *(f"{STUDY}:{name}" for name in asked))) == []
    stage(small, "draw_codecs", "--study=codec")
    table = (small / "studies/codec/metrics/learning/tables/learning.md").read_text()
    assert "| demo     | pilot   | 3     | 1     |" in table


@pytest.mark.long
def test_a_test_recording_among_what_a_codec_hears_is_refused_before_it_is_trained(small: Path) -> None:
    """Under another name, in another data set: only its sound gives it away."""
    dvc(small, "repro", f"{STUDY}:split@synthesised", "studies/demo/dvc.yaml:split@demo")
    heard, test = (sorted((small / f"data/raw/{name}/audio").glob("*/*.wav"))[0] for name in ("synthesised", "demo"))
    heard.unlink()  # DVC's files are read-only
    shutil.copyfile(test, heard)
    for verb in ("resample", "split"):
        stage(small, verb, "--study=codec", "synthesised")
    told = stage(small, "audit_codec", "--study=codec", "pilot", expect=1)
    name = heard.relative_to(small / "data/raw/synthesised/audio")
    of_test = test.relative_to(small / "data/raw/demo/audio")
    assert told == (
        "pilot: would hear what is tested\n"
        f"  heard synthesised/{name} and tested demo/{of_test}, same bytes\n"
        "Name data sets of the same recordings under codecs.pilot.sounds.apart_from, or clips under without.\n"
    )
    audit = json.loads((small / CODEC / "audit.json").read_text())
    assert [pair["kind"] for pair in audit["pairs"]] == ["same bytes"]
