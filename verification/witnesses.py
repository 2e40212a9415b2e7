"""What each noun of versions.yaml makes of small, seeded sounds, features and results: `verify` compares these.

A witness calls what the stages call, with the settings of the tree's own params.yaml, and gives arrays and texts by
name. Names are what two commits are compared by: they say what was made, never by which module. Here are the nouns that
work on sounds; on networks witnesses_of_networks.py, on results witnesses_of_results.py.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from beyond_spectrograms.data import audio
from beyond_spectrograms.params import (
    STUDIES,
    CodecFile,
    Encodec,
    Hear,
    Params,
    Split,
    Windows,
    load_params,
    weights_of,
)
from verification.made import CLASSES, NOT_WITNESSED, Made, made_clips, made_sounds, mirrored, run_stages


def data(params: Params, folder: Path) -> Made:
    """Unpack, copy and check sounds of every container; clips of every format, windows with both tails, all splits."""
    from beyond_spectrograms.data.archives import check_sounds, unpack
    from beyond_spectrograms.data.clips import check_clips, describe_clips, prepare_clips
    from beyond_spectrograms.data.folders import copy_sounds
    from beyond_spectrograms.data.splits import (
        assign_groups,
        assign_parts,
        check_sources_apart,
        describe_splits,
        tabulate_windows,
    )

    raw = made_sounds(folder)
    for path in sorted(raw.glob("*/*.wav")):
        yield f"synthesis/{path.stem}", soundfile.read(path, dtype="int16")[0]
    _as_other_files(raw)
    outcomes = prepare_clips(raw, folder / "check", (0.5, 600.0))
    check_clips("made", outcomes, params.datasets["demo"].source.model_copy(update={"clips": None, "classes": None}))
    yield "clips/described", describe_clips("made", outcomes)
    clips = made_clips(folder, raw)
    for form in audio.FORMATS:
        for path in sorted((folder / "clips" / form.name).rglob("*.flac")):
            yield f"clips/{form.name}/{path.stem}", audio.read_clip(path, form)
    for tail in ("drop", "reflect"):
        windows = Windows(length_s=params.windows.length_s, hop_s=params.windows.hop_s, tail=tail)
        table = tabulate_windows(clips, folder / "clips", windows)
        yield f"windows/{tail}", table.to_csv(index=False)
        yield f"windows/{tail}/cut", _cut(table, folder / "clips", params.windows.length_s)
    listed = next(name for name, dataset in params.datasets.items() if dataset.source.lists is not None)
    for name in ("demo", "esc10", listed):
        source = params.datasets[name].source
        tabled, straddling = assign_groups(name, _named_clips(name), source)
        yield f"groups/{name}", tabled.to_csv(index=False)
        table = tabled.loc[tabled.index.repeat(3)].reset_index(drop=True).assign(start_s=0.0, silent=0)
        lists = None
        if name == listed:
            dealt = ["train", "train", "train", "validation", "test", "test"] * 5
            lists = dict(zip(tabled["clip"], dealt, strict=True))
        parts = assign_parts(table, params.splits, lists)
        check_sources_apart(name, table, parts, params.splits)
        yield f"parts/{name}", parts.to_csv(index=False)
        yield f"splits/{name}", describe_splits(name, table, parts, params.splits, straddling)
    by_seed = {"by_seed": Split(kind="window", fractions=(0.6, 0.2, 0.2), seeds=[0, 3])}
    yield "parts/by_seed", assign_parts(table, by_seed).to_csv(index=False)
    archive = folder / "sounds.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(raw.glob("*/*.flac")):
            packed.write(path, f"some/Label of {path.parent.name}/{path.name}")
        packed.writestr("some/readme.txt", "no sound")
    left_out = unpack(archive, r"some/(?P<label>[^/]+)/(?P<file>[^/]+\.flac)", None, folder / "unpacked")
    copied = copy_sounds(str(raw), folder / "copied")
    names = [str(path.relative_to(folder / "unpacked")) for path in sorted((folder / "unpacked").rglob("*.flac"))]
    yield "archive", {"left_out": left_out, "names": names, "copied": getattr(copied, "left_out", copied)}
    source = params.datasets["demo"].source.model_copy(update={"clips": None, "classes": None})
    (raw / "engine/engine_00.ogg").unlink()  # its bytes are drawn anew by the coder
    yield "manifest", check_sounds("made", raw, source.model_copy(update={"manifest_sha256": None}))
    project = run_stages(folder, "split")
    for name in ("windows", "parts"):
        yield f"stages/{name}", (project / f"data/splits/demo/{name}.csv").read_text(encoding="utf-8")


def _as_other_files(raw: Path) -> None:
    """Store some of the sounds in other containers, rates and channels, two of them the same, and one broken."""
    sound, rate = soundfile.read(raw / "bird/bird_00.wav")
    soundfile.write(raw / "bird/stereo.flac", np.stack([sound, -0.5 * sound], axis=1), 48_000)
    soundfile.write(raw / "chords/slow.au", soundfile.read(raw / "chords/chords_00.wav")[0], 16_000)
    soundfile.write(raw / "engine/engine_00.ogg", sound[: rate * 2], 22_050)
    soundfile.write(raw / "fire/fire.mp3", 0.5 * sound, 44_100)
    shutil.copy(raw / "rain/rain_00.wav", raw / "rain/again.wav")
    (raw / "rain/broken.wav").write_bytes((raw / "rain/rain_00.wav").read_bytes()[:5000])
    silent = raw / "syllables/silent.wav"
    soundfile.write(silent, np.zeros(rate), rate, subtype="PCM_16")


def _cut(table: pd.DataFrame, clips: Path, length_s: float) -> np.ndarray[Any, Any]:
    """Cut all windows of a table out of the smallest format: [windows, channels, samples]."""
    from beyond_spectrograms.data.clips import clip_path

    form, cut = audio.FORMATS[0], []
    for clip, rows in table.groupby("clip", sort=False):
        sound = audio.read_clip(clip_path(clips, form, str(clip)), form)
        cut.append(audio.cut_windows(sound, list(rows["start_s"]), length_s, form.sample_rate))
    return np.concatenate(cut)


def _named_clips(dataset: str) -> pd.DataFrame:
    """Tabulate clips named as those of a data set are: 3 classes of 10; two have the same bytes."""
    rows = []
    for label in CLASSES:
        for number in range(10):
            stem = f"{number % 5 + 1}-{1000 + number // 2 + 7 * (number // 5)}-{'AB'[number % 2]}"
            name = f"{stem}.ogg" if dataset.startswith("esc") else f"{label}_{number:02d}.wav"
            sha256 = f"{label}{number - (label == 'rain' and number == 9)}"
            rows.append({"clip": f"{label}/{name}", "label": label, "seconds": 5.0, "sha256": sha256})
    return pd.DataFrame(rows)


def representations(params: Params, folder: Path) -> Made:
    """Every kind of representation on twelve windows of six sounds; codecs with the weights that are here."""
    from beyond_spectrograms.data.splits import tabulate_windows
    from beyond_spectrograms.representations import create_representation
    from beyond_spectrograms.representations.feature_cache import FeatureRequest, extract
    from beyond_spectrograms.representations.stored_rows import store

    clips, length_s = made_clips(folder, made_sounds(folder)), params.windows.length_s
    table = tabulate_windows(clips, folder / "clips", Windows(length_s=length_s, hop_s=length_s, tail="drop"))[:12]
    for name, (record, weights) in _records(params, folder).items():
        if weights is None:
            yield name, NOT_WITNESSED
            continue
        made = create_representation(name, record, weights)
        shortened = table if made.form.sample_rate < 24_000 or "untrained" in name else table[:3]
        places = folder / "features" / name, folder / "work" / name
        extract(FeatureRequest(made, shortened, folder / "clips", length_s, name), *places)
        features = np.load(places[0] / "features.npy")
        yield name, features
        yield f"{name}/laws", [made.bands, made.hop_length, made.frame_rate, made.engine, list(made.packages)]
        if np.abs(features).max() < np.finfo(np.float16).max:
            stored, lost = store(features, "float16", name)
            yield f"{name}/float16", stored
            yield f"{name}/float16/lost", asdict(lost)
    yield "stages/features", np.load(run_stages(folder, "featurize") / "data/features/demo/demo/mel/features.npy")


def _records(params: Params, folder: Path) -> dict[str, tuple[Any, list[Path] | None]]:
    """List what to make: the spectrograms and controls of params.yaml, codecs, and a HEAR module; weights or None."""
    records: dict[str, tuple[Any, list[Path] | None]] = {}
    for name, record in params.representations.items():
        places = [mirrored(params.weights[key].url) for key in weights_of(record)]
        if record.kind in ("mel", "waveform") or record.weights == "untrained" or record.kind == "soundstream":
            records[name] = record, places if all(place.is_file() for place in places) else None
            if record.kind == "encodec":
                records[f"{name}_torch"] = record.model_copy(update={"engine": "torch"}), []
    for model in ("24khz", "48khz"):
        made = [_made_encodec(model, folder)]
        for key, bitrate, codes in (("latents", None, False), ("6000bps", 6000, False), ("codes", 6000, True)):
            record = Encodec(kind="encodec", weights="made", model=model, bitrate=bitrate, codes=codes)
            if model == "24khz" or key == "6000bps":
                records[f"encodec_{model}_made_{key}"] = record, made
    records["codec_file"] = CodecFile(kind="codec_file", weights="made"), [_made_codec(folder)]
    (folder / "witness_hear.py").write_text(HEAR_MODULE, encoding="utf-8")
    sys.path.insert(0, str(folder))
    return records | {"hear": (Hear(kind="hear", module="witness_hear", weights=None), [])}


HEAR_MODULE = """
import torch

