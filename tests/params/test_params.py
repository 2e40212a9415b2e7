from __future__ import annotations

import shutil
import warnings
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from beyond_spectrograms.data.audio import FORMATS
from beyond_spectrograms.params import (
    SAMPLE_RATES,
    STUDIES,
    Encodec,
    Mel,
    ParamsError,
    SoundStream,
    load_params,
    weights_of,
)
from beyond_spectrograms.params.representations import BITRATES
from support.repository import REPOSITORY
from support.shipped_params import DELETED, PROTOTYPES, SHIPPED, loads, refusal, told

DVC_READS = [
    *("params.yaml", "versions.yaml", "dvc.yaml"),
    *sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("datasets/*.yaml")),
    *sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("studies/*/*.yaml")),
]

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")


def test_the_shipped_params_load_and_hold_the_papers_numbers(repository: Path) -> None:
    params = load_params(root=repository)
    mel = params.representations["mel"].model_dump()
    assert (mel["sample_rate"], mel["n_fft"], mel["hop_length"], mel["n_mels"]) == (22050, 512, 128, 128)
    assert (mel["window"], mel["scale"]) == ("hamming", "power")
    assert params.splits["window"].fractions == (0.6, 0.2, 0.2)
    paper = params.protocols["paper"]
    assert (paper.optimizer, paper.learning_rate, paper.batch_size, paper.epochs) == ("sgd", 0.01, 256, 1000)
    assert (paper.split, paper.select, paper.dropout_at_evaluation) == ("window", "last", True)


def test_a_folder_of_your_own_is_one_short_file(repository: Path) -> None:
    for name in ("params.yaml", "versions.yaml"):
        shutil.copy(repository / name, name)
    shutil.copytree(repository / "datasets", "datasets")
    Path("datasets/my_sounds.yaml").write_text(
        "source: {path: ~/x, seconds: [0.5, 60], folds: 5, fold_seed: 0}\nmax_epochs: null\nnotice: null\n"
        "known_pairs: []\n",
        encoding="utf-8",
    )
    mine = load_params().datasets["my_sounds"]
    assert (mine.source.path, mine.source.folds, mine.max_epochs) == ("~/x", 5, None)


@pytest.mark.parametrize(
    ("where", "file", "known"),
    [
        ("windows/", "params.yaml", "windows. Known keys: length_s, hop_s, tail."),
        ("splits/window/", "params.yaml", "splits.window. Known keys: kind, fractions, seed, seeds."),
        ("datasets/demo/", "datasets/demo.yaml", "the top level. Known keys: source, max_epochs, notice, known_pairs."),
        (
            "datasets/demo/source/synthetic/",
            "datasets/demo.yaml",
            "source.synthetic. Known keys: seed, clips_per_class, seconds.",
        ),
        (
            "datasets/esc10/source/archives/0/",
            "datasets/esc10.yaml",
            "source.archives.0. Known keys: url, bytes, sha256, md5, licence.",
        ),
        (
            "datasets/gtzan_genres/source/lists/test/",
            "datasets/gtzan_genres.yaml",
            "source.lists.test. Known keys: url, bytes, sha256, md5, entries.",
        ),
        (
            "representations/mel/",
            "params.yaml",
            "representations.mel. Known keys: kind, weights, sample_rate, n_fft, hop_length, n_mels, window, scale, "
            "pooled_frame_rate.",
        ),
        (
            "representations/encodec_24khz/",
            "params.yaml",
            "representations.encodec_24khz. Known keys: bitrate, codes, kind, weights, model, seed, engine, precision.",
        ),
        (
            "representations/soundstream/",
            "params.yaml",
            "representations.soundstream. Known keys: bitrate, codes, kind, weights.",
        ),
        ("grid/", "params.yaml", "grid. Known keys: datasets, representations, protocols, only, beside, heard, seeds."),
        (
            "studies/demo/params/grid/",
            "studies/demo/params.yaml",
            "grid. Known keys: datasets, representations, protocols, only, beside, heard, seeds.",
        ),
        (
            "studies/prototypes/params/protocols/prototypes_pitch/prototypes/",
            "studies/prototypes/params.yaml",
            "protocols.prototypes_pitch.prototypes. Known keys: supervised, per_class, frames, offset, scale, "
            "transformations, top_hz, cross_entropy, tau, tau_learning_rate, weight_decay, step_patience, step_epochs, "
            "warm_up, restart_share.",
        ),
        (
            "statistics/",
            "params.yaml",
            "statistics. Known keys: confidence, resamples, seed, minimum_sources, minimum_runs.",
        ),
        ("audit/", "params.yaml", "audit. Known keys: near_strength, trees, seed."),
        ("costs/", "params.yaml", "costs. Known keys: clips, rounds, seed."),
        ("claims/", "params.yaml", "claims. Known keys: target, baselines, ladder."),
        (
            "weights/encodec_24khz/",
            "params.yaml",
            "weights.encodec_24khz. Known keys: url, bytes, sha256, md5, licence.",
        ),
        (
            "protocols/fair/",
            "params.yaml",
            "protocols.fair. Known keys: classifier, split, standardize, shuffle_labels, class_weights, optimizer, "
            "learning_rate, batch_size, shuffle_each_epoch, epochs, patience, dropout_at_evaluation, select, seeds, "
            "prototypes.",
        ),
    ],
)
def test_an_unknown_key_is_named_with_the_known_ones(where: str, file: str, known: str) -> None:
    assert refusal({f"{where}colour": 1}) == f"{file}: unknown key 'colour' in {known}"


