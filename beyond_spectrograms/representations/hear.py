"""Any module with the HEAR API as a representation, checked by the rules of the API's public validator.

Source: "HEAR: Holistic Evaluation of Audio Representations" (Turian et al. 2022), common API, https://hearbenchmark.com,
and its validator, https://github.com/hearbenchmark/hear-validator. TensorFlow modules are not supported.
"""

import importlib
import warnings
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.audio import Waveform, mono_at, stored_format
from beyond_spectrograms.params import Hear
from beyond_spectrograms.representations.base import Features, Representation, RepresentationError
from beyond_spectrograms.util.machine import one_thread

SAMPLE_RATES = (16_000, 22_050, 32_000, 44_100, 48_000)  # Hz, that the API allows; and PaSST's, 32 kHz
FUNCTIONS = ("load_model", "get_timestamp_embeddings", "get_scene_embeddings")
REGULAR_MS = 1e-3  # how far the validator lets a step between timestamps differ from their mean
LONGEST_STEP_MS = 50  # its advice, with a warning
PROBE_S = 1.0


class HearEmbeddings(Representation):
    """Timestamp embeddings [timestamp_embedding_size, frames] of each window, the mean over channels.

    How many frames a window has is found by running the module once on white noise of each length; every later window
    must have as many. It computes on one thread, because the last bits of a sum depend on how many threads share it,
    and must give the same bits again. Features depend on the files of its package, the weights and the versions of the
    distributions that hold it; what it downloads itself is not tracked.
    """

    def __init__(self, name: str, record: Hear, weights: Sequence[Path]) -> None:
        self.name, self._record = name, record
        if record.weights is not None:
            self._require(weights)
        self._module = _import(name, record.module)
        self._model = self._load(str(weights[0]) if record.weights is not None else record.model)
        self._rate: int = self._model.sample_rate
        self.form = stored_format(self._rate)
        self.bands = self._model.timestamp_embedding_size
        self.engine = record.module
        self.packages = ("numpy", "torch", *packages_distributions().get(record.module.split(".")[0], []))
        own = Path(str(self._module.__file__))  # and all the files of its package, where it is in one
        self.files = tuple(sorted(own.parent.rglob("*.py"))) if self._module.__package__ else (own,)
        self._frames: dict[int, int] = {}
        self._step_ms = self._probe(round(PROBE_S * self.form.sample_rate))
        self.hop_length = max(1, round(self._step_ms / 1000 * self.form.sample_rate))

    @property
    def frame_rate(self) -> float:
        """Frames per second, by the module's own timestamps; a hop may be no whole number of samples."""
        return 1000 / self._step_ms

    def frames(self, samples: int) -> int:
        """Count the frames of a window of `samples` samples, as the module makes them."""
        if samples not in self._frames:
            self._probe(samples)
        return self._frames[samples]

    def _load(self, path: str) -> Any:
        """Load the model as the validator does, and check its attributes."""
        import torch

        model = self._call("load_model", *([path] if path else []))
        if not isinstance(model, torch.nn.Module):
            raise self._error(f"load_model gave a {type(model).__name__}; it must be a torch.nn.Module")
        for attribute in ("sample_rate", "scene_embedding_size", "timestamp_embedding_size"):
            value = getattr(model, attribute, None)
            if not isinstance(value, int) or value < 1:
                raise self._error(f"its model's {attribute} is {value!r}; it must be a whole number above 0")
        if model.sample_rate not in SAMPLE_RATES:
            allowed = ", ".join(map(str, SAMPLE_RATES))
            raise self._error(f"its model's sample_rate is {model.sample_rate} Hz. Choose from {allowed}.")
        return model.to("cpu").eval()

    def _probe(self, samples: int) -> float:
        """Learn how many frames so many samples have; give the milliseconds from one to the next."""
        noise = np.random.default_rng(0).uniform(-1, 1, (2, self.form.channels, samples)).astype(np.float32)
        embeddings, times_ms = self._embed(noise)
        if times_ms.shape != embeddings.shape[:2]:
            raise self._error(f"timestamps are {list(times_ms.shape)}, of embeddings {list(embeddings.shape)}")
        if times_ms.dtype.kind not in "fiu" or not np.isfinite(times_ms).all():
            raise self._error(f"timestamps are {times_ms.dtype} and not finite numbers, all of them")
        self._frames[samples] = embeddings.shape[1]
        steps = np.diff(times_ms.astype(np.float64), axis=1)
        if not steps.size:
            return 1000 * samples / self.form.sample_rate
        step = float(steps.mean())
        if step <= 0 or np.abs(steps - step).max() >= max(REGULAR_MS, 2e-7 * float(times_ms.max())):
            raise self._error(f"timestamps are not regular: their steps are {steps.min():g} to {steps.max():g} ms")
        if step > LONGEST_STEP_MS:
            warnings.warn(f"{self.name}: frames are {step:g} ms apart; the API suggests 50 or less", stacklevel=4)
        return step

    def _encode(self, windows: Waveform) -> Features:
        # One by one: the last bits of a product of matrices depend on how many windows share it.
        embeddings = [self._embed(window[None])[0] for window in windows]
        return np.ascontiguousarray(np.concatenate(embeddings).transpose(0, 2, 1))

    def _embed(self, windows: Waveform) -> tuple[Features, npt.NDArray[np.float32]]:
        """Give embeddings [windows, frames, size] and timestamps [windows, frames] in milliseconds."""
        import torch

        mono = mono_at(self._rate, windows, self.form)
        with one_thread(), torch.no_grad():
            given = self._call("get_timestamp_embeddings", torch.from_numpy(mono), self._model)
        if not (isinstance(given, tuple) and len(given) == 2 and all(isinstance(part, torch.Tensor) for part in given)):
            raise self._error(f"get_timestamp_embeddings gave a {type(given).__name__}; it must be a pair of tensors")
        embeddings, times = given
        shape, size = tuple(embeddings.shape), self._model.timestamp_embedding_size
        if embeddings.dtype != torch.float32 or len(shape) != 3 or (shape[0], shape[2]) != (len(windows), size):
            raise self._error(
                f"embeddings are {embeddings.dtype} {list(shape)}; promised torch.float32 "
                f"[{len(windows)}, frames, {size}]"
            )
        return embeddings.detach().numpy(), times.detach().numpy()

    def _call(self, function: str, *given: Any) -> Any:
        try:
            return getattr(self._module, function)(*given)
        except Exception as error:  # a stranger's code: it may raise anything
            raise self._error(f"{function} failed: {type(error).__name__}: {' '.join(str(error).split())}") from error

    def _error(self, reason: str) -> RepresentationError:
        return RepresentationError(f"{self.name}: module {self._record.module}: {reason}")


def _import(name: str, module: str) -> ModuleType:
    try:
        imported = importlib.import_module(module)
    except ImportError as error:
        raise RepresentationError(
            f"{name}: module {module} cannot be imported: {error}. Install it, or put it in the folder you run in."
        ) from error
    except Exception as error:  # a stranger's code: it may raise anything
        raise RepresentationError(
            f"{name}: module {module} failed when it was imported: {type(error).__name__}: "
            f"{' '.join(str(error).split())}"
        ) from error
    if missing := [function for function in FUNCTIONS if not callable(getattr(imported, function, None))]:
        raise RepresentationError(f"{name}: module {module} has no {', '.join(missing)}, which the HEAR API needs")
    return imported
