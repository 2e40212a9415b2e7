"""The rules of the three claims on curves and costs made by hand: holds, does not hold, same, undecided."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from beyond_spectrograms.evaluation.claims import CLAIMS, Verdict, judge, log_ratio, rules
from beyond_spectrograms.evaluation.costs import Costs
from beyond_spectrograms.evaluation.records import RunScores
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.report.claims import claims_table
from beyond_spectrograms.report.table import to_markdown
from support.hands import PARAMS, curve, measured, results, scored, trained, with_statistics

Curves = Sequence[Sequence[float]]


def at(epoch: int | None, epochs: int = 20) -> list[float]:
    """Make a curve of twenty epochs that is at 0.5 from one of them on, None: never."""
    return [0.5 if epoch and number >= epoch else 0.1 for number in range(1, epochs + 1)]


MEL = [at(4)] * 6
FEW = [at(epoch) for epoch in (2, 1, 2, 2, 1, 2)]
MANY = [at(epoch) for epoch in (16, 14, 12, 16, 15, 18)]


def known(codec: Curves, baseline: Curves = MEL) -> Results:
    """Make soundstream's and mel's training under fair."""
    return results({("mel", "fair"): trained(baseline), ("soundstream", "fair"): trained(codec)})


def costs(codec: Sequence[float], mel: Sequence[float] | None, files: float = 1.0) -> dict[str, Costs]:
    """Make soundstream's costs: seconds from the cache a round, from the file `files` times them."""
    times = {"soundstream": codec} | ({"mel": mel} if mel else {})
    return {"soundstream": Costs.model_validate(measured("soundstream", times, files))}


def verdict(claim: str, codec: Curves | Results, baseline: Curves = MEL, step: float | None = None) -> Verdict:
    """Judge one claim; `step`: how many times mel's seconds a training step takes."""
    here = codec if isinstance(codec, Results) else known(codec, baseline)
    measured = {} if step is None else costs([step] * 6, [1.0] * 6)
    found, *_ = [each for each in judge(here, measured) if each.claim == claim]  # against mel first
    return found


