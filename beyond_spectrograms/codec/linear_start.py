"""A linear codec for training to begin with: principal components in the encoder, least squares in the decoder.

Layers whose weights are drawn keep some directions of what they are given and lose others, without regard to which of
them are loud: 3,000 steps did not teach a small network what a linear transform does (docs/codec.md). Here each
convolution of the encoder keeps the directions of most variance (Krähenbühl et al., "Data-dependent initializations of
convolutional neural networks", 2016), and each of the decoder gives back what its counterpart was given as nearly as a
linear layer can. Between them levels are so low that ELU, exp(x) - 1 below 0, is nearly x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from encodec.modules.seanet import SEANetResnetBlock

    from beyond_spectrograms.codec.network import Codec

QUIET = 0.02  # standard deviation of what layers pass on; ELU bends it by half of this, relatively
BRANCH = 0.05  # by which what residual blocks add begins smaller than it was
MOST = 200_000  # rows that a layer is fitted to
SILENT = 1e-8  # standard deviation of sounds to which nothing is fitted
RIDGE = 1e-4  # of the mean power of what a layer is given


@torch.no_grad()
def fit_linear(codec: Codec, sound: torch.Tensor) -> None:
    """Fit the convolutions of a causal codec to `sound` [batch, channels, samples]; latents get variance 1.

    Biases are 0. What residual blocks and an LSTM add stays as it is. Silence changes nothing.
    """
    from encodec.modules.conv import SConv1d, SConvTranspose1d
    from encodec.modules.seanet import SEANetResnetBlock

    if sound.std() < SILENT:
        return
    level = codec.level_of(sound)
    given = sound if level is None else sound / level
    wanted = [given]  # what each convolution of the decoder is to give, the last first
    *layers, activation, last = codec.encoder.model
    for layer in layers:
        if isinstance(layer, SEANetResnetBlock):
            _pass_on(layer)
        elif isinstance(layer, SConv1d):
            _keep_loudest(layer, given, QUIET)
        given = layer(given)
        if isinstance(layer, SEANetResnetBlock):
            wanted.append(given)
    wanted.append(given)
    given = activation(given)
    _keep_loudest(last, given, 1.0)
    given = last(given)
    for layer in codec.decoder.model:
        if isinstance(layer, SEANetResnetBlock):
            _pass_on(layer)
        elif isinstance(layer, SConv1d):
            _give_back(layer, given, wanted.pop())
        elif isinstance(layer, SConvTranspose1d):
            _give_back_longer(layer, given, wanted.pop())
        given = layer(given)


def _pass_on(block: SEANetResnetBlock) -> None:
    """Let a residual block pass on what it is given; what it adds begins small."""
    *_, last = (layer for layer in block.block.modules() if isinstance(layer, nn.Conv1d))
    weights: Any = last
    weights.weight_g.mul_(BRANCH)
    weights.bias.zero_()
    shortcut = _convolution(block.shortcut)
    _set(shortcut, torch.eye(shortcut.out_channels, device=shortcut.weight_v.device)[:, :, None])


def _keep_loudest(layer: nn.Module, given: torch.Tensor, deviation: float) -> None:
    """Keep the directions of most variance of what lies under the kernel, as many as there are channels.

    The kernel is twice as long as the stride; taps before the last stride are 0 unless there are more channels than
    directions, so that neighbouring frames do not tell the same. Channels beyond are as they were drawn, of length 1.
    What all channels give has the standard `deviation`, each about its own mean.
    """
    convolution = _convolution(layer)
    channels, inputs, kernel = convolution.weight_v.shape
    taps = min(kernel, max(convolution.stride[0], -(-channels // inputs)))
    heard = _padded(layer, given).unfold(2, kernel, convolution.stride[0])[..., kernel - taps :]
    rows = _rows(heard.transpose(1, 2))
    rows = rows - rows.mean(0)
    covariance = (rows.T @ rows / len(rows)).double()
    directions = torch.linalg.eigh(covariance)[1].flip(1).T[:channels].to(given.dtype)
    weights = nn.functional.normalize(convolution.weight_v.flatten(1)).view_as(convolution.weight_v)
    weights[: len(directions)] = 0.0
    weights[: len(directions), :, kernel - taps :] = directions.view(-1, inputs, taps)
    _set(convolution, weights)
    made = layer(given)
    _set(convolution, deviation / (made - made.mean((0, 2), keepdim=True)).std() * weights)


def _give_back(layer: nn.Module, given: torch.Tensor, wanted: torch.Tensor) -> None:
    """Fit a convolution of stride 1, so that it gives `wanted` [batch, channels, frames] for what it is given."""
    convolution = _convolution(layer)
    heard = _padded(layer, given).unfold(2, convolution.kernel_size[0], 1)[:, :, : wanted.shape[2]]  # whole hops
    slopes = _regress(_rows(heard.transpose(1, 2)), _rows(wanted.transpose(1, 2)))
    _set(convolution, slopes.T.reshape(convolution.weight_v.shape))


def _give_back_longer(layer: nn.Module, given: torch.Tensor, wanted: torch.Tensor) -> None:
    """Fit a transposed convolution, each of whose strides hangs on a frame and the one before it."""
    convolution = _convolution(layer)
    inputs, channels, kernel = convolution.weight_v.shape
    stride, frames = kernel // 2, wanted.shape[2] // (kernel // 2)  # whole strides
    before = nn.functional.pad(given, (1, 0))
    heard = torch.cat([given[..., :frames], before[..., :frames]], dim=1).transpose(1, 2)
    of_frames = wanted[..., : frames * stride].reshape(-1, channels, frames, stride).transpose(1, 2)
    now, earlier = _regress(_rows(heard), _rows(of_frames)).view(2, inputs, channels, stride)
    _set(convolution, torch.cat([now, earlier], dim=2))


def _regress(given: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Fit wanted [rows, outputs] by given [rows, inputs], with no constant: slopes [inputs, outputs]."""
    rows, answers = given.double(), wanted.double()
    products = rows.T @ rows
    products += RIDGE * products.diagonal().mean() * torch.eye(len(products), device=rows.device)
    slopes: torch.Tensor = torch.linalg.solve(products, rows.T @ answers)
    return slopes.to(given.dtype)


def _rows(laid_out: torch.Tensor) -> torch.Tensor:
    """Give frames [batch, frames, ..] as rows [rows, values]: MOST at most, evenly, and no other is copied."""
    batch, frames = laid_out.shape[:2]
    chosen = torch.arange(0, batch * frames, -(-batch * frames // MOST), device=laid_out.device)
    return laid_out[chosen // frames, chosen % frames].flatten(1)


def _convolution(layer: nn.Module) -> Any:
    """Find the convolution that a layer of the package wraps; its weights are weight_g times directions weight_v."""
    (found,) = (each for each in layer.modules() if isinstance(each, nn.Conv1d | nn.ConvTranspose1d))
    return found


def _padded(layer: nn.Module, given: torch.Tensor) -> torch.Tensor:
    """Pad what a layer is given as it does itself."""
    seen: list[torch.Tensor] = []
    handle = _convolution(layer).register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    layer(given)
    handle.remove()
    return seen[0]


def _set(convolution: Any, weights: torch.Tensor) -> None:
    """Set weights as lengths and directions of length 1: a step turns a long direction less than a short one."""
    norms = weights.flatten(1).norm(dim=1).view_as(convolution.weight_g)
    any_direction = weights[0].numel() ** -0.5  # where the length is 0
    convolution.weight_v.copy_(torch.where(norms > 0, weights / norms, any_direction))
    convolution.weight_g.copy_(norms)
    convolution.bias.zero_()
