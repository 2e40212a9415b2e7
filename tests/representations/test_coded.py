"""Codes in place of what a codec makes of them: a fraction of the bytes, and the same features to the bit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from beyond_spectrograms.data.feature_shards import dequantize
from beyond_spectrograms.data.shard_files import find_rows
from beyond_spectrograms.data.shard_index import read_listing, shard_path
from beyond_spectrograms.data.windows import FeaturesError, check_content, open_features
from beyond_spectrograms.params import STUDIES, Encodec, SoundStream, Transformers, load_params
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import Coded, Representation, RepresentationError
from beyond_spectrograms.representations.feature_cache import Extraction, FeatureRequest, extract
from beyond_spectrograms.representations.recipes import Recipe, forget_maker, maker_of, store_codes
from beyond_spectrograms.representations.stored_rows import DType, PrecisionError
from support.coded import seeded_encodec
from support.common import contents, flip, noise, refusal, store_clip
from support.repository import REPOSITORY
from support.tiny_models import files_of, write_tiny

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")

Make = Callable[[], Representation]
AGAIN = "Run its featurize stage again (dvc repro -f)."


def encodec(folder: Path, *, codes: bool = False, bitrate: int = 6000) -> Make:
    path = folder / "encodec.th"
    if not path.exists():
        torch.save(seeded_encodec().state_dict(), path)
    record = Encodec(kind="encodec", weights="encodec_24khz", model="24khz", bitrate=bitrate, codes=codes)
    return partial(create_representation, "codec", record, [path])


def soundstream(mirror: Path, *, codes: bool = False, bitrate: int | None = 6000) -> Make:
    named = ["soundstream", *["soundstream_quantizer"] * (bitrate is not None)]
    record = SoundStream(kind="soundstream", weights=named, bitrate=bitrate, codes=codes)
    files = [mirror / "soundstream_encoder.tflite", mirror / "quantizer.tflite"]
    return partial(create_representation, "codec", record, files[: len(named)])


def of_transformers(folder: Path, model: str, **asked: Any) -> Make:
    files = write_tiny(folder / model, model) if not (folder / model).exists() else files_of(folder / model)
    record = Transformers(kind="transformers", weights="tiny", **({"context": "window"} | asked))
    return partial(create_representation, "codec", record, files)


def extracted(folder: Path, make: Make, dtype: DType, shard_bytes: float | None) -> Extraction:
    """Store the features of six clips, one of them silent, in folder/<dtype>."""
    made, rows = make(), []
    for number, seconds in enumerate((2, 1, 3, 1, 2, 1)):
        sound = noise(seconds, made.form.sample_rate, number) * (number != 3)
        store_clip(folder / "clips", made.form, f"cat/{number}.wav", sound)
        rows += [(f"cat/{number}.wav", float(start)) for start in range(seconds)]
    table = pd.DataFrame(rows, columns=["clip", "start_s"])
    request = FeatureRequest(made, table, folder / "clips", 1.0, "f", dtype, shard_bytes, make)
    return extract(request, folder / dtype, folder / "work")


def assert_the_same(folder: Path, make: Make, stored: type, smaller: float) -> None:
    """Hold features made of stored codes against those that are stored themselves, and their bytes too."""
    assert extracted(folder, make, "float32", None).computed == extracted(folder, make, "codes", 400).computed == 10
    exact, found = open_features(folder / "float32", 10), open_features(folder / "codes", 10)
    assert found.shape == exact.shape
    assert found.dtype == np.float32
    assert found[:].tobytes() == exact[:].tobytes()
    shuffled = np.random.default_rng(0).permutation(10)
    assert found[shuffled].tobytes() == exact[shuffled].tobytes()
    assert len(np.unique(exact)) > 8
    layouts = [find_rows(shard_path(folder / "codes", name)) for name, *_ in read_listing(folder / "codes").shards]
    assert {layout.dtype for layout in layouts} == {np.dtype(stored)}
    assert len(layouts) > 2
    assert sum(layout.shape[0] * layout.row_bytes for layout in layouts) * smaller == exact.nbytes
    check_content(folder / "codes", "made")


@pytest.mark.long
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("bitrate", [6000, 24_000])
def test_encodec_of_codes_is_encodec_to_the_bit(tmp_path: Path, bitrate: int) -> None:
    # 128 bands of 4 bytes, by 8 or 32 codebooks of 2.
    assert_the_same(tmp_path, encodec(tmp_path, bitrate=bitrate), np.uint16, 128 * 4 / (bitrate / 750 * 2))


@pytest.mark.parametrize("bitrate", [3200, 9200])
def test_soundstream_of_codes_is_soundstream_to_the_bit(mirror: Path, tmp_path: Path, bitrate: int) -> None:
    assert_the_same(tmp_path, soundstream(mirror, bitrate=bitrate), np.uint8, 64 * 4 / (bitrate / 200))


@pytest.mark.parametrize(("model", "context"), [("encodec", "window"), ("encodec", "clip"), ("xcodec", "window")])
def test_codecs_of_transformers_of_codes_are_themselves_to_the_bit(tmp_path: Path, model: str, context: str) -> None:
    make = of_transformers(tmp_path, model, codebooks=2, context=context)
    assert_the_same(tmp_path, make, np.uint8, make().bands * 4 / 2)


def test_numbers_of_codes_are_stored_as_such(mirror: Path, tmp_path: Path) -> None:
    assert_the_same(tmp_path, soundstream(mirror, codes=True), np.uint8, 4)


@pytest.mark.parametrize("model", ["dac", "mimi"])
def test_a_codec_whose_quantiser_does_more_than_add_entries_is_refused(tmp_path: Path, model: str) -> None:
    make = of_transformers(tmp_path, model, codebooks=2)
    assert refusal(RepresentationError, extracted, tmp_path, make, "codes", 400) == (
        "codec: features.dtype codes is for what codes alone give: kind encodec or soundstream with a bitrate, and "
        "kind transformers of architecture encodec or xcodec with codebooks. Choose float32 or float16."
    )


def test_latents_before_the_quantiser_have_no_codes(mirror: Path, tmp_path: Path) -> None:
    makes = [soundstream(mirror, bitrate=None), of_transformers(tmp_path, "encodec")]
    for make in makes:
        told = refusal(RepresentationError, make().coded)
        assert told.startswith("codec: features.dtype codes is for what codes alone give: kind encodec or soundstream")


def test_codes_that_give_other_features_are_refused(mirror: Path, tmp_path: Path) -> None:
    make = soundstream(mirror, bitrate=3200)

    class Off(type(make())):  # type: ignore[misc]
        """Tells of codebooks that are a bit off."""

        def coded(self) -> Coded:
            found = super().coded()
            assert found.codebooks is not None
            return found._replace(codebooks=np.nextafter(found.codebooks, np.float32(9)))

    made = make()
    made.__class__ = Off
    assert refusal(RepresentationError, extracted, tmp_path, lambda: made, "codes", 400) == (
        "codec: its codes give other features than it gives itself. Choose features.dtype float32 or float16."
    )


def test_codes_beyond_what_their_codebooks_have_are_refused() -> None:
    codes = np.array([[[3.0, 256.0]]], np.float32)
    told = "codec: gave codes that uint8 does not hold. Set features.dtype to float32."
    assert refusal(PrecisionError, store_codes, codes, np.dtype(np.uint8), "codec") == told
    assert store_codes(codes, np.dtype(np.uint16), "codec").tolist() == [[[3, 256]]]


def test_codes_that_no_codebook_has_are_not_read(mirror: Path) -> None:
    codebooks = soundstream(mirror)().coded().codebooks
    assert codebooks is not None
    codes = np.full((1, len(codebooks), 2), 15, np.uint8)
    assert dequantize(codes, codebooks).shape == (1, 64, 2)
    codes[0, 3, 1] = 16
    assert refusal(IndexError, dequantize, codes, codebooks) == "code 16 is none of 16 entries"


def test_damaged_codebooks_are_named_and_stored_again(mirror: Path, tmp_path: Path) -> None:
    make = soundstream(mirror)
    extracted(tmp_path, make, "codes", 400)
    whole = contents(tmp_path / "codes")
    [books] = (tmp_path / "codes/shards").glob("codebooks-*")
    for damage, what in ((lambda: flip(books, 900), "damaged"), (books.unlink, "missing")):
        damage()
        told = f"{books}: {what}. {AGAIN}"
        assert refusal(FeaturesError, open_features, tmp_path / "codes", 10) == told
        assert refusal(FeaturesError, check_content, tmp_path / "codes", "made") == told
        assert extracted(tmp_path, make, "codes", 400).computed == 0
        assert contents(tmp_path / "codes") == whole


def test_which_records_have_codes_is_known_before_they_are_loaded() -> None:
    records = load_params(STUDIES / "bitrates", REPOSITORY).representations
    with_codes = {name for name, record in records.items() if record.has_codes}
    assert with_codes
    assert all("bps" in name or "codes" in name for name in with_codes)
    assert not records["soundstream"].has_codes
    assert not records["log_mel"].has_codes


def test_an_encoder_is_made_once_for_all_shards_of_a_process(tmp_path: Path) -> None:
    made: list[Representation] = []

    def make() -> Representation:
        made.append(of_transformers(tmp_path, "encodec", codebooks=2)())
        return made[-1]

    forget_maker()
    recipe = Recipe(make, "f", tmp_path, 1.0, "codes")
    assert maker_of(recipe) is maker_of(recipe)
    assert len(made) == 1
    forget_maker()
