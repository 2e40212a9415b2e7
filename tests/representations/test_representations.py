import gc
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from scipy.signal import get_window

from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.params import Encodec
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError, Features, Representation, RepresentationError
from beyond_spectrograms.representations.encodec import EncodecLatents, untrained_model
from beyond_spectrograms.representations.mel import MelSpectrogram
from support.common import refusal, stack
from support.models import PARAMS
from support.numeric import assert_rounded, distance
from support.repository import REPOSITORY

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")

RECORDS = PARAMS.representations
MEL = ["mel", "log_mel", "log_mel_2048"]


@pytest.mark.numeric
def test_mfcc_is_librosas_window_by_window() -> None:
    representation = create_representation("mfcc", RECORDS["mfcc"], [])
    windows = stack(3, representation.form)
    features = representation.encode(windows, 22_050)
    assert features.shape == (3, 20, 101) == (3, representation.bands, representation.frames(22_050))
    for window, found in zip(windows, features, strict=True):
        settings = {"sr": 22_050, "n_fft": 2048, "hop_length": 220, "n_mels": 128, "window": "hann", "power": 2.0}
        mel = librosa.feature.melspectrogram(y=window[0].astype(np.float64), **settings)
        exact = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=20)
        np.testing.assert_allclose(found, exact, atol=2e-3)  # of values up to hundreds


@pytest.mark.numeric
@pytest.mark.parametrize("name", MEL)
def test_mel_is_librosas_window_by_window(name: str) -> None:
    representation = create_representation(name, RECORDS[name], [])
    windows = stack(3, representation.form)
    features = representation.encode(windows, 22_050)
    assert features.shape == (3, 128, 101 if name == "log_mel_2048" else 173)
    assert representation.frames(44_100) == 1 + 44_100 // representation.hop_length
    for window, found in zip(windows, features, strict=True):
        n_fft, hop, shape = (512, 128, "hamming") if name != "log_mel_2048" else (2048, 220, "hann")
        settings = {"sr": 22_050, "n_fft": n_fft, "hop_length": hop, "n_mels": 128, "window": shape, "power": 2.0}
        sounds = (window[0], window[0].astype(np.float64))
        own, exact = (librosa.feature.melspectrogram(y=sound, **settings, dtype=sound.dtype) for sound in sounds)
        if name == "mel":  # each value relative to its own size, for quiet bands count as loud ones
            ours, own, exact = found / exact, own / exact, np.ones_like(exact)
        else:
            ours = found
            own, exact = (librosa.power_to_db(power, top_db=None) for power in (own, exact))
        # A sum of the bins of a band, each of n_fft samples by way of log2(n_fft) sums.
        assert_rounded(ours, exact, roundings=round(np.log2(n_fft)), lost=distance(own, exact), what=name)


@pytest.mark.parametrize("name", [*MEL, "mfcc", "log_mel_2048_50hz"])
def test_windows_and_filters_are_scipys_and_librosas_to_the_bit(name: str) -> None:
    record = RECORDS[name]
    made = MelSpectrogram(name, record)
    filters = librosa.filters.mel(sr=record.sample_rate, n_fft=record.n_fft, n_mels=record.n_mels)
    assert made.triangles.tobytes() == filters.tobytes()
    assert made.taper.tobytes() == get_window(record.window, record.n_fft).tobytes()


@pytest.mark.numeric
def test_log_mel_is_the_decibels_of_mel_and_bottoms_out_at_minus_100() -> None:
    mel, log_mel = (create_representation(name, RECORDS[name], []) for name in ("mel", "log_mel"))
    windows = stack(3, mel.form)
    windows[2, :, 11_025:] = 0
    power, decibels = mel.encode(windows, 22_050), log_mel.encode(windows, 22_050)
    expected = 10 * np.log10(np.maximum(power.astype(np.float64), 1e-10))
    assert_rounded(decibels, expected, roundings=3)  # the maximum, the logarithm, the product
    assert_rounded(decibels[2, :, -80:], np.full((128, 80), -100.0), roundings=3)


def test_untrained_weights_follow_their_seed_and_leave_torchs_state_alone() -> None:
    def weights(model: str, seed: int) -> bytes:
        return b"".join(tensor.numpy().tobytes() for tensor in untrained_model(model, seed).state_dict().values())

    torch.manual_seed(11)
    before = torch.get_rng_state()
    for model in ("24khz", "48khz"):
        assert weights(model, 0) == weights(model, 0) != weights(model, 1)
    assert torch.equal(torch.get_rng_state(), before)


