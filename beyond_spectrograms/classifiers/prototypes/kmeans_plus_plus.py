"""Where prototypes start: at training windows far from one another, as K-means++ chooses."""

from __future__ import annotations

import torch
from torch import Tensor


def kmeans_plus_plus(proposals: Tensor, targets: Tensor, count: int, class_of: Tensor | None) -> Tensor:
    """Choose `count` of the proposals [proposals, bands, frames], drawn with torch's generator.

    Each next one is drawn with a chance in proportion to its squared distance to the nearest chosen before (Arthur and
    Vassilvitskii 2007). With `class_of` [count] a prototype is chosen among the proposals of its class, `targets`
    [proposals], or among all where the class has none.
    """
    flat = proposals.flatten(1)
    chosen: list[int] = []
    distances = torch.full((len(flat),), torch.inf)
    for place in range(count):
        allowed = torch.ones(len(flat)) if class_of is None else (targets == class_of[place]).float()
        if not allowed.any():
            allowed = torch.ones(len(flat))
        alike = [other for other in range(place) if class_of is None or class_of[other] == class_of[place]]
        if alike:
            distances = torch.cdist(flat, flat[[chosen[other] for other in alike]]).square().amin(1)
        chances = allowed * (distances if alike else 1.0)
        chosen.append(int(torch.multinomial(chances if chances.sum() > 0 else allowed, 1)))
    return proposals[chosen]
