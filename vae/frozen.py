"""Trained models frozen for search: the same outputs with less work."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from lso_bench.vae.model import VAE, LatentModel
from lso_bench.vae.networks import CausalConv2d, PixelCNN

M = TypeVar("M", bound=LatentModel)


def freeze(vae: M) -> M:
    """Return a copy in evaluation mode without weight gradients.

    Batch norm is folded into the convolutions before it. The PixelCNN's path from the latent to its first layer
    becomes one linear map. A frozen model is returned as it is.
    """
    if vae.frozen:
        return vae
    frozen = deepcopy(vae).eval().requires_grad_(False)
    for module in list(frozen.modules()):
        if isinstance(module, nn.Sequential):
            _fold(module)
    if isinstance(frozen, VAE) and isinstance(frozen.decoder, PixelCNN):
        _multiply_out(frozen.decoder)
    frozen.frozen = True
    return frozen


def _fold(layers: nn.Sequential) -> None:
    """Fold each pair of convolution and batch norm into the convolution."""
    for i in range(len(layers) - 1):
        conv, norm = layers[i], layers[i + 1]
        if isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d | CausalConv2d | nn.ConvTranspose2d):
            _fold_pair(conv, norm, transposed=isinstance(conv, nn.ConvTranspose2d))
            layers[i + 1] = nn.Identity()


def _fold_pair(conv: nn.Conv2d | CausalConv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d, transposed: bool) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias, transposed
    )


def _multiply_out(decoder: PixelCNN) -> None:
    """Turn `of_code` into one Linear; the batch norm after the sum of both parts is folded into both."""
    linear, shape, conv = decoder.of_code
    norm = decoder.entry[0]
    assert isinstance(linear, nn.Linear) and isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    _fold_pair(conv, norm, transposed=False)  # takes the norm's shift; the image part takes only its scale
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    decoder.of_image.weight.mul_(scale[:, None, None, None])
    decoder.entry[0] = nn.Identity()
    offset = conv(shape(linear.bias[None]))  # (1, c, h, w)
    columns = conv(shape(linear.weight.T)) - conv(torch.zeros_like(shape(linear.bias[None])))  # (d, c, h, w)
    product = nn.Linear(linear.in_features, offset.numel()).requires_grad_(False)
    product.weight.copy_(columns.flatten(1).T)
    product.bias.copy_(offset.flatten())
    decoder.of_code = nn.Sequential(product, nn.Unflatten(1, offset.shape[1:])).to(offset.device)
