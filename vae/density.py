"""Density of binary images under a PixelCNN without a latent."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.distributions import Bernoulli

from lso_bench.vae.data import binarise
from lso_bench.vae.networks import PixelCNN

BATCH = 500  # images measured at once
KERNELS = (7, 7, 5, 5, 3)


class Density(nn.Module):
    """Exact density p(x) = prod over pixels p(x_i | the pixels above and to the left), of no searched decoder.

    The PixelCNN's latent is always 0; its part of the network is a bias at each place of the page. Source: van den
    Oord et al. 2016, "Pixel Recurrent Neural Networks", equation 1.
    """

    def __init__(self):
        super().__init__()
        self.pixels = PixelCNN(size=28, latent=1, channels=24, kernels=KERNELS)
        self.ordinary = -torch.inf  # log p that 99 % of the test images reach; known after training

    def log_prob(self, x: Float[Tensor, "*b 1 h w"]) -> Float[Tensor, " *b"]:
        """Compute log p(x) in nats, summed over pixels, of binary images."""
        flat = x.reshape(-1, *x.shape[-3:]).to(next(self.parameters()).dtype)  # a search may be in double precision
        bias = self.pixels.of_code(flat.new_zeros(1, 1))  # (1, c, h, w)
        logits = self.pixels.rest(self.pixels.of_image(flat) + bias).float()
        return Bernoulli(logits=logits, validate_args=False).log_prob(flat).sum((-3, -2, -1)).reshape(x.shape[:-3])

    def loss(self, grey: UInt8[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Compute -log p of fresh binary draws, averaged over a training batch.

        The network runs in bfloat16, in half the time.
        """
        with torch.autocast(grey.device.type, torch.bfloat16):
            return -self.log_prob(binarise(grey)).mean()

    @torch.no_grad()
    def test_metrics(self, x: Float[Tensor, "n 1 h w"]) -> dict[str, float]:
        """Return the mean of -log p in nats with its standard error, the 1 % quantile of log p, and the number of
        images.
        """
        log_probs = torch.cat([self.log_prob(part) for part in x.split(BATCH)]).double()
        error = (log_probs.std() / len(log_probs) ** 0.5).item()
        return {
            "nll": -log_probs.mean().item(),
            "se": error,
            "q01": log_probs.quantile(0.01).item(),
            "images": len(log_probs),
        }
