"""Images as pictures show them: ink dark on white, and others as they are."""

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

CHANNELS = (1, 3)  # of images that are drawn: grey, and red, green and blue


def as_shown(image: Shaped[Tensor, "c h w"], ink: bool) -> Shaped[np.ndarray, "..."]:
    """Return an image as an array (h, w), or (h, w, 3) of colour; integers are 0 to 255, others 0 to 1."""
    white = 1 if image.is_floating_point() else 255
    array = (white - image if ink else image).cpu().numpy()
    return array[0] if len(array) == 1 else array.transpose(1, 2, 0)
