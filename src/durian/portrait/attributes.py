"""The attributes that can be transferred."""

from durian.errors import DurianError

ATTRIBUTES = ("hair", "glasses", "beard", "hat")


def check_attribute(name: str) -> str:
    """Return `name` if it is a known attribute, else raise `DurianError`."""
    if name not in ATTRIBUTES:
        raise DurianError(f"unknown attribute {name!r}: choose from {', '.join(ATTRIBUTES)}")
    return name
