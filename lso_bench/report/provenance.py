"""Provenance of figures as one line: data, versions, device."""

from collections.abc import Iterable, Mapping

LABELS = {
    "data_sha256": "data sha256",
    "test_sha256": "of the test images",
    "lso_bench": "lso-bench",
    "torch": "torch",
    "device": "on",
}


def line(sources: Iterable[Mapping[str, object]]) -> str:
    """Join every value that the sources recorded; a sha256 is cut to 12 digits."""
    all_sources = [*sources]
    parts = []
    for key, label in LABELS.items():
        values = dict.fromkeys(_format(key, source[key]) for source in all_sources if source.get(key) is not None)
        if values:
            parts.append(f"{label} {' and '.join(sorted(values))}")
    return ", ".join(parts)


def _format(key: str, value: object) -> str:
    return str(value)[:12] if key.endswith("sha256") else str(value)
