"""Does learning to compress teach classes: latents of codecs after steps of their training, all seeds together.

A seed of a codec is another training of it. Its latents are those of every fold, so a seed is one run: intervals hold
how much trainings differ, beside which sources were drawn (evaluation/uncertainty.py). They are given from three
trainings on, where Student's limits are wide but cover, as docs/uncertainty.md shows by simulation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from beyond_spectrograms.evaluation.clip_results import Recordings, pool
from beyond_spectrograms.evaluation.comparisons import Pair
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import gap, holm, window_interval
from beyond_spectrograms.params import Params, Statistics
from beyond_spectrograms.params.encoders import TrainedCodec

BySeed = dict[int, Recordings]
MINIMUM_TRAININGS = 3


@dataclass(frozen=True)
class Learned:
    """What probes of a data set know by latents of codecs, by codec and step of training, and by what is no codec."""

    dataset: str
    protocol: str
    latents: dict[str, dict[int, BySeed]]  # by codec and step, every step of the same seeds
    others: dict[str, Recordings]  # spectrograms of the same study, and what is drawn beside from elsewhere
    accuracy: dict[str, dict[int | None, Interval]]  # of all of these; the step is None where there is none

    def seeds(self, codec: str) -> int:
        """Count a codec's trainings; 0 of what is none."""
        return len(next(iter(self.latents.get(codec, {0: {}}).values())))


def learned(results: Results, beside: dict[str, Recordings]) -> Learned | None:
    """Gather what was run under the protocol that is judged; None where no latents of a codec were.

    Seeds of which not all of a codec's steps were run are left out. `beside` are cells of other studies, by
    representation, under the same protocol.

    Raises:
        ResultError: a cell has several runs of a fold.
    """
    protocol, params = results.judged_protocol, results.params
    if protocol is None:
        return None
    found: dict[str, dict[int, dict[int, Recordings | None]]] = {}  # codec, seed, step
    others = dict[str, Recordings]()
    for name in results.asked(protocol):
        record, recordings = params.representations[name], results.cell(name, protocol).recordings
        if isinstance(record, TrainedCodec):
            found.setdefault(record.codec, {}).setdefault(record.seed, {})[record.step] = recordings
        elif recordings is not None:
            others[name] = recordings
    latents: dict[str, dict[int, BySeed]] = {}
    for codec, by_seed in found.items():
        whole = {seed: steps for seed, steps in sorted(by_seed.items()) if all(steps.values())}
        for step in sorted(set[int]().union(*whole.values())):
            cells = {seed: steps.get(step) for seed, steps in whole.items()}
            latents.setdefault(codec, {})[step] = {seed: cell for seed, cell in cells.items() if cell is not None}
    if not latents:
        return None
    others |= beside
    statistics = of_trainings(params.statistics)
    accuracy: dict[str, dict[int | None, Interval]] = {
        codec: {step: window_interval(_pool(codec, mine), statistics) for step, mine in steps.items()}
        for codec, steps in latents.items()
    }
    accuracy |= {name: {None: window_interval(cell, params.statistics)} for name, cell in others.items()}
    return Learned(results.dataset, protocol, latents, others, accuracy)


def compare_learned(params: Params, known: list[Learned]) -> list[tuple[str, Pair]]:
    """Test what each codec learned, by data set: last step minus the first, minus spectrograms, minus its plain twin.

    Which pairs these are follows from params, and p is corrected (Holm) for all of them together, on all data sets.
    """
    named = [(each, *pair) for each in known for pair in _named(params, each)]
    statistics = of_trainings(params.statistics)
    found = [
        (each.dataset, Pair(first, second, each.protocol, gap(ours, theirs, statistics, len(named))))
        for each, first, second, ours, theirs in named
    ]
    corrected = holm([pair.comparison.p for _, pair in found])
    return [(where, replace(pair, named=True, p=p)) for (where, pair), p in zip(found, corrected, strict=True)]


def _named(params: Params, known: Learned) -> list[tuple[str, str, Recordings, Recordings]]:
    pairs = []
    for codec, steps in known.latents.items():
        last, twin = max(steps), twin_of(params, codec)
        told, ours = f"{codec} after {last}", steps[last]
        if 0 in steps and last:
            pairs.append((told, f"{codec} after 0", _pool(codec, ours), _pool(codec, steps[0])))
        if twin is None:
            spectrograms = [name for name in known.others if name in params.grid.representations]
            pairs += [(told, name, _pool(codec, ours), known.others[name]) for name in spectrograms]
        elif both := known.latents.get(twin, {}).get(last, {}).keys() & ours.keys():  # seeds: the same draws in both
            mine, theirs = ({seed: cells[seed] for seed in sorted(both)} for cells in (ours, known.latents[twin][last]))
            pairs.append((told, f"{twin} after {last}", _pool(codec, mine), _pool(twin, theirs)))
    return pairs


def of_trainings(statistics: Statistics) -> Statistics:
    """Give the statistics for trainings of codecs as runs."""
    return statistics.model_copy(update={"minimum_runs": MINIMUM_TRAININGS})


def _pool(codec: str, by_seed: BySeed) -> Recordings:
    return pool(codec, list(by_seed.values()))


def twin_of(params: Params, codec: str) -> str | None:
    """Find the codec that is trained as this one but for telling log-mel; None where this one does not."""
    recipe = params.codecs[codec]
    if recipe.log_mel_weight is None:
        return None
    plain = recipe.model_copy(update={"log_mel_weight": None, "seeds": []})
    others = ((name, other.model_copy(update={"seeds": []})) for name, other in params.codecs.items())
    return next((name for name, other in others if other == plain), None)
