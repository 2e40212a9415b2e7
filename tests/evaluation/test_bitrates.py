"""The latent ladder: which points there are, in which order, and the table of accuracy against bitrate."""

from beyond_spectrograms.evaluation.bitrates import CODES, DEQUANTIZED, LATENTS, points
from beyond_spectrograms.evaluation.comparisons import compare_pairs
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.bitrates import bitrates_table
from support.hands import results, scored, with_contrasts

RIGHT = {
    "mel": [1, 2] * 10,
    "soundstream": [4, 3] * 10,
    "soundstream_3200bps": [2, 3] * 10,
    "soundstream_9200bps": [3, 4] * 10,
    "soundstream_codes_9200bps": [3, 2] * 10,
    "log_mel_75hz": [1, 2] * 10,
}
ABLATIONS = ["soundstream_3200bps", "log_mel_75hz", "soundstream_codes_9200bps", "soundstream_9200bps"]


def known(*without: str) -> Results:
    names = [name for name in RIGHT if name not in without]
    ablations = [name for name in ABLATIONS if name not in without]
    here = results({(name, "fair"): scored(name, "fair", RIGHT[name]) for name in names}, ablations=ablations)
    return with_contrasts(here, pairs=[["soundstream", "mel"]])


def test_points_go_from_latents_over_falling_bitrates_to_codes() -> None:
    assert [(point.codec, point.representation, point.form, point.bitrate) for point in points(known(), "fair")] == [
        ("soundstream", "soundstream", LATENTS, None),
        ("soundstream", "soundstream_9200bps", DEQUANTIZED, 9200),
        ("soundstream", "soundstream_3200bps", DEQUANTIZED, 3200),
        ("soundstream", "soundstream_codes_9200bps", CODES, 9200),
    ]


def test_untrained_encoders_and_codecs_without_any_bitrate_have_no_points() -> None:
    further = ["encodec_24khz_untrained", "encodec_48khz"]
    cells = known().cells | {(name, "fair"): scored(name, "fair", RIGHT["mel"]) for name in further}
    assert {point.codec for point in points(results(cells, ablations=ABLATIONS), "fair")} == {"soundstream"}


def test_the_forms_of_encodec_belong_to_the_encoder_of_their_rate() -> None:
    names = ["encodec_48khz_6000bps", "encodec_24khz_6000bps", "encodec_24khz_codes_6000bps"]
    rows = ["encodec_24khz", "encodec_48khz"]
    here = results({(name, "fair"): scored(name, "fair", RIGHT["mel"]) for name in (*rows, *names)}, ablations=names)
    codecs = {point.representation: point.codec for point in points(here, "fair")}
    assert codecs == {name: name[:13] for name in (*rows, *names)}


def test_the_table_says_what_is_classified_at_which_rate() -> None:
    here = known()
    table = bitrates_table(here, compare_pairs(here), "fair")
    shown = [[show(row) for show in table.columns.values()] for row in table.rows]
    assert [line[:3] for line in shown] == [
        ["soundstream", "latents before the quantiser", "-"],
        ["soundstream", "dequantised latents", "9.2"],
        ["soundstream", "dequantised latents", "3.2"],
        ["soundstream", "codes as tokens", "9.2"],
    ]
    # Windows right of 80: 70, 70, 50, 50; mel has 30.
    assert [row["windows_percent"] for row in table.rows] == [87.5, 87.5, 62.5, 62.5]
    assert [line[3][-3:] == "] *" for line in shown] == [True, False, False, False]
    assert [line[4] for line in shown] == [row["representation"] for row in table.rows]
    assert table.title == "Bitrates: esc10, fair, window accuracy"
    del here.cells["soundstream_3200bps", "fair"]
    (row,) = [r for r in bitrates_table(here, [], "fair").rows if r["representation"] == "soundstream_3200bps"]
    assert (row["windows_percent"], row["note"]) == (None, "not run")


def test_rates_of_a_codec_whose_latents_are_not_asked_for_can_be_tabulated() -> None:
    names = [row["representation"] for row in bitrates_table(known("soundstream"), [], "fair").rows]
    assert names == ["soundstream_9200bps", "soundstream_3200bps", "soundstream_codes_9200bps"]
