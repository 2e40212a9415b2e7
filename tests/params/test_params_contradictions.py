"""Params that contradict each other or name what is not there are refused, each with its place and the choices."""

from __future__ import annotations

from typing import Any

import pytest

from support.shipped_params import BITRATES, DATASETS, DELETED, KNOWN, PROTOTYPES, SHIPPED, refusal, told

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"representations/mel/kind": "mfcc"},
            "representations.mel: unknown kind 'mfcc'. Choose from encodec, hear, mel, soundstream.",
        ),
        (
            {"grid/datasets": ["esc10", "esc100"]},
            f"grid.datasets: 'esc100' is not defined. Choose from {DATASETS}.",
        ),
        (
            {"grid/representations": ["mell"]},
            f"grid.representations: 'mell' is not defined. {KNOWN['representations']}",
        ),
        (
            {"grid/only/mell": ["fair"]},
            f"grid.only: 'mell' is not defined. Choose from {', '.join(SHIPPED['grid']['representations'])}.",
        ),
        ({"grid/only/log_mel": ["unfair"]}, f"grid.only.log_mel: 'unfair' is not defined. {KNOWN['protocols']}"),
        (
            {"studies/bitrates/params/grid/beside": ["mell"]},
            "studies/bitrates/params.yaml: grid.beside: 'mell' is not defined. "
            f"Choose from {', '.join([*SHIPPED['representations'], *BITRATES['representations']])}.",
        ),
        (
            {"studies/prototypes/params/grid/heard": ["unheard"]},
            "studies/prototypes/params.yaml: grid.heard: 'unheard' is not defined. "
            f"Choose from {', '.join(PROTOTYPES['protocols'])}.",
        ),
        (
            {"claims/baselines": ["mel", "mell"]},
            f"claims.baselines: 'mell' is not defined. {KNOWN['representations']}",
        ),
        ({"claims/ladder": ["paper", "unfair"]}, f"claims.ladder: 'unfair' is not defined. {KNOWN['protocols']}"),
        (
            {"studies/demo/params/grid/protocols": ["unfair"]},
            f"studies/demo/params.yaml: grid.protocols: 'unfair' is not defined. {KNOWN['protocols']}",
        ),
        ({"run/protocol": "unfair"}, f"run.protocol: 'unfair' is not defined. {KNOWN['protocols']}"),
        (
            {"representations/encodec_24khz/weights": "best"},
            f"representations.encodec_24khz.weights: 'best' is not defined. {KNOWN['weights']}",
        ),
        (
            {"studies/bitrates/params/representations/soundstream_3200bps/weights": ["soundstream_encoder", "best"]},
            "studies/bitrates/params.yaml: "
            f"representations.soundstream_3200bps.weights: 'best' is not defined. {KNOWN['weights']}",
        ),
        (
            {"protocols/fair/split": "random"},
            "protocols.fair.split: 'random' is not defined. Choose from window, window_by_seed, source.",
        ),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(changes: dict[str, Any], message: str) -> None:
    assert refusal(changes) == told(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits/window/fractions": [0.6, 0.2, 0.1]}, "splits.window: fractions add up to 0.9, not 1"),
        (
            {"splits/window/seed": DELETED},
            "splits.window: one of seed and seeds belongs to kind window, and only there",
        ),
        (
            {"splits/window/seeds": [0]},
            "splits.window: one of seed and seeds belongs to kind window, and only there",
        ),
        ({"splits/window_by_seed/seeds": [0, 1, 0]}, "splits.window_by_seed: seeds [0, 1, 0] name one twice"),
        (
            {"protocols/paper/split": "window_by_seed", "protocols/paper/seeds": [0, 7]},
            "protocols.paper.seeds: 7 is none of splits.window_by_seed.seeds, [0, 1, 2, 3, 4]",
        ),
        (
            {"studies/published/params/grid/seeds/esc50_ogg": [0, 9]},
            "studies/published/params.yaml: grid.seeds.esc50_ogg: 9 is none of protocols.published.seeds, "
            "[0, 1, 2, 3, 4]",
        ),
        (
            {"splits/source/fractions": [0.6, 0.2, 0.2]},
            "splits.source: fractions belongs to kind window, and only there",
        ),
        (
            {"representations/encodec_24khz/seed": 0},
            "representations.encodec_24khz: seed belongs to weights: untrained, and only there",
        ),
        (
            {"representations/encodec_24khz_untrained/seed": DELETED},
            "representations.encodec_24khz_untrained: seed belongs to weights: untrained, and only there",
        ),
        ({"protocols/paper/patience": 3}, "protocols.paper: patience needs select: best_validation_loss"),
        ({"protocols/paper/seeds": [0, 1, 0]}, "protocols.paper: seeds [0, 1, 0] name one twice"),
        (
            {"claims/baselines": ["mel", "soundstream"]},
            "claims.baselines: 'soundstream' is no spectrogram; codecs are compared with spectrograms",
        ),
        ({"claims/baselines": ["mel", "mel"]}, "claims.baselines names one twice: mel, mel"),
        ({"claims/ladder": ["paper", "fair", "paper"]}, "claims.ladder names one twice: paper, fair, paper"),
        ({"grid/protocols": ["fair", "fair"]}, "grid.protocols names one twice: fair, fair"),
        (
            {"representations/log_mel_75hz/pooled_frame_rate": 80},
            "representations.log_mel_75hz: pooled_frame_rate 80 must divide sample_rate 22050 and be at most its "
            "172.266 frames per second",
        ),
        (
            {"representations/log_mel_75hz/pooled_frame_rate": 175},
            "representations.log_mel_75hz: pooled_frame_rate 175 must divide sample_rate 22050 and be at most its "
            "172.266 frames per second",
        ),
        (
            {"representations/encodec_24khz/codes": True},
            "representations.encodec_24khz: codes need a bitrate",
        ),
        (
            {"representations/soundstream/codes": True},
            "representations.soundstream: codes need a bitrate",
        ),
        (
            {"representations/encodec_24khz/bitrate": 9200},
            "representations.encodec_24khz: bitrate is 9200 bits per second. "
            "Choose from 1500, 3000, 6000, 12000, 24000.",
        ),
        (
            {"representations/encodec_48khz/bitrate": 1500},
            "representations.encodec_48khz: bitrate is 1500 bits per second. Choose from 3000, 6000, 12000, 24000.",
        ),
        (
            {"studies/bitrates/params/representations/soundstream_9200bps/bitrate": 9201},
            "studies/bitrates/params.yaml: "
            "representations.soundstream_9200bps: bitrate is 9201 bits per second. Choose from 3200, 6000, 9200.",
        ),
        (
            {"representations/encodec_24khz_untrained/bitrate": 6000},
            "representations.encodec_24khz_untrained: an untrained quantiser's codebooks are all zero: leave bitrate "
            "out",
        ),
        (
            {"studies/bitrates/params/representations/soundstream_9200bps/weights": "soundstream_encoder"},
            "studies/bitrates/params.yaml: "
            "representations.soundstream_9200bps: weights name 1 files, and with a bitrate there are 2: the encoder's "
            "and the quantiser's",
        ),
        (
            {"representations/soundstream/weights": ["soundstream_encoder", "soundstream_quantizer"]},
            "representations.soundstream: weights name 2 files, and without a bitrate there are 1: the encoder's",
        ),
        (
            {"representations/soundstream/weights": "untrained"},
            "representations.soundstream: weights name 0 files, and without a bitrate there are 1: the encoder's",
        ),
        (
            {"datasets/demo/source/path": "~/x"},
            "datasets/demo.yaml: source: needs exactly one of archives, synthetic, path; has synthetic, path",
        ),
        (
            {"datasets/demo/source/synthetic": DELETED},
            "datasets/demo.yaml: source: needs exactly one of archives, synthetic, path; has none",
        ),
        ({"datasets/esc10/source/members": DELETED}, "datasets/esc10.yaml: source: archives and members go together"),
        (
            {"datasets/esc10/source/members": "(?P<file>.*)"},
            "datasets/esc10.yaml: source: members has no (?P<label>...), and there is no label_table",
        ),
        ({"datasets/esc10/source/name": "[a-z]"}, "datasets/esc10.yaml: source: name has no (?P<group>...)"),
        (
            {"datasets/esc10/source/name": "("},
            "datasets/esc10.yaml: source: name is not a regular expression: missing ), "
            "unterminated subpattern at position 0",
        ),
        ({"datasets/demo/source/folds": DELETED}, "datasets/demo.yaml: source: folds is missing: it deals the folds"),
        (
            {"datasets/demo/source/fold_seed": DELETED},
            "datasets/demo.yaml: source: fold_seed is missing: it deals the folds",
        ),
        (
            {"datasets/esc10/source/folds": 5},
            "datasets/esc10.yaml: source: folds has no use: folds or lists are published",
        ),
        (
            {"studies/prototypes/params/protocols/kmeans/class_weights": "balanced"},
            "studies/prototypes/params.yaml: protocols.kmeans: class_weights balanced is not for kmeans",
        ),
        (
            {"protocols/fair/optimizer": "adamw"},
            "protocols.fair: optimizer adamw belongs to classifier: prototypes, and only there",
        ),
        (
            {"studies/prototypes/params/protocols/prototypes/prototypes": DELETED},
            "studies/prototypes/params.yaml: "
            "protocols.prototypes: prototypes belongs to classifier: prototypes, and only there",
        ),
        (
            {"studies/prototypes/params/protocols/prototypes_pitch/prototypes/transformations": ["time"]},
            "studies/prototypes/params.yaml: "
            "protocols.prototypes_pitch.prototypes: time needs prototypes of several frames, got 1",
        ),
        (
            {"studies/prototypes/params/protocols/latent_prototypes/prototypes/transformations": ["time", "pitch"]},
            "studies/prototypes/params.yaml: "
            "protocols.latent_prototypes.prototypes: time and pitch are not learned together: one is for latents, the "
            "other for spectra",
        ),
        (
            {"studies/prototypes/params/grid/heard": ["kmeans"]},
            "studies/prototypes/params.yaml: grid.heard: 'kmeans' has nothing to play: that takes classifier: "
            "prototypes",
        ),
        (
            {"studies/prototypes/params/protocols/latent_clusters/standardize": True},
            "studies/prototypes/params.yaml: "
            "protocols.latent_clusters: standardize is not for prototypes, whose error is told in the features' own "
            "unit",
        ),
        (
            {
                "studies/prototypes/params/grid/representations": ["log_mel_16khz", "encodec_24khz_untrained"],
                "studies/prototypes/params/grid/only": {"encodec_24khz_untrained": ["latent_prototypes"]},
                "studies/prototypes/params/grid/heard": ["latent_prototypes"],
            },
            "studies/prototypes/params.yaml: grid.heard: 'latent_prototypes' runs on 'encodec_24khz_untrained', of "
            "which no decoder can play the latents. Choose a trained codec without codes",
        ),
        (
            {"studies/prototypes/params/protocols/apnet/standardize": True},
            "studies/prototypes/params.yaml: "
            "protocols.apnet: standardize is not for apnet, whose error is told in the features' own unit",
        ),
        (
            {"studies/prototypes/params/representations/log_mel_16khz/sample_rate": 24000},
            "studies/prototypes/params.yaml: protocols.prototypes.prototypes.top_hz: 8000, but 'log_mel_16khz' of "
            "grid.representations reaches 12000 Hz: its pitch would be shifted wrongly",
        ),
        (
            {"studies/prototypes/params/protocols/latent_prototypes/prototypes/transformations": ["level", "pitch"]},
            "studies/prototypes/params.yaml: protocols.latent_prototypes.prototypes.top_hz: 8000, but 'soundstream' of "
            "grid.representations has no mel bands: its pitch would be shifted wrongly",
        ),
        (
            {"splits/window_2": {"kind": "source"}},
            "splits.window_2: a name that ends in _<number> is that of a fold of a split",
        ),
        (
            {"datasets/esc10/source/manifest_sha256": DELETED, "datasets/esc10/source/clips": DELETED},
            "datasets/esc10.yaml: source: an archive without sha256 needs clips and classes, or manifest_sha256",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    assert refusal(changes) == told(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"protocols/fair/learning_rate": "1.5E-3"},
            "protocols.fair.learning_rate: Input should be a valid number, not '1.5E-3' "
            "(YAML reads that as text: write 0.001 or 1.0e-3)",
        ),
        (
            {"representations/mel/kind": DELETED},
            "representations.mel: no kind. Choose from encodec, hear, mel, soundstream.",
        ),
        (
            {"windows/length_s": 0.25},
            "windows: length_s 0.25 is not a whole number of samples at 22050 Hz; take a multiple of 0.02",
        ),
        (
            {"splits/window/seed": -1},
            "splits.window.seed: Input should be greater than or equal to 0, not -1",
        ),
        (
            {"datasets/demo/source/synthetic/seconds": 0.5},
            "datasets/demo.yaml: source.synthetic.seconds: Input should be greater than or equal to 1, not 0.5",
        ),
        (
            {"protocols/fair/seeds": [0, -1]},
            "protocols.fair.seeds.1: Input should be greater than or equal to 0, not -1",
        ),
        ({"windows/length_s": float("inf")}, "windows.length_s: Input should be a finite number, not inf"),
        (
            {"splits/window/fractions": [1.4, -0.2, -0.2]},
            "splits.window: fractions are 1.4, -0.2, -0.2; none may be negative",
        ),
    ],
)
def test_what_slipped_through(changes: dict[str, Any], message: str) -> None:
    assert refusal(changes) == told(message)
