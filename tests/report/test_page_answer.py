"""The page's opening: the answer in words that the contrasts decide, and a bar for each of them."""

from dataclasses import replace

from beyond_spectrograms.evaluation.comparisons import compare_contrasts
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.page.answer import answer
from support.hands import curve, results, scored, with_contrasts

CONTRASTS = [["soundstream", "mel"], ["soundstream", "best_spectrogram"], ["encodec_24khz_untrained", "mel"]]
# Windows right of 4, for 40 recordings.
LOW, HIGH = [1, 2, 1, 0, 2] * 8, [4, 3, 4, 2, 3, 4, 4, 3] * 5
AHEAD = [value + (place % 11 == 0) for place, value in enumerate(HIGH[::-1])]


def known(**right: list[int]) -> Results:
    curves = tuple(curve([0.5, 0.6], fold) for fold in range(1, 6))
    cells = {(name, "fair"): replace(scored(name, "fair", counts), curves=curves) for name, counts in right.items()}
    return with_contrasts(results(cells), pairs=CONTRASTS, under=["fair"])


def test_the_answer_is_said_against_the_papers_spectrogram_and_the_best_one() -> None:
    here = known(mel=LOW, log_mel=AHEAD, soundstream=HIGH, encodec_24khz_untrained=HIGH)
    curves = tuple(curve([0.9, 0.9], fold) for fold in range(1, 6))
    here.cells["log_mel", "fair"] = replace(here.cells["log_mel", "fair"], curves=curves)
    found = answer([here])
    against_mel, against_best, control = found.bars
    could_be_found = 100 * (compare_contrasts(here)[1].comparison.detectable or 0)
    assert found.sentences == [
        "Against the paper's own spectrogram, mel, soundstream is better on esc10 "
        f"({against_mel.shown} points; +0.0 of validation accuracy at the last epoch, before an epoch was selected).",
        "Against the best spectrogram of each fold, soundstream is neither better nor worse for sure on esc10 "
        f"({against_best.shown} points; {could_be_found:.1f} could be found).",
    ]
    assert (against_mel.verdict, against_best.verdict) == ("better", "undecided")
    assert (control.control, control.contrast) == (True, "encodec_24khz_untrained - mel, fair")
    assert found.reach == max(abs(bar.high or 0) for bar in found.bars)


def test_without_a_pretrained_codec_the_page_says_what_it_shows() -> None:
    found = answer([known(mel=LOW, encodec_24khz_untrained=HIGH)])
    assert found.sentences == [
        "No pretrained codec was judged on esc10: what stands below are spectrograms and untrained encoders."
    ]
    assert [bar.control for bar in found.bars] == [True]


def test_without_contrasts_nothing_is_drawn() -> None:
    assert (answer([known(log_mel=LOW)]).bars, answer([known(log_mel=LOW)]).reach) == ([], 10.0)
