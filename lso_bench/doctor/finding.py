"""One finding of `lso-bench doctor`."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """State of a part of the installation or of results, and its remedy."""

    about: str  # what was checked
    state: Literal["ok", "warning", "unusable"]
    message: str
    mend: str = ""  # remedy, if there is one

    def __str__(self) -> str:
        return f"{self.state:9} {self.about}: " + (
            f"{self.message.rstrip('.')}. Mend: {self.mend}" if self.mend else self.message
        )
