"""What each noun of versions.yaml makes of small, seeded sounds, features and results: `verify` compares these.

A witness calls what the stages call, with the settings of the tree's own params.yaml, and gives arrays and texts by
name. Names are what two commits are compared by: they say what was made, never by which module.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import soundfile
import yaml

from beyond_spectrograms.data import audio
from beyond_spectrograms.params import (
    PARAMS_FILE,
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
from beyond_spectrograms.params.protocols import OF_SAMPLES, ZERO_SHOT
from beyond_spectrograms.util.code_versions import VERSIONS_FILE

if TYPE_CHECKING:
    from beyond_spectrograms.training.run import RunConfig

Made = Iterator[tuple[str, Any]]  # name -> array, or what JSON can hold

NOT_WITNESSED = "not witnessed"  # in place of a value: what it would take is not here
MIRROR = "BEYOND_SPECTROGRAMS_MIRROR"  # the folder of real weights; `verify` sets it for both sides
CLASSES = ["bird", "engine", "rain"]
SPLITS = ("window", "source")  # those that earlier commits have
EPOCHS = 2
SHAPE = (24, 50)  # bands and frames of made windows: conv1d takes no fewer than 49
SAMPLES = 2500  # of windows for M5, which takes no fewer than 2200


def all_params() -> Params:
    """Read the root's params with the representations and protocols of every study beside its own."""
    params = load_params()
    for study in ("prototypes", "bitrates"):
        own = load_params(STUDIES / study)
        united = {key: getattr(params, key) | getattr(own, key) for key in ("representations", "protocols")}
        params = params.model_copy(update=united)
    return params.model_copy(update={"splits": {name: params.splits[name] for name in SPLITS}})


def _sounds(folder: Path, seconds: float = 2.25) -> Path:
    """Synthesise a sound of each of the six classes as <folder>/audio/<label>/<label>_00.wav."""
    from beyond_spectrograms.data.synthesis import synthesise

    synthesise(folder / "audio", seed=0, clips_per_class=1, seconds=seconds)
    return folder / "audio"


def _clips(folder: Path, raw: Path) -> pd.DataFrame:
    """Resample raw/<label>/<file> to folder/clips; gives the table of clips, each a group, in folds 1 to 3."""
    from beyond_spectrograms.data.clips import prepare_clips, publish_clips

    outcomes = prepare_clips(raw, folder / "work", (0.5, 600.0))
    publish_clips(outcomes, folder / "work", folder / "clips")
    table = pd.read_csv(folder / "clips/clips.csv", dtype={"clip": str, "label": str}, keep_default_na=False)
    return table.assign(group=table["clip"], fold=np.arange(len(table)) % 3 + 1)


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

    raw = _sounds(folder)
    for path in sorted(raw.glob("*/*.wav")):
        yield f"synthesis/{path.stem}", soundfile.read(path, dtype="int16")[0]
    _as_other_files(raw)
    outcomes = prepare_clips(raw, folder / "check", (0.5, 600.0))
    check_clips("made", outcomes, params.datasets["demo"].source.model_copy(update={"clips": None, "classes": None}))
    yield "clips/described", describe_clips("made", outcomes)
    clips = _clips(folder, raw)
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


def run_stages(folder: Path, last: str) -> Path:
    """Run the stages of a cell one after the other up to `last`, on a smaller demo; gives the folder they ran in."""
    project = folder / "project"
    study, record = Path("studies/demo"), Path("datasets/demo.yaml")
    for path in (PARAMS_FILE, VERSIONS_FILE, record, study / PARAMS_FILE):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, project / path)
    with contextlib.chdir(project):
        params = _read(PARAMS_FILE) | {"device": "cpu", "training_precision": "fp32"}
        params["protocols"]["fair"] |= {"epochs": EPOCHS, "seeds": [0]}
        params["run"]["dataset"] = "demo"
        params["grid"]["datasets"] = ["demo"]
        params["splits"] = {name: params["splits"][name] for name in SPLITS}
        params["protocols"] = {name: one for name, one in params["protocols"].items() if one["split"] in SPLITS}
        params["grid"] |= {"protocols": ["fair"], "only": {}}
        _write(PARAMS_FILE, params)
        demo = _read(record)
        demo["source"] |= {"synthetic": {"seed": 0, "clips_per_class": 4, "seconds": 2.5}, "clips": 24}
        _write(record, demo)
        own: dict[str, Any] = {"grid": {"datasets": ["demo"], "representations": ["mel"], "protocols": ["fair"]}}
        if last == "disturb":
            own["disturbances"] = {"noise": {"kind": "noise", "snr_db": 20}, "mp3": {"kind": "mp3", "bitrate_kbps": 64}}
        _write(study / PARAMS_FILE, own)
    stages = {"resolve": [], "download": ["demo"], "resample": ["demo"], "split": ["demo"]}
    stages |= {"featurize": ["demo", "mel"], "train": ["demo", "mel"], "evaluate": ["demo"]}
    stages["disturb"] = ["demo", "mel"]
    given = sys.argv
    with contextlib.chdir(project), contextlib.redirect_stdout(io.StringIO()):
        for stage in list(stages)[: list(stages).index(last) + 1]:
            sys.argv = [stage, "--study=demo", *stages[stage]]
            import_module(f"stages.{stage}").main()
    sys.argv = given
    return project


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _write(path: Path, values: Any) -> None:
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


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

    clips, length_s = _clips(folder, _sounds(folder)), params.windows.length_s
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


