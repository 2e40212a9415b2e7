"""M5, a network that learns from the samples of a waveform.

Source: Dai et al., "Very deep convolutional neural networks for raw waveforms", ICASSP 2017, table 1 and section 2:
four convolutions over time, each with batch normalisation, ReLU and a maximum over four frames, then the mean over
time. Their first one sees 80 samples every 4 of sound at 8 kHz, 10 ms every 0.5; at 16 kHz, the lowest rate stored
here, these are 160 samples every 8.
"""

from torch import nn

from beyond_spectrograms.classifiers.base import ClassifierError
from beyond_spectrograms.classifiers.convolutional import TimeConvolution, TimePooling
from beyond_spectrograms.classifiers.summaries import Summary

WIDTHS = (128, 128, 256, 512)  # channels of the convolutions
SEES, STEP, LATER_SEES, POOLED = 160, 8, 3, 4
SHORTEST = SEES + STEP * (POOLED**4 - 1)  # samples of which one frame is left at the end


def build(bands: int, frames: int, classes: int) -> nn.Sequential:
    """Build the network: windows [windows, 1, samples] -> logits [windows, classes]."""
    if bands != 1 or frames < SHORTEST:
        raise ClassifierError(
            f"m5 needs the samples of a waveform, one band of at least {SHORTEST} frames, got {bands} x {frames}: take "
            "a representation of kind waveform"
        )
    layers: list[nn.Module] = []
    for before, width in zip((1, *WIDTHS), WIDTHS, strict=False):
        if before == 1:
            layers.append(TimeConvolution(before, width, SEES, stride=STEP, bias=False))
        else:
            reach = LATER_SEES // 2
            layers += [nn.ConstantPad1d(reach, 0.0), TimeConvolution(before, width, LATER_SEES, bias=False)]
        layers += [nn.BatchNorm1d(width), nn.ReLU(), TimePooling(POOLED)]
    return nn.Sequential(*layers, Summary(deviation=False), nn.Linear(WIDTHS[-1], classes))
