from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from beyond_spectrograms.audio import FORMATS
from beyond_spectrograms.params import SAMPLE_RATES, Params, ParamsError, load_params

DELETED = object()


def loads(shipped: Path, changes: dict[str, Any]) -> Params:
    """Load the shipped params with some values replaced, each named by its path of keys."""
    params = yaml.safe_load((shipped / "params.yaml").read_text(encoding="utf-8"))
    for where, value in changes.items():
        section, keys = params, where.split("/")
        for key in keys[:-1]:
            section = section[int(key) if isinstance(section, list) else key]
        if value is DELETED:
            del section[keys[-1]]
        else:
            section[keys[-1]] = value
    Path("changed.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return load_params(Path("changed.yaml"))


def refusal(shipped: Path, changes: dict[str, Any]) -> str:
    with pytest.raises(ParamsError) as caught:
        loads(shipped, changes)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_shipped_params_load_and_hold_the_papers_numbers(repository: Path) -> None:
    params = load_params(repository / "params.yaml")
    mel = params.representations["mel"].model_dump()
    assert (mel["sample_rate"], mel["n_fft"], mel["hop_length"], mel["n_mels"]) == (22050, 512, 128, 128)
    assert (mel["window"], mel["scale"]) == ("hamming", "power")
    assert params.splits["window"].fractions == (0.6, 0.2, 0.2)
    paper = params.protocols["paper"]
    assert (paper.optimizer, paper.learning_rate, paper.batch_size, paper.epochs) == ("sgd", 0.01, 256, 1000)
    assert (paper.split, paper.select, paper.dropout_at_evaluation) == ("window", "last", True)


def test_a_folder_of_your_own_is_one_short_record(repository: Path) -> None:
    params = yaml.safe_load((repository / "params.yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump(params).replace(
        "datasets:\n  demo:",
        "datasets:\n"
        "  my_sounds: {source: {path: ~/x, seconds: [0.5, 60], folds: 5, fold_seed: 0}, max_epochs: null}\n"
        "  demo:",
    )
    Path("params.yaml").write_text(text, encoding="utf-8")
    mine = load_params().datasets["my_sounds"]
    assert (mine.source.path, mine.source.folds, mine.max_epochs) == ("~/x", 5, None)


@pytest.mark.parametrize(
    ("where", "known"),
    [
        (
            "",
            "the top level. Known keys: grid, demo, run, windows, splits, datasets, representations, weights, "
            "protocols, device, versions.",
        ),
        ("windows/", "windows. Known keys: length_s, hop_s, tail."),
        ("splits/window/", "splits.window. Known keys: kind, fractions, seed."),
        ("datasets/demo/", "datasets.demo. Known keys: source, max_epochs."),
        (
            "datasets/demo/source/synthetic/",
            "datasets.demo.source.synthetic. Known keys: seed, clips_per_class, seconds.",
        ),
        (
            "datasets/esc10/source/archives/0/",
            "datasets.esc10.source.archives.0. Known keys: url, licence, bytes, sha256.",
        ),
        (
            "datasets/gtzan_genres/source/lists/test/",
            "datasets.gtzan_genres.source.lists.test. Known keys: url, bytes, sha256, entries.",
        ),
        (
            "representations/mel/",
            "representations.mel. Known keys: kind, weights, sample_rate, n_fft, hop_length, n_mels, window, scale.",
        ),
        (
            "representations/encodec_24khz/",
            "representations.encodec_24khz. Known keys: kind, weights, model, seed.",
        ),
        ("weights/encodec_24khz/", "weights.encodec_24khz. Known keys: url, licence, bytes, sha256."),
        (
            "protocols/fair/",
            "protocols.fair. Known keys: classifier, split, standardize, optimizer, learning_rate, batch_size, "
            "shuffle_each_epoch, epochs, patience, dropout_at_evaluation, select, seeds.",
        ),
    ],
)
def test_an_unknown_key_is_named_with_the_known_ones(repository: Path, where: str, known: str) -> None:
    assert refusal(repository, {f"{where}colour": 1}) == f"changed.yaml: unknown key 'colour' in {known}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": DELETED}, "device: Field required"),
        ({"windows/tail": DELETED}, "windows.tail: Field required"),
        ({"representations/mel/hop_length": DELETED}, "representations.mel.hop_length: Field required"),
        ({"datasets/demo/max_epochs": DELETED}, "datasets.demo.max_epochs: Field required"),
        ({"weights/encodec_24khz/sha256": DELETED}, "weights.encodec_24khz.sha256: Field required"),
    ],
)
def test_a_missing_key_is_named(repository: Path, changes: dict[str, Any], message: str) -> None:
    assert refusal(repository, changes) == f"changed.yaml: {message}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocols/fair/epochs": "many"}, "protocols.fair.epochs: Input should be a valid integer, not 'many'"),
        ({"protocols/fair/epochs": 1.5}, "protocols.fair.epochs: Input should be a valid integer, not 1.5"),
        ({"protocols/fair/epochs": True}, "protocols.fair.epochs: Input should be a valid integer, not True"),
        ({"protocols/fair/batch_size": 0}, "protocols.fair.batch_size: Input should be greater than 0, not 0"),
        ({"windows/length_s": True}, "windows.length_s: Input should be a valid number, not True"),
        ({"windows/tail": "pad"}, "windows.tail: Input should be 'drop' or 'reflect', not 'pad'"),
        ({"device": "gpu"}, "device: Input should be 'auto', 'cpu' or 'cuda', not 'gpu'"),
        (
            {"datasets/demo/source/folds": 2},
            "datasets.demo.source.folds: Input should be greater than or equal to 3, not 2",
        ),
        (
            {"datasets/esc10/source/archives/0/url": "http://example.org/a.zip"},
            "datasets.esc10.source.archives.0.url: String should match pattern "
            r"'^https://|^http://127\.0\.0\.1[:/]', not 'http://example.org/a.zip'",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_place(
    repository: Path, changes: dict[str, Any], message: str
) -> None:
    assert refusal(repository, changes) == f"changed.yaml: {message}"


def test_a_number_that_yaml_reads_as_text_is_refused_with_the_way_to_write_it(repository: Path) -> None:
    text = (repository / "params.yaml").read_text(encoding="utf-8")
    Path("changed.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 1e-3"), encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load_params(Path("changed.yaml"))
    assert str(caught.value) == (
        "changed.yaml: protocols.fair.learning_rate: Input should be a valid number, not '1e-3' "
        "(YAML reads that as text: write 0.001 or 1.0e-3)"
    )


def test_an_integer_serves_where_a_real_number_is_meant(repository: Path) -> None:
    assert loads(repository, {"windows/length_s": 2}).windows.length_s == 2.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"representations/mel/kind": "mfcc"},
            "representations.mel: unknown kind 'mfcc'. Choose from encodec, mel, soundstream.",
        ),
        (
            {"grid/datasets": ["esc10", "esc100"]},
            "grid.datasets: 'esc100' is not defined. Choose from demo, esc10, esc50, gtzan_music_speech, gtzan_genres.",
        ),
        (
            {"grid/representations": ["mell"]},
            "grid.representations: 'mell' is not defined. Choose from mel, log_mel, log_mel_2048, soundstream, "
            "encodec_24khz, encodec_48khz, encodec_24khz_untrained, encodec_48khz_untrained.",
        ),
        (
            {"demo/protocols": ["unfair"]},
            "demo.protocols: 'unfair' is not defined. Choose from paper, corrected, fair.",
        ),
        ({"run/protocol": "unfair"}, "run.protocol: 'unfair' is not defined. Choose from paper, corrected, fair."),
        (
            {"representations/encodec_24khz/weights": "best"},
            "representations.encodec_24khz.weights: 'best' is not defined. "
            "Choose from encodec_24khz, encodec_48khz, soundstream_encoder.",
        ),
        (
            {"protocols/fair/split": "random"},
            "protocols.fair.split: 'random' is not defined. Choose from window, source.",
        ),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(
    repository: Path, changes: dict[str, Any], message: str
) -> None:
    assert refusal(repository, changes) == f"changed.yaml: {message}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits/window/fractions": [0.6, 0.2, 0.1]}, "splits.window: fractions add up to 0.9, not 1"),
        ({"splits/window/seed": DELETED}, "splits.window: seed belongs to kind window, and only there"),
        (
            {"splits/source/fractions": [0.6, 0.2, 0.2]},
            "splits.source: fractions belongs to kind window, and only there",
        ),
        (
            {"representations/encodec_24khz/seed": 0},
            "representations.encodec_24khz: seed belongs to weights: untrained, and only there",
        ),
        (
            {"representations/encodec_24khz_untrained/seed": DELETED},
            "representations.encodec_24khz_untrained: seed belongs to weights: untrained, and only there",
        ),
        ({"protocols/paper/patience": 3}, "protocols.paper: patience needs select: best_validation_loss"),
        (
            {"datasets/demo/source/path": "~/x"},
            "datasets.demo.source: needs exactly one of archives, synthetic, path; has synthetic, path",
        ),
        (
            {"datasets/demo/source/synthetic": DELETED},
            "datasets.demo.source: needs exactly one of archives, synthetic, path; has none",
        ),
        ({"datasets/esc10/source/members": DELETED}, "datasets.esc10.source: archives and members go together"),
        (
            {"datasets/esc10/source/members": "(?P<file>.*)"},
            "datasets.esc10.source: members has no (?P<label>...), and there is no label_table",
        ),
        ({"datasets/esc10/source/name": "[a-z]"}, "datasets.esc10.source: name has no (?P<group>...)"),
        (
            {"datasets/esc10/source/name": "("},
            "datasets.esc10.source: name is not a regular expression: missing ), unterminated subpattern at position 0",
        ),
        ({"datasets/demo/source/folds": DELETED}, "datasets.demo.source: folds is missing: it deals the folds"),
        ({"datasets/demo/source/fold_seed": DELETED}, "datasets.demo.source: fold_seed is missing: it deals the folds"),
        (
            {"datasets/esc10/source/folds": 5},
            "datasets.esc10.source: folds has no use: folds or lists are published",
        ),
        (
            {"splits/window_2": {"kind": "source"}},
            "splits.window_2: a name that ends in _<number> is that of a fold of a split",
        ),
        (
            {"datasets/esc10/source/manifest_sha256": DELETED, "datasets/esc10/source/clips": DELETED},
            "datasets.esc10.source: an archive without sha256 needs clips and classes, or manifest_sha256",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused(repository: Path, changes: dict[str, Any], message: str) -> None:
    assert refusal(repository, changes) == f"changed.yaml: {message}"


def test_other_versions_than_those_the_results_were_made_with_are_refused(repository: Path) -> None:
    assert refusal(repository, {"versions/torch": "1.0", "versions/nothing": "2.0"}) == (
        "changed.yaml: versions.torch: 1.0 is wanted, 2.11.0 is installed. Install what pyproject.toml pins, or change "
        "the version here and there: then what it computes is computed anew.\n"
        "changed.yaml: versions.nothing: 2.0 is wanted, none is installed. Install what pyproject.toml pins."
    )


def test_versions_are_the_pins(repository: Path) -> None:
    pins = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    tracked = {f"{name}=={wanted}" for name, wanted in load_params(repository / "params.yaml").versions.items()}
    assert tracked - set(pins) == set()


def test_every_fault_has_its_own_line(repository: Path) -> None:
    assert refusal(repository, {"windows/tail": "pad", "device": "gpu"}) == (
        "changed.yaml: windows.tail: Input should be 'drop' or 'reflect', not 'pad'\n"
        "changed.yaml: device: Input should be 'auto', 'cpu' or 'cuda', not 'gpu'"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"protocols/fair/learning_rate": "1.5E-3"},
            "protocols.fair.learning_rate: Input should be a valid number, not '1.5E-3' "
            "(YAML reads that as text: write 0.001 or 1.0e-3)",
        ),
        (
            {"representations/mel/kind": DELETED},
            "representations.mel: no kind. Choose from encodec, mel, soundstream.",
        ),
        (
            {"windows/length_s": 0.25},
            "windows: length_s 0.25 is not a whole number of samples at 22050 Hz; take a multiple of 0.02",
        ),
        (
            {"splits/window/seed": -1},
            "splits.window.seed: Input should be greater than or equal to 0, not -1",
        ),
        (
            {"datasets/demo/source/synthetic/seconds": 0.5},
            "datasets.demo.source.synthetic.seconds: Input should be greater than or equal to 1, not 0.5",
        ),
        (
            {"protocols/fair/seeds": [0, -1]},
            "protocols.fair.seeds.1: Input should be greater than or equal to 0, not -1",
        ),
        (
            {"representations/soundstream/weights": "untrained"},
            "representations.soundstream.weights: 'untrained' is not defined. "
            "Choose from encodec_24khz, encodec_48khz, soundstream_encoder.",
        ),
        ({"windows/length_s": float("inf")}, "windows.length_s: Input should be a finite number, not inf"),
        (
            {"splits/window/fractions": [1.4, -0.2, -0.2]},
            "splits.window: fractions are 1.4, -0.2, -0.2; none may be negative",
        ),
    ],
)
def test_what_slipped_through(repository: Path, changes: dict[str, Any], message: str) -> None:
    assert refusal(repository, changes) == f"changed.yaml: {message}"


def test_params_that_are_missing_or_not_yaml_are_an_error() -> None:
    with pytest.raises(ParamsError, match=r"^params\.yaml: no such file. Run stages from the folder that holds it.$"):
        load_params()
    Path("params.yaml").write_text("grid: [")
    with pytest.raises(ParamsError, match=r"^params\.yaml: not YAML: while parsing a flow node\n"):
        load_params()
    Path("params.yaml").write_bytes(b"device: \xff")
    with pytest.raises(ParamsError, match=r"^params\.yaml: not YAML: 'utf-8' codec can't decode byte 0xff"):
        load_params()


def test_windows_are_whole_samples_in_every_format_clips_are_stored_in() -> None:
    assert {form.sample_rate for form in FORMATS} == set(SAMPLE_RATES)
