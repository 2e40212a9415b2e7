"""Tiny models of every architecture of transformers that is known, with random weights, saved as the hub has them.

They stand in for pretrained ones, which tests cannot have: nothing that they give means anything but that our code and
transformers' own agree.
"""

import json
from pathlib import Path
from typing import Any

import torch

CONVOLUTIONS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONVOLUTIONS |= {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
LAYERS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WORDS = ["the", "sound", "of", "a", "dog", "rain", "sneeze", "clock", "tick", "this", "is", "noise"]


def _ast() -> tuple[Any, Any]:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    return ASTForAudioClassification(ASTConfig(**LAYERS)), ASTFeatureExtractor()


def _wav2vec2() -> tuple[Any, Any]:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForPreTraining

    more = {"codevector_dim": 16, "proj_codevector_dim": 8, "num_codevectors_per_group": 4}
    return Wav2Vec2ForPreTraining(Wav2Vec2Config(**CONVOLUTIONS, **more)), Wav2Vec2FeatureExtractor()


def _hubert() -> tuple[Any, Any]:
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    return HubertModel(HubertConfig(**CONVOLUTIONS)), Wav2Vec2FeatureExtractor()


def _wavlm() -> tuple[Any, Any]:
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMModel

    layers = CONVOLUTIONS | {"num_hidden_layers": 12}  # as the shipped record of wavlm_layers names
    return WavLMModel(WavLMConfig(**layers)), Wav2Vec2FeatureExtractor()


def _data2vec() -> tuple[Any, Any]:
    from transformers import Data2VecAudioConfig, Data2VecAudioForCTC, Wav2Vec2FeatureExtractor

    return Data2VecAudioForCTC(Data2VecAudioConfig(**CONVOLUTIONS, vocab_size=8)), Wav2Vec2FeatureExtractor()


def _whisper() -> tuple[Any, Any]:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    sizes = {f"{part}_{key}": 2 for part in ("encoder", "decoder") for key in ("layers", "attention_heads")}
    sizes |= {"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "vocab_size": 64, "num_mel_bins": 80}
    tokens = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    config = WhisperConfig(**sizes, **tokens, max_source_positions=200)  # 4 s in place of 30
    return WhisperForConditionalGeneration(config), WhisperFeatureExtractor(chunk_length=4)


def _clap() -> tuple[Any, Any]:
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    audio = {"patch_embeds_hidden_size": 8, "hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2]}
    audio |= {"spec_size": 64, "num_mel_bins": 16, "window_size": 4, "patch_stride": [4, 4]}
    text = {**LAYERS, "vocab_size": len(WORDS) + 4, "max_position_embeddings": 40}
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=12)
    torch.manual_seed(0)
    model = ClapModel(config)
    with torch.no_grad():
        model.logit_scale_a.fill_(1.25)
    return model, ClapFeatureExtractor(feature_size=16, truncation="rand_trunc", hop_length=960, max_length_s=4)


def _encodec(**more: Any) -> tuple[Any, Any]:
    from transformers import EncodecConfig, EncodecFeatureExtractor, EncodecModel

    sizes = {"num_filters": 4, "hidden_size": 16, "upsampling_ratios": [8, 5, 4, 2], "num_lstm_layers": 1}
    model = EncodecModel(EncodecConfig(**sizes, codebook_size=64, target_bandwidths=[0.9, 1.8], **more))
    rate, channels = model.config.sampling_rate, model.config.audio_channels
    return model, EncodecFeatureExtractor(sampling_rate=rate, feature_size=channels)


def _encodec_48khz() -> tuple[Any, Any]:
    more = {"norm_type": "time_group_norm", "use_causal_conv": False, "normalize": True}
    return _encodec(sampling_rate=48_000, audio_channels=2, chunk_length_s=1.0, overlap=0.01, **more)


def _dac() -> tuple[Any, Any]:
    from transformers import DacConfig, DacFeatureExtractor, DacModel

    sizes = {"encoder_hidden_size": 2, "decoder_hidden_size": 32, "codebook_size": 64, "codebook_dim": 4}
    config = DacConfig(**sizes, downsampling_ratios=[2, 4, 8, 8], n_codebooks=3, sampling_rate=44_100)
    return DacModel(config), DacFeatureExtractor(sampling_rate=44_100, hop_length=512)


def _mimi() -> tuple[Any, Any]:
    from transformers import EncodecFeatureExtractor, MimiConfig, MimiModel

    sizes = {**LAYERS, "num_filters": 4, "num_key_value_heads": 2, "codebook_size": 64, "codebook_dim": 8}
    sizes |= {"vector_quantization_hidden_dimension": 8, "upsample_groups": 16, "num_quantizers": 8}
    return MimiModel(MimiConfig(**sizes)), EncodecFeatureExtractor(sampling_rate=24_000)


def _xcodec() -> tuple[Any, Any]:
    from transformers import DacConfig, DacFeatureExtractor, HubertConfig, XcodecConfig, XcodecModel

    acoustic = DacConfig(encoder_hidden_size=2, downsampling_ratios=[8, 5, 4, 2], decoder_hidden_size=32)
    acoustic.hidden_size = 8
    semantic = HubertConfig(**CONVOLUTIONS)
    config = XcodecConfig(
        acoustic_model_config=acoustic.to_dict(), semantic_model_config=semantic.to_dict(), codebook_size=64,
        target_bandwidths=[0.3, 0.6, 1.2],
    )  # fmt: skip
    return XcodecModel(config), DacFeatureExtractor(sampling_rate=16_000, hop_length=320)


MAKERS = {
    "audio-spectrogram-transformer": _ast,
    "clap": _clap,
    "dac": _dac,
    "data2vec-audio": _data2vec,
    "encodec": _encodec,
    "encodec_48khz": _encodec_48khz,
    "hubert": _hubert,
    "mimi": _mimi,
    "wav2vec2": _wav2vec2,
    "wavlm": _wavlm,
    "whisper": _whisper,
    "xcodec": _xcodec,
}


# The shipped records under `hub`, and the tiny random models that stand in for theirs.
STANDS_IN_FOR = {
    "ast": "audio-spectrogram-transformer",
    "clap": "clap",
    "data2vec_base": "data2vec-audio",
    "encodec_24khz_hub": "encodec",
    "encodec_48khz_hub": "encodec_48khz",
    "hubert_base": "hubert",
    "mimi": "mimi",
    "wav2vec2_base": "wav2vec2",
    "wavlm_base_plus": "wavlm",
    "whisper_tiny": "whisper",
}

# Tensors that start as zeros, where a mistake in their use would show nothing.
DRAWN = ("codebook.embed", "codebook.embed_sum", "cls_token", "distillation_token", "position_embeddings")


def write_tokenizer(folder: Path) -> None:
    """Save a tokenizer that knows a few words, as RoBERTa's marks a text's begin and end."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {word: number for number, word in enumerate([*marks, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    named = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), marks, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)


def write_tiny(folder: Path, kind: str) -> list[Path]:
    """Save a tiny model of MAKERS; gives its files."""
    torch.manual_seed(0)
    model, extractor = MAKERS[kind]()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith(DRAWN):
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    if kind == "clap":
        write_tokenizer(folder)
    return files_of(folder)


def files_of(folder: Path) -> list[Path]:
    """List the files of a model as its hub record would."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".bin"))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
