"""DNet by OpenVINO, for CPUs.

OpenVINO joins what PyTorch does element by element to the products before it, and is quicker in bfloat16,
and quicker still with integers of eight bits, where the processor knows them. It is given DNet as a graph,
which takes some twenty seconds to make and is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch
import torch.nn.functional as F
from diffusers.models.activations import GEGLU
from torch import Tensor, nn

import durian.models
from durian.errors import DurianError
from durian.files import replacing
from durian.models.denoising_unet import DeepFeatures, DenoisingUNet, own_config
from durian.models.networks import Networks
from durian.models.reference_copy import Found
from durian.models.spatial_attention import References
from durian.pipeline.quantised import Ranges, rounded, watched

if TYPE_CHECKING:
    from openvino import Core, InferRequest, Model

PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16", torch.int8: "int8"}
_GRAPH, _NAMES = "denoising_unet.xml", "outputs.json"
_KEPT = 8  # three rows of guidance, each with and without deep features, and some to spare
_KEPT_ON_DISK = 16


class OpenVINOPredict:
    """`Networks.predict` by OpenVINO.

    References of any number of tokens go through the same graph, of which there is one for each number of
    frames and of attributes, each kind of row of guidance, and calls that reuse deep features. Fitting it to
    an animation's tokens takes two seconds. Where DNet cannot be converted, or a graph cannot be kept, it
    warns once and goes on without.

    Args:
        networks: in single precision, on the CPU.
        dtype: of OpenVINO's computation; what goes in and out stays in single precision. With `torch.int8`
            products are of integers, the rest in bfloat16 where the processor knows it.
        trial: runs an animation with the networks that it is given, for the ranges that `torch.int8` needs.
        cache: folder for graphs; the user's own cache if not given. The sixteen used last are kept, and it
            may be deleted at any time.

    Raises:
        DurianError: OpenVINO is not installed, the networks are not such, or it knows no such dtype.
    """

    def __init__(
        self,
        networks: Networks,
        dtype: torch.dtype = torch.float32,
        cache: Path | None = None,
        trial: Callable[[Networks], object] | None = None,
    ):
        try:
            import openvino  # noqa: F401
            import platformdirs
        except ImportError as error:
            raise DurianError(
                f"{error.name} is not installed: install Durian with its extra openvino"
            ) from error
        if networks.working_device.type != "cpu":
            raise DurianError("OpenVINO is for CPUs: choose the device cpu, or go without it")
        if networks.working_dtype != torch.float32:
            raise DurianError("OpenVINO takes networks in single precision, and is told its own precision")
        if dtype not in PRECISIONS:
            raise DurianError(f"OpenVINO computes in {', '.join(PRECISIONS.values())}, not in {dtype}")
        self._networks = networks
        self._cache = cache or platformdirs.user_cache_path("durian") / "openvino"
        self._core = _core()
        self._trial = trial if dtype == torch.int8 else None
        if dtype == torch.int8:
            if trial is None:
                raise DurianError("computing in int8 needs a trial, for the ranges of what is computed")
            known = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            dtype = torch.bfloat16 if known else torch.float32
        self._options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._requests: dict[tuple[str, tuple[torch.Size, ...]], tuple[InferRequest, list[str]]] = {}
        self._weights: str | None = None
        self._ranges: Ranges = {}
        self._works = True

    def __call__(self, *args: Any) -> tuple[Tensor, DeepFeatures]:
        if not self._works:
            return self._networks.predict(*args)
        tensors: list[Tensor] = []
        asked = _take(args, tensors)
        key = repr(asked), tuple(tensor.shape for tensor in tensors)
        if key not in self._requests:
            try:
                prepared = self._prepare(asked, tensors)
            except (RuntimeError, OSError, DurianError) as error:  # of either library, or of the disk
                self._works = False
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                warnings.warn(f"OpenVINO cannot run the network ({reason}): going on without", stacklevel=2)
                return self._networks.predict(*args)
            if len(self._requests) >= _KEPT:
                del self._requests[next(iter(self._requests))]
            self._requests[key] = prepared
        request, names = self._requests[key]
        results = request.infer([tensor.contiguous().numpy() for tensor in tensors], share_inputs=True)
        return _from_names({name: torch.from_numpy(results[index]) for index, name in enumerate(names)})

    def _prepare(self, asked: Any, tensors: list[Tensor]) -> tuple[InferRequest, list[str]]:
        """A graph for such inputs, from the disk or made, fitted to their shapes, and the names of what it
        gives."""
        axes = _token_axes(asked)
        folder = self._cache / self._digest(asked, tensors, axes)
        if not (folder / _GRAPH).is_file():
            self._convert(asked, tensors, axes, folder)
            self._remove_old()
        with suppress(OSError):  # somebody else's folder, perhaps
            os.utime(folder)
        model = self._core.read_model(folder / _GRAPH)
        model.reshape(dict(zip(model.inputs, (list(tensor.shape) for tensor in tensors), strict=True)))
        request = self._core.compile_model(model, "CPU", self._options).create_infer_request()
        return request, json.loads((folder / _NAMES).read_text())

    def _remove_old(self) -> None:
        """Graphs of earlier versions and rare ones, which nobody else would clear away."""
        with suppress(OSError):  # or another process removes the same
            graphs = [
                names.parent for names in self._cache.glob(f"*/{_NAMES}") if (names.parent / _GRAPH).is_file()
            ]
            for folder in sorted(graphs, key=lambda folder: folder.stat().st_mtime)[:-_KEPT_ON_DISK]:
                shutil.rmtree(folder)

    def _digest(self, asked: Any, tensors: list[Tensor], axes: Mapping[int, int]) -> str:
        """A name that no two different graphs share."""
        import openvino

        if self._weights is None:
            weights = hashlib.sha256()
            for name, value in self._networks.denoising_unet.state_dict().items():
                weights.update(name.encode())
                weights.update(value.contiguous().numpy().data)
            beside = (Path(__file__).with_name(name) for name in ("quantised.py", "trial.py"))
            for file in (Path(__file__), *beside, *sorted(Path(durian.models.__path__[0]).glob("*.py"))):
                weights.update(file.read_bytes())
            self._weights = weights.hexdigest()
        # A graph of no token, or of one, is another one.
        fixed = [
            [min(side, 2) if axis == axes.get(index) else side for axis, side in enumerate(tensor.shape)]
            for index, tensor in enumerate(tensors)
        ]
        config = own_config(DenoisingUNet, self._networks.denoising_unet.config)
        versions = torch.__version__, diffusers.__version__, openvino.__version__
        told = (self._weights, config, repr(asked), fixed, versions, self._trial is not None)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]

    def _convert(self, asked: Any, tensors: list[Tensor], axes: Mapping[int, int], folder: Path) -> None:
        import openvino

        folder.parent.mkdir(parents=True, exist_ok=True)  # before the work, which would be for nothing
        sides = {index: tensors[index].shape[axis] for index, axis in axes.items()}
        free = [  # but no token, or one, which export takes for fixed
            {axes[index]: torch.export.Dim.AUTO} if sides.get(index, 0) > 1 else None
            for index in range(len(tensors))
        ]
        names: list[str] = []
        network = _with_gates_apart(self._networks.denoising_unet)
        networks = self._networks.with_denoising_unet(network)
        if self._trial is not None:
            if not self._ranges:
                with watched(network) as ranges:
                    self._trial(networks)
                self._ranges = ranges
            rounded(network, self._ranges)
        graph = _Graph(networks, asked, names)
        with _quietly():
            # Copies, for of a tensor that comes in twice export makes one input.
            inputs = tuple(tensor.clone() for tensor in tensors)
            exported = torch.export.export(graph.eval(), inputs, dynamic_shapes=(tuple(free),), strict=False)
            model = _from_exported(exported)
        try:
            with replacing(folder) as temporary:
                temporary.mkdir()
                openvino.save_model(model, temporary / _GRAPH, compress_to_fp16=False)
                (temporary / _NAMES).write_text(json.dumps(list(dict.fromkeys(names))))
        except DurianError:
            if not (folder / _GRAPH).is_file():  # or another process was faster
                raise


@cache
def _core() -> Core:
    """One for the whole process.

    Each puts a stack for signals in place as it loads its plug-in for CPUs, and puts the one before back when
    it goes. Had that gone earlier, the next signal, Ctrl-C for one, would end the process (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


@contextmanager
def _quietly() -> Generator[None]:
    """Without what both libraries say of each other's versions."""

    def matters(record: logging.LogRecord) -> bool:
        return record.levelno > logging.WARNING

    root = logging.getLogger()
    root.addFilter(matters)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(matters)


def _from_exported(exported: torch.export.ExportedProgram) -> Model:
    """What `openvino.convert_model` gives, which tells its maker each time that it is used."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchFXPythonDecoder.from_exported_program(exported)  # must live until it is converted
    return frontend.convert(frontend.load(decoder))


class _Graph(nn.Module):
    """`Networks.predict` of tensors alone.

    Args:
        asked: its arguments, as `_take` gives them.
        names: where the names of what it gives are put, in order.
    """

    def __init__(self, networks: Networks, asked: Any, names: list[str]):
        super().__init__()
        self.denoising_unet = networks.denoising_unet
        self._predict, self._asked = networks.predict, asked
        self._note = names.append  # export takes back what a module's own attributes are set to

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        named = _to_names(*self._predict(*_put(self._asked, tensors)))
        for name in named:
            self._note(name)
        return tuple(named.values())


class _GatesApart(nn.Module):
    """Diffusers' GEGLU as two linear layers, since cutting what one of them gives in two is a copy."""

    def __init__(self, whole: GEGLU):
        super().__init__()
        width, bias = whole.proj.out_features // 2, whole.proj.bias is not None
        self.value, self.gate = (nn.Linear(whole.proj.in_features, width, bias) for _ in range(2))
        halves = {name: parameter.chunk(2) for name, parameter in whole.proj.state_dict().items()}
        for index, part in enumerate((self.value, self.gate)):
            part.load_state_dict({name: half[index] for name, half in halves.items()})

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.value(hidden_states) * F.gelu(self.gate(hidden_states))


def _with_gates_apart(network: DenoisingUNet) -> DenoisingUNet:
    """A copy of DNet that gives the same."""
    copied = deepcopy(network)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, GEGLU):
                setattr(module, name, _GatesApart(child))
    return copied


