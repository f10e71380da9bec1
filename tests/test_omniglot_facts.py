"""benchmarks/omniglot.py: the facts about Omniglot that stand in docs/reproduction.md."""

import math
import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from omniglot import drawings_in_training, entropy_of_a_draw


def test_entropy_of_a_draw_is_that_of_its_pixels_added_up():
    grey = torch.tensor([[[0, 255], [51, 51]], [[0, 0], [255, 0]]], dtype=torch.uint8)  # 51 is a probability of 0.2
    of_a_pixel = -0.2 * math.log(0.2) - 0.8 * math.log(0.8)
    torch.testing.assert_close(entropy_of_a_draw(grey), torch.tensor([2 * of_a_pixel, 0.0], dtype=torch.float64))


def test_training_drawings_are_counted_by_character():
    train, test = torch.tensor([0, 19, 20, 45]), torch.tensor([1, 21, 59, 60])  # characters 0, 0, 1, 2; 0, 1, 2, 3
    assert drawings_in_training(train, test).tolist() == [2, 1, 1, 0]
