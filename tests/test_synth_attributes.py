from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from durian.labels import Label
from durian.synth.attributes import (
    Attributes,
    Glasses,
    Hair,
    Hat,
    Scarf,
    beard,
    build_attributes,
    earrings,
    glasses,
    hair,
    hat,
    interpolate,
    paint,
    sample_attributes,
    scarf,
)
from durian.synth.attributes.ceiling import under
from durian.synth.attributes.collection import sample_free_form
from durian.synth.attributes.free_hair import look_of
from durian.synth.attributes.hair_build import padding
from durian.synth.attributes.hat import sample_free_hat
from durian.synth.attributes.lens_shapes import SHAPES, shape_of
from durian.synth.attributes.meshes import SKULL_CENTRE
from durian.synth.attributes.styles import FREE_FORM
from durian.synth.fields import SKH
from durian.synth.head import Head
from durian.synth.identity import Identity, sample_identity
from durian.synth.parts import AttributeParts, Binding

MODULES = {
    "hair": hair,
    "beard": beard,
    "glasses": glasses,
    "hat": hat,
    "earrings": earrings,
    "paint": paint,
    "scarf": scarf,
}
LEAST = {"hair": (22, 4), "beard": (8, 2), "glasses": (12, 3), "hat": (8, 2)}
LABELS = {
    "hair": Label.HAIR,
    "beard": Label.BEARD,
    "glasses": Label.GLASSES,
    "hat": Label.HAT,
    "earrings": Label.EARRINGS,
    "paint": Label.PAINT,
    "scarf": Label.SCARF,
}


@cache
def a_head(seed: int) -> Head:
    return Head(sample_identity(np.random.default_rng(seed)))


def sample(kind: str, seed: int, style: str | None = None):
    rng = np.random.default_rng(seed)
    drawn = getattr(MODULES[kind], f"sample_{kind}")(rng, 0.2, 0.4, "all")
    return drawn if style is None else replace(drawn, style=style)


def arrays(parts: AttributeParts) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for mesh in parts.meshes:
        found += [mesh.vertices, mesh.triangles, mesh.colours, mesh.uv]
    for strands in parts.strands:
        found += [strands.points, strands.width, strands.colours, strands.softness]
    return found + [painted.texture for painted in parts.painted]


def check_parts(kind: str, parts: AttributeParts, head: Head) -> None:
    for array in arrays(parts):
        assert np.isfinite(array).all()
    for mesh in parts.meshes:
        assert mesh.label == LABELS[kind]
        assert mesh.vertices.dtype == mesh.colours.dtype == mesh.uv.dtype == np.float32
        assert mesh.triangles.dtype == np.int32
        assert mesh.triangles.min() >= 0
        assert mesh.triangles.max() < len(mesh.vertices)
        assert (mesh.colours >= 0).all()
        assert (mesh.colours <= 1).all()
        assert np.abs(mesh.vertices).max() < 4
    for strands in parts.strands:
        assert strands.label == LABELS[kind]
        assert strands.points.dtype == strands.width.dtype == strands.colours.dtype == np.float32
        assert len(strands.points) == len(strands.width) == len(strands.colours) == len(strands.softness)
        assert (strands.width > 0).all()
        assert np.abs(strands.points).max() < 4
        if strands.binding == Binding.HEAD:  # nothing but roots inside the head
            assert head.skull_distance(strands.points[:, 1:]).min() > -0.02
    for painted in parts.painted:
        assert painted.label == LABELS[kind]
        assert painted.texture.min() >= 0
        assert painted.texture.max() <= 1


STYLES = [(kind, style) for kind, module in MODULES.items() for style in module.STYLES.styles]


@pytest.mark.parametrize(("kind", "style"), STYLES)
def test_every_style_builds(kind: str, style: str) -> None:
    head = a_head(3)
    parts = build_attributes(Attributes(**{kind: sample(kind, 5, style)}), head)
    assert set(parts) == {kind}
    assert arrays(parts[kind])
    check_parts(kind, parts[kind], head)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), person=st.integers(0, 7))
