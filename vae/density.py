"""The density of binary images under a PixelCNN without a code."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.distributions import Bernoulli

from lso_bench.vae.data import binarise
from lso_bench.vae.networks import Architecture, PixelCNN

BATCH = 500  # images measured at once
ARCHITECTURE = Architecture(latent=1, encoder=1, hidden=1, channels=24, kernels=(7, 7, 5, 5, 3), skips=False)


class Density(nn.Module):
    """p(x) = prod over pixels p(x_i | the pixels above and to the left): exact, and of no decoder that is searched.

    The PixelCNN's code is always 0; what is left of that part is a bias for each place of the page. Source: van den
    Oord et al. 2016, "Pixel Recurrent Neural Networks", equation 1.
    """

    def __init__(self):
        super().__init__()
        self.pixels = PixelCNN(ARCHITECTURE)
        self.ordinary = -torch.inf  # log p that 99 % of the test images reach; known once it is trained

    def log_prob(self, x: Float[Tensor, "*b 1 h w"]) -> Float[Tensor, " *b"]:
        """log p(x) in nats, summed over pixels, of binary images."""
        flat = x.reshape(-1, *x.shape[-3:])
        place = self.pixels.of_code(flat.new_zeros(1, 1))  # (1, c, h, w)
        logits = self.pixels.rest(self.pixels.of_image(flat) + place).float()
        return Bernoulli(logits=logits, validate_args=False).log_prob(flat).sum((-3, -2, -1)).reshape(x.shape[:-3])

    def loss(self, grey: UInt8[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """-log p of fresh binary draws, averaged over a training batch; the network in bfloat16, in half the time."""
        with torch.autocast(grey.device.type, torch.bfloat16):
            return -self.log_prob(binarise(grey)).mean()

    @torch.no_grad()
    def test_metrics(self, x: Float[Tensor, "n 1 h w"]) -> dict[str, float]:
        """Mean of -log p in nats with its standard error; the 1 % quantile of log p; how many images."""
        found = torch.cat([self.log_prob(part) for part in x.split(BATCH)]).double()
        error = (found.std() / len(found) ** 0.5).item()
        return {"nll": -found.mean().item(), "se": error, "q01": found.quantile(0.01).item(), "images": len(found)}
