"""What the paper and others have published, each figure with its source. Nothing here was measured by this project.

The paper: Perianez-Pascual et al., "Beyond Spectrograms: Rethinking Audio Classification from EnCodec's Latent
Space", Algorithms 2025, 18(2), 108, doi 10.3390/a18020108. Accuracies are in %.
"""

from dataclasses import dataclass

from beyond_spectrograms.evaluation.results import INPUTS

PROTOCOLS = ("paper", "published")  # those beside which the paper's own figures stand

# Section 3: items (frames) of one second, the height being 128 each, and the cut against mel as printed.
ITEMS_PER_SECOND = {"mel": 173, "encodec_24khz": 75, "encodec_48khz": 150}
CHANGE_AGAINST_MEL = {"encodec_24khz": -56.65, "encodec_48khz": -13.29}  # %


@dataclass(frozen=True)
class Published:
    """The paper's figures for one data set.

    The text gives two numbers for EnCodec and does not say which is 24 kHz and which 48 kHz: `validation_encodec`
    and `epochs_encodec` keep the text's order.
    """

    best_test: float  # Table 1: always an EnCodec input; the other cells are not recoverable from the text
    validation_mel: float  # section 3.2: mel, at the end of the run (epoch 1000)
    validation_encodec: tuple[float, float]  # section 3.2: already better than mel's final value ...
    epochs_encodec: tuple[int, int]  # ... at these epochs
    near_best_mel: int  # section 3.2: the loss is near its best at around this epoch
    near_best_encodec: int


EPOCHS = 1000  # section 3.2: "All experiments run for 1000 epochs"

PUBLISHED = {
    "gtzan_music_speech": Published(96.88, 94.14, (94.27, 94.40), (81, 109), 400, 100),
    "gtzan_genres": Published(80.84, 71.30, (71.73, 71.41), (154, 122), 800, 200),
    "esc50": Published(58.85, 34.20, (35.90, 34.25), (110, 111), 400, 50),
}


EDITIONS = {"esc50_ogg": "esc50"}  # the same recordings in other files: a data set -> the paper's

FIGURE_4 = {  # what its panels are called: accuracy, loss
    "gtzan_music_speech": ("a", "d"),
    "gtzan_genres": ("b", "e"),
    "esc50": ("c", "f"),
}


def paper_of(dataset: str) -> Published | None:
    """Find the paper's figures for a data set, or for the one that it is an edition of."""
    return PUBLISHED.get(EDITIONS.get(dataset, dataset))


def published_of(dataset: str, representation: str, protocol: str) -> Published | None:
    """Find the figures that stand beside a cell: those of the paper's inputs under its own protocol."""
    return paper_of(dataset) if protocol in PROTOCOLS and representation in INPUTS else None


@dataclass(frozen=True)
class Source:
    """Where figures stand that were measured alike, under what protocol, and the flaw that keeps them from ours."""

    name: str
    protocol: str
    flaw: str
    systems: dict[str, tuple[float | None, ...]]  # accuracy in % on each of DATASETS


DATASETS = ("esc50", "gtzan_genres", "gtzan_music_speech")
UNSTATED = "protocol not stated there"

