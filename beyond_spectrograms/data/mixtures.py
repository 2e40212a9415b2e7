"""Sounds of two labels, made of another data set's: two clips of different classes at once, of one published fold.

The sources of a fold are paired at random, each with one of another class, so that no source stands in two groups. A
mixture is of a clip of either source; its group is the pair, and its fold that of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import soundfile
import soxr

from beyond_spectrograms.data.audio import BadAudioError, Recording, Waveform
from beyond_spectrograms.data.clips import DatasetError, raw_files, stem
from beyond_spectrograms.data.label_sets import join
from beyond_spectrograms.data.labels import SEVERAL_LABELS, Told, write_labels
from beyond_spectrograms.data.sound_files import read_recording
from beyond_spectrograms.data.splits import assign_groups
from beyond_spectrograms.util.files import digest_file

if TYPE_CHECKING:
    from beyond_spectrograms.params.datasets import Dataset, Mixtures

HIGHEST_PEAK = 0.99  # of a mixture: a louder one is made quieter as a whole


def make_mixtures(dataset: str, settings: Mixtures, other: Dataset, sounds: Path, audio: Path) -> None:
    """Write mixtures of the clips of `sounds`, data/raw/<other>/audio, to `audio`/sounds, and labels.csv beside it.

    They are called <fold>-<first source>-<second source>-<number>.flac. Clips that the other data set knows to be the
    same sound in two folds (known_pairs) are left out, with all clips of their sources.

    Raises:
        DatasetError: the other data set's sounds are not there, a fold has no two sources of different classes, or two
            sounds cannot be mixed.
    """
    clips = _read_clips(settings.of, other, sounds)
    told: dict[str, Told] = {}
    (audio / SEVERAL_LABELS).mkdir(parents=True)
    for fold, of_fold in clips.groupby("fold"):
        random = np.random.default_rng([settings.seed, int(str(fold))])
        pairs = list(pair_sources(of_fold, random))
        if not pairs:
            raise DatasetError(f"{dataset}: fold {fold} of {settings.of} has no two sources of different classes")
        drawn = [_draw(of_fold, pair, random) for pair in pairs]
        for number in range(settings.per_fold):
            pair, choices = pairs[number % len(pairs)], drawn[number % len(pairs)]
            first, second = choices[number // len(pairs) % len(choices)]
            assert {clips["fold"][place] for place in (first, second)} == {fold}, "a mixture of two folds"
            clip = f"{SEVERAL_LABELS}/{fold}-{'-'.join(pair)}-{number}.flac"
            names = [clips["clip"][place] for place in (first, second)]
            try:
                parts = [read_recording(sounds / name, other.source.seconds) for name in names]
                samples = mix(*parts, level_db=random.uniform(*settings.level_db))
            except BadAudioError as error:
                both = f"{' and '.join(names)} of {settings.of}"
                raise DatasetError(f"{dataset}: {both} cannot be mixed: {error}") from None
            soundfile.write(audio / clip, samples, parts[0].sample_rate, subtype="PCM_16")
            label = join((clips["label"][first], clips["label"][second]))
            told[clip] = {"label": label, "group": "-".join(pair), "fold": str(fold)}
    write_labels(audio, told)


def _read_clips(of: str, other: Dataset, sounds: Path) -> pd.DataFrame:
    """Tabulate the clips that may be mixed: clip, label, group, fold."""
    files = raw_files(sounds)
    if not files:
        raise DatasetError(f"{sounds}: no sounds. Run the download stage of {of}.")
    names = [path.relative_to(sounds).as_posix() for path in files]
    rows = {"clip": names, "label": [path.parent.name for path in files], "sha256": [digest_file(p) for p in files]}
    clips, _ = assign_groups(of, pd.DataFrame(rows), other.source)
    doubles = {stem(clip) for pair in other.known_pairs for clip in pair}
    return clips[~clips["group"].isin(clips["group"][clips["clip"].map(stem).isin(doubles)])]


def pair_sources(clips: pd.DataFrame, random: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Pair each source of clips (label, group) with one whose clips are all of other classes, as long as there is one.

    Those of the class with most sources left are paired first, so that few are left over.
    """
    labels = clips.groupby("group")["label"].agg(frozenset)
    left = random.permutation(labels.index.to_numpy(str)).tolist()
    while left:
        counts = Counter(labels[left])
        source = max(left, key=lambda each: counts[labels[each]])
        left.remove(source)
        if partner := next((other for other in left if not labels[other] & labels[source]), None):
            left.remove(partner)
            yield source, partner


def _draw(clips: pd.DataFrame, pair: tuple[str, str], random: np.random.Generator) -> list[Any]:
    """List every choice of a clip of either source, by their places in `clips`, in random order."""
    choices = list(product(*(clips.index[clips["group"] == source] for source in pair)))
    return [choices[place] for place in random.permutation(len(choices))]


def mix(first: Recording, second: Recording, *, level_db: float) -> Waveform:
    """Add the second recording, its mean square so many dB above the first's; gives [samples] at the first's rate.

    They end with the shorter one. A peak above HIGHEST_PEAK is brought down to it.

    Raises:
        BadAudioError: the second is silent for as long as both last.
    """
    one, two = first.samples, second.samples
    if second.sample_rate != first.sample_rate:
        two = soxr.resample(two, second.sample_rate, first.sample_rate)
    length = min(len(one), len(two))
    one, two = one[:length], two[:length]
    if not two.any():
        raise BadAudioError(f"the second is silent for {length / first.sample_rate:g} s, as long as both last")
    gain = 10 ** (level_db / 20) * np.sqrt(np.square(one).mean() / np.square(two).mean())
    mixed = one + np.float32(gain) * two
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max()) / HIGHEST_PEAK), np.float32)
