"""Heard end to end with trained models: latents, and clusters of which two have one class and a class has none."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from test_sonification import run

from support import heard
from support.cells import write_split_record
from support.heard import RATE, TONES

LATENTS, CLUSTERS = ("soundstream", "latent_prototypes"), ("log_mel_16khz", "clusters")


def shorten(folder: Path, *protocols: str) -> None:
    """Let protocols be trained for six epochs, with one seed, and a clip be tested."""
    parts = folder / "data/splits/esc10/parts.csv"
    table = pd.read_csv(parts, dtype=str)
    table.iloc[0] = "test"  # training ends with answers to a test part
    table.to_csv(parts, index=False)
    write_split_record(folder, "esc10", heard.STUDY)
    path = folder / "studies/prototypes/params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in protocols:
        params["protocols"][name] |= {"epochs": 6, "seeds": [0]}
        params["protocols"][name]["prototypes"] |= {"step_epochs": 1, "warm_up": 0}
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def written(folder: Path, cell: tuple[str, str]) -> tuple[str, dict[str, object]]:
    """Give the page and the measures of a cell."""
    page = (folder / f"data/heard/prototypes/esc10/{'/'.join(cell)}/page/index.html").read_text(encoding="utf-8")
    near = folder / f"studies/prototypes/metrics/esc10/heard/{cell[0]}.json"
    return page, json.loads(near.read_text(encoding="utf-8"))[cell[1]]


def data_of(page: str) -> dict[str, list[dict[str, object]]]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, list[dict[str, object]]] = json.loads(found[1])
    return data


@pytest.mark.long
def test_trained_prototypes_of_latents_sound_as_their_classes(tmp_path: Path, mirror: Path) -> None:
    heard.write(tmp_path, cell=LATENTS)
    heard.write_latents(tmp_path, mirror)
    shorten(tmp_path, LATENTS[1])
    run(tmp_path, "train", "--study=prototypes", "esc10", LATENTS[0])
    run(tmp_path, "listen", "--study=prototypes", "esc10", LATENTS[0])
    for number, label in enumerate(sorted(TONES), 1):
        sounds = tmp_path / "data/heard/prototypes/esc10/soundstream/latent_prototypes/sounds"
        samples, rate = soundfile.read(sounds / f"{number}_{label}-prototype.wav")
        assert (rate, len(samples)) == (RATE, RATE)
        strongest = np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)
        assert strongest == pytest.approx(TONES[label], rel=0.1)
    page, measured = written(tmp_path, LATENTS)
    assert measured["windows"] == 6
    assert data_of(page)["frequencies"] is None
    for clip in data_of(page)["clips"]:
        assert clip["reconstructions"][0]["label"] == clip["label"]  # type: ignore[index]
        curves = clip["reconstructions"][0]["curves"]  # type: ignore[index]
        assert set(curves) == {"factor of the distance from rest", "read later by (ms)"}
        assert min(curves["factor of the distance from rest"]) > 0
    assert "the codec's own decoder" in page.replace("&#39;", "'")


@pytest.mark.long
def test_clusters_of_one_class_and_a_class_without_any_are_heard(tmp_path: Path) -> None:
    heard.write(tmp_path, cell=CLUSTERS)
    heard.relabel(tmp_path)
    shorten(tmp_path, CLUSTERS[1])
    run(tmp_path, "train", "--study=prototypes", "esc10", CLUSTERS[0])
    printed = run(tmp_path, "listen", "--study=prototypes", "esc10", CLUSTERS[0])
    page, measured = written(tmp_path, CLUSTERS)
    names = sorted(str(one["name"]).split(": ")[1] for one in data_of(page)["prototypes"])
    assert names == ["middle", "outer", "outer"]
    assert [one["name"].split(": ")[0] for one in data_of(page)["prototypes"]] == ["1", "2", "3"]  # type: ignore[attr-defined]
    for clip in data_of(page)["clips"]:
        labels = [made["label"] for made in clip["reconstructions"]]  # type: ignore[attr-defined]
        assert sorted(labels) == ["middle", "outer"]
    assert "rare" in {clip["label"] for clip in data_of(page)["clips"]}
    assert measured["windows_without_prototype"] == 1
    assert "rendered" in printed
