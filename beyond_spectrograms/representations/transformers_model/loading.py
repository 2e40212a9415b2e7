"""Folders of a model of the hub -> transformers' own objects: quiet, offline, and nothing initialised at random.

Only safetensors are read, and no code of the folder runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beyond_spectrograms.representations.base import CheckpointError
from beyond_spectrograms.util.errors import one_line, require

CONFIG, EXTRACTOR, TOKENIZER = "config.json", "preprocessor_config.json", "tokenizer.json"
NAMED = 3  # tensors that an error names
# What masks the sound in training and is never used after it: many checkpoints have it needlessly, others lack it.
TRAINED_WITH = "masked_spec_embed"


class HubFolder:
    """The files of a model in one folder; messages call it by the representation's `name`."""

    def __init__(self, name: str, files: Sequence[Path]) -> None:
        require("transformers")
        self.name, self.path = name, files[0].parent
        self._files = [path.name for path in files]

    def require(self, file: str, why: str) -> None:
        """Stop where the hub's record does not list a file.

        Raises:
            CheckpointError: it does not.
        """
        if file not in self._files:
            raise CheckpointError(
                f"{self.name}: its record under hub lists no {file}, {why}. It lists {', '.join(self._files)}."
            )

    def config(self) -> dict[str, Any]:
        """Read config.json.

        Raises:
            CheckpointError: it is not listed, not JSON, or has no model_type.
        """
        self.require(CONFIG, "which says what the model is")
        found = self.read(CONFIG)
        if not isinstance(found.get("model_type"), str):
            raise CheckpointError(f"{self.path / CONFIG}: names no model_type")
        return found

    def read(self, file: str) -> dict[str, Any]:
        """Read a JSON file that is a mapping; one that is not listed is empty.

        Raises:
            CheckpointError: it is none.
        """
        if file not in self._files:
            return {}
        try:
            found = json.loads((self.path / file).read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{self.path / file}: not JSON: {error}") from None
        if not isinstance(found, dict):
            raise CheckpointError(f"{self.path / file}: not a mapping")
        return found

    def model(self, config: dict[str, Any]) -> Any:
        """Load the class that config.json names, or its type's, and give the model without what is on top of it.

        Raises:
            CheckpointError: there are no safetensors, or their tensors are not those that config.json describes.
        """
        tensors = [self.path / file for file in self._files if file.endswith(".safetensors")]
        if not tensors:
            raise CheckpointError(
                f"{self.name}: its record under hub lists no .safetensors. It lists {', '.join(self._files)}; of "
                "weights only safetensors are read, for a pickle may run code."
            )
        for path in tensors:
            _check_safetensors(path)
        with quiet():
            import transformers

            model_type = config["model_type"]
            classes: Any = transformers.MODEL_MAPPING  # of models; its own types say pairs of classes
            usual = classes[transformers.CONFIG_MAPPING[model_type]].__name__
            wanted = (config.get("architectures") or [usual])[0]
            known = getattr(transformers, wanted, None)
            if getattr(getattr(known, "config_class", None), "model_type", None) != model_type:
                raise CheckpointError(
                    f"{self.path / CONFIG}: names the class {wanted}, which is none of {model_type} in "
                    f"transformers {transformers.__version__}"
                )
            assert known is not None
            settings = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
            model, found = self._load(_ignoring_nothing(known), **settings)
        self._check_tensors(found)
        return model.base_model.float().eval()

    def extractor(self, kind: str) -> Any:
        """Load the feature extractor of class `kind`.

        Raises:
            CheckpointError: preprocessor_config.json is not listed, or of another class.
        """
        self.require(EXTRACTOR, "which says what sound the model takes")
        found = self.read(EXTRACTOR).get("feature_extractor_type", kind)
        if found != kind:
            raise CheckpointError(f"{self.path / EXTRACTOR}: is of {found}, not of {kind}")
        with quiet():
            import transformers

            return self._load(getattr(transformers, kind))

    def tokenizer(self) -> Any:
        """Load the tokenizer.

        Raises:
            CheckpointError: tokenizer.json is not listed.
        """
        self.require(TOKENIZER, "which prompts need")
        with quiet():
            from transformers import AutoTokenizer

            return self._load(AutoTokenizer)

    def _load(self, kind: Any, **settings: Any) -> Any:
        try:
            return kind.from_pretrained(self.path, local_files_only=True, trust_remote_code=False, **settings)
        except Exception as error:  # of transformers and all that it calls, by what files may hold
            raise CheckpointError(
                f"{self.path}: {kind.__name__} cannot be loaded from it: {one_line(error)}"
            ) from error

    def _check_tensors(self, found: dict[str, Any]) -> None:
        """Refuse what transformers would initialise at random, or leave out, with no more than a warning."""
        faults = {
            "lacks": sorted(key for key in found["missing_keys"] if not key.endswith(TRAINED_WITH)),
            "has besides": sorted(key for key in found["unexpected_keys"] if not key.endswith(TRAINED_WITH)),
            "has in other shapes": sorted(key for key, *_ in found["mismatched_keys"]),
        }
        told = [f"{what} {_name(keys)}" for what, keys in faults.items() if keys]
        if told:
            raise CheckpointError(
                f"{self.path}: its tensors are not those that {CONFIG} describes: it {'; it '.join(told)}. "
                "Both must be of one commit of one model: see where they come from, delete the folder, and run the "
                "featurize stage, which fetches them again."
            )


def _ignoring_nothing(model: type[Any]) -> type[Any]:
    """Make the same class tell of every tensor that it has no place for.

    Some classes have a list of those that are not worth a word, to which a model adds its parts': with Mimi's, all of
    its encoder and decoder. Assigned to or not, here it is empty.
    """
    empty = property(lambda model: set(), lambda model, patterns: None)  # noqa: ARG005
    names = {"_keys_to_ignore_on_load_unexpected": empty, "__module__": model.__module__}
    return type(model.__name__, (model,), names)


def _name(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return f"{', '.join(keys[:NAMED])}{more}"


def _check_safetensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a safetensors file: {error}. A pickle, which may run code, is not read. Delete it and "
            "download it again."
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' warnings and progress bars off stderr in the block: what matters becomes an error here."""
    from transformers.utils import logging as its_logging

    logging: Any = its_logging  # without types
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
