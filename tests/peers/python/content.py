"""What every peer, in every language, says. `tests/peers/README.md` is the contract."""

from itertools import count

DOCUMENT_URI = "test://doc"
DOCUMENT_TEXT = "a document"


def numbers(size: int) -> str:
    """`0 1 2 3 ...` cut to `size` bytes: deterministic, never periodic, and the same in every language."""
    parts: list[str] = []
    length = 0
    for number in count():
        if length >= size:
            return " ".join(parts)[:size]
        parts.append(str(number))
        length += len(parts[-1]) + 1
    raise AssertionError("unreachable")
