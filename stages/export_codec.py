"""A codec after its last step, of its first seed -> data/exported_codecs/<codec>: codec.safetensors and card.json.

Where it was kept before its first step, that is untrained.safetensors: what training gave is seen beside it.
"""

from typing import Any

from beyond_spectrograms.codec.card import CARD, CODEC, UNTRAINED, describe_file, write_card, write_codec
from beyond_spectrograms.codec.network import load_codec
from beyond_spectrograms.params import Params
from beyond_spectrograms.params.encoders import kept_codec
from beyond_spectrograms.params.study import CODEC_SOUNDS, CODECS, CODECS_EXPORTED
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import digest_file, fresh_work, read_told, replace_folder
from stages.arguments import parse


def main() -> None:
    study, (name,) = parse(__doc__, "codec")
    recipe = study.params.codecs[name]
    seed, step = recipe.seeds[0], recipe.steps[-1]
    work = study.work("exported_codecs", name)
    with fresh_work(work):
        kept = {CODEC: step} | ({UNTRAINED: 0} if 0 in recipe.steps else {})
        for file, after in kept.items():
            codec, notes = load_codec(CODECS / name / kept_codec(seed, after))
            write_codec(work / file, name if file == CODEC else f"{name}_untrained", codec, notes)
        quality = read_told(study.codec_metrics(name) / "quality.json")
        mine = [each for each in quality["results"] if (each["seed"], each["step"]) == (seed, step)]
        told = {
            "recipe": recipe.model_dump(exclude={"seeds", "steps", "judged"}),
            "seed": seed,
            "steps": step,
            "heard_sha256": digest_file(CODEC_SOUNDS / name / "heard.csv"),
            "sounds": [describe_sounds(study.params, sounds.dataset) for sounds in recipe.sounds],
            "untrained": describe_file(work / UNTRAINED) if UNTRAINED in kept else None,
            "quality": [{key: value for key, value in each.items() if key != "clips"} for each in mine],
            "versions": {noun: study.params.versions[noun] for noun in ("codec", "encodec", "torch")},
        }
        card = write_card(work, name, quality["parameters"], told)
        replace_folder(work, CODECS_EXPORTED / name, required=(CODEC, CARD))
    print(f"{CODECS_EXPORTED / name}: {card['bytes']} bytes after {step} steps")


def describe_sounds(params: Params, dataset: str) -> dict[str, Any]:
    """Say where sounds are from, and under which licence; None where nobody grants one to pass excerpts on."""
    record = params.datasets[dataset]
    archives = [archive.licence for archive in record.source.archives or []]
    notice = None if record.notice is None else record.notice.model_dump()
    return {"dataset": dataset, "licences": archives, "notice": notice}


if __name__ == "__main__":
    run_stage(main)