@dataclass(frozen=True)
class _Slot:
    """Stands for a tensor, by its number."""

    index: int


def _take(structure: Any, tensors: list[Tensor]) -> Any:
    """The same structure with a slot for each tensor, which goes to the end of the list."""
    if isinstance(structure, Tensor):
        tensors.append(structure)
        return _Slot(len(tensors) - 1)
    return _rebuilt(structure, lambda part: _take(part, tensors))


def _put(structure: Any, tensors: tuple[Tensor, ...]) -> Any:
    """The reverse of `_take`."""
    if isinstance(structure, _Slot):
        return tensors[structure.index]
    return _rebuilt(structure, lambda part: _put(part, tensors))


def _rebuilt(structure: Any, part_of: Callable[[Any], Any]) -> Any:
    if is_dataclass(structure) and not isinstance(structure, type):
        parts = {field.name: part_of(getattr(structure, field.name)) for field in fields(structure)}
        return replace(structure, **parts)
    if isinstance(structure, Mapping):
        return {key: part_of(value) for key, value in structure.items()}
    if isinstance(structure, (tuple, list)):
        return tuple(part_of(value) for value in structure)
    return structure


def _token_axes(asked: Any) -> dict[int, int]:
    """Of each input that has an axis of the references' tokens, which it is: their number may change."""
    axes = {}
    for references in asked:
        if not isinstance(references, References):
            continue
        for branch in references.branches:
            layers = [(branch.keys, 2), (branch.values, 2), (branch.bias or {}, 3)]
            parts = [(slot, axis) for layer, axis in layers for slot in layer.values()]
            if branch.source is not None:
                source = branch.source
                parts += [(source.keys, 2), (source.places, 1), (source.owner, 0), (source.bias, 3)]
            axes |= {slot.index: axis for slot, axis in parts if isinstance(slot, _Slot)}
    return axes


def _to_names(prediction: Tensor, features: DeepFeatures) -> dict[str, Tensor]:
    """What `Networks.predict` gives as named tensors."""
    named = {"prediction": prediction}
    for branch, found in enumerate(features.found):
        named |= {f"mass.{branch}": found.mass, f"place.{branch}": found.place}
    others = {field.name: getattr(features, field.name) for field in fields(features)}
    return named | {name: value for name, value in others.items() if isinstance(value, Tensor)}


def _from_names(named: dict[str, Tensor]) -> tuple[Tensor, DeepFeatures]:
    """The reverse of `_to_names`."""
    count = sum(name.startswith("mass.") for name in named)
    found = [Found(named.pop(f"mass.{branch}"), named.pop(f"place.{branch}")) for branch in range(count)]
    prediction = named.pop("prediction")
    return prediction, DeepFeatures(found=found, **named)