def student(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % limits of one value a fold."""
    return np.mean(values), *scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))


@pytest.mark.parametrize(
    ("codec", "outcome", "epochs"),
    [
        (FEW, "holds", (2, 1, 2, 2, 1, 2)),
        (MANY, "does not hold", (16, 14, 12, 16, 15, 18)),
        ([at(epoch) for epoch in (4, 4, 4, 4, 4, 5)], "same", (4, 4, 4, 4, 4, 5)),
        ([at(1), at(16)] * 3, "undecided", (1, 16, 1, 16, 1, 16)),
        ([at(None)] * 5 + [at(2)], "same", (1, 1, 1, 1, 1, 2)),  # where it learns nothing, both are there at once
    ],
)
def test_epochs_to_the_lower_of_the_two_plateaus(codec: Curves, outcome: str, epochs: Sequence[int]) -> None:
    found = verdict("convergence", codec)
    theirs = [1 if curve == at(None) else 4 for curve in codec]
    ratios = [ours / mel for ours, mel in zip(epochs, theirs, strict=True)]
    assert (found.verdict, found.value) == (outcome, pytest.approx(np.exp(np.mean(np.log(ratios)))))
    names = found.dataset, found.representation, found.protocol, found.baseline
    assert (*names, found.control) == ("esc10", "soundstream", "fair", "mel", False)


def test_the_limits_of_the_ratio_are_students_over_folds_of_its_logarithm() -> None:
    found = verdict("convergence", [at(1), at(2), at(2), at(4), at(3), at(2)])
    expected = np.exp(student(np.log([1 / 4, 2 / 4, 2 / 4, 4 / 4, 3 / 4, 2 / 4]).tolist()))
    assert (found.value, found.low, found.high) == pytest.approx(tuple(expected))
    assert found.verdict == "holds"


def test_seeds_of_a_fold_are_averaged_and_count_once() -> None:
    epochs = {(1, 0): 1, (1, 1): 4, (2, 0): 2, (2, 1): 2, (3, 0): 4, (3, 1): 1}  # by fold and seed
    codec = tuple(replace(curve(at(epoch), fold), seed=seed) for (fold, seed), epoch in epochs.items())
    mel = tuple(replace(each, validation_accuracy=np.array(at(4))) for each in codec)
    cells = {("mel", "fair"): Cell(curves=mel), ("soundstream", "fair"): Cell(curves=codec)}
    found = verdict("convergence", results(cells))
    # The mean logarithm of every fold is log(1/2): no spread between folds, whatever there is between seeds.
    assert (found.value, found.low, found.high) == (pytest.approx(0.5), None, None)
    alike = "All folds are alike: there is no spread to judge by."
    assert found.reason == f"0.50 times the epochs of mel, mean of 6 runs. {alike}"


def test_the_level_is_a_share_of_the_lower_plateau_the_mean_of_the_last_tenth() -> None:
    # Plateaus are 0.6 and 0.8; 95 % of the lower, 0.57, is reached in epochs 2 and 1.
    ours, theirs = [0.5, *[0.6] * 19], [0.6, 0.7, *[0.8] * 18]
    assert log_ratio(np.array(ours), np.array(theirs), 0.95) == pytest.approx(math.log(2))
    assert log_ratio(np.array(theirs), np.array(ours), 0.95) == pytest.approx(math.log(1 / 2))
    # By its own plateau each is measured by itself: 0.57 in epoch 2, 0.76 in epoch 3.
    assert log_ratio(np.array(ours), np.array(theirs), 0.95, own=True) == pytest.approx(math.log(2 / 3))
    # A last epoch alone sets no plateau: it is the mean over two of twenty.
    noisy = [*[0.4] * 18, 0.4, 0.8]
    assert log_ratio(np.array(noisy), np.array(noisy), 0.95) == 0
    assert log_ratio(np.array(noisy), np.array([*[0.1] * 4, *[0.9] * 16]), 0.95) == pytest.approx(math.log(20 / 5))


def diverged(epochs: Sequence[int | None], codec: Curves, name: str = "soundstream") -> Results:
    """Make the runs of one of the two end in a loss that is not finite at those epochs, None: not at all."""
    here = known(codec) if name == "soundstream" else known([at(2)] * len(epochs), codec)
    cell, scores = here.cell(name, "fair"), scored(name, "fair", [1, 2, 3]).scores
    assert scores is not None
    runs = [
        RunScores.model_construct(fold=fold, seed=0, diverged_at_epoch=epoch)
        for fold, epoch in enumerate(epochs, start=1)
    ]
    cut = [
        replace(each, validation_accuracy=each.validation_accuracy[: (epoch or 21) - 1])
        for each, epoch in zip(cell.curves, epochs, strict=True)
        if epoch != 1
    ]
    gone = replace(cell, scores=scores.model_copy(update={"by_fold": runs}), curves=tuple(cut))
    return replace(here, cells={**here.cells, (name, "fair"): gone})


@pytest.mark.parametrize("epoch", [1, 9])
def test_a_run_that_diverges_counts_as_one_epoch_more_than_there_were(epoch: int) -> None:
    here = diverged([epoch, *[None] * 5], [at(2)] * 6)
    found = verdict("convergence", here)
    assert found.value == pytest.approx(np.exp((math.log(21 / 4) + 5 * math.log(2 / 4)) / 6))
    assert "mean of 6 runs" in found.reason
    # From its end on it guesses one of two classes, where mel has 0.1 three times and then 0.5.
    lost = 3 * 0.4 if epoch == 1 else 2 * 0.4
    assert verdict("equal_epochs", here).value == pytest.approx(np.mean([*[2 * 0.4 / 20] * 5, lost / 20]))


def test_a_baseline_that_diverged_sets_no_level() -> None:
    found = verdict("convergence", diverged([5, None, None, None, None, None], MEL, "mel"))
    assert "mean of 5 runs" in found.reason
    every = verdict("convergence", diverged([5] * 6, MEL, "mel"))
    assert (every.verdict, every.value, every.low, every.high) == ("undecided", None, None, None)
    assert every.reason == "No run of mel and soundstream of one fold and seed can be compared."
    assert verdict("equal_epochs", diverged([5] * 6, MEL, "mel")).reason == every.reason


@pytest.mark.parametrize("claim", ["convergence", "convergence_seconds", "equal_epochs"])
@pytest.mark.parametrize("codec", [at(2), at(None)])
def test_too_few_runs_leave_a_claim_undecided_and_say_so(claim: str, codec: Sequence[float]) -> None:
    found = verdict(claim, [codec] * 2, MEL[:2], step=1.0)
    assert (found.verdict, found.low, found.high) == ("undecided", None, None)
    assert found.reason.endswith(". Only 2 runs; 5 are needed for an interval.")


@pytest.mark.parametrize(
    ("codec", "step", "outcome"),
    [(FEW, 1.0, "holds"), (FEW, 8.0, "does not hold"), (MANY, 0.05, "holds"), (FEW, 2.4, "same")],
)
def test_seconds_are_epochs_times_what_a_training_step_takes(codec: Curves, step: float, outcome: str) -> None:
    epochs, seconds = verdict("convergence", codec), verdict("convergence_seconds", codec, step=step)
    assert (seconds.verdict, seconds.value) == (outcome, pytest.approx(step * (epochs.value or 0)))


def test_seconds_are_not_judged_for_another_network_than_was_measured() -> None:
    cells = {(name, "mean_linear"): trained([at(2)] * 6) for name in ("mel", "soundstream")}
    claims = {each.claim for each in judge(results(cells), costs([1.0] * 6, [1.0] * 6)) if each.protocol != "any"}
    assert claims == {"convergence", "convergence_own", "equal_epochs"}


@pytest.mark.parametrize(
    ("gains", "outcome"),
    [
        ((0.1, 0.12, 0.08, 0.1, 0.11, 0.09), "holds"),
        ((-0.1, -0.12, -0.08, -0.1, -0.11, -0.09), "does not hold"),
        ((0.01, -0.01, 0.005, -0.005, 0.0, 0.01), "same"),
        ((0.1, -0.1, 0.1, -0.1, 0.1, -0.1), "undecided"),
    ],
)
def test_accuracy_at_equal_epochs_is_averaged_over_the_whole_curve(gains: Sequence[float], outcome: str) -> None:
    mel = [0.1, 0.2, 0.3, 0.5]
    found = verdict("equal_epochs", [[0.1 + 4 * gain, *mel[1:]] for gain in gains], [mel] * 6)
    assert found.value == pytest.approx(np.mean(gains))
    assert found.verdict == outcome


def test_the_limits_of_the_difference_are_students_over_folds() -> None:
    gains = [0.1, 0.2, 0.0, 0.1, 0.3, 0.1]
    found = verdict("equal_epochs", [[0.2 + gain] * 4 for gain in gains], [[0.2] * 4] * 6)
    assert (found.value, found.low, found.high) == pytest.approx(student(gains))
    assert found.reason == "+13.3 [+2.5, +24.2] points over mel, mean of 6 runs; ahead in 100% of the epochs."
    found = verdict("equal_epochs", [[0.2, 0.3, 0.2, 0.4 + gain] for gain in gains], [[0.1, 0.2, 0.3, 0.9]] * 6)
    assert found.reason.endswith(" points over mel, mean of 6 runs; ahead in 50% of the epochs.")


def test_runs_are_compared_with_the_run_of_the_same_fold_and_seed() -> None:
    more = trained([at(number) for number in (1, 2, 3, 4, 5, 6, 7, 8)])  # two folds more than mel
    both = results({("mel", "fair"): trained(MEL), ("soundstream", "fair"): more})
    found = verdict("convergence", both)
    assert "mean of 6 runs" in found.reason
    assert found.value == pytest.approx(np.exp(np.log(np.arange(1, 7) / 4).mean()))
    in_another_order = results({**both.cells, ("soundstream", "fair"): Cell(curves=more.curves[::-1])})
    assert verdict("convergence", in_another_order) == found


def test_only_codecs_are_judged_and_controls_and_what_is_fitted_at_once_never() -> None:
    cells = {
        (name, protocol): trained([at(2)] * 6)
        for name in ("mel", "log_mel", "log_mel_2048", "soundstream", "encodec_24khz_untrained")
        for protocol in ("paper", "fair", "shuffled_labels", "probe_mean", "dealt_source")
    }
    found = {(each.representation, each.protocol, each.baseline) for each in judge(results(cells), {})}
    assert found == {
        (codec, protocol, baseline)
        for codec in ("soundstream", "encodec_24khz_untrained")
        for protocol in ("paper", "fair")
        for baseline in (*PARAMS.claims.baselines, "best_spectrogram")
    }


@pytest.mark.parametrize(
    ("codec", "outcome", "ratio"),
    [
        ([0.5] * 6, "holds", 0.5),
        ([2.0] * 6, "does not hold", 2.0),
        ([1.0] * 6, "does not hold", 1.0),  # as fast is not faster
        ([0.5, 0.5, 0.5, 2.0, 2.0, 2.0], "undecided", 1.25),
        ([0.5] * 3, "undecided", 0.5),  # too few rounds
    ],
)
def test_speed_is_a_ratio_within_a_round(codec: Sequence[float], outcome: str, ratio: float) -> None:
    found = judge(known([at(2)] * 6), costs(codec, [1.0] * len(codec)))
    speed = {each.claim: each for each in found if each.claim.startswith("speed")}
    assert set(speed) == {"speed_cached", "speed_file"}
    for each in speed.values():
        assert (each.verdict, each.value, each.protocol) == (outcome, ratio, "any")


def test_from_the_cache_and_from_the_file_are_judged_apart_and_only_beside_a_measured_baseline() -> None:
    found = judge(known([at(2)] * 6), costs([0.5] * 6, [1.0] * 6, files=10))
    assert {each.claim: (each.verdict, each.value) for each in found if each.claim.startswith("speed")} == {
        "speed_cached": ("holds", 0.5),
        "speed_file": ("does not hold", 5.0),
    }
    assert not [each for each in judge(known([at(2)] * 6), costs([0.5] * 6, None)) if each.claim.startswith("speed")]


def test_the_rules_are_stated_from_params() -> None:
    stated = rules(with_statistics(results({}), confidence=0.9))
    assert set(stated) == set(CLAIMS)
    assert stated["convergence"].startswith("Epochs until 95% of the lower of the two plateaus of validation accuracy")
    for claim in ("convergence", "equal_epochs", "speed_cached"):
        assert "the 90% interval" in stated[claim]


def test_the_table_has_a_verdict_and_its_reason_for_each_baseline() -> None:
    here = known(FEW)
    found = judge(here, {})
    table = claims_table(here, found, "convergence")
    (row,) = table.rows
    assert [row[f"{name}_verdict"] for name in ("mel", "log_mel_2048", "best_spectrogram")] == [
        "holds",
        None,
        "undecided",
    ]
    reason = found[0].reason
    assert reason.startswith("0.40 [0.27, 0.58] times the epochs of mel, mean of 6 runs.")
    assert f"| soundstream    | fair     | **holds**: {reason} | - " in to_markdown(table)
    assert table.notes == [rules(here)["convergence"]]
    assert claims_table(here, found, "speed_cached").rows == []
