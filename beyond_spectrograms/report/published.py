"""What the paper and others have published, each figure with its source. Nothing here was measured by this project.

The paper: Perianez-Pascual et al., "Beyond Spectrograms: Rethinking Audio Classification from EnCodec's Latent
Space", Algorithms 2025, 18(2), 108, doi 10.3390/a18020108. Accuracies are in %.
"""

from __future__ import annotations

from dataclasses import dataclass

PROTOCOL = "paper"  # the protocol of params.yaml beside which the paper's own figures stand

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


@dataclass(frozen=True)
class OtherSystem:
    """A test accuracy published by others."""

    source: str
    system: str
    esc50: float | None
    gtzan_genres: float | None
    gtzan_music_speech: float | None

    def accuracy(self, dataset: str) -> float | None:
        """Accuracy in % on the data set of that name, None where the source has no figure for it."""
        return {
            "esc50": self.esc50,
            "gtzan_genres": self.gtzan_genres,
            "gtzan_music_speech": self.gtzan_music_speech,
        }.get(dataset)


OTHERS = (
    # The paper's Table 2 and section 3.3, with its reference numbers.
    OtherSystem("paper, Table 2 [17]", "PANNs", 94.70, 86.30, 99.70),
    OtherSystem("paper, Table 2 [18]", "masked autoencoders", 85.60, 86.10, 99.20),
    OtherSystem("paper, Table 2 [19]", "PaSST", 96.80, None, None),
    # Figures from elsewhere: not the paper's, other splits, other classifiers.
    OtherSystem("MTEB results", "EnCodec 24 kHz, mean over time, logistic regression", 11.5, 29.9, None),
    OtherSystem("AudioCodecBench README", "EnCodec 24 kHz quantised, small CNN", 27.5, 57.0, None),
    OtherSystem("AudioCodecBench README", "DAC", 32.5, 57.5, None),
    OtherSystem("AudioCodecBench README", "XCodec", 64.0, 66.4, None),
    OtherSystem("AudioCodecBench README", "SemantiCodec", 62.0, 70.3, None),
    OtherSystem("DATES survey site", "EnCodec 24 kHz, 2 codebooks", 34.8, 70.3, None),
    OtherSystem("DATES survey site", "EnCodec 24 kHz, 8 codebooks", 37.0, 54.7, None),
    OtherSystem("DATES survey site", "EnCodec 24 kHz, 32 codebooks", 35.4, 39.7, None),
    OtherSystem("ESC-50 README, official folds", "MFCC, random forest", 44.3, None, None),
    OtherSystem("ESC-50 README, official folds", "Piczak, mel CNN", 64.5, None, None),
    OtherSystem("ESC-50 README, official folds", "human listeners", 81.3, None, None),
    OtherSystem("HEAR leaderboard", "PaSST", 94.7, 88.3, 97.7),
    OtherSystem("HEAR leaderboard", "PANNs", 90.9, 86.0, 99.2),
    OtherSystem("HEAR leaderboard", "YAMNet", 83.8, 84.7, 96.9),
    OtherSystem("EVAR, GTZAN fault-filtered", "M2D", 91.3, 84.1, None),
    OtherSystem("EVAR, GTZAN fault-filtered", "BEATs iter3+", 95.5, 84.6, None),
    OtherSystem("EVAR, GTZAN fault-filtered", "CLAP", 97.3, 84.3, None),
)
