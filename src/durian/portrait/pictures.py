"""The pictures of one reference: crops, landmarks, and where attributes are in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from durian.errors import DurianError
from durian.portrait.crop import FaceCrop
from durian.portrait.inputs import Reference
from durian.portrait.landmarks import LandmarkDetector
from durian.portrait.lenses import attribute_alone
from durian.portrait.masks import AttributeMasker
from durian.portrait.photo import Photo
from durian.portrait.views import View

_MASKING_SIZE = 384  # attributes are searched in crops of at least this side, whatever the model's size
_LEAST = 0.002  # of the image must be the attribute


@dataclass(frozen=True)
class PersonPicture:
    """A picture of the portrait, and where in its crop the person wears what is to be replaced (`M_init`)."""

    number: int
    photo: Photo
    crops: Crops
    own: Float[np.ndarray, "S S"]

    def masked(self, mask: Float[np.ndarray, "S S"]) -> Reference:
        """As the model sees it."""
        return Reference(self.crops.image, mask, self.crops.landmarks)


class PictureReader:
    """Looks for faces and attributes in the pictures of references.

    Args:
        size: side of the model's pictures in pixels.
        detector: finds faces.
        masker: finds attributes.
        require: whether an attribute must be found.

    Attributes:
        left_out: what is wrong with further pictures that are not used, a sentence each.
    """

    def __init__(self, size: int, detector: LandmarkDetector, masker: AttributeMasker, require: bool):
        self._size, self._detector, self._masker, self._require = size, detector, masker, require
        self.left_out: list[str] = []

    def photo(self, title: str, view: View) -> Photo:
        """The picture and the face in it that is meant."""
        return Photo.find(title, view.image, self._size, self._detector, view.face)

    def attribute(
        self, name: str, photo: Photo, mask: np.ndarray | None, option: str, views: Sequence[View]
    ) -> tuple[Reference, dict[int, Photo]]:
        """An attribute from its pictures, and by number the photos of the further ones that are used.

        Args:
            mask: of the first picture, if it is known. option: of the command line, by which it can be given.

        Raises:
            DurianError: the attribute is not in its first picture, or a picture shows no face.
        """
        first = self._worn(name, photo, mask)
        if first is None:
            raise DurianError(
                f"no {name} was found in {photo.title}: choose another picture, or say where it is with "
                f"{option} {name}=FILE (white where the {name} is, black elsewhere)"
            )
        photos: dict[int, Photo] = {}
        others: list[Reference] = []
        for number, view in enumerate(views, 2):
            other = self.photo(f"{photo.title} (number {number})", view)
            worn = self._worn(name, other, None)
            if worn is None:
                self.left_out.append(f"no {name} was found in {other.title}: it is left out")
            else:
                photos[number] = other
                others.append(worn)
        return replace(first, views=tuple(others)), photos

    def portrait(
        self, photo: Photo, mask: np.ndarray | None, names: Iterable[str], views: Sequence[View]
    ) -> list[PersonPicture]:
        """The portrait's pictures; further ones are cropped as the first is.

        Args:
            mask: `M_init` of the first picture, if it is known.
            names: of the attributes that give way.

        Raises:
            DurianError: pictures of unlike sizes, or one shows no face.
        """
        person = Crops.of(photo)
        pictures = [
            PersonPicture(1, photo, person, self._own(person, names) if mask is None else person.own(mask))
        ]
        for number, view in enumerate(views, 2):
            other = self.photo(f"{photo.title} (number {number})", view)
            if view.image.shape != photo.image.shape:
                raise DurianError(
                    f"{other.title} has another size than the first: all must be by one camera, since what "
                    "is beside the face is shown as well"
                )
            crops = Crops.of(other, photo)
            if crops.hold_face():
                framed = replace(other, crop=photo.crop)
                pictures.append(PersonPicture(number, framed, crops, self._own(crops, names)))
            else:
                self.left_out.append(f"{other.title} shows the face elsewhere: it is left out")
        return pictures

    def _worn(self, name: str, photo: Photo, mask: np.ndarray | None) -> Reference | None:
        """The attribute in a picture; None where it is not found."""
        donor = Crops.of(photo)
        fine = donor.find(name, self._masker) if mask is None else donor.given(mask)
        if self._require and fine.mean() < _LEAST:
            return None
        return Reference(donor.image, donor.shrunk(name, fine), donor.landmarks)

    def _own(self, person: Crops, names: Iterable[str]) -> Float[np.ndarray, "S S"]:
        return np.max([person.shrunk(name, person.find(name, self._masker)) for name in names], axis=0)


@dataclass(frozen=True)
class Crops:
    """A photo's crop at the model's size, and a finer one to find attributes in."""

    photo: Photo
    image: UInt8[np.ndarray, "size size 3"]
    landmarks: Float[np.ndarray, "478 3"]
    fine_crop: FaceCrop
    fine_image: UInt8[np.ndarray, "fine fine 3"]
    fine_landmarks: Float[np.ndarray, "478 3"]

    @classmethod
    def of(cls, photo: Photo, like: Photo | None = None) -> Crops:
        """Cropped around its own face, or around that of another photo by the same camera."""
        points, framed = photo.landmarks, like or photo
        crop = framed.crop
        fine = FaceCrop.from_landmarks(framed.landmarks, max(crop.size, _MASKING_SIZE), photo.image.shape)
        return cls(
            photo,
            crop.apply(photo.image),
            crop.points(points),
            fine,
            fine.apply(photo.image),
            fine.points(points),
        )

    def hold_face(self) -> bool:
        """Whether all of the face is there."""
        places = self.landmarks[:, :2]
        return bool((places >= 0).all() and (places <= len(self.image)).all())

    def own(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the whole photo, cropped."""
        return self._cropped(mask, self.photo.crop)

    def find(self, name: str, masker: AttributeMasker) -> np.ndarray:
        """An attribute's mask in the finer crop."""
        return masker(self.fine_image, self.fine_landmarks, name)

    def given(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the whole photo in the finer crop."""
        return self._cropped(mask, self.fine_crop)

    def _cropped(self, mask: np.ndarray, crop: FaceCrop) -> np.ndarray:
        if mask.shape != crop.source_size:
            raise DurianError(
                f"the mask of {self.photo.title} must have its size, {_size_text(crop.source_size)}"
            )
        return crop.apply_mask(mask.astype(np.float32))

    def shrunk(self, name: str, mask: np.ndarray) -> np.ndarray:
        """What of an attribute's mask in the finer crop is the attribute, at the model's size."""
        mask, size = attribute_alone(name, mask, self.fine_image, self.fine_landmarks), self.photo.crop.size
        return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)


def _size_text(shape: tuple[int, int]) -> str:
    return f"{shape[1]}×{shape[0]} pixels"
