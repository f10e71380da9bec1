"""Base class of tasks that score molecules, which texts of a data set stand for."""

from abc import abstractmethod
from typing import Any

from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import PluginError
from lso_bench.task import Task
from lso_bench.task.text_task import TextTask

SAMPLE = 100  # test texts of which at least half are molecules


class MoleculeTask(TextTask):
    """A score of molecules; a frozen dataclass, as every task.

    Texts are SELFIES or SMILES, as the data set has them. Each distinct one is read once. It is invalid if it is no
    molecule: `lso_bench.molecules.reading.molecules` states what is none. The extra `molecules` brings what it needs.
    """

    data: str = "zinc250k"

    @abstractmethod
    def score_molecule(self, molecule: Any) -> float | None:
        """Return the score of an `rdkit.Chem.Mol`, higher is better; None for one that is invalid."""

    def bind(self, test: Float[Tensor, "t *shape"]) -> Task:
        from lso_bench.molecules.reading import molecules

        task = super().bind(test)
        texts = [text for text in self.texts(test[None, :SAMPLE]) if text]
        valid = sum(m is not None for m in molecules(texts, self.representation))
        if 2 * valid < len(texts):
            got = f"{valid} {self.representation.upper()} in {len(texts)} test texts of {self.data!r}"
            raise ValueError(f"wanted a data set of molecules, got {got}; of a file of SELFIES say tokenizer=selfies")
        return task

    @property
    def representation(self) -> str:
        """Return `selfies` or `smiles`, which the texts of the data set are."""
        from lso_bench.molecules.reading import representation_of

        return representation_of(self._scores().source.symbols)

    def score_texts(self, texts: list[str]) -> list[float | None]:
        from lso_bench.molecules.reading import molecules

        return [None if m is None else self.score_molecule(m) for m in molecules(texts, self.representation)]

    def nearest(self, texts: list[str], rows: list[str]) -> list[tuple[str, float]]:
        """Return the nearest row of each text and their Tanimoto similarity; ("", 0) of a text that is no molecule."""
        from lso_bench.molecules.fingerprints import tanimoto_to_nearest

        return tanimoto_to_nearest(texts, rows, self.representation)

    def subjects(self, texts: list[str]) -> list[str]:
        """Return the canonical SMILES of each text; of one that is no molecule, the text."""
        from lso_bench.molecules.reading import canonical_smiles

        return [canonical_smiles(text, self.representation) or text for text in texts]

    def picture(self, text: str) -> str:
        """Return a drawing of a molecule, an `svg` element; empty for a text that is no molecule, and without RDKit."""
        from lso_bench.molecules.drawing import draw_svg

        try:
            return draw_svg(text, self.representation)
        except PluginError:  # results are read also where the extra is not installed
            return ""
