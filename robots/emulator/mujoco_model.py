"""The SO-101 in MuJoCo: arm on a table, a cube, three cameras; and how ticks become joint angles.

The arm is MuJoCo Menagerie's model as ``so101-nexus`` ships it (Apache-2.0), with its inertias,
forces and collision shapes. Its gains, with which nothing sags, are replaced. Its visual meshes are
left out: 14 ms a picture instead of 55.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from robots.emulator import joints
from robots.errors import DeviceError

REMEDY: Final = 'Install them: pip install "armada[physics]"'

# Only the renderer draws, and says so beforehand: nobody else needs a machine with EGL.
os.environ.setdefault("MUJOCO_GL", "disable")
try:
    # Said twice: the others take it from here, and so get this error.
    import mujoco as mujoco
except ImportError as error:  # pragma: no cover - the tests have it
    raise DeviceError("the MuJoCo packages are not installed", remedy=REMEDY) from error

VIEWS: Final = ("front", "wrist", "top")
_CAMERAS: Final = {"front": "front", "wrist": "wrist_cam", "top": "top"}

TIMESTEP_S: Final = 0.004
"""As the emulator steps; grasps hold as well at half of it."""

STIFFNESS: Final = np.array([25.0] * 5 + [9.0])
"""(6,) N·m/rad. Real arms of this kind sag by 20 to 30 ticks under load (SO-ARM100's issue 134):
here, 24 at the shoulder and 13 at the elbow of a stretched arm. The gripper's is LeRobot's gain:
all its torque 22° from the goal."""

_DAMPING: Final = 1.2
"""N·m·s/rad, of the servo: with the joint's own the arm lags its goal by 70 ms, a first-order
joint (``plant.py``) by 60."""

CUBE_HALF_M: Final = 0.014
_CUBE_KG: Final = 0.02
PAN_AXIS_M: Final = np.array([0.0388, 0.0])
"""Where the shoulder's axis meets the table: x forward, y to the left, z up."""

START_DISTANCE_M: Final = (0.16, 0.28)
START_ANGLE: Final = np.radians(45.0)
"""Where a cube starts: distance from the pan axis, and angle to each side. The arm can stand
upright on all of it."""

REST: Final = np.array([0.0, -1.74, 1.62, 1.13, 0.0, -0.1])
"""(6,) rad: folded, where an arm without torque lies."""

_OFFSETS: Final = np.array([c["homing_offset"] for c in joints.calibration().values()], float)
_TURN: Final = 2 * np.pi / joints.RESOLUTION
_GRIPPER_RANGE: Final = (-0.174533, 1.7453292)


def _mapping() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    low, high = joints.limits()
    middle = (low + high) / 2
    scale, zero = np.full(6, _TURN), np.zeros(6)
    # 0..100 of the gripper is the model's whole jaw range; a body joint's middle is its zero.
    scale[-1] = (_GRIPPER_RANGE[1] - _GRIPPER_RANGE[0]) / (high[-1] - low[-1])
    zero[-1] = (_GRIPPER_RANGE[1] + _GRIPPER_RANGE[0]) / 2
    return middle, scale, zero


_MIDDLE, RADIANS_PER_TICK, _ZERO = _mapping()


def to_radians(ticks: NDArray[np.float64], *, sensor: bool) -> NDArray[np.float64]:
    """(6,) ticks to joint angles; ``sensor``: the homing offset is in them."""
    present = ticks - _OFFSETS if sensor else ticks
    return np.asarray((present - _MIDDLE) * RADIANS_PER_TICK + _ZERO, float)


def to_ticks(radians: NDArray[np.float64], *, sensor: bool) -> NDArray[np.float64]:
    """(6,) joint angles to ticks; ``sensor``: as the servo's own sensor sees them."""
    present = (radians - _ZERO) / RADIANS_PER_TICK + _MIDDLE
    return np.asarray(present + _OFFSETS if sensor else present, float)


def camera_name(view: str) -> str:
    """The model's name of a view."""
    return _CAMERAS[view]


def build(width: int = 0, height: int = 0) -> Any:
    """The model, an ``MjModel``.

    Args:
        width: Pixels of the largest picture that will be asked for; 0: none will.
        height: Likewise.

    Raises:
        DeviceError: ``so101-nexus`` is not installed, or has no such model.
    """
    spec = mujoco.MjSpec.from_file(str(_arm()))
    _without_visuals(spec)
    for actuator, stiffness in zip(spec.actuators, STIFFNESS, strict=True):
        actuator.gainprm[0] = stiffness
        actuator.biasprm[1:3] = [-stiffness, -_DAMPING]
    spec.option.timestep = TIMESTEP_S
    spec.visual.global_.offwidth = max(width, 1)
    spec.visual.global_.offheight = max(height, 1)
    # A fourteenth of the default's time on a processor.
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0
    spec.visual.headlight.ambient = [0.3] * 3
    spec.visual.headlight.diffuse = [0.25] * 3
    spec.visual.headlight.specular = [0.0] * 3
    world = spec.worldbody
    light = world.add_light(pos=[0.3, 0.3, 1.5], dir=[-0.1, -0.2, -1], castshadow=False)
    light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    light.diffuse = [0.45] * 3
    light.specular = [0.0] * 3
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[1.5, 1.5, 0.05],
        rgba=[0.62, 0.6, 0.56, 1],
    )
    world.add_geom(
        name="base",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=[0.0, 0, 0.03],
        size=[0.05, 0.04, 0.03],
        rgba=[0.9, 0.74, 0.12, 1],
        contype=0,
        conaffinity=0,
    )
    cube = world.add_body(name="cube", pos=[0.25, 0, CUBE_HALF_M])
    cube.add_freejoint(name="cube")
    cube.add_geom(
        name="cube",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[CUBE_HALF_M] * 3,
        mass=_CUBE_KG,
        rgba=[0.85, 0.16, 0.12, 1],
        friction=[1, 0.03, 0.003],
    )
    _camera(world, "front", at=[0.72, 0.0, 0.42], to=[0.17, 0.0, 0.05], fovy=45)
    _camera(world, "top", at=[0.2, 0.0, 0.8], to=[0.2001, 0.0, 0.0], fovy=45)
    return spec.compile()


