"""What figures were made of and by, as one line: data, versions, device."""

from collections.abc import Iterable, Mapping

LABELS = {
    "data_sha256": "data sha256",
    "test_sha256": "of the test images",
    "lso_bench": "lso-bench",
    "torch": "torch",
    "device": "on",
}


def line(noted: Iterable[Mapping[str, object]]) -> str:
    """Of several, every value that was noted; of a sha256 the first 12 digits."""
    all_noted = [*noted]
    parts = []
    for key, label in LABELS.items():
        values = dict.fromkeys(_told(key, of[key]) for of in all_noted if of.get(key) is not None)
        if values:
            parts.append(f"{label} {' and '.join(sorted(values))}")
    return ", ".join(parts)


def _told(key: str, value: object) -> str:
    return str(value)[:12] if key.endswith("sha256") else str(value)
