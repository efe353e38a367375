"""C2PA manifests: a signed statement in the file that a model made it (https://c2pa.org)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from durian.errors import DurianError
from durian.media.formats import OutputFormat
from durian.provenance import DIGITAL_SOURCE_TYPE

_SIGNED = {
    OutputFormat.MP4: "video/mp4",
    OutputFormat.GIF: "image/gif",
    OutputFormat.WEBP: "image/webp",
    OutputFormat.PNG_FOLDER: "image/png",
}


@dataclass(frozen=True)
class Signing:
    """Who signs.

    Attributes:
        certificates: PEM file of the signer's certificate, then those that vouch for it, without the root
            or with it. C2PA asks for a certificate for signing documents or mail.
        key: PEM file of its private key.
    """

    certificates: Path
    key: Path

    def check(self, output: Path) -> None:
        """Try to sign a picture of one pixel, so that what is wrong is known before the long work.

        Raises:
            DurianError: c2pa-python is not installed, the files do not fit, or the format of `output` keeps
                no manifest.
        """
        import io

        from PIL import Image

        if OutputFormat.of(output) not in _SIGNED:
            raise DurianError(f"{output}: {output.suffix} keeps no C2PA manifest: choose .mp4, .gif or .webp")
        pixel, signed = io.BytesIO(), io.BytesIO()
        Image.new("RGB", (1, 1)).save(pixel, "PNG")
        pixel.seek(0)
        self._sign(pixel, signed, "image/png", "check")

    def sign(self, path: Path, format: OutputFormat, title: str) -> None:
        """Put a manifest into a file, or into each picture of a folder.

        Raises:
            DurianError: it cannot be signed.
        """
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            signed = file.with_name(f"{file.name}.signed")
            try:
                with open(file, "rb") as source, open(signed, "w+b") as target:
                    self._sign(source, target, _SIGNED[format], title)
                os.replace(signed, file)
            finally:
                signed.unlink(missing_ok=True)

    def _sign(self, source: Any, target: Any, mime: str, title: str) -> None:
        c2pa = _library()
        try:
            signer = c2pa.Signer.from_info(
                c2pa.C2paSignerInfo(
                    _algorithm(self.key).encode(), self.certificates.read_bytes(), self.key.read_bytes(), None
                )
            )
            with c2pa.Builder(_manifest(title)) as builder:
                builder.sign(signer, mime, source, target)
        except OSError as error:
            raise DurianError(f"{error.filename}: cannot be read ({error.strerror})") from error
        except (c2pa.C2paError, ValueError, TypeError) as error:
            raise DurianError(f"{self.certificates}: cannot sign with this certificate ({error})") from error


def read_manifest(path: Path) -> str | None:
    """One line about a file's C2PA manifest; None if it has none or c2pa-python is not installed."""
    try:
        c2pa = _library()
    except DurianError:
        return None
    try:
        with c2pa.Reader(str(path)) as reader:
            store = json.loads(reader.json())
    except c2pa.C2paError:
        return None
    manifest = store["manifests"][store["active_manifest"]]
    signer = manifest.get("signature_info", {})
    name = signer.get("common_name") or signer.get("issuer") or "unknown"
    problems = [status["code"] for status in store.get("validation_status", [])]
    return f"signed by {name}, {store.get('validation_state', 'unknown').lower()}" + (
        f" ({', '.join(problems)})" if problems else ""
    )


def _library() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise DurianError(
            "signing needs the package c2pa-python: install durian with its extra c2pa (uv sync --extra c2pa)"
        ) from error
    return c2pa


def _algorithm(path: Path) -> str:
    """C2PA's name of what a private key signs with."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise DurianError(f"{path}: not a private key in PEM without a password") from error
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {256: "es256", 384: "es384"}.get(key.curve.key_size, "es512")
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise DurianError(f"{path}: C2PA knows no such key: make an EC, RSA or Ed25519 key")


def _manifest(title: str) -> dict[str, Any]:
    agent = {"name": "Durian", "version": version("durian")}
    created = {"action": "c2pa.created", "digitalSourceType": DIGITAL_SOURCE_TYPE, "softwareAgent": agent}
    return {
        "claim_generator_info": [agent],
        "title": title,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }
