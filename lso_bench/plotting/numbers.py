"""Numbers as text with significant digits, in powers of ten where they are large."""

import math

LARGE = 1e7  # larger numbers are printed in powers of ten
MANY = 1e15  # the same for counts, which are printed to the last digit


def fixed(value: int | float, decimals: int) -> str:
    """Format with a fixed number of decimals, or in powers of ten from LARGE on."""
    return power(value) if LARGE <= abs(value) < math.inf else f"{value:.{decimals}f}"


def count(value: int | float) -> str:
    """Format a whole number with commas, or in powers of ten from MANY on."""
    return power(value) if MANY <= abs(value) < math.inf else f"{value:,.0f}"


def significant(value: int | float) -> str:
    """Format with four significant digits from 10 on, three below; as a whole number from 1000 on.

    Zeros at the end stay, so that the numbers of a column have the same decimals from 1 to 100.
    """
    if abs(value) >= 1000:
        return fixed(value, 0)
    return (f"{value:#.4g}" if abs(value) >= 10 else f"{value:#.3g}").rstrip(".") if value else "0"


def power(value: int | float) -> str:
    """Format with three digits and a power of ten: 4.31e10."""
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def in_words(value: float) -> str:
    """Format for a sentence: three or four significant digits and a true minus sign."""
    if value == 0 or math.isinf(value):
        text = "0" if value == 0 else "∞" if value > 0 else "-∞"
    elif abs(value) < 0.001:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    elif abs(value) >= LARGE:
        text = power(value)
    else:
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}" if abs(value) >= 10 else f"{value:#.3g}"
    return text.replace("-", "\N{MINUS SIGN}")
