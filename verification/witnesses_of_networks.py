"""What the nouns of networks make of small made features and sounds; the rules of witnesses: witnesses.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from beyond_spectrograms.params import STUDIES, Params, load_params
from beyond_spectrograms.params.protocols import OF_SAMPLES, ZERO_SHOT
from verification.made import CLASSES, EPOCHS, NOT_WITNESSED, Made, made_table, mirrored

if TYPE_CHECKING:
    from beyond_spectrograms.training.run import RunConfig

SHAPE = (24, 50)  # bands and frames of made windows: conv1d takes no fewer than 49
SAMPLES = 2500  # of windows for M5, which takes no fewer than 2200


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


def codec(params: Params, folder: Path) -> Made:  # noqa: ARG001  a witness's contract
    """Train small codecs of the study on made sounds for some steps, and judge what they make of one."""
    from beyond_spectrograms.codec.measures import judge_codec
    from beyond_spectrograms.codec.network import load_codec
    from beyond_spectrograms.codec.sounds import Corpus
    from beyond_spectrograms.codec.training import CodecRun, train_codec
    from beyond_spectrograms.data.audio import Format

    rng, form = np.random.default_rng(0), Format(16_000, 1)
    sounds = [rng.normal(0, 0.05, (1, 16_000)).astype(np.float32) for _ in range(3)]
    corpus = Corpus(sounds, np.ones(3), np.array([False, True, False]), form)
    recipe = load_params(STUDIES / "codec").codecs["pilot"]
    network = recipe.network.model_copy(update={"filters": 2, "entries": 16, "bitrates": [600]})
    against = {"filters": 2, "n_ffts": [256], "share": 0.5}
    settings: dict[str, dict[str, Any]] = {
        "plain": {},
        "adversarial": {"losses": "released", "discriminator": against},
        "linear": {"start": "linear", "weights": {"si_snr": 5.0}},
    }
    for name, changes in settings.items():
        small = {"network": network.model_dump(), "window_s": 0.2, "batch_size": 4, "steps": [0, 3], "seeds": [0]}
        mine = type(recipe).model_validate(recipe.model_dump() | small | changes)
        run = CodecRun(mine, 0, pd.DataFrame({"clip": ["made"]}), "cpu", {}, folder / name)
        train_codec(run, corpus)
        for step in mine.steps:
            trained, _ = load_codec(run.kept(step))
            for key, value in trained.state_dict().items():
                yield f"{name}/{step}/{key}", value.numpy()
            qualities, used = judge_codec(trained, sounds[:1], 600)
            yield f"{name}/{step}/judged", [list(qualities[0]), [list(each) for each in used]]


def sonification(params: Params, folder: Path) -> Made:  # noqa: ARG001  a witness's contract
    """Play prototypes of spectra, and of latents where Lyra's decoder is here; what prototypes do to windows."""
    import torch

    from beyond_spectrograms.classifiers.base import last_layer
    from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
    from beyond_spectrograms.classifiers.registry import build_network
    from beyond_spectrograms.representations.mel import MelSpectrogram
    from beyond_spectrograms.sonification import trained
    from beyond_spectrograms.sonification.play import difference_db
    from beyond_spectrograms.sonification.players import create_player, match_level

    table, rng = made_table(), np.random.default_rng(0)
    name = "log_mel_16khz"
    record = params.representations[name]
    assert record.kind == "mel"
    bands = record.n_mels
    values = (10 * rng.standard_normal((len(table), bands, 32)) - 50).astype(np.float32)
    targets = torch.from_numpy(np.searchsorted(CLASSES, table["label"].to_numpy(dtype=str)))
    for protocol in ("prototypes", "clusters", "latent_prototypes"):
        torch.manual_seed(0)
        network = build_network(params.protocols[protocol], bands, 32, len(CLASSES), None)
        layer = last_layer(network.eval(), PrototypeLayer)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
        rows = trained.choose_windows(table, np.arange(len(table)), 2, 0)
        yield f"{protocol}/chosen", rows
        for number, average in enumerate(trained.averages(layer, values, np.arange(20), targets[:20])):
            yield f"{protocol}/{number}/plain", average.plain
            if average.transformed is not None:
                yield f"{protocol}/{number}/transformed", average.transformed
        window = trained.render_window(layer, values, table, rows[0], CLASSES, seconds=1.0)
        for made in window.reconstructions:
            yield f"{protocol}/{made.label}/rendered", made.features
            yield f"{protocol}/{made.label}/curves", {title: v.tolist() for title, v in made.curves.items()}
            yield f"{protocol}/{made.label}/error", made.error
    player = create_player(name, record, None, 0)
    played = player.play(values[0])
    yield "played", played
    yield "frequencies", np.asarray(player.frequencies)
    yield "level", match_level(played[:8000] * 3, player.form.sample_rate)
    yield "likeness", difference_db(MelSpectrogram(name, record), played, np.roll(played, 40), player.form.sample_rate)
    decoder = mirrored(params.weights["soundstream_decoder"].url)
    if not decoder.is_file():
        yield "played/soundstream", NOT_WITNESSED
    else:
        sounding = create_player("soundstream", params.representations["soundstream"], decoder, 0)
        yield "played/soundstream", sounding.play(rng.standard_normal((64, 20)).astype(np.float32))
