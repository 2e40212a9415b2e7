"""A codec after each of its steps -> data/heard/<study>/codecs/<codec>: one page to hear it, beside Opus and MP3.

By clips that judge it, and that its training never heard, of data sets whose excerpts may be passed on.
"""

from pathlib import Path

from beyond_spectrograms.codec.judging import read_judged
from beyond_spectrograms.codec.network import Codec, load_codec
from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.data.windows import read_windows
from beyond_spectrograms.params.encoders import kept_codec
from beyond_spectrograms.params.study import CODECS, SPLITS, Study
from beyond_spectrograms.sonification.codec_page import render_codec_page
from beyond_spectrograms.sonification.codec_versions import Excerpt, choose_excerpts, make_versions
from beyond_spectrograms.sonification.usual_codecs import usual_codecs
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import write_text
from stages.arguments import parse


def main() -> None:
    study, (name,) = parse(__doc__, "codec")
    recipe = study.params.codecs[name]
    network, seed, steps = recipe.network, recipe.seeds[0], recipe.steps
    notices = {each.dataset: study.params.datasets[each.dataset].notice for each in recipe.judged}
    excerpts = choose_excerpts(read_excerpts(study, name))
    usual, told = usual_codecs()
    kept = f"seed {seed}, after {', '.join(map(str, steps))} steps"
    print(f"{name}, {kept}: {len(excerpts)} excerpts", told, sep="\n")

    def load(step: int) -> Codec:
        return load_codec(CODECS / name / kept_codec(seed, step))[0]

    page = render_codec_page(
        f"The codec {name}, to hear",
        facts=[
            ("codec", f"{name} of the study {study.name}, {network.sample_rate} Hz, {network.channels} channel(s)"),
            ("kept", kept),
            ("codes", f"{network.frame_rate} frames a second, {network.codebooks} codebooks of {network.entries}"),
        ],
        excerpts=excerpts,
        versions=make_versions(excerpts, load, steps, usual),
        sample_rate=network.sample_rate,
        notices=notices,
        usual=told,
    )
    place = Path("data/heard", study.name, "codecs", name, "index.html")
    write_text(place, page)
    print(f"{place}: {len(page.encode()) / 1e6:.1f} MB")


def read_excerpts(study: Study, name: str) -> dict[str, list[Excerpt]]:
    """Read what judges a codec, by data set: of those alone whose excerpts may be passed on."""
    recipe = study.params.codecs[name]
    form = Format(recipe.network.sample_rate, recipe.network.channels)
    found: dict[str, list[Excerpt]] = {}
    for judged in recipe.judged:
        if study.params.datasets[judged.dataset].notice is None:
            continue
        table = read_windows(SPLITS / judged.dataset)
        labels = dict(zip(table["clip"], table["label"], strict=True))
        sounds = read_judged(judged, form)
        excerpts = [Excerpt(judged.dataset, clip, labels[clip], sound) for clip, sound in sounds.items()]
        found.setdefault(judged.dataset, []).extend(excerpts)
    return found


if __name__ == "__main__":
    run_stage(main)
