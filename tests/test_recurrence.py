"""States of a GRU and their gradients: those of nn.GRU."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lso_bench.vae.recurrence import states


def case(dtype, constants):
    gru, embedding = nn.GRU(3 + constants, 4, batch_first=True).to(dtype), nn.Linear(7, 3, bias=False).to(dtype)
    inputs = [torch.randn(5, 6, 7), torch.randn(5, constants), torch.randn(5, 4)]
    return gru, embedding, [x.to(dtype).requires_grad_() for x in inputs]


def plain(gru, embedding, x, constant, state):
    return gru(torch.cat([embedding(x), constant[:, None].expand(-1, x.shape[1], -1)], -1), state[None])[0]


@pytest.mark.parametrize("constants", [0, 2])
def test_states_and_gradients_are_those_of_nn_gru(constants):
    gru, embedding, (x, constant, state) = case(torch.float64, constants)
    ours, theirs = (
        states(gru, embedding, x, constant if constants else None, state),
        plain(gru, embedding, x, constant, state),
    )
    assert_close(ours, theirs)
    weights, sources = (
        torch.randn_like(ours),
        [x, *[constant] * bool(constants), state, *gru.parameters(), *embedding.parameters()],
    )
    gradients = (torch.autograd.grad((y * weights).sum(), sources) for y in (ours, theirs))
    for gradient, expected in zip(*gradients, strict=True):
        assert_close(gradient, expected)


def test_states_of_a_frozen_gru_are_those_of_nn_gru():
    gru, embedding, (x, constant, state) = case(torch.float64, 2)
    for network in (gru, embedding):
        network.requires_grad_(False)
    x, constant, state = (part.detach() for part in (x, constant, state))
    assert_close(states(gru, embedding, x, constant, state), plain(gru, embedding, x, constant, state))


def test_gradient_reaches_the_inputs_of_a_frozen_gru():
    gru, embedding, (x, constant, state) = case(torch.float64, 2)
    for network in (gru, embedding):
        network.requires_grad_(False)
    gradients = (torch.autograd.grad(f(gru, embedding, x, constant, state).sum(), x)[0] for f in (states, plain))
    assert_close(*gradients)


def test_low_precision_changes_states_and_gradients_little():
    gru, embedding, (x, constant, state) = case(torch.float32, 2)
    with torch.autocast("cpu", torch.bfloat16):
        low = states(gru, embedding, x, constant, state)
    exact = plain(gru, embedding, x, constant, state)
    assert low.dtype == torch.float32
    assert_close(low, exact, atol=0.02, rtol=0)
    for source in (x, state, *gru.parameters(), *embedding.parameters()):
        (ours,), (theirs,) = (torch.autograd.grad(y.sum(), source, retain_graph=True) for y in (low, exact))
        assert_close(ours, theirs, atol=0.02 * theirs.abs().max().item(), rtol=0)