SOURCES = (
    Source(
        "paper, Table 1",
        "windows of 1 s shuffled, 60 / 20 / 20 %, 1000 epochs",
        "windows of one recording in all parts; no repeats",
        {"EnCodec, the better of 24 and 48 kHz": tuple(PUBLISHED[name].best_test for name in DATASETS)},
    ),
    Source(
        "paper, Table 2",  # and section 3.3, with its reference numbers
        UNSTATED,
        "nothing told of split, pretraining or spread",
        {
            "PANNs [17]": (94.70, 86.30, 99.70),
            "masked autoencoders [18]": (85.60, 86.10, 99.20),
            "PaSST [19]": (96.80, None, None),
        },
    ),
    # What follows is not the paper's.
    Source(
        "MAEB (embeddings-benchmark/results at f4cc6c8)",
        "mean over time, logistic regression, 8 examples a class; ESC-50's folds shuffled",
        "sources of ESC-50 may stand in training and test; no mel with the same head",
        {
            "EnCodec 24 kHz": (11.5, 29.9, None),
            "data2vec": (31.4, 40.3, None),
            "wav2vec2-base": (46.9, 62.4, None),
            "VGGish": (61.2, 79.3, None),
            "whisper-tiny": (64.9, 68.4, None),
            "YAMNet": (79.7, 79.3, None),
            "AST": (96.2, 80.7, None),
            "CLAP": (97.0, 74.9, None),
        },
    ),
    Source(
        "AudioCodecBench README",
        "embeddings, of codecs quantised; small CNN",
        "no mel baseline, no spread; not ESC-50's own folds",
        {
            "WavTokenizer": (13.5, None, None),
            "EnCodec 24 kHz": (27.5, 57.0, None),
            "DAC": (32.5, 57.5, None),
            "Mimi": (33.5, None, None),
            "HuBERT": (52.5, None, None),
            "SemantiCodec": (62.0, 70.3, None),
            "X-Codec": (64.0, 66.4, None),
            "SpeechTokenizer": (67.0, None, None),
            "Qwen2-Audio": (97.5, None, None),
        },
    ),
    Source(
        "DATES survey site",
        UNSTATED,
        "nothing told of split or spread",
        {
            "EnCodec 24 kHz, 2 codebooks": (34.8, 70.3, None),
            "EnCodec 24 kHz, 8 codebooks": (37.0, 54.7, None),
            "EnCodec 24 kHz, 32 codebooks": (35.4, 39.7, None),
        },
    ),
    Source(
        "ESC-50 README",
        "ESC-50's own folds",
        "no spread",
        {"MFCC, random forest": (44.3, None, None), "mel, CNN (Piczak)": (64.5, None, None)},
    ),
    Source(
        "ESC-50 README",
        "a crowd listens",
        "human listeners, another test",
        {"human listeners": (81.3, None, None)},
    ),
    Source(
        "HEAR leaderboard",
        "embeddings as they are, shallow network; ESC-50's own folds",
        "no codec, no mel with the same head; GTZAN with its faults",
        {"PaSST": (94.7, 88.3, 97.7), "PANNs": (90.9, 86.0, 99.2), "YAMNet": (83.8, 84.7, 96.9)},
    ),
    Source(
        "EVAR",
        "ESC-50's own folds, GTZAN filtered of faults",
        "no codec",
        {"M2D": (91.3, 84.1, None), "BEATs iter3+": (95.5, 84.6, None), "CLAP": (97.3, 84.3, None)},
    ),
    Source(
        "X-ARES README at 01a348d",
        "embeddings as they are, linear layer; ESC-50's own folds",
        "no codec, no mel, no spread; GTZAN with its faults",
        {
            "data2vec": (22.9, 44.8, None),
            "wav2vec2": (51.0, 63.0, None),
            "Whisper": (52.8, 62.2, None),
            "Dasheng": (85.7, 85.1, None),
        },
    ),
)


def reported(dataset: str) -> list[tuple[Source, str, float]]:
    """List source, system and accuracy in % of what the paper and others report on a data set."""
    known = [
        (source, system, dict(zip(DATASETS, accuracies, strict=True)).get(EDITIONS.get(dataset, dataset)))
        for source in SOURCES
        for system, accuracies in source.systems.items()
    ]
    return [(source, system, accuracy) for source, system, accuracy in known if accuracy is not None]


def list_all() -> list[list[str]]:
    """Lay out every figure, all data sets beside one another, as rows of text below a header."""
    header = ["source", "system", "protocol", "flaw", *(f"{name} %" for name in DATASETS)]
    return [header] + [
        [source.name, system, source.protocol, source.flaw, *("-" if of is None else f"{of:g}" for of in accuracies)]
        for source in SOURCES
        for system, accuracies in source.systems.items()
    ]
