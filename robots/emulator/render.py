"""The renderer's process: ``python -m robots.emulator.render --folder … --frames … --view front``.

Looks at ``<folder>/scene`` and draws it with EGL, without a display or a GPU, into a file of
frames. A process of its own: a picture costs 5 to 12 ms of a core that the control loop must not
lose.

Prints one JSON line: ``{"ready": true}`` after the first picture, or ``{"error": …}``. Ends when
stdin does: a renderer never outlives who started it.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

from robots.emulator.frames import FrameFile
from robots.emulator.scene_file import SceneFile
from robots.errors import ArmadaError, DeviceError

REMEDY = "Install EGL: apt-get install libegl1 libopengl0 libgl1-mesa-dri"


class Renderer:
    """Pictures of the scene.

    Args:
        view: ``front``, ``wrist`` or ``top``.
        width: Pixels.
        height: Pixels.

    Raises:
        DeviceError: MuJoCo or EGL is missing.
    """

    def __init__(self, view: str, width: int, height: int) -> None:
        if os.environ.get("MUJOCO_GL", "disable") in ("", "disable"):
            os.environ["MUJOCO_GL"] = "egl"
        # The picture is small: a second thread takes more from others than it gives.
        os.environ.setdefault("LP_NUM_THREADS", "1")
        try:
            from robots.emulator import mujoco_model as model
        except (ImportError, AttributeError, OSError) as error:
            # PyOpenGL without libEGL fails as an AttributeError.
            raise DeviceError(f"EGL can't be loaded: {error}", remedy=REMEDY) from error
        import mujoco

        self._mujoco = mujoco
        self._model = model.build(width, height)
        self._data = mujoco.MjData(self._model)
        self._camera = model.camera_name(view)
        self._option = mujoco.MjvOption()
        # The collision shapes are all there is, in groups that are not shown by default.
        self._option.geomgroup[:] = 1
        self._option.sitegroup[:] = 0
        try:
            self._renderer = mujoco.Renderer(self._model, height, width)
        except Exception as error:
            # MuJoCo's and PyOpenGL's share no class.
            raise DeviceError(f"EGL gives no context: {error}", remedy=REMEDY) from error
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0

    def draw(self, qpos: Any) -> Any:
        """uint8 (H, W, 3), RGB, of MuJoCo's positions (13,)."""
        self._data.qpos[:] = qpos
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_camlight(self._model, self._data)
        self._renderer.update_scene(self._data, camera=self._camera, scene_option=self._option)
        return self._renderer.render()

    def close(self) -> None:
        """Give the context back while the libraries are still there."""
        self._renderer.close()


def serve(renderer: Renderer, scene: SceneFile, frames: FrameFile, period_s: float) -> None:
    """A picture per period until stdin ends."""
    due = time.monotonic()
    while True:
        now = time.perf_counter()
        frames.write(renderer.draw(scene.read().qpos), now)
        if frames.number == 1:
            _say(ready=True)
        due = max(due + period_s, time.monotonic())
        while (wait_s := due - time.monotonic()) > 0:
            ready, _, _ = select.select([sys.stdin], [], [], wait_s)
            if ready and not os.read(sys.stdin.fileno(), 4096):
                return
        if select.select([sys.stdin], [], [], 0)[0] and not os.read(sys.stdin.fileno(), 4096):
            return


def _say(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Draw for one camera."""
    parser = argparse.ArgumentParser(description="Draws the MuJoCo arm's scene.")
    parser.add_argument("--folder", type=Path, required=True, help="the emulated arm's")
    parser.add_argument("--frames", type=Path, required=True, help="where pictures go")
    parser.add_argument("--view", default="front", choices=("front", "wrist", "top"))
    parser.add_argument("--width", type=int, default=224)
    parser.add_argument("--height", type=int, default=224)
    parser.add_argument("--fps", type=float, default=30)
    args = parser.parse_args()
    try:
        scene = SceneFile(args.folder)
        frames = FrameFile(args.frames, args.height, args.width)
        renderer = Renderer(args.view, args.width, args.height)
        try:
            serve(renderer, scene, frames, 1 / args.fps)
        finally:
            renderer.close()
    except ArmadaError as error:
        _say(error=str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