def mirrored(url: str) -> Path:
    """Say where the folder of real weights would hold a file."""
    return Path(os.environ.get(MIRROR, "../shared/mirror")).expanduser() / Path(url).name


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


def _windows(folder: Path, of: str = "features") -> tuple[Path, np.ndarray[Any, Any]]:
    """Write 60 made windows [60, bands, frames] of three classes, with their classes.

    That is in dB, or `of` codes of 16 entries, or of samples.
    """
    rng, targets = np.random.default_rng(0), np.arange(60) % 3
    values: np.ndarray[Any, Any] = 10 * rng.standard_normal((60, *SHAPE)) - 50 + 3 * targets[:, None, None]
    if of == "codes":
        values = (rng.integers(16, size=(60, 4, SHAPE[1])) + targets[:, None, None]) % 16
    if of == "samples":
        values = 0.1 * rng.standard_normal((60, 1, SAMPLES)) * (1 + targets[:, None, None])
    place = folder / of
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "features.npy", values.astype(np.float32))
    (place / "index.json").write_text("{}", encoding="utf-8")
    return place, targets.astype(np.int64)


def _protocols(params: Params) -> dict[str, Any]:
    """Pick shipped protocols so that each classifier and each way of its settings is there once."""
    picked: dict[Any, tuple[str, Any]] = {}
    for name, protocol in params.protocols.items():
        if protocol.classifier == ZERO_SHOT:  # of a model's texts
            continue
        settings = protocol.prototypes
        way = settings and (
            settings.supervised,
            bool(settings.cross_entropy),
            settings.frames,
            settings.transformations[-1:],
        )
        key = (protocol.classifier, protocol.optimizer, protocol.select, str(way), protocol.shuffle_labels)
        picked.setdefault(key, (name, protocol))
    protocols = dict(picked.values())
    fair = protocols["fair"]
    more = {"conv2d": {"classifier": "conv2d"}, "balanced": {"class_weights": "balanced"}, "patient": {"patience": 1}}
    return protocols | {name: fair.model_copy(update=change) for name, change in more.items()}


def _taken_by(protocol: Any) -> str:
    return "samples" if protocol.classifier in OF_SAMPLES else "features"


def classifiers(params: Params, folder: Path) -> Made:
    """Build every classifier with seeded weights: the weights, its logits with dropout and without, what it tells."""
    import torch

    from beyond_spectrograms.classifiers.registry import build_network, measure

    for kind, codebook_size in (("", None), ("_codes", 16)):
        for name, protocol in _protocols(params).items():
            if codebook_size and protocol.classifier not in ("conv1d", "conv2d", "mean_linear"):
                continue
            place, _ = _windows(folder, "codes" if codebook_size else _taken_by(protocol))
            windows = torch.from_numpy(np.load(place / "features.npy"))
            torch.manual_seed(0)
            network = build_network(protocol, windows.shape[1], windows.shape[2], len(CLASSES), codebook_size)
            for key, value in network.state_dict().items():
                yield f"{name}{kind}/weights/{key}", value.numpy()
            with torch.inference_mode():
                yield f"{name}{kind}/logits", network.eval()(windows).numpy()
                yield f"{name}{kind}/logits_with_dropout", network.train()(windows).numpy()
                told = measure(network.eval(), windows)
            for key, value in told.items():
                yield f"{name}{kind}/{key}", value.numpy()


