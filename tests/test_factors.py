"""The benchmark's cases with one thing about them made easy: that thing alone is another one."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from durian.synth.benchmark import recipe
from durian.synth.recipes import wear

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from factors import FACTORS


@pytest.mark.parametrize("index", range(4))  # hair, glasses, beard, hat
def test_a_factor_changes_what_its_name_says_and_no_more(index: int):
    case = recipe("single", index)
    made = {name: factor(case) for name, factor in FACTORS.items()}
    answer, (donor,) = case.answers[0], case.donors
    assert made.pop("as it is") == case

    style = made.pop("attribute of a style of training")
    (wearer,) = style.donors
    worn = {donor.kind: getattr(wearer.person.attributes, donor.kind)}
    assert worn[donor.kind] != getattr(donor.person.attributes, donor.kind)
    assert wearer == replace(donor, person=wear(donor.person, **worn))
    assert style == replace(case, donors=(wearer,), answers=(wear(answer, **worn),) * len(case.answers))

    for easy in made.values():
        assert (easy.answers, easy.performance) == (case.answers, case.performance)  # the same truth
    people = {name: easy.donors[0].person for name, easy in made.items()}
    lit = people["donor in the portrait's light"]
    assert lit.scene.light == answer.scene.light
    assert replace(lit, scene=donor.person.scene) == donor.person
    skull = people["donor with the portrait's skull"]
    assert skull.identity.skull == answer.identity.skull
    assert replace(skull.identity, skull=donor.person.identity.skull) == donor.person.identity
    alike = people["donor with the portrait's head and skin"]
    assert alike == replace(donor.person, identity=answer.identity)
    assert people["donor is the answer's person"] == people["both: self-transfer"] == answer
    assert made["donor is the answer's person"].portrait == case.portrait
    assert made["portrait wears the attribute"] == replace(case, portrait=answer)
    assert made["both: self-transfer"].portrait == answer
    posed = made["both pictures in the pose of a frame"]
    assert posed.portrait_state == posed.donors[0].state
    assert posed.portrait_state in case.performance.frames