def start_of_cube(random: np.random.Generator) -> NDArray[np.float64]:
    """(7,) a reachable pose on the table: position in metres and quaternion w, x, y, z."""
    angle = random.uniform(-START_ANGLE, START_ANGLE)
    # Uniform over the area, not over the distance.
    distance = np.sqrt(random.uniform(START_DISTANCE_M[0] ** 2, START_DISTANCE_M[1] ** 2))
    turn = random.uniform(-np.pi / 4, np.pi / 4)
    x, y = PAN_AXIS_M + distance * np.array([np.cos(angle), np.sin(angle)])
    return np.array([x, y, CUBE_HALF_M, np.cos(turn / 2), 0, 0, np.sin(turn / 2)])


def _arm() -> Path:
    package = importlib.util.find_spec("so101_nexus")
    if package is None or package.origin is None:
        raise DeviceError("so101-nexus, which has the arm's model, is missing", remedy=REMEDY)
    path = Path(package.origin).parent / "assets" / "SO101_menagerie" / "so101.xml"
    if not path.is_file():
        raise DeviceError("this so101-nexus has no such model", value=path, remedy=REMEDY)
    return path


def _without_visuals(spec: Any) -> None:
    """Only what can collide stays, in the colours of a real arm."""
    used = set()
    for geom in list(spec.geoms):
        if geom.group == 2:
            spec.delete(geom)
            continue
        gripper = geom.group == 4 or geom.name.startswith(("fixed_jaw", "moving_jaw"))
        geom.rgba = [0.2, 0.2, 0.22, 1] if gripper else [1.0, 0.82, 0.12, 1]
        if geom.type == mujoco.mjtGeom.mjGEOM_MESH:
            used.add(geom.meshname)
        if geom.name == "camera_box1":
            # The camera mount's weight was its picture's.
            geom.mass = 0.012
    for mesh in list(spec.meshes):
        if (mesh.name or Path(mesh.file).stem) not in used:
            spec.delete(mesh)


def _camera(world: Any, name: str, *, at: list[float], to: list[float], fovy: float) -> None:
    back = np.array(at) - np.array(to)
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    turned = np.zeros(4)
    mujoco.mju_mat2Quat(turned, np.column_stack([right, up, back]).ravel())
    world.add_camera(name=name, pos=at, quat=turned, fovy=fovy)
