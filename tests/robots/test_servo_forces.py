"""Servos in MuJoCo are as soft as real ones, and no stronger than they may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from robots.emulator.mujoco_plant import MujocoPlant
from tests.robots.test_mujoco import ON, RAISED, STEP_S, run, ticks


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[MujocoPlant]:
    plant = MujocoPlant(folder=tmp_path, seed=0)
    yield plant
    plant.close()


def test_a_stretched_arm_sags_as_a_real_one(plant: MujocoPlant) -> None:
    stretched = np.radians([0.0, 90.0, -90.0, 0.0, 0.0, 0.0])
    run(plant, ticks(stretched), ON, 3.0)
    sag = plant.position - ticks(stretched)
    assert 15 < sag[1] < 30
    assert 5 < sag[2] < 20
    assert 0.2 < plant.load[1] < 0.4, "a third of what the servo has"


def test_a_servo_pulls_with_no_more_than_its_limit(plant: MujocoPlant) -> None:
    shut, wide = ticks(RAISED).copy(), ticks(RAISED).copy()
    free = np.array([1, 1, 1, 1, 1, 0], bool)
    shut[5], wide[5] = plant.limits_ticks()[0][5], plant.limits_ticks()[1][5]
    run(plant, shut, ON, 2.0)
    strength = np.array([1, 1, 1, 1, 1, 0.5])
    for _ in range(250):
        plant.step(wide, ON, STEP_S, free, strength)
    assert abs(plant.load[5] - 0.5) < 0.01


def test_an_arm_too_weak_for_its_weight_sinks(plant: MujocoPlant) -> None:
    stretched = np.radians([0.0, 90.0, -90.0, 0.0, 0.0, 0.0])
    run(plant, ticks(stretched), ON, 2.0)
    before = plant.position[1]
    weak = np.array([1, 0.2, 1, 1, 1, 1])
    for _ in range(250):
        plant.step(ticks(stretched), ON, STEP_S, ON, weak)
    assert plant.position[1] > before + 50