class Levels(torch.nn.Module):
    sample_rate = 16_000
    scene_embedding_size = timestamp_embedding_size = 4

def load_model(model_file_path=""):
    return Levels()

def get_timestamp_embeddings(audio, model):
    hop = model.sample_rate // 50
    frames = audio.unfold(1, hop, hop)
    embeddings = torch.stack([frames.mean(2), frames.std(2), frames.amax(2), frames.amin(2)], 2)
    return embeddings, (10 + 20.0 * torch.arange(frames.shape[1])).expand(len(audio), -1)

def get_scene_embeddings(audio, model):
    return get_timestamp_embeddings(audio, model)[0].mean(1)
"""


def _made_codec(folder: Path) -> Path:
    """Write a small codec of ours, of seeded weights."""
    import torch

    from beyond_spectrograms.codec.network import Codec, save_codec

    path = folder / "codec.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codec = Codec(load_params(STUDIES / "codec").codecs["pilot"].network)
    save_codec(path, codec, codec.state_dict(), {})
    return path


def _made_encodec(model: str, folder: Path) -> Path:
    """Write a checkpoint of seeded weights with codebooks about as wide as the latents they quantise."""
    import torch

    from beyond_spectrograms.representations.encodec import untrained_model

    built, generator = untrained_model(model, 0).eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        latents = built.encoder(torch.randn(1, built.channels, built.sample_rate, generator=generator) / 10)[0]
        for number, layer in enumerate(built.quantizer.vq.layers):
            codebook: Any = layer._codebook
            drawn = torch.randn(codebook.embed.shape, generator=generator) * latents.std(1) * 0.8**number
            codebook.embed.copy_(drawn + (latents.mean(1) if number == 0 else 0))
            codebook.inited.fill_(1)
    path = folder / f"{model}.th"
    torch.save(built.state_dict(), path)
    return path


def disturbances(params: Params, folder: Path) -> Made:  # noqa: ARG001  a witness's contract
    """Every disturbance of the study of robustness on two sounds, and what the demo's classifiers answer to two."""
    from beyond_spectrograms.data.disturbances import disturb
    from beyond_spectrograms.data.sound_files import read_recording
    from beyond_spectrograms.evaluation.predict import read_predictions

    records = load_params(STUDIES / "robustness").disturbances
    for path in sorted(made_sounds(folder).glob("*/*.wav"))[:2]:
        recording = read_recording(path, (0.5, 600.0))
        for name, record in records.items():
            yield f"{path.stem}/{name}", disturb(recording, record).samples
    answered = run_stages(folder, "disturb") / "data/disturbed/demo/demo/mel"
    for path in sorted(answered.rglob("*.predictions.safetensors")):
        found = read_predictions(path, 10**6)
        told = "/".join(path.relative_to(answered).parts[:-1])
        yield f"stages/{told}/{found.fold}/rows", found.rows
        yield f"stages/{told}/{found.fold}/probabilities", found.probabilities


