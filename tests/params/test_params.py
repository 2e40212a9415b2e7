import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from beyond_spectrograms.data.audio import FORMATS
from beyond_spectrograms.params import STUDIES, ParamsError, load_params, weights_of
from beyond_spectrograms.params.datasets import SAMPLE_RATES
from beyond_spectrograms.util.yaml_files import YamlError
from support import common
from support.models import PARAMS
from support.repository import REPOSITORY
from support.shipped_params import FILES, PROTOTYPES, SHIPPED, loads, read_refusals, refusal

DATASETS = sorted(path.stem for path in REPOSITORY.glob("datasets/*.yaml"))
DVC_READS = [
    *("params.yaml", "versions.yaml", "dvc.yaml"),
    *sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("datasets/*.yaml")),
    *sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("studies/*/*.yaml")),
]

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")


def test_the_shipped_params_load_and_hold_the_papers_numbers() -> None:
    mel = PARAMS.representations["mel"].model_dump()
    assert (mel["sample_rate"], mel["n_fft"], mel["hop_length"], mel["n_mels"]) == (22050, 512, 128, 128)
    assert (mel["window"], mel["scale"]) == ("hamming", "power")
    assert PARAMS.splits["window"].fractions == (0.6, 0.2, 0.2)
    paper = PARAMS.protocols["paper"]
    assert (paper.optimizer, paper.learning_rate, paper.batch_size, paper.epochs) == ("sgd", 0.01, 256, 1000)
    assert (paper.split, paper.select, paper.dropout_at_evaluation) == ("window", "last", True)


def test_an_unknown_section_is_named_with_those_the_shipped_file_has() -> None:
    start = "params.yaml: unknown key 'colour' in the top level. Known keys: "
    message = refusal({"colour": 1})
    assert message.startswith(start)
    known = message.removeprefix(start).removesuffix(".").split(", ")
    assert sorted(known) == sorted(
        [*SHIPPED, "codecs", "disturbances", "hub", "verification"]
    )  # which studies alone have


def test_a_study_has_what_is_the_roots_and_what_it_adds() -> None:
    loaded = loads({"studies/prototypes/params/grid/heard": []})
    assert loaded.grid.heard == []
    assert loaded.statistics == loads({}).statistics
    assert list(loaded.protocols) == [*SHIPPED["protocols"], *PROTOTYPES["protocols"]]
    assert loaded.grid.datasets == PROTOTYPES["grid"]["datasets"]


@pytest.mark.parametrize(
    ("protocol_epochs", "cap", "trained"), [(1000, 20, 20), (20, None, 20), (20, 30, 20), (7, 20, 7)]
)
def test_a_run_takes_its_protocols_epochs_or_the_fewer_of_its_data_set(
    protocol_epochs: int, cap: int | None, trained: int
) -> None:
    params = loads({"protocols/fair/epochs": protocol_epochs, "datasets/demo/max_epochs": cap})
    assert params.epochs_of("demo", "fair") == trained


def test_a_study_has_a_training_precision_and_seeds_of_its_own() -> None:
    published = load_params(STUDIES / "published", REPOSITORY)
    assert (published.training_precision, loads({}).training_precision) == ("fp32", "auto")
    cells = [("gtzan_music_speech", "soundstream"), ("gtzan_music_speech", "log_mel_75hz"), ("esc50_ogg", "mel")]
    assert [published.seeds_of(*cell, "published") for cell in cells] == [[0, 1, 2, 3, 4], [0, 1], [0, 1]]
    folds = published.runs_of("gtzan_music_speech", "soundstream", "published", 5)
    assert folds == [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]
    assert published.runs_of("esc50_ogg", "mel", "fair", 2) == [(1, 0), (2, 0), (1, 1), (2, 1)]
    paper, own = (published.protocols[name].model_dump() for name in ("paper", "published"))
    assert {key for key in paper if paper[key] != own[key]} == {"split", "seeds"}


def test_a_study_has_disturbances_of_its_own_and_the_root_has_none() -> None:
    robustness = load_params(STUDIES / "robustness", REPOSITORY)
    assert list(robustness.disturbances) == list(FILES["studies/robustness/params"]["disturbances"])
    assert robustness.disturbances["noise_20db"].model_dump() == {"kind": "noise", "snr_db": 20.0}
    assert PARAMS.disturbances == {}


