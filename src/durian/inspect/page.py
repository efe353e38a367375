"""An inspection as a page that needs nothing beside it."""

from __future__ import annotations

import base64
from html import escape

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>durian inspect</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>body {{ background: #18191c; color: #e1e1e1; font: 16px/1.5 sans-serif; margin: 1.5em }}
li {{ color: #ffaa3c }} img {{ max-width: 100% }}</style>
<h1>What the model will see</h1>
{warnings}
<img src="data:image/png;base64,{picture}" alt="The portrait, the attributes and the motion, in a row each">
</html>
"""


def html(png: bytes, warnings: list[str]) -> str:
    """The page of a picture and its warnings."""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return _PAGE.format(
        warnings=f"<ul>{items}</ul>" if items else "<p>No warnings.</p>",
        picture=base64.b64encode(png).decode(),
    )
