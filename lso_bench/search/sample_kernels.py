"""Kernels of samples: of molecules by their fingerprints, of texts by their k-mers, of images by their pixels."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.molecules.fingerprints import count_fingerprints
from lso_bench.molecules.reading import require
from lso_bench.search.space import Space
from lso_bench.vae.datasets import DATASETS, TextSource
from lso_bench.vae.text_samples import TextSamples

SampleKernelName = Literal["auto", "tanimoto", "string", "pixels"]
LONGEST = 3  # tokens of a k-mer
FOLD = 2039  # counts of k-mers, which share them where there are more; prime, so that k-mers spread evenly
KEPT = 20_000  # texts whose fingerprints are kept
FITTING = {  # kernels of each kind of samples, first the default
    "molecules": ("tanimoto", "string"),
    "texts": ("string",),
    "images": ("pixels",),
    "vectors": ("pixels",),
}


class SampleKernel(ABC):
    """Kernel of samples, by features that are computed once a sample."""

    @abstractmethod
    def features(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n p"]:
        """Return the features of samples, on the CPU, in single precision."""

    @abstractmethod
    def to(self, b: Float[Tensor, "k n p"]) -> Callable[[Float[Tensor, "k m p"]], Float[Tensor, "k m n"]]:
        """Return the kernel to all b of each problem, in double precision, as a function of features."""

    @abstractmethod
    def diagonal(self, a: Float[Tensor, "k m p"]) -> Float[Tensor, "k m"]:
        """Return the kernel between each a and itself."""


class MinMax(SampleKernel):
    """Base of kernels of counts: sum of minima over sum of maxima, which is Tanimoto's similarity of binary ones.

    Source: Ralaivola, Swamidass, Saigo & Baldi 2005, "Graph kernels for chemical informatics", the MinMax kernel. Two
    samples without any count are equal: 1.
    """

    def to(self, b: Float[Tensor, "k n p"]) -> Callable[[Float[Tensor, "k m p"]], Float[Tensor, "k m n"]]:
        occurring = (b > 0).flatten(0, 1).any(0).nonzero()[:, 0]  # elsewhere the minimum is 0
        totals, b = b.sum(-1)[:, None], b[..., occurring].contiguous()

        def values(a: Float[Tensor, "k m p"]) -> Float[Tensor, "k m n"]:
            sums, a = a.sum(-1, keepdim=True) + totals, a.index_select(-1, occurring)
            shared = (a.sum(-1, keepdim=True) + totals - torch.cdist(a, b, p=1)).double() / 2
            return torch.where(sums > 0, shared / (sums - shared).clamp_min(1), 1.0)

        return values

    def diagonal(self, a: Float[Tensor, "k m p"]) -> Float[Tensor, "k m"]:
        return torch.ones(a.shape[:2], dtype=torch.float64)


class Strings(MinMax):
    """MinMax kernel of the counts of k-mers of one to LONGEST tokens.

    The counts are those of the spectrum kernel (Leslie, Eskin & Noble 2002), for several k. They are folded into FOLD.
    """

    def __init__(self, source: TextSource | None):
        self._source = source

    def features(self, x: Float[Tensor, "n t v"]) -> Float[Tensor, "n p"]:
        counts = counts_of_kmers(_tokens(x), x.shape[-1])
        if self._source is not None:
            for i in _are_spelled(x).nonzero()[:, 0].tolist():
                (text,) = TextSamples(self._source).texts(x[i : i + 1])
                codes = torch.tensor([[1 + ord(character) for character in text]])
                counts[i] = counts_of_kmers(codes, 1 << 20)[0]
        return counts


class Molecules(MinMax):
    """MinMax kernel of the counts of Morgan fingerprints of radius 2; texts that are no molecules are equal."""

    def __init__(self, source: TextSource):
        self._samples, self._representation = TextSamples(source), source.representation
        self._known: dict[str, Tensor] = {}

    def features(self, x: Float[Tensor, "n t v"]) -> Float[Tensor, "n p"]:
        texts = self._samples.texts(x)
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            counts = torch.from_numpy(count_fingerprints(new, self._representation))
            self._known.update(zip(new, counts, strict=True))
        features = torch.stack([self._known[text] for text in texts]).float()
        if len(self._known) > KEPT:
            self._known.clear()
        return features


class Pixels(SampleKernel):
    """Linear kernel: the mean over the elements of the products of two samples."""

    def features(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n p"]:
        return x.detach().flatten(1).cpu().float()

    def to(self, b: Float[Tensor, "k n p"]) -> Callable[[Float[Tensor, "k m p"]], Float[Tensor, "k m n"]]:
        scaled = b.double().mT / b.shape[-1]
        return lambda a: a.double() @ scaled

    def diagonal(self, a: Float[Tensor, "k m p"]) -> Float[Tensor, "k m"]:
        return a.double().square().mean(-1)


def kind_of_samples(space: Space | None, data: str) -> str:
    """Return what samples are, of a data set, or where it has no name of a space's model: a key of FITTING."""
    source = DATASETS.build(data) if data else None
    if isinstance(source, TextSource):
        return "molecules" if source.representation else "texts"
    if source is not None:
        return "images" if len(source.shape) == 3 else "vectors"
    assert space is not None, "the samples are those of a data set or of a model"
    if space.vae.of_texts:
        return "texts"
    return "images" if len(space.vae.shape) == 3 else "vectors"


