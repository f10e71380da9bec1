"""Random numbers as PyTorch's generator on a CPU draws them, in double precision, whatever the processor and version.

The words of the Mersenne Twister are PyTorch's, and so is what is derived from them; PyTorch rounds it to single
precision in ways that depend on the processor. Checked against PyTorch 2.13.
"""

import numpy as np
from jaxtyping import Float64, Int64, UInt64

BLOCK = 16  # normal numbers that PyTorch derives together, of two times 8 uniform ones


class TorchDraws:
    """Draws of a `torch.Generator` after `manual_seed(seed)`."""

    def __init__(self, seed: int):
        self._twister = np.random.RandomState(seed)

    def uniform(self, n: int) -> Float64[np.ndarray, " n"]:
        """Return what `torch.rand` draws: multiples of 2**-24."""
        return (self._words(n) % 2**24) * 2.0**-24

    def normal(self, n: int) -> Float64[np.ndarray, " n"]:
        """Return what `torch.randn` draws, by the Box-Muller transform; n is 16 or more."""
        uniform, whole = self.uniform(n), n // BLOCK * BLOCK
        normal = np.concatenate([_box_muller(uniform[:whole]), np.zeros(n - whole)])
        if n > whole:  # the last block is drawn again
            normal[-BLOCK:] = _box_muller(self.uniform(BLOCK))
        return normal

    def exponential(self, n: int) -> Float64[np.ndarray, " n"]:
        """Return what `Tensor.exponential_` draws."""
        high, low = self._words(2 * n).reshape(n, 2).T
        return -np.log1p(((high % 2**21 << 32) + low) * -(2.0**-53))

    def permutation(self, n: int) -> Int64[np.ndarray, " n"]:
        """Return what `torch.randperm` draws."""
        order = np.arange(n)
        for i, word in enumerate(self._words(n - 1)):
            j = i + int(word % (n - i))
            order[[i, j]] = order[[j, i]]
        return order

    def choice(self, chances: Float64[np.ndarray, " n"]) -> int:
        """Return what `torch.multinomial` draws, one number in proportion to these chances."""
        return int((chances / self.exponential(len(chances))).argmax())

    def _words(self, n: int) -> UInt64[np.ndarray, " n"]:
        return self._twister.randint(0, 2**32, n, np.uint32).astype(np.uint64)


def _box_muller(uniform: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    first, second = uniform.reshape(-1, 2, BLOCK // 2).transpose(1, 0, 2)
    radius, angle = np.sqrt(-2 * np.log1p(-first)), 2 * np.pi * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()
