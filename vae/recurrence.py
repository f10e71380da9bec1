"""States of a GRU on a CPU, whose gradient is written by hand: nn.GRU has a graph of each position."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


def states(
    gru: nn.GRU,
    embedding: nn.Linear,
    x: Float[Tensor, "b t v"],
    constant: Float[Tensor, "b d"] | None,
    state: Float[Tensor, "b h"],
) -> Float[Tensor, "b t h"]:
    """Return the states of a GRU of one layer after each position; its inputs are embedded tokens and maybe a constant.

    They are those of `nn.GRU`, whose own function is used on a GPU. That of cuDNN has no gradient in evaluation mode.
    """
    moved = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, constant, state))
    if x.is_cuda and (gru.training or not moved):
        parts = [embedding(x)] if constant is None else [embedding(x), constant[:, None].expand(-1, x.shape[1], -1)]
        return gru(torch.cat(parts, -1), state[None])[0]
    of_input, of_state, input_bias, state_bias = gru.all_weights[0]
    of_embedding, of_constant = of_input.tensor_split([embedding.out_features], 1)
    inputs = linear(x, of_embedding @ embedding.weight, input_bias)
    if constant is not None:
        inputs = inputs + linear(constant, of_constant)[:, None]
    return _recurrence(inputs, state, of_state, state_bias)  # pyright: ignore[reportCallIssue]


@torch.compiler.disable  # a graph of each position takes minutes to compile
def _recurrence(inputs: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return Recurrence.apply(inputs, state, weight, bias)  # pyright: ignore[reportReturnType, reportCallIssue]


class Recurrence(Function):
    """States of a GRU by what its inputs add to the gates, which are reset, update and new state, as in `nn.GRU`.

    Products are in the precision of the inputs, states in that of the weights. Source of the equations: Cho et al. 2014
    (arXiv 1406.1078), section 2.3, with the reset after the product.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Float[Tensor, "b t g"],
        state: Float[Tensor, "b h"],
        weight: Float[Tensor, "g h"],
        bias: Float[Tensor, " g"],
    ) -> Float[Tensor, "b t h"]:
        (b, t, _), h = inputs.shape, state.shape[-1]
        narrow, narrow_bias = weight.to(inputs.dtype), bias.to(inputs.dtype)
        inputs = inputs.to(weight.dtype)  # a sum of two types takes several times as long
        kept = t if any(ctx.needs_input_grad) else 1  # positions whose gates and products are kept for a gradient
        states, gates = weight.new_empty(t + 1, b, h), weight.new_empty(kept, b, 3 * h)
        products = weight.new_empty(kept, b, h)  # of the new state, before the reset
        states[0] = state
        for i in range(t):
            j = i % kept
            product = torch.addmm(narrow_bias, states[i].to(narrow.dtype), narrow.T).to(weight.dtype)
            both, new, products[j] = gates[j, :, : 2 * h], gates[j, :, 2 * h :], product[:, 2 * h :]
            torch.add(inputs[:, i, : 2 * h], product[:, : 2 * h], out=both).sigmoid_()
            torch.addcmul(inputs[:, i, 2 * h :], both[:, :h], products[j], out=new).tanh_()
            torch.lerp(new, states[i], both[:, h:], out=states[i + 1])
        ctx.save_for_backward(states, gates, products, narrow)
        return states[1:].transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        states, gates, products, weight = ctx.saved_tensors
        reset, update, new = gates.chunk(3, -1)
        of_new = tanh_backward(1 - update, new)  # derivatives of a state by each gate before its nonlinearity
        of_update = sigmoid_backward(states[:-1] - new, update)
        of_reset = sigmoid_backward(of_new * products, reset)
        factors = torch.stack([of_reset, of_update, of_new * reset], 2)  # (t, b, 3, h), of the products
        by_state, by_product = torch.empty_like(products), torch.empty_like(factors)
        carried = torch.zeros_like(products[0])
        for i in reversed(range(len(products))):
            torch.add(carried, gradients[0][:, i], out=by_state[i])
            torch.mul(factors[i], by_state[i, :, None], out=by_product[i])
            through = (by_product[i].flatten(1).to(weight.dtype) @ weight).to(update.dtype)
            carried = torch.addcmul(through, by_state[i], update[i])
        flat = by_product.flatten(2).flatten(0, 1).to(weight.dtype)
        by_weight = flat.T @ states[:-1].flatten(0, 1).to(weight.dtype) if ctx.needs_input_grad[2] else None
        by_bias = flat.sum(0)
        torch.mul(by_state, of_new, out=by_product[:, :, 2])  # from here on of the inputs
        return by_product.flatten(2).transpose(0, 1), carried, by_weight, by_bias
