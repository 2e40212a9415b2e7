"""Where the time goes: by kind of layer in EnCodec's encoder, and by step in a whole extraction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_spectrograms.report.table import Row, Table, number, text

if TYPE_CHECKING:
    from beyond_spectrograms.representations.encodec import Precision

KINDS = {  # operators of torch and of OpenVINO
    "convolutions": ("aten::mkldnn_convolution", "aten::_slow_conv2d_forward", "Convolution"),
    "LSTM": ("aten::mkldnn_rnn_layer", "LSTMSequence"),
    "ELU": ("aten::elu",),  # OpenVINO's are part of the convolutions, or of what is fused ("other")
    "padding": ("aten::reflection_pad1d", "Pad"),
    "weight norm": ("aten::_weight_norm_interface",),
}
WINDOWS = 5  # that ours encodes in one go: those of a clip of five seconds
REPEATS = 5


def plain_profile() -> dict[str, float]:
    """Time the package's encoder of 24 kHz on one window of a second, one thread: milliseconds by KINDS and "other"."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from beyond_spectrograms.representations.encodec import untrained_model

    torch.set_num_threads(1)
    encoder = untrained_model("24khz", seed=0).encoder.eval()
    window = torch.from_numpy(_windows()[:1])
    rounds = []
    with torch.inference_mode():
        encoder(window)
        for _ in range(REPEATS):
            with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:  # a warning without it
                encoder(window)
            rounds.append({event.key: event.self_cpu_time_total / 1e3 for event in profiled.key_averages()})
    return _by_kind(rounds)


def our_profile(precision: Precision) -> dict[str, float]:
    """Time OpenVINO's graphs on WINDOWS windows of a second, one thread: milliseconds a window by KINDS and "other"."""
    import openvino as ov

    from beyond_spectrograms.representations.encodec import fold_weight_norm, untrained_model
    from beyond_spectrograms.representations.openvino_engine import HINTS, build_graphs

    encoder = untrained_model("24khz", seed=0).encoder.eval()
    fold_weight_norm(encoder)
    windows = _windows()
    config = {"NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "1", "PERF_COUNT": True}
    config["INFERENCE_PRECISION_HINT"] = HINTS[precision]
    before_lstm, from_lstm = (
        ov.Core().compile_model(graph, "CPU", config).create_infer_request()
        for graph in build_graphs(encoder, *windows.shape[1:])
    )
    rounds = []
    for _ in range(REPEATS + 1):
        spent: Counter[str] = Counter()
        maps = []
        for window in windows:
            maps.append(np.array(before_lstm.infer([window[None]])[0]))
            spent.update(_milliseconds(before_lstm))
        from_lstm.infer([np.concatenate(maps)])
        spent.update(_milliseconds(from_lstm))
        rounds.append({kind: spent[kind] / WINDOWS for kind in spent})
    return _by_kind(rounds[1:])


def _windows() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(0, 0.1, (WINDOWS, 1, 24_000)).astype(np.float32)


def _milliseconds(request: Any) -> Counter[str]:
    spent: Counter[str] = Counter()
    for layer in request.get_profiling_info():
        spent[layer.node_type] += layer.real_time.total_seconds() * 1e3
    return spent


def _by_kind(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Sum operators by kind; medians over rounds."""
    known = {operator for operators in KINDS.values() for operator in operators}
    found = {kind: median(sum(one.get(each, 0) for each in of) for one in rounds) for kind, of in KINDS.items()}
    found["other"] = median(sum(spent for each, spent in one.items() if each not in known) for one in rounds)
    return found


def layers_table(profiles: Mapping[str, Mapping[str, float]]) -> Table:
    """Lay out profiles by column: a row a kind, and their sum."""
    rows: list[Row] = [
        {"kind": kind, **{name: one[kind] for name, one in profiles.items()}} for kind in (*KINDS, "other")
    ]
    rows.append({"kind": "all", **{name: sum(one.values()) for name, one in profiles.items()}})
    columns = {"layers": text("kind"), **{name: number(name, 1) for name in profiles}}
    notes = ["Milliseconds of one core for a second of sound, by torch's profiler and OpenVINO's counters."]
    return Table("EnCodec's encoder, by kind of layer", rows, columns, notes)


def steps_table(pairings: Mapping[str, Any], cores: int) -> Table:
    """Lay out what our extractions take by step, and how fast they were if all cores were always busy."""
    rows: list[Row] = []
    for name, one in pairings.items():
        if steps := one["steps"]:
            spent = 1e3 * median(one["seconds"]["processor"]["ours"]) / one["units"]
            decode, encode = (1e3 * steps[step] / one["units"] for step in ("decode", "encode"))
            plain = 1e3 * median(one["seconds"]["wall"]["plain"]) / one["units"]
            rows.append({
                "path": name, "all": spent, "decode": decode, "encode": encode, "rest": spent - decode - encode,
                "wall": 1e3 * median(one["seconds"]["wall"]["ours"]) / one["units"], "plain": plain,
                "busy": plain * cores / spent,
            })  # fmt: skip
    columns = {
        "path": text("path"),
        "all": number("all", 2),
        "decode": number("decode", 2),
        "encode": number("encode", 2),
        "rest": number("rest", 2),
        "wall": number("wall", 2),
        "wall, plain": number("plain", 2),
        "times as fast, cores full": number("busy", 2),
    }
    notes = [
        "Milliseconds of processor time for a second of sound; decode and encode alone, the rest is cutting, digests, "
        "writing and threads. Cores full: the plain way's wall time over what ours would take with all cores busy."
    ]
    return Table("Our extractions, by step", rows, columns, notes)
