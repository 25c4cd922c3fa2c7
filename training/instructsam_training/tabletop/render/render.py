"""`Renderer`: pictures, depth and labels of scenes, and what there is to know about each thing in them."""

from __future__ import annotations

from math import ceil, floor

import mujoco
import numpy as np
import numpy.typing as npt

from instructsam_training.tabletop.render.headless import open_context
from instructsam_training.tabletop.render.mujoco_scene import FAR_M, NEAR_M, SURFACES, World, build_model
from instructsam_training.tabletop.scene.ground_truth import BACKGROUND, Thing, View
from instructsam_training.tabletop.scene.scene import Body, Matrix, Scene
from instructsam_training.tabletop.scene.textures import texture

Labels = npt.NDArray[np.uint16]
Depth = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]


class Renderer:
    """Draws scenes of one size, one after the other; used from the thread that made it.

    Args:
        size_wh: of the pictures.

    Raises:
        RenderError: no OpenGL without a screen on this machine.
    """

    def __init__(self, size_wh: tuple[int, int] = (320, 240)) -> None:
        self.size_wh = size_wh
        self._gl = open_context(size_wh)
        model = build_model(size_wh)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._world, self._alone = World(model), World(model)
        self._textures: dict[str, tuple[str, int]] = {}

    def view(self, scene: Scene) -> View:
        """Draw a scene and say what is in it."""
        self._gl.make_current()
        world, size_wh = self._world, self.size_wh
        world.fill(scene)
        self._load_textures(scene)
        world.look(scene.camera, size_wh, (0, 0, *size_wh))
        image = self._draw_image()
        labels, depth = self._draw_labels(world, size_wh)
        things = self._things(scene, labels)
        return View(image, depth, labels, scene.camera.intrinsics(size_wh), scene.camera.pose, things)

    def close(self) -> None:
        """Give back what OpenGL holds."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()

    def _load_textures(self, scene: Scene) -> None:
        room = scene.room
        for name, surface in zip(SURFACES, (room.table, room.floor, room.wall), strict=True):
            key = surface.pattern, surface.seed
            if self._textures.get(name) != key:
                model, pixels = self._world.model, texture(*key).ravel()
                target = model.texture(name).id
                start = model.tex_adr[target]
                model.tex_data[start : start + len(pixels)] = pixels
                mujoco.mjr_uploadTexture(model, self._context, target)
                self._textures[name] = key

    def _draw_image(self) -> Picture:
        image = np.empty((*self.size_wh[::-1], 3), np.uint8)
        self._draw(self._world, image, None)
        return np.ascontiguousarray(image[::-1])

    def _draw_labels(self, world: World, size_wh: tuple[int, int]) -> tuple[Labels, Depth]:
        colors, depth = np.empty((*size_wh[::-1], 3), np.uint8), np.empty(size_wh[::-1], np.float32)
        self._draw(world, colors, depth)
        return _labels(colors[::-1]), _meters(depth[::-1])

    def _draw(self, world: World, pixels: Picture, depth: Depth | None) -> None:
        """Fill `pixels` with colors or, where a depth is wanted, both with labels and depth; the last row is first."""
        flags, flag = world.drawn.flags, mujoco.mjtRndFlag
        flags[:] = 0
        flags[flag.mjRND_SHADOW] = depth is None
        flags[flag.mjRND_SEGMENT] = flags[flag.mjRND_IDCOLOR] = depth is not None
        window = mujoco.MjrRect(0, 0, pixels.shape[1], pixels.shape[0])
        mujoco.mjr_render(window, world.drawn, self._context)
        mujoco.mjr_readPixels(pixels, depth, window, self._context)

    def _things(self, scene: Scene, labels: Labels) -> tuple[Thing, ...]:
        pose = scene.camera.pose
        inverse = np.asarray(np.linalg.inv(pose), np.float64)
        things = []
        for body in scene.bodies:
            rows, columns = np.nonzero(labels == body.label)
            if not len(rows):
                continue
            box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
            # A pixel on its edge may fall to either side in the two drawings.
            visible = min(1.0, len(rows) / max(1, self._whole_area(scene, body)))
            things.append(_thing(body, inverse, box, len(rows), visible))
        return tuple(things)

    def _whole_area(self, scene: Scene, body: Body) -> int:
        """Pixels that a thing would have if it were alone and the picture without borders."""
        window = _window(scene, body, self.size_wh)
        wide, high = window[2] - window[0], window[3] - window[1]
        # What is larger than the picture, and so than the memory to draw in, is drawn with coarser pixels.
        coarse = max(1, ceil(wide / self.size_wh[0]), ceil(high / self.size_wh[1]))
        self._alone.clear()
        self._alone.add_body(body)
        self._alone.look(scene.camera, self.size_wh, window)
        labels, _ = self._draw_labels(self._alone, (ceil(wide / coarse), ceil(high / coarse)))
        return coarse**2 * int((labels != BACKGROUND).sum())


def _window(scene: Scene, body: Body, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pixels x1, y1, x2, y2 around all of a thing, of which some may be outside of the picture."""
    inverse = np.linalg.inv(scene.camera.pose)
    points = (body.corners_m @ inverse[:3, :3].T + inverse[:3, 3]) @ scene.camera.intrinsics(size_wh).T
    pixels = points[:, :2] / points[:, 2:] + 0.5
    (x1, y1), (x2, y2) = pixels.min(0), pixels.max(0)
    return floor(x1), floor(y1), ceil(x2), ceil(y2)


def _labels(colors: Picture) -> Labels:
    """MuJoCo writes a geom's segmentation number plus one into red, and 0 where there is none."""
    return np.asarray(np.maximum(colors[..., 0], 1) - 1, np.uint16)


def _meters(nearness: Depth) -> Depth:
    """Meters along the optical axis, of OpenGL's reversed depth: 1 at the near plane, 0 at the far one."""
    depth = NEAR_M * FAR_M / (NEAR_M + nearness * (FAR_M - NEAR_M))
    return np.where(nearness > 0, depth, 0).astype(np.float32)


def _thing(body: Body, inverse: Matrix, box: tuple[int, int, int, int], area_px: int, visible: float) -> Thing:
    x, y, z = (inverse[:3, :3] @ body.position_m + inverse[:3, 3]).tolist()
    return Thing(
        label=body.label,
        category=body.category,
        color=body.color,
        material=body.material,
        volume_m3=float(np.prod(body.size_m)),
        height_m=body.size_m[2],
        position_m=body.position_m,
        position_camera_m=(x, y, z),
        on=body.on,
        inside=body.inside,
        box_xyxy=box,
        area_px=area_px,
        visible=visible,
    )
