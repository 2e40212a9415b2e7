"""A protocol for small made features; tests change what they are about."""

from beyond_spectrograms.params import Protocol

PLAIN = ("conv1d", "conv2d", "mean_linear")  # classifiers of the paper's experiment
PROTOCOL = Protocol(
    classifier="conv1d",
    split="source",
    standardize=True,
    shuffle_labels=False,
    optimizer="adam",
    learning_rate=0.001,
    batch_size=16,
    shuffle_each_epoch=True,
    epochs=6,
    patience=None,
    dropout_at_evaluation=False,
    select="best_validation_loss",
    seeds=[0],
)
