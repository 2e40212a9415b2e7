"""Classifying .ecdc files from their codes is compared with decoding them first."""

from pathlib import Path

import pytest
import torch

from benchmarks.ecdc import main, measure
from beyond_spectrograms import load_model
from beyond_spectrograms.inference import ModelError
from beyond_spectrograms.util.errors import ProjectError
from support import models
from support.coded import CHECKPOINT, compress, melody, seeded_encodec, write_model


@pytest.mark.long
def test_both_ways_classify_the_files_and_their_steps_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encodec = seeded_encodec()
    (tmp_path / "weights").mkdir()
    torch.save(encodec.state_dict(), tmp_path / "weights" / CHECKPOINT)
    write_model(tmp_path / "6000", tmp_path / "weights", 6000)
    mel = models.write_model(tmp_path / "mel")
    files = [str(compress(encodec, melody(1.0, seed), tmp_path / f"{seed}.ecdc", 6000)) for seed in (1, 2)]
    options = ["--model", str(tmp_path / "6000"), "--weights", str(tmp_path / "weights"), "--device", "cpu"]
    main([*files, *options, "--against", str(mel), "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 files, 2.0 s of sound; milliseconds of processor time a second of sound, median of 1 rounds"
    assert [line.partition(": ")[0] for line in lines[1:3]] == ["from the codes", "from the sound"]
    assert [line.partition("(")[2].count(", ") for line in lines[1:3]] == [2, 3]
    model = load_model(tmp_path / "6000", device="cpu", weights=tmp_path / "weights")
    with pytest.raises(ModelError) as caught:
        measure(model, model, [Path(files[0])], 1)
    assert str(caught.value) == "--against is a model of kind encodec; the usual way needs one of kind mel"
    (tmp_path / "bad.ecdc").write_bytes(b"ECDC")
    with pytest.raises(ProjectError) as error:
        main([str(tmp_path / "bad.ecdc"), *options, "--against", str(mel)])
    assert str(error.value) == f"{tmp_path}/bad.ecdc: truncated: its header is not whole after 4 bytes"
