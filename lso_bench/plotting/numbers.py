"""Numbers as text: the digits that count, and never a row of them, whatever the size."""

import math

LARGE = 1e7  # from here on in powers of ten
MANY = 1e15  # the same for counts, which are read to the last digit


def fixed(value: int | float, decimals: int) -> str:
    """So many decimals, but powers of ten for a large number."""
    return power(value) if LARGE <= abs(value) < math.inf else f"{value:.{decimals}f}"


def count(value: int | float) -> str:
    """A whole number with commas."""
    return power(value) if MANY <= abs(value) < math.inf else f"{value:,.0f}"


def significant(value: int | float, digits: int = 4, few: int = 2) -> str:
    """So many digits from 10 on, `few` below; whole from 1000 on."""
    if abs(value) >= 1000:
        return fixed(value, 0)
    return f"{value:.{digits}g}" if abs(value) >= 10 else f"{value:.{few}g}"


def power(value: int | float) -> str:
    """Three digits and a power of ten: 4.31e10."""
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
