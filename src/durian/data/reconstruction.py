"""Self-reconstruction examples from ordinary clips: no paired data (section 3.3).

From one clip, one frame is the attribute reference, another the portrait reference, and further frames
with their landmarks are what the networks must give back. An example may have several attributes, each from
a frame of its own, as inference has them (section 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from jaxtyping import Float, Float32

from durian.data.augmentation import Augmentation, dilate, draw_affine, jitter
from durian.data.balance import Weights, attribute_probabilities, clip_probabilities
from durian.data.clips import Clip
from durian.data.correspondence import match, surface_places
from durian.data.example import Example, padded, to_signed, to_unit
from durian.data.mask_bank import MaskBank, MaskSource
from durian.data.outpainted import OutpaintedFrames, View
from durian.portrait.geometry import canonical_positions, transform_points, warp_image
from durian.portrait.guidance import aligned_guidance
from durian.portrait.inputs import Reference
from durian.portrait.keypoints import draw_keypoints
from durian.portrait.landmark_places import landmark_places


@dataclass(frozen=True)
class _Moved:
    """A reference after augmentation and, where they are asked for, the places that its pixels show."""

    reference: Reference
    places: Float32[np.ndarray, "H W 3"] | None


class ReconstructionSampler:
    """Draws self-reconstruction examples from clips.

    Args:
        clips: people in motion.
        targets: frames to reconstruct for each set of references.
        grid: cells a side of the grid of face coordinates.
        consecutive: whether the targets follow each other (stage 2) or are any frames (stage 1). Clips whose
            every frame is a take of its own are then left out.
        attributes: the most attributes of an example; how many is drawn from 1 to as many as are worn.
        attribute_weights, balance_power: how often each attribute is drawn (`attribute_probabilities`).
        augmentation: of the references.
        min_area: a frame's attribute counts from this share of the image on.
        hair_under_hats: whether the hair of a clip that shows a hat is an attribute: often a strip of it, and
            a hole in the portrait that the hat is lost in.
        guidance_size: side of the aligned guidance in cells; None makes none.
        match_size: side of the grid of matches in cells; None makes none.
        scale: how many times as large as keypoint images the other pictures are.
        known: whether examples have the places that landmarks say.
        mask_bank: of masks for mask expansion; None takes those of the other clips.
        outpainted: frames with what an outpainting model put around them, to be used as references.

    Raises:
        ValueError: no clip shows an attribute, the mask bank has no mask of one, or no frames follow each
            other where the targets shall.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        targets: int,
        grid: int,
        consecutive: bool = False,
        attributes: int = 1,
        attribute_weights: Weights | None = None,
        balance_power: float = 0.0,
        augmentation: Augmentation | None = None,
        min_area: float = 0.003,
        hair_under_hats: bool = True,
        guidance_size: int | None = None,
        match_size: int | None = None,
        scale: int = 1,
        known: bool = False,
        mask_bank: MaskBank | None = None,
        outpainted: OutpaintedFrames | None = None,
    ):
        alone = [c.take is not None and len(set(c.take)) == len(c.take) for c in clips]
        if consecutive and clips and all(alone):
            raise ValueError("each frame is a take of its own: stage 2 needs frames that follow each other")
        self.clips = clips
        self.targets = targets
        self.grid = grid
        self.consecutive = consecutive
        self.room = attributes
        self.guidance_size = guidance_size
        self.match_size = match_size
        self.scale = scale
        self.known = known
        self.min_area = min_area
        self.augmentation = augmentation or Augmentation()
        self.outpainted = outpainted
        self.frames: dict[str, list[tuple[int, np.ndarray]]] = {}
        for index, clip in enumerate(clips):
            visible = clip.visible_frames()
            if len(visible) < 2 or (consecutive and alone[index]):
                continue
            for attribute in clip.masks:
                if attribute == "hair" and "hat" in clip.masks and not hair_under_hats:
                    continue
                good = visible[clip.area(attribute)[visible] >= min_area]
                if len(good):
                    self.frames.setdefault(attribute, []).append((index, good))
        self.counts = {name: len(each) for name, each in self.frames.items()}
        self.probabilities = attribute_probabilities(self.counts, attribute_weights, balance_power)
        self.clip_probabilities = {}
        if attribute_weights == "balanced":
            for name in self.probabilities:
                styles = [clips[index].styles.get(name) for index, _ in self.frames[name]]
                self.clip_probabilities[name] = clip_probabilities(styles, balance_power)
        self.worn: dict[int, dict[str, np.ndarray]] = {}
        for name in self.probabilities:
            for index, good in self.frames[name]:
                self.worn.setdefault(index, {})[name] = good
        self.mask_bank = mask_bank or bank_of_clips(clips, self.frames)
        if missing := sorted(self.probabilities.keys() - self.mask_bank.counts().keys()):
            raise ValueError(f"the mask bank has no masks of {', '.join(missing)}")

    def summary(self) -> str:
        """What the clips wear and how often each attribute is drawn first, in a line."""
        shares = [f"{name} {self.counts[name]} ({share:.0%})" for name, share in self.probabilities.items()]
        return f"{len(self.clips)} clips, and how often each attribute is drawn: {', '.join(shares)}"

    def draw(self, rng: np.random.Generator) -> Example:
        """One example; all its randomness comes from `rng`."""
        clip, frames = self._attribute_frames(rng)
        visible = clip.visible_frames()
        portrait_frame = self._portrait_frame(rng, visible, list(frames.values()))
        portrait = self._portrait(rng, clip, portrait_frame, list(frames))
        attributes = [self._attribute(rng, clip, frame, name) for name, frame in frames.items()]
        chosen = self._target_frames(rng, visible, clip.take)
        matches = self._matches(clip, [portrait, *attributes], chosen)
        worn = [each.reference for each in attributes]
        return self._example(clip, portrait.reference, worn, list(frames), chosen, matches)

    def _attribute_frames(self, rng: np.random.Generator) -> tuple[Clip, dict[str, int]]:
        """Who it is, and the frame of each attribute."""
        names = list(self.probabilities)
        name = names[rng.choice(len(names), p=list(self.probabilities.values()))]
        wearers = self.frames[name]
        if name in self.clip_probabilities:
            index, good = wearers[rng.choice(len(wearers), p=self.clip_probabilities[name])]
        else:
            index, good = wearers[rng.integers(len(wearers))]
        frames = {name: self._reference_frame(rng, index, good)}
        others = [other for other in self.worn[index] if other != name]
        if self.room > 1 and others:
            count = rng.integers(1, min(self.room, len(others) + 1) + 1)
            for other in rng.permutation(others)[: count - 1]:
                frames[str(other)] = self._reference_frame(rng, index, self.worn[index][str(other)])
        return self.clips[index], frames

    def _reference_frame(self, rng: np.random.Generator, index: int, good: np.ndarray) -> int:
        if self.outpainted is not None:
            good = self.outpainted.preferred(self.clips[index].name, good)
        return int(rng.choice(good))

    def _portrait_frame(self, rng: np.random.Generator, visible: np.ndarray, taken: list[int]) -> int:
        free = visible[~np.isin(visible, taken)]
        return int(rng.choice(free if len(free) else visible[visible != taken[0]]))

    def _portrait(self, rng: np.random.Generator, clip: Clip, frame: int, names: list[str]) -> _Moved:
        """The portrait with `M_port`, the union over all its attributes, expanded and grown."""
        view = self._before(rng, clip, names) or self._as_filmed(rng, clip, frame, names)
        mask = np.zeros(view.image.shape[:2], np.float32)
        for name in names:
            mask = np.maximum(mask, view.mask(name))
            # M_port = M_attr ∪ M_gen: else the portrait's own attribute tells the shape of what is to come.
            if rng.random() < self.augmentation.mask_expansion:
                for _ in range(self._mask_draws(rng)):
                    mask = np.maximum(mask, self.mask_bank.draw(rng, name, view.landmarks, mask.shape))
        mask = dilate(rng, self.augmentation, mask, clip.frames.shape[1])
        # No draw where the option is off, so that older configurations give the examples that they gave.
        still = bool(self.augmentation.still) and rng.random() < self.augmentation.still
        return self._moved(rng, view, mask, still)

    def _before(self, rng: np.random.Generator, clip: Clip, names: list[str]) -> View | None:
        """The person as they were before: whoever already wears the attribute shows its shadow, its dents and
        what it hides, in the portrait."""
        share = self.augmentation.before
        if len(names) > 1 or names[0] not in clip.before or not share or rng.random() >= share:
            return None
        before = clip.before[names[0]]
        return View.of(before, int(rng.integers(len(before.frames))))

    def _as_filmed(self, rng: np.random.Generator, clip: Clip, frame: int, names: list[str]) -> View:
        view = self._view(clip, frame)
        return self._unshaded(rng, clip, frame, view) if "hat" in names else view

    def _mask_draws(self, rng: np.random.Generator) -> int:
        most = self.augmentation.mask_draws
        # No draw where there is no choice, so that older configurations give the examples that they gave.
        return int(rng.integers(1, most + 1)) if most > 1 else 1

    def _attribute(self, rng: np.random.Generator, clip: Clip, frame: int, name: str) -> _Moved:
        strengths = self.augmentation
        clip, frame = self._another(rng, clip, frame, name, clip.relit, strengths.relit)
        clip, frame = self._another(rng, clip, frame, name, clip.donors.get(name), strengths.donors)
        view = self._view(clip, frame)
        moved = self._moved(rng, view, view.mask(name).astype(np.float32))
        image = jitter(rng, self.augmentation, moved.reference.image)
        return replace(moved, reference=replace(moved.reference, image=image))

    def _another(
        self,
        rng: np.random.Generator,
        clip: Clip,
        frame: int,
        name: str,
        other: Clip | None,
        share: float,
    ) -> tuple[Clip, int]:
        """The frame, or one of `other`: in another light, or worn by somebody else. The result has the
        portrait's light and skin, not the donor's."""
        if other is None or name not in other.masks or not share or rng.random() >= share:
            return clip, frame
        good = np.flatnonzero(other.area(name) >= self.min_area)
        return (other, int(rng.choice(good))) if len(good) else (clip, frame)

    def _unshaded(self, rng: np.random.Generator, clip: Clip, frame: int, view: View) -> View:
        """The view, or one without the hat's shadow: who wears a hat in every frame wears its shadow in every
        frame, and nothing would say that a hat brings one along."""
        share = self.augmentation.unshaded
        if clip.unshaded is None or view.margin or not share or rng.random() >= share:
            return view
        return replace(view, image=clip.unshaded[frame])

    def _view(self, clip: Clip, frame: int) -> View:
        wider = None if self.outpainted is None else self.outpainted.read(clip, frame)
        return wider or View.of(clip, frame)

    def _moved(self, rng: np.random.Generator, view: View, mask: np.ndarray, still: bool = False) -> _Moved:
        size = view.image.shape[0] - 2 * view.margin
        matrix = draw_affine(rng, self.augmentation, size)
        if still:
            matrix = np.eye(2, 3)
        matrix[:, 2] -= matrix[:, :2] @ [view.margin, view.margin]  # the view's pixels, not the frame's
        # What the picture does not hold is filled by reflection, in image and mask alike.
        warp = partial(warp_image, matrix=matrix, size=(size, size), border=cv2.BORDER_REFLECT_101)
        reference = Reference(warp(view.image), warp(mask), transform_points(matrix, view.landmarks))
        places = None
        if self.match_size is not None:
            # Beyond the picture's border all is 0: inside the head, where nothing is seen. So are pictures
            # whose places are not known, as of somebody else.
            places = np.zeros((size, size, 3), np.float32)
            if view.surface is not None:
                known = surface_places(view.surface)
                places = warp_image(known, matrix, (size, size), interpolation=cv2.INTER_NEAREST)
        return _Moved(reference, places)

    def _target_frames(
        self, rng: np.random.Generator, visible: np.ndarray, take: np.ndarray | None
    ) -> np.ndarray:
        if not self.consecutive:
            return rng.choice(visible, self.targets, replace=len(visible) < self.targets)
        if take is not None:
            visible = visible[take[visible] == take[rng.choice(visible)]]
        count = min(self.targets, len(visible))
        start = rng.integers(len(visible) - count + 1)
        # Too short a clip goes forth and back.
        there_and_back = np.concatenate([visible[start:], visible[start:][::-1]])
        return np.resize(there_and_back, self.targets)

    def _example(
        self,
        clip: Clip,
        portrait: Reference,
        attributes: list[Reference],
        names: list[str],
        chosen: np.ndarray,
        matches: list[np.ndarray],
    ) -> Example:
        size, landmarks = portrait.image.shape[0], clip.landmarks[chosen]
        guidance = np.zeros((self.targets, 0, 1, 1), np.float32)
        if self.guidance_size is not None:
            guidance = aligned_guidance(portrait, attributes, landmarks, self.guidance_size)
        worn = np.any([clip.masks[name][chosen] for name in names], 0)
        known = np.zeros((self.targets, 3, 0, 0), np.float32)
        if self.known:
            pairs = [landmark_places(portrait.landmarks, points, size) for points in landmarks]
            known = np.ascontiguousarray(np.stack(pairs).transpose(0, 3, 1, 2))

        def positions(points: np.ndarray) -> np.ndarray:
            return canonical_positions(points, size, self.grid)

        return Example(
            portrait=to_signed(portrait.image),
            portrait_mask=portrait.mask[None],
            portrait_positions=positions(portrait.landmarks),
            attributes=padded([to_signed(each.image) for each in attributes], self.room),
            attribute_masks=padded([each.mask[None] for each in attributes], self.room),
            attribute_positions=padded([positions(each.landmarks) for each in attributes], self.room),
            worn=np.arange(self.room) < len(attributes),
            targets=np.stack([to_signed(clip.frames[i]) for i in chosen]),
            target_masks=worn[:, None].astype(np.float32),
            target_positions=np.stack([positions(points) for points in landmarks]),
            keypoints=np.stack([to_unit(self._drawn(points, size)) for points in landmarks]),
            guidance=guidance,
            portrait_matches=matches[0],
            attribute_matches=padded(matches[1:], self.room),
            known=known,
        )

    def _drawn(self, points: Float[np.ndarray, "478 3"], size: int) -> np.ndarray:
        return draw_keypoints(points / self.scale, size // self.scale)

    def _matches(
        self, clip: Clip, references: list[_Moved], chosen: np.ndarray
    ) -> list[Float[np.ndarray, "T 3 m m"]]:
        """Of each reference, what every target shows of it."""
        size = self.match_size
        if size is None or clip.surface is None:
            return [np.zeros((self.targets, 3, size or 0, size or 0), np.float32) for _ in references]
        targets = surface_places(clip.surface[chosen])
        matches = []
        for index, each in enumerate(references):
            shown = each.reference.mask < 0.5 if index == 0 else each.reference.mask >= 0.5
            assert each.places is not None
            matches.append(match(targets, each.places, shown, size))
        return matches


def bank_of_clips(clips: Sequence[Clip], frames: dict[str, list[tuple[int, np.ndarray]]]) -> MaskBank:
    """The mask bank without a generator: what the clips themselves wear, in the given frames.

    Of glasses the frames: somebody's sunglasses would hide the eyes that are seen through clear lenses.
    """
    return MaskBank(
        {
            name: [MaskSource(clips[i].landmarks, good, partial(clips[i].outline, name)) for i, good in each]
            for name, each in frames.items()
        }
    )


def split_clips(clips: Sequence[Clip], held_out: int, seed: int = 0) -> tuple[list[Clip], list[Clip]]:
    """Training clips and `held_out` validation clips, by a fixed shuffle."""
    order = np.random.default_rng(seed).permutation(len(clips))
    return [clips[i] for i in order[held_out:]], [clips[i] for i in order[:held_out]]