def check(name: str, got: str) -> str:
    """Return the kernel that `name` stands for with samples of this kind.

    Raises:
        UsageError: the kernel is not of such samples.
    """
    if name not in ("auto", *FITTING[got]):
        kinds = " or ".join(kind for kind, kernels in FITTING.items() if name in kernels)
        fits = ", ".join(f"kernel={kernel}" for kernel in ("auto", *FITTING[got]))
        wants = f"cowboys:kernel={name} wants samples that are {kinds}"
        raise UsageError(f"{wants}, and these are {got}; say one of {fits}.")
    return FITTING[got][0] if name == "auto" else name


def check_data(name: str, data: str) -> None:
    """Refuse a kernel that is not of the samples of a data set, or needs a package that is not installed.

    Raises:
        UsageError, PluginError: says what to do.
    """
    source = DATASETS.build(data)
    if check(name, kind_of_samples(None, data)) == "tanimoto" and isinstance(source, TextSource):
        require(source.representation)


def build(name: str, space: Space, data: str) -> SampleKernel:
    """Return the kernel of this name for the samples that a space decodes; `auto` picks by their kind.

    Raises:
        UsageError: as `check`.
    """
    source = DATASETS.build(data) if data else None
    texts = source if isinstance(source, TextSource) else None
    chosen = check(name, kind_of_samples(space, data))
    if chosen == "tanimoto":
        assert texts is not None, "only a data set of texts has molecules"
        return Molecules(texts)
    return Strings(texts) if chosen == "string" else Pixels()


def counts_of_kmers(tokens: Int[Tensor, "n t"], base: int) -> Float[Tensor, "n f"]:
    """Return how often each k-mer stands in tokens from 1 to `base`, 0 after the end; k from 1 to LONGEST.

    A k-mer is numbered by its tokens as digits, after all shorter ones, and counted at this number modulo FOLD.
    """
    counts, first = torch.zeros(len(tokens), FOLD), 0
    for k in range(1, min(LONGEST, tokens.shape[1]) + 1):
        windows = tokens.unfold(1, k, 1)  # (n, t - k + 1, k)
        digits = base ** torch.arange(k)
        numbers = first + ((windows - 1) * digits).sum(-1)
        counts.scatter_add_(1, numbers.remainder(FOLD), (windows > 0).all(-1).float())
        first += base**k
    return counts


def _tokens(x: Float[Tensor, "n t v"]) -> Int[Tensor, "n t"]:
    tokens = x.detach().argmax(-1).cpu()
    return tokens * (tokens > 0).cumprod(-1)


def _are_spelled(x: Float[Tensor, "n t v"]) -> Bool[Tensor, " n"]:
    """Return which samples are texts that tokens cannot write (`TextSamples`)."""
    return (x[:, 1:] < 0).flatten(1).any(1).cpu()
