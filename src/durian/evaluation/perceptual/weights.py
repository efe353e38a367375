"""Published weights, found and loaded strictly: a layer without weights is an error, never a random one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers.utils import logging

from durian.errors import DurianError
from durian.evaluation.perceptual.sources import HOW_TO_GET

_PICKLED = (".pth", ".pt", ".bin")
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, RuntimeError, UnpicklingError, SafetensorError)


def load_weights(name: str, source: str) -> dict[str, Tensor]:
    """The tensors of one weight file, in float32 on the CPU.

    Args:
        name: of the source, such as "lpips", for messages.
        source: a safetensors or PyTorch file, a folder with one of them, or a hub id of such a folder.
            Pickled files are read as tensors only; no code in them is run.

    Raises:
        DurianError: it cannot be found or read.
    """
    path = _one_file(name, _locate(name, source))
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise unusable(name, path, error) from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise DurianError(f"{name} weights: {path} is no table of tensors; needed is {HOW_TO_GET[name]}")
    return {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}


def load_transformer(cls: Any, name: str, source: str) -> Any:
    """A frozen model of transformers in float32.

    Args:
        cls: its class.
        name: of the source, for messages.
        source: a folder or hub id. What it holds beyond the model, such as a text tower, is left out.

    Raises:
        DurianError: it cannot be found or read, or lacks weights.
    """
    folder = _locate(name, source)
    if not (folder / "config.json").is_file():
        raise DurianError(f"{name} weights: {folder} has no config.json; get {HOW_TO_GET[name]}")
    try:
        with _quiet():
            model, info = cls.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, and never let pass
            )
    except _UNREADABLE as error:
        raise unusable(name, folder, error) from error
    lacking = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if lacking:
        raise DurianError(
            f"{name} weights: in {folder} {len(lacking)} weights of {cls.__name__} are missing or of another "
            f"shape ({', '.join(lacking[:3])}{', …' if lacking[3:] else ''}); needed is {HOW_TO_GET[name]}"
        )
    return model.eval().requires_grad_(False)


def unusable(name: str, path: str | Path, error: Exception) -> DurianError:
    """The error to raise for weights that do not load."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return DurianError(f"{name} weights: {path} cannot be loaded ({reason}); needed is {HOW_TO_GET[name]}")


@contextmanager
def _quiet() -> Generator[None]:
    """Without transformers' progress bar and its list of every weight that is left out."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _locate(name: str, source: str) -> Path:
    """The file or folder of a source; what is on the hub is fetched."""
    path = Path(source).expanduser()
    if path.exists():
        return path
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise DurianError(f"{name} weights: there is no file or folder {source}; get {HOW_TO_GET[name]}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(source, allow_patterns=["*.json", "*.safetensors"]))
        if not any(folder.glob("*.safetensors")):  # older repositories hold pickles alone
            folder = Path(snapshot_download(source, allow_patterns=["*.json", "*.pth", "pytorch_model*.bin"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DurianError(
            f"{name} weights: {source!r} is no file or folder here and cannot be fetched from the hub "
            f"({reason}); get {HOW_TO_GET[name]} and give {name}=PATH"
        ) from error
    return folder


def _one_file(name: str, path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.safetensors")) or sorted(
        file for file in path.iterdir() if file.suffix in _PICKLED
    )
    if len(found) != 1:
        raise DurianError(
            f"{name} weights: {path} holds {len(found)} weight files, needed is one; get {HOW_TO_GET[name]}"
        )
    return found[0]
