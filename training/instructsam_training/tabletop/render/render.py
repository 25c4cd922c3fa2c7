"""`Renderer`: images, depth and labels of scenes, and the ground truth of each object.

OpenGL returns the lowest row first; images are flipped before they leave this module. Frames: see `scene.scene`.
"""

from __future__ import annotations

from math import ceil, floor

import mujoco
import numpy as np
import numpy.typing as npt

from instructsam_training.tabletop.render.headless import open_context
from instructsam_training.tabletop.render.mujoco_scene import FAR_M, NEAR_M, SURFACES, MujocoScene, build_model
from instructsam_training.tabletop.scene.ground_truth import BACKGROUND, SceneObject, SceneView
from instructsam_training.tabletop.scene.scene import Body, Matrix, Scene
from instructsam_training.tabletop.scene.textures import texture

Labels = npt.NDArray[np.uint16]
Depth = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


class Renderer:
    """Off-screen renderer for images of one size; must be used from the thread that created it.

    Args:
        size_wh: width and height of the images.

    Raises:
        RenderError: off-screen OpenGL is not available.
    """

    def __init__(self, size_wh: tuple[int, int] = (320, 240)) -> None:
        self.size_wh = size_wh
        self._gl = open_context(size_wh)
        # `_isolated` renders single bodies, to count their pixels without occlusion.
        model = build_model(size_wh)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene, self._isolated = MujocoScene(model), MujocoScene(model)
        self._textures: dict[str, tuple[str, int]] = {}

    def render(self, scene: Scene) -> SceneView:
        """Render a scene with its ground truth."""
        self._gl.make_current()
        mujoco_scene, size_wh = self._scene, self.size_wh
        mujoco_scene.load(scene)
        self._load_textures(scene)
        mujoco_scene.set_camera(scene.camera, size_wh, (0, 0, *size_wh))
        image = self._draw_image()
        labels, depth = self._draw_labels(mujoco_scene, size_wh)
        objects = self._objects(scene, labels)
        return SceneView(image, depth, labels, scene.camera.intrinsics(size_wh), scene.camera.pose, objects)

    def close(self) -> None:
        """Free the OpenGL resources."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()

    def _load_textures(self, scene: Scene) -> None:
        room = scene.room
        for name, surface in zip(SURFACES, (room.table, room.floor, room.wall), strict=True):
            key = surface.pattern, surface.seed
            # Uploads are slow: only when the texture has changed since the last scene.
            if self._textures.get(name) != key:
                model, pixels = self._scene.model, texture(*key).ravel()
                target = model.texture(name).id
                start = model.tex_adr[target]
                model.tex_data[start : start + len(pixels)] = pixels
                mujoco.mjr_uploadTexture(model, self._context, target)
                self._textures[name] = key

    def _draw_image(self) -> Pixels:
        image = np.empty((*self.size_wh[::-1], 3), np.uint8)
        self._draw(self._scene, image, None)
        return np.ascontiguousarray(image[::-1])

    def _draw_labels(self, mujoco_scene: MujocoScene, size_wh: tuple[int, int]) -> tuple[Labels, Depth]:
        colors, depth = np.empty((*size_wh[::-1], 3), np.uint8), np.empty(size_wh[::-1], np.float32)
        self._draw(mujoco_scene, colors, depth)
        return _labels(colors[::-1]), _depth_m(depth[::-1])

    def _draw(self, mujoco_scene: MujocoScene, pixels: Pixels, depth: Depth | None) -> None:
        """Fill `pixels` with colors, or with labels if `depth` is given, which is filled too; the last row is first."""
        flags, flag = mujoco_scene.drawn.flags, mujoco.mjtRndFlag
        flags[:] = 0
        # Segmentation: flat colors that encode `segid`, without shadows.
        flags[flag.mjRND_SHADOW] = depth is None
        flags[flag.mjRND_SEGMENT] = flags[flag.mjRND_IDCOLOR] = depth is not None
        window = mujoco.MjrRect(0, 0, pixels.shape[1], pixels.shape[0])
        mujoco.mjr_render(window, mujoco_scene.drawn, self._context)
        mujoco.mjr_readPixels(pixels, depth, window, self._context)

    def _objects(self, scene: Scene, labels: Labels) -> tuple[SceneObject, ...]:
        pose = scene.camera.pose
        inverse = np.asarray(np.linalg.inv(pose), np.float64)
        objects = []
        for body in scene.bodies:
            # Bodies without a visible pixel are not part of the ground truth.
            rows, columns = np.nonzero(labels == body.label)
            if not len(rows):
                continue
            box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
            # Edge pixels may differ between the two renderings, so the ratio can exceed 1.
            visible = min(1.0, len(rows) / max(1, self._unoccluded_area_px(scene, body)))
            objects.append(_scene_object(body, inverse, box, len(rows), visible))
        return tuple(objects)

    def _unoccluded_area_px(self, scene: Scene, body: Body) -> int:
        """Number of pixels of a body without occlusion and without image borders."""
        window = _bounding_window(scene, body, self.size_wh)
        wide, high = window[2] - window[0], window[3] - window[1]
        # The framebuffer has the size of the image: larger windows are rendered with coarser pixels.
        coarse = max(1, ceil(wide / self.size_wh[0]), ceil(high / self.size_wh[1]))
        self._isolated.clear()
        self._isolated.add_body(body)
        self._isolated.set_camera(scene.camera, self.size_wh, window)
        labels, _ = self._draw_labels(self._isolated, (ceil(wide / coarse), ceil(high / coarse)))
        return coarse**2 * int((labels != BACKGROUND).sum())


def _bounding_window(scene: Scene, body: Body, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Window x1, y1, x2, y2 around the whole body, in pixels; it may extend beyond the image."""
    # Corners [8, 3]: table frame, camera frame, homogeneous pixels.
    inverse = np.linalg.inv(scene.camera.pose)
    points = (body.corners_m @ inverse[:3, :3].T + inverse[:3, 3]) @ scene.camera.intrinsics(size_wh).T
    pixels = points[:, :2] / points[:, 2:] + 0.5
    (x1, y1), (x2, y2) = pixels.min(0), pixels.max(0)
    return floor(x1), floor(y1), ceil(x2), ceil(y2)


def _labels(colors: Pixels) -> Labels:
    """Labels of a segmentation rendering: MuJoCo writes the geom's `segid` plus one into red, and 0 elsewhere."""
    return np.asarray(np.maximum(colors[..., 0], 1) - 1, np.uint16)


def _depth_m(nearness: Depth) -> Depth:
    """Meters along the optical axis, from OpenGL's reversed depth: 1 at the near plane, 0 at the far plane."""
    depth = NEAR_M * FAR_M / (NEAR_M + nearness * (FAR_M - NEAR_M))
    return np.where(nearness > 0, depth, 0).astype(np.float32)


def _scene_object(
    body: Body, inverse: Matrix, box: tuple[int, int, int, int], area_px: int, visible: float
) -> SceneObject:
    x, y, z = (inverse[:3, :3] @ body.position_m + inverse[:3, 3]).tolist()
    return SceneObject(
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
