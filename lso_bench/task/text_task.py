"""Base class of tasks that score texts."""

import math
from abc import abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from lso_bench.task import Task, is_finite, stated_invalid_score
from lso_bench.task.nearest_row import TokenRows, TrainingRows
from lso_bench.vae.data_path import data_of
from lso_bench.vae.datasets import DATASETS, TextSource
from lso_bench.vae.text_samples import TextSamples

SHOWN = 80  # characters of a text in a message
MOST = 100_000  # scores that a task keeps; beyond it all are forgotten


class TextTask(Task):
    """A score of texts, which samples of a data set of texts are; a frozen dataclass, as every task.

    A subclass names the data set (`data`), the score of invalid texts (`invalid_score`), and scores texts.
    """

    __slots__ = ("_scored",)  # no part of what the task is: neither of its settings, nor of its hash
    differentiable = False
    invalid_score: float  # of an invalid text; every subclass states it  # pyright: ignore[reportIncompatibleVariableOverride]

    @abstractmethod
    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Return the score of each text, higher is better; None, or NaN, for one that has no score.

        The texts are distinct, and may be empty. None of them is among those whose scores the task keeps. They are
        those of evaluations: the program asks for no other scores.
        """

    def nearest(self, texts: list[str], rows: list[str]) -> list[tuple[str, float]]:
        """Return the row that is nearest to each text, and their similarity in [0, 1].

        By default the similarity is 1 - the edit distance of the tokens / the longer of the two lengths.
        """
        index = rows.as_tokens if isinstance(rows, TrainingRows) else TokenRows(self._scores().source, rows)
        return [index.nearest(text) for text in texts]

    def subjects(self, texts: list[str]) -> list[str]:
        """Return what each text stands for, such as a molecule; by default the text. Equal ones are counted once."""
        return texts

    def picture(self, text: str) -> str:
        """Return a drawing of a text as SVG; empty (the default) if it has none. Pages show those of built-in tasks."""
        return ""

    def training_rows(self, tokens: Shaped[np.ndarray, "n t"]) -> TrainingRows:
        """Return the training texts of the data set, of which these are the tokens."""
        return TrainingRows(self._scores().source, tokens)

    def bind(self, test: Float[Tensor, "t *shape"]) -> Task:
        self._scores()  # refuses what no text can be scored with
        return self

    def texts(self, x: Float[Tensor, "k n t v"]) -> list[str]:
        """Return the k n texts of samples: the likeliest token at each position, up to the first end.

        A model of texts may give a text that no tokens write; it is returned as the model gave it.
        """
        return self._scores().samples.texts(x.flatten(0, 1))

    def score(self, x: Float[Tensor, "k n t v"]) -> Float[Tensor, "k n"]:
        scores = [self.invalid_score if score is None else score for score in self._scores_of(self.texts(x))]
        return x.new_tensor(scores).view(x.shape[:2])

    def beside(self, x: Float[Tensor, "k n t v"]) -> dict[str, Float[Tensor, "k n"]]:
        valid = [float(score is not None) for score in self._scores_of(self.texts(x))]
        return {"valid": x.new_tensor(valid).view(x.shape[:2])}

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings, which alone go to another process."""
        return vars(self)

    def _scores(self) -> "_Scores":
        if not hasattr(self, "_scored"):
            object.__setattr__(self, "_scored", _Scores(self))  # the class is frozen
        return self._scored

    def _scores_of(self, texts: list[str]) -> list[float | None]:
        known = self._scores().known
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, self._checked(self._asked(new), new), strict=True))
        scores = [known[text] for text in texts]
        if len(known) > MOST:
            known.clear()
        return scores

    def _asked(self, texts: list[str]) -> object:
        """Return what `score_texts` gives; an error of it gets the text as a note."""
        try:
            return self.score_texts([*texts])
        except Exception as error:
            text = texts[0] if len(texts) == 1 else self._faulty(texts)
            which = f"{len(texts)} texts together" if text is None else f"the text {_shortened(text)}"
            error.add_note(f"scoring {which} (None says that a text is invalid)")
            raise

    def _faulty(self, texts: list[str]) -> str | None:
        """Return the first text that by itself raises an error; None if each has a score."""
        for text in texts:
            try:
                self.score_texts([text])
            except Exception:  # the same, most likely
                return text
        return None

    def _checked(self, scores: object, texts: list[str]) -> list[float | None]:
        """Return the scores of texts.

        Raises:
            ValueError: they are not a finite number above `invalid_score`, None or NaN, for each text.
        """
        if not isinstance(scores, list) or len(scores) != len(texts):
            got = f"{len(scores)}" if isinstance(scores, list) else repr(scores)[:80]
            raise ValueError(f"wanted a list of {len(texts)} scores from `score_texts`, one a text, got {got}")
        return [self._checked_score(score, text) for score, text in zip(scores, texts, strict=True)]

    def _checked_score(self, score: object, text: str) -> float | None:
        if score is None or (isinstance(score, float | np.floating) and math.isnan(score)):
            return None
        if not is_finite(score):
            raise ValueError(
                f"wanted a finite score of a valid text and None or NaN of an invalid one, got {score!r} of {text!r}"
            )
        if score <= self.invalid_score:
            above = f"above `invalid_score`, {self.invalid_score:g}"
            raise ValueError(f"wanted scores of valid texts {above}, got {score:g} of {text!r}; state a lower one")
        return float(score)


def _shortened(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")


class _Scores:
    """Data set of a task's texts, and the scores of texts so far."""

    def __init__(self, task: TextTask):
        source = DATASETS.build(data_of(task))
        if not isinstance(source, TextSource):
            raise ValueError(f"wanted a data set of texts, got {task.data!r}; such is expressions")
        if stated_invalid_score(task) is None:
            raise ValueError("wanted a finite `invalid_score`, got None; state it in the class")
        self.source, self.known = source, dict[str, float | None]()
        self.samples = TextSamples(source)
