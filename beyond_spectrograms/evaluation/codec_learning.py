"""Does learning to compress teach classes: latents of codecs after steps of their training, all seeds together.

A seed of a codec is another training of it, and counts as a run of every fold: intervals hold how much trainings
differ, beside which sources were drawn (evaluation/uncertainty.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from beyond_spectrograms.evaluation.clip_results import Recordings, pool
from beyond_spectrograms.evaluation.comparisons import Pair
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import gap, holm, window_interval
from beyond_spectrograms.params import Params
from beyond_spectrograms.params.encoders import TrainedCodec


@dataclass(frozen=True)
class Learned:
    """What probes of a data set know by latents of codecs, by codec and step of training, and by what is no codec."""

    dataset: str
    protocol: str
    seeds: dict[str, int]  # of each codec, those that were run
    latents: dict[str, dict[int, Recordings]]
    others: dict[str, Recordings]  # spectrograms of the same study, and what is drawn beside from elsewhere
    accuracy: dict[str, dict[int | None, Interval]]  # of all of these; the step is None where there is none


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
    wanted: dict[str, dict[int, dict[int, str]]] = {}  # codec, seed, step
    others = dict[str, Recordings]()
    for name in results.asked(protocol):
        record = params.representations[name]
        if isinstance(record, TrainedCodec):
            wanted.setdefault(record.codec, {}).setdefault(record.seed, {})[record.step] = name
        elif (found := results.cell(name, protocol).recordings) is not None:
            others[name] = found
    latents, seeds = dict[str, dict[int, Recordings]](), dict[str, int]()
    for codec, by_seed in wanted.items():
        known = [
            {step: results.cell(name, protocol).recordings for step, name in sorted(steps.items())}
            for steps in by_seed.values()
        ]
        whole = [{step: found for step, found in each.items() if found} for each in known if all(each.values())]
        if whole:
            steps = sorted(set.intersection(*(set(each) for each in whole)))
            latents[codec] = {step: pool(f"{codec} after {step}", [each[step] for each in whole]) for step in steps}
            seeds[codec] = len(whole)
    if not latents:
        return None
    others |= beside
    statistics = params.statistics
    accuracy: dict[str, dict[int | None, Interval]] = {
        codec: {step: window_interval(found, statistics) for step, found in steps.items()}
        for codec, steps in latents.items()
    }
    accuracy |= {name: {None: window_interval(found, statistics)} for name, found in others.items()}
    return Learned(results.dataset, protocol, seeds, latents, others, accuracy)


def compare_learned(params: Params, known: list[Learned]) -> list[tuple[str, Pair]]:
    """Test what each codec learned, by data set: last step minus the first, minus spectrograms, minus its plain twin.

    Named before any of it was run, and corrected (Holm) for all of them together, on all data sets.
    """
    found: list[tuple[str, Pair]] = []
    named = [(each, *pair) for each in known for pair in _named(params, each)]
    for each, first, second, ours, theirs in named:
        test = gap(ours, theirs, params.statistics, len(named))
        found.append((each.dataset, Pair(first, second, each.protocol, test)))
    corrected = holm([pair.comparison.p for _, pair in found])
    return [(where, replace(pair, named=True, p=p)) for (where, pair), p in zip(found, corrected, strict=True)]


def _named(params: Params, known: Learned) -> list[tuple[str, str, Recordings, Recordings]]:
    pairs = []
    for codec, steps in known.latents.items():
        last = max(steps)
        told = f"{codec} after {last}"
        if 0 in steps and last:
            pairs.append((told, f"{codec} after 0", steps[last], steps[0]))
        twin = twin_of(params, codec)
        if twin is None:
            spectrograms = [name for name in known.others if name in params.grid.representations]
            pairs += [(told, name, steps[last], known.others[name]) for name in spectrograms]
        elif last in known.latents.get(twin, {}):
            pairs.append((told, f"{twin} after {last}", steps[last], known.latents[twin][last]))
    return pairs


def twin_of(params: Params, codec: str) -> str | None:
    """Find the codec that is trained as this one but for telling log-mel; None where this one does not."""
    recipe = params.codecs[codec]
    if recipe.log_mel_weight is None:
        return None
    plain = recipe.model_copy(update={"log_mel_weight": None})
    return next((name for name, other in params.codecs.items() if other == plain), None)