@example(seed=502, person=0)  # cornrows pressed by a headband
def test_any_attributes_build_on_any_head(seed: int, person: int) -> None:
    head = a_head(person)
    rng = np.random.default_rng(seed)
    attributes = sample_attributes(rng, float(rng.uniform(-1, 1)), float(rng.random()), "all")
    parts = build_attributes(attributes, head)
    worn = {field.name for field in fields(attributes) if getattr(attributes, field.name) is not None}
    assert set(parts) == worn
    for kind, part in parts.items():
        check_parts(kind, part, head)


@pytest.mark.parametrize("kind", MODULES)
def test_splits_are_disjoint(kind: str) -> None:
    module = MODULES[kind]
    train, held_out = set(module.TRAIN_STYLES), set(module.HELD_OUT_STYLES)
    assert train.isdisjoint(held_out)
    assert train | held_out == set(module.STYLES.styles)
    styles, held = LEAST.get(kind, (3, 1))
    assert len(train | held_out) >= styles
    assert len(held_out) >= held
    rng = np.random.default_rng(0)
    draw = getattr(module, f"sample_{kind}")
    assert {draw(rng, rng.uniform(-1, 1), rng.random(), "train").style for _ in range(60)} <= train
    assert {draw(rng, rng.uniform(-1, 1), rng.random(), "test").style for _ in range(30)} <= held_out


def test_attributes_are_drawn_from_their_split() -> None:
    for split, names in (("train", "TRAIN_STYLES"), ("test", "HELD_OUT_STYLES")):
        rng = np.random.default_rng(1)
        for _ in range(30):
            drawn = sample_attributes(rng, rng.uniform(-1, 1), rng.random(), split)
            for kind, module in MODULES.items():
                attribute = getattr(drawn, kind)
                assert attribute is None or attribute.style in getattr(module, names)