@pytest.mark.parametrize(("changes", "message"), read_refusals(Path(__file__).with_name("refusals.txt")))
def test_what_is_wrong_is_named_with_its_place_and_the_choices(changes: dict[str, Any], message: str) -> None:
    assert refusal(changes) == message


def test_a_number_that_yaml_reads_as_text_is_refused_with_the_way_to_write_it() -> None:
    shutil.copytree(REPOSITORY / "datasets", "datasets")
    shutil.copy(REPOSITORY / "versions.yaml", "versions.yaml")
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 1e-3"), encoding="utf-8")
    assert common.refusal(ParamsError, load_params) == "\n".join(
        f"params.yaml: protocols.{name}.learning_rate: Input should be a valid number, not '1e-3' "
        "(YAML reads that as text: write 0.001 or 1.0e-3)"
        for name, protocol in PARAMS.protocols.items()
        if protocol.learning_rate == 0.001  # fair, and those that take it from fair
    )


def test_dealing_labels_is_in_a_protocols_dump_only_where_it_is_asked_for() -> None:
    fields = {name: protocol.model_dump().get("deal_labels") for name, protocol in PARAMS.protocols.items()}
    assert {name: seed for name, seed in fields.items() if seed} == {"dealt_source": 1, "dealt_window": 1}
    assert "deal_labels" not in PARAMS.protocols["fair"].model_dump()  # nor in digests of what was trained before


def test_an_integer_serves_where_a_real_number_is_meant() -> None:
    assert loads({"windows/length_s": 2}).windows.length_s == 2.0


def test_other_versions_than_those_the_results_were_made_with_are_refused() -> None:
    assert refusal({"versions/torch": "1.0", "versions/nothing": "2.0"}) == (
        "versions.yaml: torch: 1.0 is wanted, 2.11.0 is installed. Install what requirements.lock has, or change the "
        "version here and there: then what it computes is computed again.\n"
        "versions.yaml: nothing: 2.0 is wanted, none is installed. Install what requirements.lock has."
    )


def test_faults_of_several_files_are_told_together() -> None:
    no_epochs = ["datasets/demo/max_epochs", "protocols/fair/epochs"]
    no_epochs.append("studies/prototypes/params/protocols/kmeans/epochs")
    changes = {"device": "gpu"} | dict.fromkeys(no_epochs, 0)
    assert sorted(refusal(changes).splitlines()) == [
        "datasets/demo.yaml: max_epochs: Input should be greater than 0, not 0",
        "params.yaml: device: Input should be 'auto', 'cpu' or 'cuda', not 'gpu'",
        "params.yaml: protocols.fair.epochs: Input should be greater than 0, not 0",
        "studies/prototypes/params.yaml: protocols.kmeans.epochs: Input should be greater than 0, not 0",
    ]


def test_names_that_are_not_defined_are_told_together() -> None:
    assert refusal({"grid/datasets": ["esc100", "esc10"], "run/protocol": "unfair"}).splitlines() == [
        f"params.yaml: grid.datasets: 'esc100' is not defined. Choose from {', '.join(DATASETS)}.",
        f"params.yaml: run.protocol: 'unfair' is not defined. Choose from {', '.join(SHIPPED['protocols'])}.",
    ]


def test_params_that_are_missing_or_not_yaml_are_an_error() -> None:
    with pytest.raises(ParamsError, match=r"^params\.yaml: no such file. Run stages from the folder that holds it.$"):
        load_params()
    Path("params.yaml").write_text("grid: [")
    with pytest.raises(YamlError, match=r"^params\.yaml: not YAML: while parsing a flow node did not find"):
        load_params()
    Path("params.yaml").write_bytes(b"device: \xff")
    with pytest.raises(YamlError, match=r"^params\.yaml: not YAML: 'utf-8' codec can't decode byte 0xff"):
        load_params()


def test_windows_are_whole_samples_in_every_format_clips_are_stored_in() -> None:
    assert {form.sample_rate for form in FORMATS} == set(SAMPLE_RATES)


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
def test_a_representation_knows_its_weights_and_codebooks(
    name: str, files: tuple[str, ...], codebook_size: int | None
) -> None:
    record = load_params(STUDIES / "bitrates", REPOSITORY).representations[name]
    assert (weights_of(record), record.codebook_size) == (files, codebook_size)


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


