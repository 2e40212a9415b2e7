"""Features and pairs of recordings -> how often each embedding confuses speakers: metrics/<dataset>/trials.json.

The pairs are a published list or drawn from the table of windows, as the data set's record says. An embedding whose
features are not here keeps its committed scores while all that decides them is the same.
"""

import hashlib
from typing import Any

import pandas as pd

from beyond_spectrograms.data.downloads import fetch
from beyond_spectrograms.data.trials import list_recordings, make_trials, read_trials, speakers_aside
from beyond_spectrograms.data.windows import check_content, open_features
from beyond_spectrograms.evaluation.embeddings import embed, normalize, summarize_windows
from beyond_spectrograms.evaluation.records import cell_name
from beyond_spectrograms.evaluation.verification import (
    TRIALS_FILE,
    TrialScores,
    TrialsFile,
    evaluate_trials,
    read_trial_scores,
    score_cosines,
)
from beyond_spectrograms.params import PARAMS_FILE, ParamsError
from beyond_spectrograms.params.study import DOWNLOADS, Study
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import write_json
from stages.arguments import parse
from stages.evaluate import read_split


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    settings, place = study.params.verification, study.metrics(dataset) / TRIALS_FILE
    if settings is None:
        raise ParamsError(f"{study.folder / PARAMS_FILE}: no verification. Say which embeddings are tried.")
    earlier, names = read_trial_scores(place.parent, dataset).cells, study.params.grid.representations
    here = [name for name in names if study.is_featurized(dataset, name)]
    taken = take_trials(study, dataset) if here else None
    found: dict[str, TrialScores] = {}
    for name in names:
        scored = score(study, dataset, name, *taken) if taken and name in here else {}
        for key in settings.embeddings:
            cell, wanted = cell_name(name, key), study.trial_provenance(dataset, name, key)
            if key in scored:
                found[cell] = TrialScores(representation=name, embedding=key, provenance=wanted, **scored[key])
                print(f"{dataset}, {cell}: equal error rate {scored[key]['eer']:.1%}")
            elif cell in earlier and earlier[cell].provenance == wanted:
                found[cell] = earlier[cell]
                print(f"{dataset}, {cell}: committed scores kept, its features are not here")
            elif cell in earlier:
                print(f"{dataset}, {cell}: left out: its committed scores are of other params or versions")
    write_json(place, TrialsFile(dataset=dataset, cells=found).model_dump())


def take_trials(study: Study, dataset: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the table of windows; fetch and check the published list of trials, or draw them.

    Returns:
        the table of windows and the table of trials.
    """
    (table, _), trials = read_split(study, dataset), study.params.datasets[dataset].trials
    recordings = list_recordings(table)
    assert trials is not None  # Params sees to it
    if trials.made is not None:
        return table, make_trials(dataset, recordings, trials.made)
    assert trials.published is not None  # one of both
    listed = fetch(f"{dataset}, trials", [trials.published], DOWNLOADS)
    if trials.published.sha256 is None and trials.published.md5 is None:
        print(f"{dataset}, trials: its record fixes no digest; found sha256 {listed.sha256}")
    found = read_trials(listed.path, recordings)
    pairs = {frozenset(pair) for pair in found[["first", "second"]].itertuples(index=False)}
    if more := len(found) - len(pairs):
        print(f"{dataset}, trials: {more} of {len(found)} lines have a pair of another line, and count as well")
    return table, found


def score(
    study: Study, dataset: str, name: str, table: pd.DataFrame, trials: pd.DataFrame
) -> dict[str, dict[str, Any]]:
    """Score the trials by every embedding of a representation, whose features are here."""
    params, folder, what = study.params, study.features(dataset, name), f"{dataset} as {name}"
    assert params.verification is not None  # as main sees to
    recordings = list_recordings(table)
    check_content(folder, what)
    means, variances = summarize_windows(open_features(folder, len(table)))
    aside = speakers_aside(recordings, trials)
    digest = hashlib.sha256(trials.to_csv(index=False, lineterminator="\n").encode()).hexdigest()
    scored = {}
    for key, embedding in params.verification.embeddings.items():
        vectors = embed(means, variances, table["clip"], embedding)
        by_fold = {fold: normalize(vectors, others, embedding, what) for fold, others in aside.items()}
        cosines = score_cosines(trials, by_fold, recordings)
        told = evaluate_trials(trials, cosines, recordings, params.verification, params.statistics)
        scored[key] = {**told, "values": vectors.shape[1], "trials_sha256": digest}
    return scored


if __name__ == "__main__":
    run_stage(main)
