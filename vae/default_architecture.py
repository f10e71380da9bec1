"""Default architecture of a data set, by the likelihood of its samples."""

OF_IMAGES = "small"
OF_SEQUENCES = "gru"


def is_of_sequences(likelihood: str) -> bool:
    """Return whether a likelihood is that of sequences of tokens."""
    return likelihood.partition(":")[0] == "categorical"


def default_architecture(likelihood: str) -> str:
    """Return the name of the architecture that models of such data have by default."""
    return OF_SEQUENCES if is_of_sequences(likelihood) else OF_IMAGES
