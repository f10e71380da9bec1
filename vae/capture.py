"""Optimizer steps captured once as a CUDA graph and replayed: the host launches one graph instead of every kernel."""

import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

T = TypeVar("T")
WARM_UP = 3  # steps before the capture, undone afterwards


class UncapturableError(RuntimeError):
    """A step that no CUDA graph can hold."""


def captured(step: Callable[[], T], restore: Callable[[], None] = lambda: None) -> tuple[torch.cuda.CUDAGraph, T]:
    """Return `step` as a graph, and its result: the memory that each replay overwrites.

    Before, `step` runs `WARM_UP` times on another stream, and `restore` undoes what that changed. Source: PyTorch's
    notes on CUDA graphs.

    Raises:
        UncapturableError: `step` reads a value on the host, or does something else that no graph can hold.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    restore()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            result = step()
    except RuntimeError as error:
        raise UncapturableError(str(error).partition("\n")[0]) from error
    return graph, result


Step = Callable[[Tensor, Tensor], Tensor]  # batch and rate's weight, both on the device, to the loss; no host reads


class CapturedStep:
    """A training step as a graph, for batches of one shape.

    The capture leaves weights, running statistics, Adam's moments and the generator unchanged. The optimizer must
    be `capturable`.
    """

    def __init__(self, step: Step, vae: Module, optimizer: Optimizer, x: Tensor):
        self.x, self.weight = x.clone(), torch.ones((), device=x.device)
        weights = {k: t.clone() for k, t in vae.state_dict().items()}
        moments = {id(t): t.clone() for t in _moments(optimizer)}
        generator = torch.cuda.get_rng_state()

        def restore() -> None:
            vae.load_state_dict(weights)
            for t in _moments(optimizer):  # moments that the warm-up created begin at zero
                t.copy_(moments.get(id(t), torch.zeros_like(t)))
            torch.cuda.set_rng_state(generator)
            optimizer.zero_grad(set_to_none=True)  # the graph allocates gradients in its private memory

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "a capturable Adam steps outside a graph"
            self.graph, self.loss = captured(lambda: step(self.x, self.weight), restore)

    def __call__(self, x: Tensor, weight: float) -> Tensor:
        """Take one step on the batch `x` and return the loss, which the next step overwrites."""
        self.x.copy_(x)
        self.weight.fill_(weight)
        self.graph.replay()
        return self.loss


def _moments(optimizer: Optimizer) -> Iterator[Tensor]:
    for state in optimizer.state.values():
        yield from (t for t in state.values() if isinstance(t, Tensor))