def test_an_unknown_section_is_named_with_those_the_shipped_file_has() -> None:
    start = "params.yaml: unknown key 'colour' in the top level. Known keys: "
    message = refusal({"colour": 1})
    assert message.startswith(start)
    assert sorted(message.removeprefix(start).removesuffix(".").split(", ")) == sorted(SHIPPED)


def test_data_sets_in_params_are_sent_to_files_of_their_own() -> None:
    assert refusal({"params/datasets": {}}) == (
        "params.yaml: unknown key 'datasets' in the top level. A data set is a file, datasets/<name>.yaml."
    )


@pytest.mark.parametrize("section", ["windows", "device", "statistics", "datasets"])
def test_a_study_has_no_sections_that_its_stages_do_not_track(section: str) -> None:
    assert refusal({f"studies/demo/params/{section}": {}}) == (
        f"studies/demo/params.yaml: a study has no {section!r} of its own; it is the root's. A study has grid, "
        "training_precision, representations, protocols."
    )


def test_a_study_adds_under_names_of_its_own() -> None:
    mel = SHIPPED["representations"]["mel"]
    assert refusal({"studies/prototypes/params/representations/mel": mel}) == (
        "studies/prototypes/params.yaml: representations.mel stands in the root's params.yaml too. Give it another "
        "name."
    )


def test_a_study_has_what_is_the_roots_and_what_it_adds() -> None:
    loaded = loads({"studies/prototypes/params/grid/heard": []})
    assert loaded.grid.heard == []
    assert loaded.statistics == loads({}).statistics
    assert list(loaded.protocols) == [*SHIPPED["protocols"], *PROTOTYPES["protocols"]]
    assert loaded.grid.datasets == PROTOTYPES["grid"]["datasets"]


