"""Codec against spectrogram on the same recordings: every pair of the grid tested, and corrected for their number."""

from dataclasses import dataclass

from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import Comparison, compare, holm


@dataclass(frozen=True)
class Pair:
    """A codec and a baseline under one protocol; p-values are corrected (Holm) for all pairs of the data set."""

    codec: str
    baseline: str
    protocol: str
    comparison: Comparison
    p_windows: float | None  # by paired bootstrap of window accuracy; None: too few recordings
    p_recordings: float  # by McNemar's exact test on recordings


def compare_with_baselines(results: Results) -> list[Pair]:
    """Test every codec that was run against every baseline and matched control that was, under each protocol."""
    statistics, found = results.params.statistics, []
    for codec, protocol in results.cells:
        if results.params.protocols[protocol].shuffle_labels:
            continue
        ours = results.cell(codec, protocol).recordings
        for baseline in dict.fromkeys([*results.params.claims.baselines, *matched(results, codec)]):
            theirs = results.cell(baseline, protocol).recordings
            if results.is_codec(codec) and ours is not None and theirs is not None:
                found.append((codec, baseline, protocol, compare(ours, theirs, statistics)))
    windows = holm([comparison.p for *_, comparison in found])
    recordings = holm([comparison.mcnemar_p for *_, comparison in found])
    corrected = zip(found, windows, recordings, strict=True)
    return [Pair(*pair, p_windows, p_recordings or 0.0) for pair, p_windows, p_recordings in corrected]


def matched(results: Results, codec: str) -> list[str]:
    """List the spectrograms of a codec's own size [bands, frames]: their classifier has as many parameters."""
    shapes = {name: (known.bands, known.frames) for name, known in results.features.items()}
    return [name for name, shape in shapes.items() if not results.is_codec(name) and shape == shapes.get(codec)]
