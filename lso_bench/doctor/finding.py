"""One thing that `lso-bench doctor` found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What is there or wrong, and its mend."""

    about: str  # a check of `lso_bench.doctor.installation`
    state: Literal["ok", "warning", "unusable"]
    what: str
    mend: str = ""  # what to do, where there is something to do

    def __str__(self) -> str:
        return f"{self.state:9} {self.about}: {self.what}" + (f". Mend: {self.mend}" if self.mend else "")