def test_a_study_has_a_training_precision_and_seeds_of_its_own() -> None:
    published = load_params(STUDIES / "published", REPOSITORY)
    assert (published.training_precision, loads({}).training_precision) == ("fp32", "auto")
    cells = [("gtzan_music_speech", "mel"), ("gtzan_music_speech", "log_mel_75hz"), ("esc50_ogg", "mel")]
    assert [published.seeds_of(*cell, "published") for cell in cells] == [[0, 1, 2, 3, 4], [0, 1], [0, 1]]
    folds = published.runs_of("gtzan_music_speech", "mel", "published", 5)
    assert folds == [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]
    assert published.runs_of("esc50_ogg", "mel", "fair", 2) == [(1, 0), (2, 0), (1, 1), (2, 1)]
    paper, own = (published.protocols[name].model_dump() for name in ("paper", "published"))
    assert {key for key in paper if paper[key] != own[key]} == {"split", "seeds"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": DELETED}, "device: Field required"),
        ({"windows/tail": DELETED}, "windows.tail: Field required"),
        ({"representations/mel/hop_length": DELETED}, "representations.mel.hop_length: Field required"),
        ({"datasets/demo/max_epochs": DELETED}, "datasets/demo.yaml: max_epochs: Field required"),
        ({"weights/encodec_24khz/sha256": DELETED}, "weights.encodec_24khz.sha256: Field required"),
    ],
)
def test_a_missing_key_is_named(changes: dict[str, Any], message: str) -> None:
    assert refusal(changes) == told(message)


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
        ({"protocols/fair/shuffle_labels": 1}, "protocols.fair.shuffle_labels: Input should be a valid boolean, not 1"),
        (
            {"protocols/fair/classifier": "linear"},
            "protocols.fair.classifier: Input should be 'conv1d', 'conv2d', 'mean_linear', 'kmeans', 'prototypes', "
            "'apnet', 'apnet_kmeans', 'autoencoder_kmeans' or 'temporal_cnn', not 'linear'",
        ),
        (
            {"protocols/fair/select": "best_test_accuracy"},
            "protocols.fair.select: Input should be 'last' or 'best_validation_loss', not 'best_test_accuracy'",
        ),
        ({"statistics/confidence": 1}, "statistics.confidence: Input should be less than 1, not 1"),
        ({"statistics/confidence": 0}, "statistics.confidence: Input should be greater than 0, not 0"),
        ({"statistics/resamples": 998}, "statistics.resamples: Input should be greater than or equal to 999, not 998"),
        (
            {"statistics/minimum_sources": 1},
            "statistics.minimum_sources: Input should be greater than or equal to 2, not 1",
        ),
        ({"statistics/minimum_runs": 1}, "statistics.minimum_runs: Input should be greater than or equal to 2, not 1"),
        ({"audit/near_strength": 0}, "audit.near_strength: Input should be greater than 0, not 0"),
        (
            {"datasets/esc10/known_pairs": [["a/1.ogg"]]},
            "datasets/esc10.yaml: known_pairs.0: List should have at least 2 items after validation, not 1, "
            "not ['a/1.ogg']",
        ),
        ({"costs/rounds": 0}, "costs.rounds: Input should be greater than 0, not 0"),
        ({"claims/target": 0}, "claims.target: Input should be greater than 0, not 0"),
        ({"claims/target": 1.01}, "claims.target: Input should be less than or equal to 1, not 1.01"),
        (
            {"claims/baselines": ["mel"]},
            "claims.baselines: List should have at least 2 items after validation, not 1, not ['mel']",
        ),
        (
            {"claims/baselines": ["mel", "log_mel", "log_mel_2048"]},
            "claims.baselines: List should have at most 2 items after validation, not 3, "
            "not ['mel', 'log_mel', 'log_mel_2048']",
        ),
        (
            {"claims/ladder": ["paper"]},
            "claims.ladder: List should have at least 2 items after validation, not 1, not ['paper']",
        ),
        (
            {"representations/soundstream/bitrate": 0},
            "representations.soundstream.bitrate: Input should be greater than 0, not 0",
        ),
        (
            {"datasets/demo/source/folds": 2},
            "datasets/demo.yaml: source.folds: Input should be greater than or equal to 3, not 2",
        ),
        (
            {"datasets/esc10/source/archives/0/url": "http://example.org/a.zip"},
            "datasets/esc10.yaml: source.archives.0.url: String should match pattern "
            r"'^https://|^http://127\.0\.0\.1[:/]', not 'http://example.org/a.zip'",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_place(changes: dict[str, Any], message: str) -> None:
    assert refusal(changes) == told(message)


def test_a_number_that_yaml_reads_as_text_is_refused_with_the_way_to_write_it(repository: Path) -> None:
    shutil.copytree(repository / "datasets", "datasets")
    shutil.copy(repository / "versions.yaml", "versions.yaml")
    text = (repository / "params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 1e-3"), encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load_params()
    assert str(caught.value) == "\n".join(
        f"params.yaml: protocols.{name}.learning_rate: Input should be a valid number, not '1e-3' "
        "(YAML reads that as text: write 0.001 or 1.0e-3)"
        for name in ("fair", "mean_linear", "shuffled_labels")  # take it from fair
    )


def test_an_integer_serves_where_a_real_number_is_meant() -> None:
    assert loads({"windows/length_s": 2}).windows.length_s == 2.0


def test_other_versions_than_those_the_results_were_made_with_are_refused() -> None:
    assert refusal({"versions/torch": "1.0", "versions/nothing": "2.0"}) == (
        "versions.yaml: torch: 1.0 is wanted, 2.11.0 is installed. Install what requirements.lock has, or change the "
        "version here and there: then what it computes is computed anew.\n"
        "versions.yaml: nothing: 2.0 is wanted, none is installed. Install what requirements.lock has."
    )


def test_every_fault_has_its_own_line() -> None:
    assert refusal({"windows/tail": "pad", "device": "gpu"}) == (
        "params.yaml: windows.tail: Input should be 'drop' or 'reflect', not 'pad'\n"
        "params.yaml: device: Input should be 'auto', 'cpu' or 'cuda', not 'gpu'"
    )


def test_faults_of_several_files_are_told_together() -> None:
    changes = {
        "device": "gpu",
        "datasets/demo/max_epochs": 0,
        "studies/prototypes/params/protocols/kmeans/epochs": 0,
        "protocols/fair/epochs": 0,
    }
    assert sorted(refusal(changes).splitlines()) == [
        "datasets/demo.yaml: max_epochs: Input should be greater than 0, not 0",
        "params.yaml: device: Input should be 'auto', 'cpu' or 'cuda', not 'gpu'",
        "params.yaml: protocols.fair.epochs: Input should be greater than 0, not 0",
        "studies/prototypes/params.yaml: protocols.kmeans.epochs: Input should be greater than 0, not 0",
    ]


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


def test_the_bitrates_are_those_of_the_codecs_own_settings() -> None:
    from encodec.model import EncodecModel

    for model, build in (("24khz", EncodecModel.encodec_model_24khz), ("48khz", EncodecModel.encodec_model_48khz)):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*weight_norm.* is deprecated", category=FutureWarning)
            published = [round(1000 * kbps) for kbps in build(pretrained=False).target_bandwidths]
        assert list(BITRATES[model]) == published
    # lyra_config.cc of Lyra 1.3.2: 64, 120 and 184 bits in each of 50 packets a second.
    assert BITRATES["soundstream"] == (64 * 50, 120 * 50, 184 * 50)


@pytest.mark.parametrize(
    ("name", "files", "codebook_size"),
    [
        ("mel", (), None),
        ("encodec_24khz_untrained", (), None),
        ("encodec_24khz", ("encodec_24khz",), None),
        ("encodec_24khz_6000bps", ("encodec_24khz",), None),
        ("encodec_24khz_codes_6000bps", ("encodec_24khz",), 1024),
        ("soundstream", ("soundstream_encoder",), None),
        ("soundstream_3200bps", ("soundstream_encoder", "soundstream_quantizer"), None),
        ("soundstream_codes_3200bps", ("soundstream_encoder", "soundstream_quantizer"), 16),
    ],
)
def test_a_representation_knows_its_weights_files_and_its_codebooks(
    repository: Path, name: str, files: tuple[str, ...], codebook_size: int | None
) -> None:
    record = load_params(STUDIES / "bitrates", repository).representations[name]
    assert isinstance(record, Mel | Encodec | SoundStream)
    assert weights_of(record) == files
    assert record.codebook_size == codebook_size


@pytest.mark.parametrize("name", DVC_READS)
def test_dvc_reads_these_files_in_c_and_as_python_would(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    reader = YAML(typ="safe")  # as DVC reads them
    assert reader.Parser.__module__ == "ruamel.yaml.clib._ruamel_yaml"
    assert reader.load(text) == YAML(typ="safe", pure=True).load(text)
    rewritten = StringIO()
    YAML().dump(YAML().load(text), rewritten)  # as `dvc exp run --set-param` does, which drops quotes
    assert reader.load(rewritten.getvalue()) == reader.load(text)


def test_a_data_set_of_short_clips_has_a_tail_of_its_own() -> None:
    params = loads({"datasets/esc10/source/tail": "reflect"})
    assert params.windows_of("esc10") == params.windows.model_copy(update={"tail": "reflect"})
    assert params.windows_of("demo") == params.windows
