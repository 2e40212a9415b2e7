"""Do the latents of a neural audio codec beat spectrograms for classifying sound? The nouns; `stages` has the verbs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beyond_spectrograms.inference import load_model
    from beyond_spectrograms.inference.estimator import SoundClassifier

__all__ = ["SoundClassifier", "load_model"]


def __getattr__(name: str) -> Any:
    """Import what `__all__` names when it is first used: the stages import this package, and need none of it."""
    if name in __all__:
        place = "beyond_spectrograms.inference" + ".estimator" * (name == "SoundClassifier")
        return getattr(import_module(place), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
