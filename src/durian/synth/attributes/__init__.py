"""What a portrait wears: hair, beard, eyeglasses, hat, earrings, face paint and scarf.

Each attribute is a frozen dataclass that owns all its parameters and its seed, so that it moves to
another person unchanged. `build_attributes` fits attributes to a head and lets them act on each other.
"""

from durian.synth.attributes.beard import Beard, sample_beard
from durian.synth.attributes.build import build_attributes
from durian.synth.attributes.collection import Attributes, sample_attributes
from durian.synth.attributes.earrings import Earrings, sample_earrings
from durian.synth.attributes.glasses import Glasses, sample_glasses
from durian.synth.attributes.hair import Hair, sample_hair
from durian.synth.attributes.hat import Hat, sample_hat
from durian.synth.attributes.interpolation import interpolate
from durian.synth.attributes.paint import Paint, sample_paint
from durian.synth.attributes.scarf import Scarf, sample_scarf
from durian.synth.attributes.styles import Split

__all__ = [
    "Attributes",
    "Beard",
    "Earrings",
    "Glasses",
    "Hair",
    "Hat",
    "Paint",
    "Scarf",
    "Split",
    "build_attributes",
    "interpolate",
    "sample_attributes",
    "sample_beard",
    "sample_earrings",
    "sample_glasses",
    "sample_hair",
    "sample_hat",
    "sample_paint",
    "sample_scarf",
]
