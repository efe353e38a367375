"""What other packages say at import, and nobody here can act on."""

from __future__ import annotations

import logging


def quiet_imports() -> None:
    """To be called first in every process of the command line.

    diffusers imports bitsandbytes where it is installed (extra `train`), and on a CPU with AVX-512 that
    advises a package which nothing here uses.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
