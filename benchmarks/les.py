"""Two public VAEs of texts as models from outside: `--model ./les.py` and `--model ./les.py:texts=smiles`.

Their weights, `trained_models/*/w.pth` of github.com/OmerRonen/les (Ronen et al. 2024, arXiv 2406.09657), lie beside
this file under the names in `MODELS`. Written anew from the shapes of the weights and the description in the paper.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import one_hot, softplus

from lso_bench import FrozenTextModel

HIDDEN = 100


class Published(NamedTuple):
    """One of the models; the last symbol is the blank, which fills the end."""

    symbols: str
    length: int
    latent: int
    noise: float  # factor of the standard deviation
    recurrent: type[nn.LSTM] | type[nn.GRU]
    data: str  # data set here whose texts are of the kind
    file: str


MODELS = {
    "expressions": Published("x+()123*/sinep ", 19, 25, 0.1, nn.LSTM, "expressions", "expressions_lstm_0.05.pth"),
    "smiles": Published(
        "C()c12o=ON3F[@H]n-#Sl+sBr/4\\567IP8 ",
        120,
        56,
        0.001,
        nn.GRU,
        "zinc250k:representation=smiles",
        "smiles_gru_0.05.pth",
    ),
}


class Encoder(nn.Module):
    """Three convolutions, each with batch norm, and two linear layers to the mean and the log variance."""

    def __init__(self, symbols: int, weights: dict[str, Tensor]):
        super().__init__()
        inner = symbols
        for i in (1, 2, 3):
            out, _, width = weights[f"conv{i}.weight"].shape
            setattr(self, f"conv{i}", nn.Conv1d(inner, out, width))
            setattr(self, f"batch_norm{i}", nn.BatchNorm1d(out))
            inner = out
        self.linear, self.mu, self.sigma = (linear(weights, name) for name in ("linear", "mu", "sigma"))

    def forward(self, x: Float[Tensor, "b v t"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        for i in (1, 2, 3):
            x = getattr(self, f"batch_norm{i}")(getattr(self, f"conv{i}")(x).relu())
        hidden = self.linear(x.flatten(1)).relu()
        return self.mu(hidden), softplus(self.sigma(hidden))


class Decoder(nn.Module):
    """A recurrent network of three layers, whose outputs get back the probabilities of the token before."""

    def __init__(self, recurrent: type[nn.LSTM] | type[nn.GRU], weights: dict[str, Tensor]):
        super().__init__()
        self.gru = recurrent(HIDDEN, HIDDEN, num_layers=3, batch_first=True)
        self.project, self.out, self.output_projection = (
            linear(weights, name) for name in ("project", "out", "output_projection")
        )

    def forward(self, z: Float[Tensor, "b d"], steps: int) -> Float[Tensor, "b t v"]:
        code = self.project(z)[:, None]
        state, before, logits = None, torch.zeros_like(code), []
        for _ in range(steps):
            hidden, state = self.gru(code, state)
            logits.append(self.out(torch.cat([hidden, before], -1)))
            before = self.output_projection(logits[-1].softmax(-1))
        return torch.cat(logits, 1)


class Network(nn.Module):
    """Encoder and decoder with their weights."""

    def __init__(self, published: Published, weights: dict[str, Tensor]):
        super().__init__()
        encoder, decoder = of_part(weights, "encoder"), of_part(weights, "decoder")
        self.encoder = Encoder(len(published.symbols), encoder)
        self.decoder = Decoder(published.recurrent, decoder)
        self.encoder.load_state_dict(encoder)
        self.decoder.load_state_dict(decoder)


def linear(weights: dict[str, Tensor], name: str) -> nn.Linear:
    """Return a linear layer of the shape of its weights."""
    out, inner = weights[f"{name}.weight"].shape
    return nn.Linear(inner, out)


def of_part(weights: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the weights of a part that are used."""
    used = {k.removeprefix(f"{part}."): v for k, v in weights.items() if k.startswith(f"{part}.")}
    return {k: v for k, v in used.items() if not k.startswith("embedding")}


@dataclass(frozen=True)
class Les(FrozenTextModel):
    """A VAE of expressions (LSTM, 25 latents) or SMILES (GRU, 56 latents), trained with 0.05 of the KL."""

    texts: Literal["expressions", "smiles"] = "expressions"

    @property
    def published(self) -> Published:
        return MODELS[self.texts]

    @property
    def data(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.published.data

    @property
    def latent(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.published.latent

    @property
    def files(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (self.published.file,)

    def load(self, folder: Path) -> nn.Module:
        return Network(self.published, self.tensors(folder / self.published.file))

    def encode(self, network: Any, texts: list[str]) -> Normal:
        x = one_hot(self._tokens(network, texts), len(self.published.symbols)).float().transpose(1, 2)
        mean, log_variance = network.encoder(x)
        return Normal(mean, self.published.noise * (log_variance / 2).exp())

    def decode(self, network: Any, z: Float[Tensor, "b d"]) -> list[str]:
        rows = network.decoder(z, self.published.length).argmax(-1).tolist()
        return ["".join(self.published.symbols[i] for i in row).partition(" ")[0] for row in rows]

    def log_prob(self, network: Any, texts: list[str], z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        tokens = self._tokens(network, texts)
        counted = (tokens == len(self.published.symbols) - 1).cumsum(1) <= 1  # up to and with the first blank
        logits = network.decoder(z, self.published.length)
        return (logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0] * counted).sum(-1)

    def _tokens(self, network: Any, texts: list[str]) -> Int[Tensor, "b t"]:
        """Return the tokens of texts; those that are too long are cut."""
        length, symbols = self.published.length, self.published.symbols
        rows = [[symbols.find(c) for c in text[:length].ljust(length)] for text in texts]
        return torch.tensor(rows, device=network.decoder.out.weight.device)
