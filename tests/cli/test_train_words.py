from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.cli import main
from beyond_spectrograms.cli.train import going_on, tell_plain_way
from beyond_spectrograms.util.commands import status_of
from support.repository import Capture


@pytest.mark.parametrize(
    ("difference", "surely", "verdict"),
    [
        ((0.05, 0.01, 0.09), True, "+5.0 points [+1.0, +9.0]: better. Take it by "),
        ((0.05, -0.03, 0.13), False, "+5.0 points [-3.0, +13.0]: higher, undecided. Take it by "),
        ((0.05, None, None), False, "+5.0 points: higher, from too few origins or folds to be sure. Take it by "),
        ((-0.05, -0.09, -0.01), False, "-5.0 points [-9.0, -1.0]"),
    ],
)
def test_a_plain_way_is_better_only_where_the_interval_says_so(difference: Any, surely: bool, verdict: str) -> None:
    interval = dict(zip(("value", "low", "high"), difference, strict=True))
    way = {"way": "a probe", "representation": "mfcc", "protocol": "probe_mean", "recording_accuracy": 0.7}
    options = "--representation mfcc --classifier probe_mean" if difference[0] > 0 else ""
    told = tell_plain_way({**way, "difference": interval, "surely better": surely})
    assert told == f"beside it a probe: 70.0% of recordings, {verdict}{options}"


def test_who_stops_a_training_is_told_how_it_goes_on(capsys: Capture) -> None:
    def stop() -> None:
        with going_on(Path("mine.partial-training")):
            raise KeyboardInterrupt

    assert status_of(stop) == 130
    told = "stopped by SIGINT; the same command goes on where it was, by what is in mine.partial-training\n"
    assert capsys.readouterr().err == told


def test_an_unknown_option_is_told_with_the_usage_of_its_command(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["search", "call.wav", "days", "--representation", "mel", "--counts", "3"])
    told = capsys.readouterr().err
    assert told.startswith("usage: beyond-spectrograms search ")
    assert told.splitlines()[-1] == "beyond-spectrograms search: error: unrecognized arguments: --counts 3"


def test_a_name_that_is_nearly_one_of_those_known_is_told_with_it(capsys: Capture) -> None:
    assert main(["search", __file__, ".", "--representation", "log_mel_2048_50h"]) == 1
    told = "'log_mel_2048_50h' is no representation in params.yaml. Did you mean log_mel_2048_50hz? Choose from mel, "
    assert capsys.readouterr().err.startswith(told)