PRETRAINED = Encodec(kind="encodec", weights="encodec_24khz", model="24khz")


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_an_encoder_that_nobody_needs_is_gone_with_its_weights(engine: str) -> None:
    record = Encodec(kind="encodec", weights="untrained", model="24khz", seed=3, engine=engine)
    encoder = EncodecLatents("untrained", record, [])
    encoder.encode(stack(2, Format(24_000, 1), 0.1), 24_000)
    known = weakref.ref(encoder)
    del encoder
    gc.collect()
    assert known() is None


def test_a_checkpoint_gives_the_encoder_it_was_saved_from(tmp_path: Path) -> None:
    torch.save(untrained_model("24khz", 5).state_dict(), tmp_path / "encodec.th")
    loaded = create_representation("encodec_24khz", PRETRAINED, [tmp_path / "encodec.th"])
    record = Encodec(kind="encodec", weights="untrained", model="24khz", seed=0)
    saved, other = (EncodecLatents("x", record.model_copy(update={"seed": seed}), []) for seed in (5, 0))
    windows = stack(2, saved.form)
    latents = loaded.encode(windows, 24_000)
    np.testing.assert_array_equal(latents, saved.encode(windows, 24_000))
    assert not np.allclose(latents, other.encode(windows, 24_000))


class Code:
    """Creates a file when it is unpickled in the ordinary way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def refused(path: Path) -> str:
    return refusal(CheckpointError, create_representation, "encodec_24khz", PRETRAINED, [path])


NOT_TENSORS = "not a plain checkpoint of tensors, refused without running it. Delete it and download it again."


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_would_run_code_is_refused_and_does_not(tmp_path: Path, zipped: bool) -> None:
    path, ran = tmp_path / "encodec.th", tmp_path / "ran"
    torch.save({"weights": Code(ran)}, path, _use_new_zipfile_serialization=zipped)
    assert refused(path) == f"{path}: {NOT_TENSORS}"
    assert not ran.exists()
    pickle.loads(pickle.dumps(Code(ran)))
    assert ran.exists(), "it would have run"


def test_a_file_that_is_no_checkpoint_or_one_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "encodec.th"
    for content in (b"", b"PK\x03\x04 broken off", b"error 404"):
        path.write_bytes(content)
        assert refused(path) == f"{path}: {NOT_TENSORS}"
    for state in ([torch.zeros(3)], untrained_model("48khz", 0).state_dict()):
        torch.save(state, path)
        said = refusal((RuntimeError, TypeError), untrained_model("24khz", 0).load_state_dict, state)
        assert refused(path) == f"{path}: not the weights of EnCodec at 24000 Hz. {said}"


def test_soundstream_windows_are_those_of_a_direct_interpreter(mirror: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    soundstream = create_representation("soundstream", RECORDS["soundstream"], [mirror / "soundstream_encoder.tflite"])
    for seconds, frames in ((1.0, 50), (2.0, 100)):
        windows = stack(3, soundstream.form, seconds)
        features = soundstream.encode(windows, 16_000)
        assert features.shape == (3, 64, frames)
        for window, found in zip(windows, features, strict=True):
            direct = Interpreter(model_path=str(mirror / "soundstream_encoder.tflite"), num_threads=1)
            direct.allocate_tensors()
            for frame in range(frames):
                direct.set_tensor(direct.get_input_details()[0]["index"], window[:, 320 * frame : 320 * (frame + 1)])
                direct.invoke()
                latent = direct.get_tensor(direct.get_output_details()[0]["index"])
                np.testing.assert_array_equal(found[:, frame], latent.ravel())


def test_the_runtimes_greeting_is_kept_from_stderr_and_nothing_else(mirror: Path) -> None:
    code = (
        "import os, sys; from beyond_spectrograms.representations import soundstream as module\n"
        "content = open(sys.argv[1], 'rb').read()\n"
        "with module._ungreeted():\n"
        "    module._interpreter(content).allocate_tensors(); os.write(2, b'another line\\n')\n"
        "module.run_model(content, [])"
    )
    line = [sys.executable, "-c", code, str(mirror / "soundstream_encoder.tflite")]
    told = subprocess.run(line, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert (told.stdout, told.stderr) == ("", "another line\n")


@pytest.mark.numeric
@pytest.mark.parametrize("name", ["log_mel_150hz", "log_mel_75hz", "log_mel_2048_50hz"])
@pytest.mark.parametrize("seconds", [1.0, 2.0])
def test_a_pooled_spectrogram_is_torchs_adaptive_average_of_the_whole(name: str, seconds: float) -> None:
    unpooled = RECORDS[name].model_copy(update={"pooled_frame_rate": None})
    pooled, whole = (create_representation(name, record, []) for record in (RECORDS[name], unpooled))
    windows = stack(3, pooled.form, seconds)
    found = pooled.encode(windows, 22_050)
    frames = round(seconds * int(name.rsplit("_", 1)[1].removesuffix("hz")))
    decibels = torch.from_numpy(whole.encode(windows, 22_050)).double()
    expected = torch.nn.functional.adaptive_avg_pool1d(decibels, frames)
    assert found.shape == expected.shape
    assert_rounded(found, expected, roundings=4)  # at most 4 frames in a mean


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("log_mel_75hz", "encodec_24khz_untrained"),
        ("log_mel_150hz", "encodec_48khz_untrained"),
        ("log_mel_2048_50hz", "soundstream"),
    ],
)
def test_a_pooled_spectrogram_has_the_frames_and_the_classifier_of_its_codec(
    name: str, codec: str, request: pytest.FixtureRequest
) -> None:
    mel = create_representation(name, RECORDS[name], [])
    weights = [request.getfixturevalue("mirror") / "soundstream_encoder.tflite"] if codec == "soundstream" else []
    latents = create_representation(codec, RECORDS[codec], weights)
    sizes = [(each.bands, each.frames(each.form.sample_rate)) for each in (mel, latents)]
    assert sizes[0] == sizes[1] == (mel.bands, int(name.rsplit("_", 1)[1].removesuffix("hz")))
    assert mel.frame_rate == latents.frame_rate == sizes[1][1]
    networks = [build_network(PARAMS.protocols["fair"], *size, 10, None) for size in sizes]
    parameters = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    assert parameters[0] == parameters[1]


@pytest.mark.parametrize("name", ["soundstream", "encodec_24khz"])
@pytest.mark.parametrize("weights", [[], [Path("gone")]])
def test_a_codec_without_its_weights_is_an_error(name: str, weights: list[Path]) -> None:
    told = f"{name}: its weights file is missing. Run its featurize stage, which fetches it."
    assert refusal(CheckpointError, create_representation, name, RECORDS[name], weights) == told


class Probe(Representation):
    """Keeps its contract unless told to break it: what `_encode` gives comes from `answer`."""

    def __init__(self, answer: Callable[[int], Features]) -> None:
        self.name, self.form, self.bands, self.hop_length = "probe", Format(1_000, 2), 4, 100
        self._answer = answer

    def frames(self, samples: int) -> int:
        return samples // self.hop_length

    def _encode(self, windows: Waveform) -> Features:
        return self._answer(len(windows))


def ones(count: int) -> Features:
    return np.ones((count, 4, 10), np.float32)


@pytest.mark.parametrize(
    ("shape", "dtype", "rate", "message"),
    [
        ((3, 1, 1000), "float32", 1_000, "takes float32 [windows, 2 channels, samples], got float32 [3, 1, 1000]"),
        ((3, 2, 9), "float64", 1_000, "takes float32 [windows, 2 channels, samples], got float64 [3, 2, 9]"),
        ((9,), "float32", 1_000, "takes float32 [windows, 2 channels, samples], got float32 [9]"),
        ((3, 2, 1000), "float32", 44_100, "takes 1000 Hz, got 44100 Hz"),
    ],
)
def test_sound_of_the_wrong_form_is_refused(shape: tuple[int, ...], dtype: str, rate: int, message: str) -> None:
    probe = Probe(ones)
    assert refusal(RepresentationError, probe.encode, np.zeros(shape, dtype), rate) == f"probe: {message}"
    np.testing.assert_array_equal(probe.encode(np.zeros((3, 2, 1000), np.float32), 1_000), ones(3))
    assert probe.encode(np.zeros((0, 2, 1000), np.float32), 1_000).shape == (0, 4, 10)


random = np.random.default_rng(0)
PROMISED = "promised float32 [3, 4, 10] [windows, bands, frames]"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda count: ones(count)[:, :, 1:], f"gave float32 [3, 4, 9], {PROMISED}"),
        (lambda count: ones(count).astype(float), f"gave float64 [3, 4, 10], {PROMISED}"),
        (lambda count: np.nan * ones(count), "gave values that are not finite"),
        (lambda count: random.random((count, 4, 10), np.float32), "gave two results for one window; it must be "
         "deterministic"),
    ],
)  # fmt: skip
def test_a_representation_that_breaks_its_contract_is_stopped(answer: Callable[[int], Features], message: str) -> None:
    windows = np.zeros((3, 2, 1000), np.float32)
    assert refusal(RepresentationError, Probe(answer).encode, windows, 1_000) == f"probe: {message}"
