"""Trained models in use: one folder a model, `classify` and `segment`."""

from beyond_spectrograms.model.card import Card, ModelError
from beyond_spectrograms.model.folder import load_model
from beyond_spectrograms.model.results import Classification, Segment, Segmentation
from beyond_spectrograms.model.using import Model

__all__ = ["Card", "Classification", "Model", "ModelError", "Segment", "Segmentation", "load_model"]
