"""From prepared inputs to frames."""
