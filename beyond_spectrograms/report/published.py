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


def reported(dataset: str) -> list[tuple[str, str, float]]:
    """List source, system and accuracy in % of what the paper and others report on a data set."""
    paper = paper_of(dataset)
    found = [("paper, Table 1", "EnCodec, the better of 24 and 48 kHz", paper.best_test)] if paper else []
    for source, system, *accuracies in OTHERS:
        accuracy = dict(zip(DATASETS, accuracies, strict=True)).get(EDITIONS.get(dataset, dataset))
        found += [] if accuracy is None else [(source, system, accuracy)]
    return found


DATASETS = ("esc50", "gtzan_genres", "gtzan_music_speech")
# Source, system, and accuracy in % on each of DATASETS.
OTHERS: tuple[tuple[str, str, float | None, float | None, float | None], ...] = (
    # The paper's Table 2 and section 3.3, with its reference numbers.
    ("paper, Table 2 [17]", "PANNs", 94.70, 86.30, 99.70),
    ("paper, Table 2 [18]", "masked autoencoders", 85.60, 86.10, 99.20),
    ("paper, Table 2 [19]", "PaSST", 96.80, None, None),
    # Figures from elsewhere: not the paper's, other splits, other classifiers.
    ("MTEB results", "EnCodec 24 kHz, mean over time, logistic regression", 11.5, 29.9, None),
    ("AudioCodecBench README", "EnCodec 24 kHz quantised, small CNN", 27.5, 57.0, None),
    ("AudioCodecBench README", "DAC", 32.5, 57.5, None),
    ("AudioCodecBench README", "XCodec", 64.0, 66.4, None),
    ("AudioCodecBench README", "SemantiCodec", 62.0, 70.3, None),
    ("DATES survey site", "EnCodec 24 kHz, 2 codebooks", 34.8, 70.3, None),
    ("DATES survey site", "EnCodec 24 kHz, 8 codebooks", 37.0, 54.7, None),
    ("DATES survey site", "EnCodec 24 kHz, 32 codebooks", 35.4, 39.7, None),
    ("ESC-50 README, official folds", "MFCC, random forest", 44.3, None, None),
    ("ESC-50 README, official folds", "Piczak, mel CNN", 64.5, None, None),
    ("ESC-50 README, official folds", "human listeners", 81.3, None, None),
    ("HEAR leaderboard", "PaSST", 94.7, 88.3, 97.7),
    ("HEAR leaderboard", "PANNs", 90.9, 86.0, 99.2),
    ("HEAR leaderboard", "YAMNet", 83.8, 84.7, 96.9),
    ("EVAR, GTZAN fault-filtered", "M2D", 91.3, 84.1, None),
    ("EVAR, GTZAN fault-filtered", "BEATs iter3+", 95.5, 84.6, None),
    ("EVAR, GTZAN fault-filtered", "CLAP", 97.3, 84.3, None),
)
