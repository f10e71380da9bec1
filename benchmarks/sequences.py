"""Sequences by `gru`: training and greedy decoding, ours against plain PyTorch.

    python benchmarks/sequences.py [--steps 20] [--repeats 5]

The plain implementation is the same network as anyone writes it: nn.Embedding and nn.GRU over whole numbers, cross
entropy with the padding left out, and a loop of nn.GRU over positions, whose argmax is the next input. Tokens are
random, which changes no time: expressions are 13 of 12, SELFIES 72 of 80. The ways by turns, in this one process, on
one thread, in batches of 50; medians and ranges of steps, scaled to an epoch. Seconds are of processor time.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from lso_bench.process import settle_memory
from lso_bench.search.space import Space
from lso_bench.vae.architectures import architecture
from lso_bench.vae.architectures.gru import GRU
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives.elbo import ELBO
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training import optimizer_step
from lso_bench.vae.training_state import Job, Plan, optimizer

LATENT, CODES = 32, 256
END = 0


@dataclass(frozen=True)
class Kind:
    """Sequences of one data set: how many are an epoch, their length and their vocabulary."""

    count: int
    length: int
    vocabulary: int
    goal: float  # seconds an epoch

    def tokens(self, count: int) -> UInt8[Tensor, "n t"]:
        """Return random sequences, half as long as the longest on average."""
        lengths = torch.randint(1, self.length + 1, (count, 1))
        drawn = torch.randint(1, self.vocabulary, (count, self.length))
        return (drawn * (torch.arange(self.length) < lengths)).byte()


KINDS = {"expressions": Kind(40_000, 13, 12, 10.0), "SELFIES": Kind(20_000, 72, 80, 20.0)}


class PlainGRU(nn.Module):
    """VAE of sequences as tutorials write it; sizes as those of `gru`."""

    def __init__(self, vocabulary: int, sizes: GRU):
        super().__init__()
        embedding, hidden = sizes.embedding, sizes.hidden
        self.embedding_in = nn.Embedding(vocabulary, embedding)
        self.encoder = nn.GRU(embedding, hidden, batch_first=True)
        self.to_code = nn.Linear(hidden, 2 * LATENT)
        self.embedding_out = nn.Embedding(vocabulary + 1, embedding)  # and the start
        self.from_code = nn.Linear(LATENT, hidden)
        self.decoder = nn.GRU(embedding + LATENT, hidden, batch_first=True)
        self.to_logits = nn.Linear(hidden, vocabulary)

    def loss(self, x: Int[Tensor, "b t"]) -> Float[Tensor, ""]:
        """Return the negative evidence lower bound, in nats a sequence."""
        last = (x == END).int().argmax(1) + (x.shape[1] - 1) * (x != END).all(1)
        states, _ = self.encoder(self.embedding_in(x))
        mean, log_variance = self.to_code(states[torch.arange(len(x)), last]).chunk(2, -1)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        before = pad(x[:, :-1], (1, 0), value=self.to_logits.out_features)
        inputs = torch.cat([self.embedding_out(before), z[:, None].expand(-1, x.shape[1], -1)], -1)
        states, _ = self.decoder(inputs, self.from_code(z).tanh()[None])
        counted = torch.arange(x.shape[1]) <= last[:, None]
        nats = cross_entropy(self.to_logits(states).transpose(1, 2), x, reduction="none")
        rate = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
        return ((nats * counted).sum(1) + rate).mean()

    @torch.no_grad()
    def greedy(self, z: Float[Tensor, "b d"], length: int) -> Int[Tensor, "b t"]:
        """Return the likeliest token at each position, given those before."""
        state, tokens = self.from_code(z).tanh()[None], []
        token = torch.full((len(z),), self.to_logits.out_features)
        for _ in range(length):
            output, state = self.decoder(torch.cat([self.embedding_out(token), z], -1)[:, None], state)
            token = self.to_logits(output[:, 0]).argmax(-1)
            tokens.append(token)
        return torch.stack(tokens, 1)


def our_network(kind: Kind) -> VAE:
    """Return a random network of ours."""
    shape, likelihood = (kind.length, kind.vocabulary), f"categorical:vocabulary={kind.vocabulary}"
    return VAE(architecture("gru", LATENT, shape, likelihood))


def our_training(kind: Kind, precision: Literal["fp32", "bf16"]) -> Callable[[Tensor], object]:
    """Return our step of training, of stored tokens."""
    vae = our_network(kind).train()
    plan = Plan(Model("vae", "expressions", "gru"), precision=precision)
    job = Job(plan, vae, optimizer(vae, plan), ELBO())
    return lambda tokens: optimizer_step(job, vae.density.model_input(tokens), 1.0, False)


def plain_training(kind: Kind) -> Callable[[Tensor], object]:
    """Return the step of training of the plain network."""
    network = PlainGRU(kind.vocabulary, GRU())
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(tokens: Tensor) -> None:
        adam.zero_grad()
        network.loss(tokens.long()).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        adam.step()

    return step


def by_turns(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each way, called by turns; the first turn does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds[name] += [time.process_time() - start] * (turn > 0)
    return seconds


def print_rows(title: str, seconds: dict[str, list[float]], goal: float) -> None:
    """Print the medians and ranges of the ways, the last of which is the plain one."""
    print(f"{title}; goal under {goal:g} s")
    plain = median([*seconds.values()][-1])
    for name, values in seconds.items():
        middle = median(values)
        print(f"  {name:10} {middle:7.3f} s ({min(values):.3f} to {max(values):.3f}) {plain / middle:5.2f} x")


def compare_training(name: str, args: argparse.Namespace) -> None:
    """Print the seconds of an epoch."""
    kind = KINDS[name]
    batches = kind.tokens(50 * args.steps).split(50)
    steps = {
        "ours": our_training(kind, "fp32"),
        "ours, bf16": our_training(kind, "bf16"),
        "plain": plain_training(kind),
    }
    seconds = by_turns({n: lambda s=s: [s(b) for b in batches] for n, s in steps.items()}, args.repeats)
    scale = kind.count / (50 * args.steps)
    title = f"epoch of {kind.count:,} {name}, {kind.length} tokens of {kind.vocabulary}"
    print_rows(title, {n: [v * scale for v in values] for n, values in seconds.items()}, kind.goal)


def compare_decoding(args: argparse.Namespace) -> None:
    """Print the seconds of greedy decoding."""
    kind, z = KINDS["SELFIES"], torch.randn(1, CODES, LATENT)
    space, plain = Space(our_network(kind), "greedy"), PlainGRU(kind.vocabulary, GRU())
    with torch.no_grad():
        ways = {"ours": lambda: space.decode(z), "plain": lambda: plain.greedy(z[0], kind.length)}
        seconds = by_turns(ways, 2 * args.repeats)
    print_rows(f"greedy decoding of {CODES} codes to {kind.length} tokens of {kind.vocabulary}", seconds, 0.15)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    settle_memory()
    torch.manual_seed(0)
    compare_decoding(args)
    for name in KINDS:
        compare_training(name, args)


if __name__ == "__main__":
    main()
