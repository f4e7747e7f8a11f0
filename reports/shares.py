"""Shares in per cent, with as many digits as tell them from nothing."""

MOST_PLACES = 3


def share(fraction: float, *, signed: bool = False) -> str:
    """Return a fraction (0-1) in per cent: one place, more where that would be nothing.

    >>> share(0.0871), share(0.00031), share(2e-6), share(0.0)
    ('8.7 %', '0.03 %', '< 0.001 %', '0 %')
    >>> share(-0.0004, signed=True), share(0.287, signed=True), share(0.0, signed=True)
    ('-0.04 %', '+28.7 %', '0 %')
    """
    if not fraction:
        return "0 %"
    sign = "+" if signed else "-"
    for places in range(1, MOST_PLACES + 1):
        if 100 * abs(fraction) >= 10**-places:
            return f"{100 * fraction:{sign}.{places}f} %"
    least = f"0.{'0' * (MOST_PLACES - 1)}1 %"
    return f"> -{least}" if fraction < 0 else f"< {least}"


def slower(fraction: float) -> str:
    """Return by how much longer something takes.

    >>> slower(0.031), slower(0.0), slower(1.5)
    ('3.1 % slower', 'as fast', '2.5 times as long')
    """
    if fraction >= 1:
        return f"{1 + fraction:.3g} times as long"
    return f"{share(fraction)} slower" if fraction else "as fast"
