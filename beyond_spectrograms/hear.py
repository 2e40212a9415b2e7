"""The HEAR API under the name by which it is known: `hear-validator beyond_spectrograms.hear --model soundstream`."""

from beyond_spectrograms.inference.hear import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]