def test_equal_seeds_give_equal_parts() -> None:
    first = sample_attributes(np.random.default_rng(4), 0.8, 0.5, "all")
    assert first == sample_attributes(np.random.default_rng(4), 0.8, 0.5, "all")
    once, again = build_attributes(first, a_head(1)), build_attributes(first, a_head(1))
    for kind in once:
        for a, b in zip(arrays(once[kind]), arrays(again[kind]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_attribute_keeps_its_parameters_on_another_head() -> None:
    worn = Attributes(**{kind: sample(kind, 2) for kind in MODULES})
    before = replace(worn)
    first, second = build_attributes(worn, a_head(1)), build_attributes(worn, a_head(2))
    assert worn == before
    # Colours do not depend on the wearer; shapes are fitted.
    for kind in ("glasses", "earrings", "hat"):
        for a, b in zip(first[kind].meshes, second[kind].meshes, strict=True):
            assert a.material == b.material
            np.testing.assert_array_equal(a.triangles, b.triangles)
            np.testing.assert_array_equal(a.colours, b.colours)


@pytest.mark.parametrize("kind", MODULES)
def test_interpolation_runs_from_one_to_the_other(kind: str) -> None:
    style = MODULES[kind].STYLES.styles[1]
    a, b = sample(kind, 1, style), sample(kind, 2, style)
    assert interpolate(a, b, 0.0) == a
    assert interpolate(a, b, 1.0) == replace(b, seed=a.seed)
    middle = interpolate(a, b, 0.5)
    assert middle.seed == a.seed
    assert middle.colour == pytest.approx([(x + y) / 2 for x, y in zip(a.colour, b.colour, strict=True)])
    for field in fields(a):
        value = getattr(middle, field.name)
        if isinstance(value, float):
            assert value == pytest.approx((getattr(a, field.name) + getattr(b, field.name)) / 2)


def test_interpolation_moves_strands_smoothly() -> None:
    a = sample("hair", 1, "wavy-long")
    a = replace(a, recession=0.0, messiness=0.3, parting=0.3)
    b = replace(a, length=1.2, colour=(0.5, 0.3, 0.1), curl=0.4)
    near = [
        build_attributes(Attributes(hair=interpolate(a, b, t)), a_head(0))["hair"].strands[0]
        for t in (0.0, 0.02)
    ]
    count = min(len(near[0].points), len(near[1].points))
    assert abs(len(near[0].points) - len(near[1].points)) < 0.02 * count
    if len(near[0].points) == len(near[1].points):
        assert np.median(np.abs(near[0].points - near[1].points)) < 0.03


def test_interpolation_needs_equal_styles() -> None:
    with pytest.raises(ValueError, match="'bob' is not 'lob'"):
        interpolate(sample("hair", 1, "bob"), sample("hair", 1, "lob"), 0.5)
    with pytest.raises(ValueError, match="Hat"):
        interpolate(sample("hair", 1), sample("hat", 1), 0.5)


def test_unknown_styles_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown hair style 'perm'"):
        Hair("perm", 0, (0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="unknown hat style"):
        Hat("crown", 0, (0.1, 0.1, 0.1))


@pytest.mark.parametrize(
    "style", ["afro", "straight-long", "curly-short", "mohawk", "ponytail", "box-braids"]
)
@pytest.mark.parametrize("hat_style", ["beanie", "fedora", "baseball-cap"])
def test_hair_stays_below_the_hat(style: str, hat_style: str) -> None:
    head = a_head(2)
    worn = Attributes(
        hair=Hair(style, 3, (0.1, 0.1, 0.1), volume=1.4), hat=Hat(hat_style, 1, (0.3, 0.1, 0.1))
    )
    parts = build_attributes(worn, head)
    space = under(parts["hat"].meshes)
    for strands in parts["hair"].strands:
        points = strands.points.reshape(-1, 3)
        inside = space.covers(points)
        centre = np.array([0.0, -0.12, 0.0])
        lon, lat = head.angles(points)
        row = ((lat / np.pi + 0.5) * space.radius.shape[0]).astype(int)
        column = ((lon / (2 * np.pi) + 0.5) * space.radius.shape[1]).astype(int) % space.radius.shape[1]
        reach = np.linalg.norm(points - centre, axis=1)
        # Bilinear reading between texels of a steep brim leaves a little room.
        over = reach[inside] - space.radius[row[inside], column[inside]]
        assert np.quantile(over, 0.99) < 0.06 if len(over) else True
        assert not space.covers(strands.points).all(1).any()


def test_hats_cover_the_skull_and_make_room_for_hair() -> None:
    head = a_head(5)
    for style in hat.STYLES.styles:
        worn = Hat(style, 1, (0.3, 0.1, 0.1))
        for mesh in build_attributes(Attributes(hat=worn), head)["hat"].meshes:
            above = mesh.vertices[mesh.vertices[:, 1] > 0.7]
            if len(above):
                assert head.skull_distance(above).min() > 0.0, style
    assert padding(Hair("afro", 0, (0.1, 0.1, 0.1))) > padding(None)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), person=st.integers(0, 7))
def test_free_hats_cover_the_skull(seed: int, person: int) -> None:
    head, worn = a_head(person), sample_free_hat(np.random.default_rng(seed))
    parts = build_attributes(Attributes(hat=worn), head)["hat"]
    check_parts("hat", parts, head)
    (mesh,) = parts.meshes
    above = mesh.vertices[mesh.vertices[:, 1] > 0.9]
    assert head.skull_distance(above).min() > 0.0
    top = np.array([0.0, SKULL_CENTRE[1] + head.shape[SKH], SKULL_CENTRE[2]])
    assert mesh.vertices[:, 1].max() > top[1]
    assert np.abs(mesh.vertices - top).max() < 3  # of a skull 1.6 wide: no brim leaves the picture's scale


def test_free_hats_are_no_two_alike() -> None:
    head, rng = a_head(5), np.random.default_rng(0)
    hats = [build_attributes(Attributes(hat=sample_free_hat(rng)), head)["hat"].meshes[0] for _ in range(8)]
    widths = [np.ptp(mesh.vertices[:, 0]) for mesh in hats]
    heights = [mesh.vertices[:, 1].max() for mesh in hats]
    assert max(widths) > 1.3 * min(widths)
    assert max(heights) > 1.1 * min(heights)
    assert len({mesh.material for mesh in hats}) > 1


@pytest.mark.parametrize("kind", ["hair", "glasses", "beard"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), person=st.integers(0, 7), covered=st.booleans())
def test_free_forms_fit_any_head(kind: str, seed: int, person: int, covered: bool) -> None:
    head = a_head(person)
    worn = sample_free_form(np.random.default_rng(seed), kind, 0.3, 0.4)
    below = {"hat": sample("hat", seed)} if covered else {}
    parts = build_attributes(Attributes(**{kind: worn}, **below), head)[kind]
    check_parts(kind, parts, head)
    alpha = max((painted.texture[..., 3].max() for painted in parts.painted), default=0.0)
    assert parts.meshes or parts.strands or alpha > 0.3


def test_free_hair_is_no_two_alike_and_keeps_its_form() -> None:
    rng = np.random.default_rng(4)
    drawn = [sample_free_form(rng, "hair", 0.0, 0.3) for _ in range(24)]
    looks = [look_of(each) for each in drawn]
    assert len(set(looks)) == len(looks)
    assert {type(look).__name__ for look in looks} == {"Recipe", "Gathering", "Braided"}
    # What a moving picture or an interpolation changes is not what the form is drawn from.
    assert [look_of(replace(each, volume=1.2, colour=(0.5, 0.2, 0.1))) for each in drawn] == looks
    lowest = []
    for each in drawn:
        strands = build_attributes(Attributes(hair=each), a_head(1))["hair"].strands
        lowest.append(min((float(part.points[..., 1].min()) for part in strands), default=0.5))
    assert min(lowest) < -1.5 < -0.6 < max(lowest)  # to the chest, and no lower than the nape


def test_free_glasses_and_beards_are_no_two_alike() -> None:
    shapes = {shape_of(FREE_FORM, seed) for seed in range(20)}
    assert len(shapes) == 20
    assert len({shape.rim for shape in shapes}) >= 3
    head, rng = a_head(2), np.random.default_rng(1)
    beards = [sample_free_form(rng, "beard", 0.8, 0.4) for _ in range(8)]
    painted = [
        build_attributes(Attributes(beard=b), head)["beard"].painted[0].texture[..., 3] for b in beards
    ]
    areas = [float((alpha > 0.3).mean()) for alpha in painted]
    assert max(areas) > 3 * min(areas)


@pytest.mark.parametrize("style", [*SHAPES, *range(6)])
def test_glasses_are_symmetric_and_clear_of_the_face(style: str | int) -> None:
    head = a_head(4)
    form, seed = (style, 0) if isinstance(style, str) else (FREE_FORM, style)
    worn = Glasses(form, seed, (0.1, 0.1, 0.1), width=1.05, slide=0.3)
    meshes = build_attributes(Attributes(glasses=worn), head)["glasses"].meshes
    points = np.concatenate([mesh.vertices for mesh in meshes])
    mirrored = points * np.array([-1, 1, 1], np.float32)
    gap = np.sqrt(((mirrored[:, None] - points[None]) ** 2).sum(-1).min(1))
    assert np.quantile(gap, 0.99) < 0.02
    assert abs(points[:, 0].max() + points[:, 0].min()) < 1e-3
    lens = np.concatenate([mesh.vertices for mesh in meshes if mesh.opacity < 1])
    front = lens[np.abs(lens[:, 0]) < 0.5]
    assert (front[:, 2] - head.front_z(front[:, 0], front[:, 1])).min() > -0.06


def test_beards_follow_the_expression_and_lie_on_the_face() -> None:
    head = a_head(6)
    for style in beard.STYLES.styles:
        parts = build_attributes(Attributes(beard=sample("beard", 1, style)), head)["beard"]
        for strands in parts.strands:
            assert strands.binding == Binding.FACE
            lon, lat = head.angles(strands.points)
            distance = np.linalg.norm(strands.points - np.array([0.0, -0.12, 0.0]), axis=-1)
            on_face = lat > -1.1
            assert (distance - head.radius(lon, lat))[on_face].min() > -0.02


def test_hair_falls_over_a_scarf() -> None:
    head = Head(Identity())
    long = Hair("straight-long", 1, (0.1, 0.1, 0.1))
    bare = build_attributes(Attributes(hair=long), head)["hair"].strands[0]
    wrapped = Attributes(hair=long, scarf=Scarf("wrapped", 1, (0.4, 0.1, 0.1)))
    over = build_attributes(wrapped, head)["hair"].strands[0]

    def clearance(points: np.ndarray) -> float:
        beside = points[(points[..., 1] < -1.1) & (points[..., 1] > -1.35)]
        return float(np.quantile(head.body_distance(beside), 0.1))

    assert clearance(over.points) > clearance(bare.points) + 0.05