def _config(place: Path, targets: np.ndarray[Any, Any], protocol: Any, work: Path, **changes: Any) -> RunConfig:
    """Describe a run of EPOCHS epochs, of more where each step of a curriculum needs one."""
    from beyond_spectrograms.training.run import RunConfig

    epochs = EPOCHS
    if protocol.prototypes:
        curriculum = {"warm_up": 0, "step_epochs": 1, "restart_share": 0.5}
        protocol = protocol.model_copy(update={"prototypes": protocol.prototypes.model_copy(update=curriculum)})
        epochs = 3 + len(protocol.prototypes.transformations)
    parts = np.array(["train", "train", "train", "validation", "test"] * 12)
    settings = {"codebook_size": None, "fold": 1, "seed": protocol.seeds[0], "device": "cpu", "work": work}
    settings |= {"features": place, "targets": targets, "parts": parts, "classes": tuple(CLASSES)}
    return RunConfig(**(settings | {"protocol": protocol, "epochs": epochs, "versions": {}} | changes))


def training(params: Params, folder: Path) -> Made:
    """Train every classifier by its shipped protocol for two epochs: kept weights and learning curves."""
    from beyond_spectrograms.training.loop import train
    from beyond_spectrograms.training.multi_run import train_multi_run
    from beyond_spectrograms.training.run import HISTORY_COLUMNS, shuffle_labels
    from beyond_spectrograms.training.trainers import TRAINERS

    configs = {}
    for name, protocol in _protocols(params).items():
        place, targets = _windows(folder, _taken_by(protocol))
        config = _config(place, targets, protocol.model_copy(update={"batch_size": 12}), folder / name)
        if protocol.shuffle_labels:
            yield f"{name}/labels", shuffle_labels(targets, config.parts, config.seed)
        configs[name] = config
        yield f"{name}/columns", [*HISTORY_COLUMNS, *TRAINERS[protocol.classifier].columns]
    fair = params.protocols["fair"].model_copy(update={"batch_size": 12})
    paper = params.protocols["paper"].model_copy(update={"batch_size": 12})
    place, targets = _windows(folder)
    codes = _windows(folder, "codes")[0]
    configs["fair_codes"] = _config(codes, targets, fair, folder / "fair_codes", codebook_size=16)
    for name, protocol in (("fair", fair), ("paper", paper)):
        configs[f"{name}_bf16"] = _config(place, targets, protocol, folder / f"{name}_bf16", precision="bf16")
    for name, config in configs.items():
        train(config)
        yield from _trained(name, config)
    for name, protocol in (("fair", fair), ("paper", paper)):
        together = [
            _config(place, targets, protocol, folder / f"{name}_together", seed=seed, fold=fold)
            for seed, fold in ((0, 1), (1, 2))
        ]
        train_multi_run(together)
        for config in together:
            yield from _trained(f"{name}_together/{config.name}", config)


def _trained(name: str, config: RunConfig) -> Made:
    """Give what a finished run left, but for how long it took."""
    from safetensors.numpy import load_file

    from beyond_spectrograms.training.run import read_history, read_outcome

    for key, value in load_file(config.work / f"{config.name}.safetensors").items():
        yield f"{name}/weights/{key}", value
    yield f"{name}/history", np.array([list(map(float, row.values())) for row in read_history(config)])
    yield f"{name}/diverged", read_outcome(config)[1]


def disturbances(params: Params, folder: Path) -> Made:  # noqa: ARG001  a witness's contract
    """Every disturbance of the study of robustness on two sounds, and what the demo's classifiers answer to two."""
    from beyond_spectrograms.data.disturbances import disturb
    from beyond_spectrograms.data.sound_files import read_recording
    from beyond_spectrograms.evaluation.predict import read_predictions

    records = load_params(STUDIES / "robustness").disturbances
    for path in sorted(_sounds(folder).glob("*/*.wav"))[:2]:
        recording = read_recording(path, (0.5, 600.0))
        for name, record in records.items():
            yield f"{path.stem}/{name}", disturb(recording, record).samples
    answered = run_stages(folder, "disturb") / "data/disturbed/demo/demo/mel"
    for path in sorted(answered.rglob("*.predictions.safetensors")):
        found = read_predictions(path, 10**6)
        told = "/".join(path.relative_to(answered).parts[:-1])
        yield f"stages/{told}/{found.fold}/rows", found.rows
        yield f"stages/{told}/{found.fold}/probabilities", found.probabilities
