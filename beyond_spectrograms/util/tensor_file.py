"""The head of a safetensors file, bounded before anything is parsed at length.

It is JSON of up to 100 MB for the library that reads it: 200,000 names take seconds to be refused one by one.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from beyond_spectrograms.util.text import shorten_value

HEAD_BYTES = 1 << 20
TENSORS = 5000
OF_CLASSIFIERS = ("F32", "I64")
OF_ENCODERS = (*OF_CLASSIFIERS, "F64", "F16", "BF16", "I32", "I16", "I8", "U8", "BOOL")


def read_head(path: Path, types: Collection[str]) -> tuple[dict[str, Any], int]:
    """Check how long the head is, how many tensors it names, and that they are of some of the `types`.

    Returns:
        what the head says of each tensor, by name, and the byte at which the first tensor begins.

    Raises:
        ValueError: it is longer, names more or others, or is no such head; the message says which.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > path.stat().st_size:
            raise ValueError("not a safetensors file: its head would be longer than itself")
        if size > HEAD_BYTES:
            raise ValueError(f"its head has {size} bytes; at most {HEAD_BYTES} are read")
        head = file.read(size)
    try:
        found = json.loads(head)
    except (ValueError, RecursionError):
        raise ValueError("not a safetensors file: its head is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("not a safetensors file: its head is no JSON object")
    found.pop("__metadata__", None)
    if len(found) > TENSORS:
        raise ValueError(f"its head names {len(found)} tensors; at most {TENSORS} are read")
    for name, tensor in found.items():
        kind = tensor.get("dtype") if isinstance(tensor, dict) else None
        if kind not in types:
            raise ValueError(
                f"tensor {shorten_value(name)} is of type {shorten_value(repr(kind))}, not {' or '.join(types)}"
            )
    return found, 8 + size
