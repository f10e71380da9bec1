"""An image of a certain class, with the density of what was found beside it: does a search exploit the decoder?"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench import Task, classifier, density


@dataclass(frozen=True)
class MatchClassifier(Task):
    """Log-probability of the class `target` under a classifier, in nats; 0 is best.

    Beside it stands log p of the found image, in nats, under a PixelCNN that no search ever sees: of a binary draw of
    it, as test images are drawn of their grey levels. An image is valid if that is no less than 99 % of the test
    images have. Source: ours; that a search finds what pleases a classifier and shows nothing: Nguyen et al. 2015,
    "Deep Neural Networks are Easily Fooled".
    """

    target: str = "3"  # a digit; of omniglot the name of an alphabet (Braille, Greek, ...)
    data: str = "mnist"  # or omniglot
    optimum = 0.0

    def __post_init__(self):
        if self.target not in (known := classifier(self.data).classes):
            raise ValueError(f"no class {self.target!r} of {self.data}; there are {', '.join(known)}")

    def score(self, x: Float[Tensor, "k n 1 h w"]) -> Float[Tensor, "k n"]:
        judge = classifier(self.data, x.device)
        return judge(x).log_softmax(-1)[..., judge.classes.index(self.target)]

    def beside(self, x: Float[Tensor, "k n 1 h w"]) -> dict[str, Float[Tensor, "k n"]]:
        noise = torch.rand(x.shape[-2:], generator=torch.Generator().manual_seed(0)).to(x.device)
        found = density(self.data, x.device).log_prob((x > noise).float())
        return {"log_density": found, "valid": (found >= density(self.data).ordinary).float()}