# The shipped records of data sets: which files of an archive they take, and under which label.
MATLAB = "musicSpeechRecognitionMatlab-70b6dc20"


@pytest.mark.parametrize(
    ("dataset", "member", "taken"),
    [
        ("tinysol", "TinySOL/Brass/Bass_Tuba/ordinario/BTb-ord-A#3-ff-alt1-T17d.wav", "Bass_Tuba"),
        ("tinysol", "TinySOL/Strings/Violin/ordinario/Vn-ord-D3-mf-4c-N.wav", "Violin"),
        # A neighbour a semitone away, resampled.
        ("tinysol", "TinySOL/Strings/Violin/ordinario/Vn-ord-D3-mf-4c-R100u.wav", None),
        ("tinysol", "TinySOL/Strings/Violin/ordinario/Vn-ord-C4-mf-4c-T22d_R100d.wav", None),
        ("gtzan_music_speech", f"{MATLAB}/music_speech/music_wav/classical1.wav", "music"),
        ("gtzan_music_speech", f"{MATLAB}/other/music_wav/x.wav", None),
        ("gtzan_music_speech", "speech_wav/news.wav", "speech"),  # Kaggle's, whose folders stand at the top
        ("gtzan_music_speech", "dataset/music_wav/classical.wav", None),
        ("esc10", "ESC-10-553c8f17/001 - Dog bark/1-30226-A.ogg", "Dog bark"),
        ("esc50_ogg", "CNN-ESC50Dataset-87b3f95f/Dataset_ESC-50/204 - Sea waves/2-2001-A.ogg", "Sea waves"),
        ("fsdd_speakers", "free-spoken-digit-dataset-1.0.10/recordings/7_theo_12.wav", "theo"),
        ("fsdd_digits", "free-spoken-digit-dataset-1.0.10/recordings/7_theo_12.wav", "7"),
        ("gtzan_genres", "genres/jazz/jazz.00007.au", "jazz"),
        ("librispeech_speakers", "LibriSpeech/dev-clean/84/121123/84-121123-0001.flac", "84"),
        ("librispeech_chapters", "LibriSpeech/dev-clean/84/121123/84-121123-0001.flac", None),  # has too few chapters
        ("librispeech_chapters", "LibriSpeech/dev-clean/1272/128104/1272-128104-0001.flac", "1272"),
        *((dataset, "top/README.txt", None) for dataset, record in PARAMS.datasets.items() if record.source.members),
    ],
)
def test_a_record_takes_the_sounds_it_is_about_and_no_others(dataset: str, member: str, taken: str | None) -> None:
    match = re.fullmatch(PARAMS.datasets[dataset].source.members or "", member)
    assert (match and match["label"]) == taken
    assert match is None or match["file"] == member.rsplit("/", 1)[1]


@pytest.mark.parametrize("dataset", ["gtzan_music_speech", "esc50_ogg"])
def test_a_set_whose_archive_has_no_stable_bytes_is_known_by_its_files_and_not_passed_on(dataset: str) -> None:
    record = PARAMS.datasets[dataset]
    assert record.notice is None
    assert record.source.manifest_sha256 is not None
    licences = {archive.licence for archive in record.source.archives or []}
    assert licences == {"none known" if dataset == "gtzan_music_speech" else "CC BY-NC 3.0"}


def test_a_section_that_is_appended_to_a_study_which_has_it_is_refused(tmp_path: Path) -> None:
    for file in ("params.yaml", "versions.yaml", "datasets", "studies/zoo/params.yaml"):
        source, target = REPOSITORY / file, tmp_path / file
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    file = tmp_path / "studies/zoo/params.yaml"
    there = file.read_text(encoding="utf-8").splitlines()
    with file.open("a", encoding="utf-8") as params:
        params.write("\nrepresentations:\n  mine: {kind: transformers, weights: whisper_tiny}\n")
    assert common.refusal(YamlError, load_params, Path("studies/zoo"), tmp_path, pinned=False) == (
        f"{file}: not YAML: line {len(there) + 2}: 'representations' stands in line "
        f"{there.index('representations:') + 1} of this mapping too. Make them one."
    )
