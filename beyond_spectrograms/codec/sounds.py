"""What a codec hears while it is trained: which clips, and how windows are cut and mixed from them.

Source: the model card of EnCodec's repository: single music with probability 0.32 (s1), a single other sound 0.32 (s2),
two of all 0.24 (s3), three others 0.12 (s4); every sound at its file's level and a gain of -10 to 6 dB, windows that
clip rejected; reverberation with probability 0.2 but for s1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.codec.reverberation import reverberate, room_response
from beyond_spectrograms.data.audio import Format, Waveform, read_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.windows import columns_of
from beyond_spectrograms.params.codecs import CodecRecipe, CodecSounds
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.progress import track

SPLIT = "source"  # the split by whose folds a codec hears training parts: no group in two parts
MUSIC, OTHER, ALL = "music", "other", "all"
# Share, kind and number of the sounds of a window; shares of those for which there are no sounds go to the others.
STRATEGIES = ((0.32, MUSIC, 1), (0.32, OTHER, 1), (0.24, ALL, 2), (0.12, OTHER, 3))
SINGLE = ((1.0, ALL, 1),)
DRAWS = 1000  # of one window, until it neither clips nor cancels
HEARD_COLUMNS = ("dataset", "clip", "label", "group", "sha256")
LEAST_MEAN = 0.01  # channels cancel if their mean has less than this share of their power
QUIET_DB = -80.0  # a clip below this level is not made as loud as others


class CodecSoundsError(ProjectError):
    """There is nothing to train a codec on, or what there is clips; the message says where."""


def choose_clips(
    sounds: CodecSounds, clips: pd.DataFrame, table: pd.DataFrame, parts: pd.DataFrame, apart: Mapping[str, set[str]]
) -> pd.DataFrame:
    """Choose the clips that a codec hears of a data set, as a table of HEARD_COLUMNS, and whether each is music.

    `clips` is the data set's clips.csv, `table` and `parts` are its windows. `apart` has the groups of every data set
    that `sounds.apart_from` names. A clip with a window outside the training part is not heard at all.

    Raises:
        CodecSoundsError: the split has no such fold, a label that is named is none of the data set, or no clip is left.
    """
    known = sorted(set(table["label"]))
    for place, labels in (("music", sounds.music), ("labels", sounds.labels)):
        if unknown := [label for label in labels if label not in known]:
            told = f"{sounds.dataset}: {place} {unknown[0]!r} is no label. Choose from {', '.join(known)}."
            raise CodecSoundsError(told)
    heard = table["label"].isin(sounds.labels or known).to_numpy(copy=True)
    if unknown := sorted(set(sounds.without) - set(table["clip"])):
        raise CodecSoundsError(f"{sounds.dataset}: without names {unknown[0]!r}, which is no clip of it")
    if sounds.fold is not None:
        columns = columns_of(SPLIT, parts)
        if sounds.fold > len(columns):
            raise CodecSoundsError(f"{sounds.dataset}: fold {sounds.fold} of {len(columns)} of the split {SPLIT}")
        heard &= (parts[columns[sounds.fold - 1]] == "train").to_numpy()
    heard &= ~table["clip"].isin(sounds.without).to_numpy()
    for groups in apart.values():
        heard &= ~table["group"].isin(groups).to_numpy()
    whole = pd.Series(heard).groupby(table["clip"]).all()
    chosen = table.drop_duplicates("clip").set_index("clip")[["label", "group"]][whole]
    if chosen.empty:
        raise CodecSoundsError(f"{sounds.dataset}: no clip is left to train a codec on")
    digests = clips.set_index("clip")["sha256"]
    told = chosen.reset_index().assign(dataset=sounds.dataset, sha256=digests[chosen.index].to_numpy())
    return told[list(HEARD_COLUMNS)].assign(music=told["label"].isin(sounds.music))


@dataclass(frozen=True)
class Corpus:
    """Sounds in memory: `waveforms` [channels, samples] in `form`, what each is multiplied by, and which are music."""

    waveforms: Sequence[Waveform]
    scales: npt.NDArray[np.float64]
    music: npt.NDArray[np.bool_]
    form: Format

    def places(self, kind: str) -> npt.NDArray[np.intp]:
        """List the sounds of a kind."""
        wanted = {MUSIC: self.music, OTHER: ~self.music, ALL: np.ones_like(self.music)}[kind]
        return np.flatnonzero(wanted)


def read_corpus(heard: pd.DataFrame, clips: Path, form: Format, level_db: float) -> Corpus:
    """Read the clips that `choose_clips` chose from `clips` (data/clips), each at `level_db` on the whole."""
    waveforms, scales = [], []
    for row in track(heard.itertuples(), "sounds of the codec", len(heard)):
        sound = read_clip(clip_path(clips / str(row.dataset), form, str(row.clip)), form)
        waveforms.append(sound)
        scales.append(scale_to(sound, level_db))
    return Corpus(waveforms, np.array(scales), heard["music"].to_numpy(dtype=bool), form)


def scale_to(sound: Waveform, level_db: float) -> float:
    """Compute by what a sound is multiplied to have a level on the whole."""
    level = 10 * np.log10(max(float(np.square(sound, dtype=np.float64).mean()), 1e-20))
    return float(10 ** ((level_db - max(level, QUIET_DB)) / 20))


class Windows:
    """Draws windows from a corpus as a recipe says; what a step hears follows from the seed and its number alone."""

    def __init__(self, corpus: Corpus, recipe: CodecRecipe, seed: int) -> None:
        self._corpus, self._recipe, self._seed = corpus, recipe, seed
        self._samples = round(recipe.window_s * corpus.form.sample_rate)
        possible = [each for each in (STRATEGIES if recipe.mixing else SINGLE) if len(corpus.places(each[1]))]
        self._strategies = [(kind, count) for _, kind, count in possible]
        shares = np.array([share for share, _, _ in possible])
        self._shares = shares / shares.sum()

    def batch(self, step: int) -> Waveform:
        """Give the windows [batch, channels, samples] of a step.

        Raises:
            CodecSoundsError: whatever is drawn clips.
        """
        random = np.random.default_rng([self._seed, step])
        return np.stack([self._window(random) for _ in range(self._recipe.batch_size)])

    def _window(self, random: np.random.Generator) -> Waveform:
        for _ in range(DRAWS):
            kind, count = self._strategies[random.choice(len(self._strategies), p=self._shares)]
            places = self._corpus.places(kind)
            drawn = random.choice(places, count, replace=len(places) < count)
            window = sum(self._cut(place, random) for place in drawn)
            assert isinstance(window, np.ndarray)
            if random.random() < self._recipe.reverberation and (kind, count) != (MUSIC, 1):
                rt60_s = random.uniform(*self._recipe.rt60_s)
                window = reverberate(window, room_response(rt60_s, self._corpus.form.sample_rate, random))
            if np.abs(window).max() <= 1 and not (self._recipe.network.by_level and _cancels(window)):
                return window.astype(np.float32)
        told = f"level_db {self._recipe.level_db:g}: {DRAWS} windows drawn one after the other are over full scale"
        if self._recipe.network.by_level:
            raise CodecSoundsError(f"{told}, or their channels cancel. Choose a lower level, or other sounds.")
        raise CodecSoundsError(f"{told}. Choose a lower level.")

    def _cut(self, place: int, random: np.random.Generator) -> Waveform:
        """Cut a window from a sound at random; a shorter one lies somewhere in it."""
        sound = self._corpus.waveforms[place]
        gain = self._corpus.scales[place] * 10 ** (random.uniform(*self._recipe.gain_db) / 20)
        spare = sound.shape[1] - self._samples
        first = int(random.integers(abs(spare) + 1))
        padded = np.pad(sound, ((0, 0), (first, -spare - first))) if spare < 0 else sound[:, first:]
        cut: Waveform = (padded[:, : self._samples] * gain).astype(np.float32)
        return cut


def _cancels(window: Waveform) -> bool:
    """Say whether channels [channels, samples] cancel in their mean, by whose level some codecs divide."""
    return bool(np.square(window.mean(axis=0)).mean() < LEAST_MEAN * np.square(window).mean())