def leakage(params: Params, folder: Path) -> Made:
    """Audit six sounds and three copies of them: fingerprints, pairs, what stands in two parts, cues and the report."""
    from beyond_spectrograms.data.splits import assign_parts
    from beyond_spectrograms.leakage import audit, cues, fingerprints, tables

    raw = made_sounds(folder, 2.5, clips_per_class=3)
    sound, rate = soundfile.read(raw / "rain/rain_00.wav")
    noise = np.random.default_rng(0).normal(0, 0.003, len(sound))
    soundfile.write(raw / "rain/noisy.wav", 0.5 * sound + noise, rate)
    soundfile.write(raw / "fire/cut.wav", soundfile.read(raw / "bird/bird_01.wav")[0][rate:], rate)
    (raw / "engine/copy.wav").write_bytes((raw / "engine/engine_00.wav").read_bytes())
    clips = made_clips(folder, raw)
    table = clips.loc[clips.index.repeat(2)].reset_index(drop=True)
    parts = assign_parts(table, params.splits)
    heard = audit.fingerprint_clips(folder / "clips", clips["clip"])
    for clip, one in zip(clips["clip"], heard, strict=True):
        yield f"fingerprints/{clip}", one.cells
    yield "digests", [one.digest for one in heard]
    yield "evidence", [fingerprints.evidence(one.cells) for one in heard]
    places = audit.parts_of_clips(table, parts, clips["clip"])
    pairs = audit.find_pairs(clips, heard, places, params.audit.near_strength, [["rain/noisy.wav", "rain/rain_00.wav"]])
    yield "pairs", [audit.describe_pair(pair) for pair in pairs]
    known = {"copies": [["engine/copy.wav", "engine/engine_00.wav"]]}
    repetitions = audit.describe_repetitions(clips, pairs, places, known)
    described = audit.describe_splits(table, parts, params.splits, pairs, repetitions)
    yield "splits", described
    measured = cues.measure_cues(folder / "clips", clips)
    yield "cues", measured.to_numpy(np.float64)
    by_clip = pd.DataFrame({column: [min(of, default="") for of in sets] for column, sets in places.items()})
    few = params.audit.model_copy(update={"trees": 20})
    columns = [column for column in by_clip if column.startswith("source")]
    scored = cues.score_cues(measured, clips["label"], clips["group"], by_clip[columns], few)
    yield "cues/scores", scored
    report = {
        "dataset": "made", "clips": len(clips), "groups": len(clips), "near_strength": params.audit.near_strength,
        "clips_too_quiet_to_compare": 1, "splits": described, "cues": {"source": scored},
        "heard_before": {"mel": ["freesound"]},
        "known_errors": {"moved": ["a"], "repetitions": repetitions},
        "pairs": [audit.describe_pair(pair) for pair in pairs],
    }  # fmt: skip
    yield "report", tables.print_audit(report)
