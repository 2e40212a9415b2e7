"""Trained models in use: one folder a model, `classify` and `segment`."""

from beyond_spectrograms.inference.card import Card, ModelError
from beyond_spectrograms.inference.folder import load_model
from beyond_spectrograms.inference.model import Model
from beyond_spectrograms.inference.results import Classification, Segment, Segmentation

__all__ = ["Card", "Classification", "Model", "ModelError", "Segment", "Segmentation", "load_model"]
