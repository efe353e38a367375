"""Signed results, the visible mark, and what `durian provenance` tells."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from durian.cli import main
from durian.errors import DurianError
from durian.provenance import DIGITAL_SOURCE_TYPE, GENERATED_COMMENT
from durian.signing import Signing, read_manifest
from durian.video import VideoReader, write_video

FRAMES = [np.full((48, 64, 3), 40 * index, np.uint8) for index in range(4)]


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    """A certificate of a made-up signer, vouched for by a made-up authority."""
    pytest.importorskip("c2pa")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, text),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
            ]
        )

    def usage(**wanted: bool) -> x509.KeyUsage:
        kinds = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
        kinds += ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
        return x509.KeyUsage(**{kind: wanted.get(kind, False) for kind in kinds})

    def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("Authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
        )

    authority, signer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = (
        builder("Authority", authority)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(usage(key_cert_sign=True, crl_sign=True), True)
        .sign(authority, hashes.SHA256())
    )
    leaf = (
        builder("Signer", signer)
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(usage(digital_signature=True), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(signer.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False)
        .sign(authority, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("signer")
    pem = serialization.Encoding.PEM
    (folder / "chain.pem").write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        signer.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Signing(folder / "chain.pem", folder / "key.pem")


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out.webp", "frames"])
def test_signed_results_can_be_verified_and_read(signing: Signing, tmp_path: Path, name: str) -> None:
    import c2pa

    path = tmp_path / name
    signing.check(path)
    write_video(path, FRAMES, 10, signing=signing)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    with VideoReader(path) as reader:
        assert len(list(reader)) == 4
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        with c2pa.Reader(str(file)) as manifest:
            store = json.loads(manifest.json())
        assert store["validation_state"] == "Valid"
        (active,) = store["manifests"].values()
        actions = [each for each in active["assertions"] if each["label"].startswith("c2pa.actions")]
        assert actions[0]["data"]["actions"][0]["digitalSourceType"] == DIGITAL_SOURCE_TYPE
        assert "signed by Signer, valid" in (read_manifest(file) or "")


def test_a_change_after_signing_is_seen(signing: Signing, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write_video(path, FRAMES, 10, signing=signing)
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + 60
    data[place] ^= 0xFF
    path.write_bytes(data)
    assert "invalid" in (read_manifest(path) or "")


def test_signers_that_cannot_sign(signing: Signing, tmp_path: Path) -> None:
    with pytest.raises(DurianError, match=r"webm.*no C2PA"):
        signing.check(tmp_path / "out.webm")
    with pytest.raises(DurianError, match="private key"):
        Signing(signing.certificates, signing.certificates).check(tmp_path / "out.mp4")
    with pytest.raises(DurianError, match=r"missing\.pem"):
        Signing(tmp_path / "missing.pem", signing.key).check(tmp_path / "out.mp4")
    with pytest.raises(DurianError, match="cannot sign"):
        Signing(signing.key, signing.key).check(tmp_path / "out.mp4")


def test_the_command_tells_what_a_file_says(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "out.mp4", FRAMES, 10)
    Image.fromarray(FRAMES[0]).save(tmp_path / "plain.png")
    assert main(["provenance", str(tmp_path / "out.mp4")]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said == [f"comment: {GENERATED_COMMENT}", f"source type: {DIGITAL_SOURCE_TYPE}", "C2PA: none"]
    assert main(["provenance", str(tmp_path / "plain.png")]) == 0
    assert capfd.readouterr().out.splitlines() == ["comment: none", "source type: none", "C2PA: none"]
    assert main(["provenance", str(tmp_path / "missing.png")]) == 2
    assert main(["provenance", str(tmp_path)]) == 2


def test_marked_results(tmp_path: Path) -> None:
    frames = [np.full((128, 128, 3), 120, np.uint8)] * 3
    write_video(tmp_path / "out.mp4", frames, 10, mark=True)
    write_video(tmp_path / "frames", frames, 10, mark=True)
    for path in (tmp_path / "out.mp4", tmp_path / "frames"):
        with VideoReader(path) as reader:
            for frame in reader:
                assert np.abs(frame[:100].astype(int) - 120).max() <= 6
                assert frame[112:, 64:].max() > 220
                assert frame[112:, 64:].min() < 90
