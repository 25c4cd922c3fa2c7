"""`MujocoScene`: a scene as MuJoCo's list of geoms, and the model that holds all meshes and textures.

The model is compiled once; MuJoCo draws a list of geoms (`mjvScene`), and only this list changes between scenes.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS, MATERIALS, rgb_of
from instructsam_training.tabletop.scene.ground_truth import BACKGROUND
from instructsam_training.tabletop.scene.scene import (
    Body,
    Light,
    Matrix,
    OrbitCamera,
    Rgb,
    Room,
    Scene,
    SurfaceAppearance,
    Vector,
)
from instructsam_training.tabletop.scene.shapes import MeshPart, mesh_parts
from instructsam_training.tabletop.scene.textures import SIDE, texture

SURFACES = {'table': (2, 2), 'floor': (4, 4), 'wall': (6, 3)}
"""Surfaces whose textures change with the scene, and how often the texture repeats along each side."""
PATTERNS = tuple(material.pattern for material in MATERIALS.values() if material.pattern)
SHADOW_MAP_PX = 1024
SHADOW_RADIUS_M = 0.8
"""Radius around the middle of the table in which shadows are drawn."""
MSAA_SAMPLES = 4
NEAR_M, FAR_M = 0.05, 12.0
MAX_GEOMS = 256
"""Capacity of the list; an object has at most five geoms, table and room have seven."""


@dataclass(frozen=True)
class GeomAppearance:
    """Color and reflection of a geom; `material` is the index of the material with its texture, -1 without."""

    rgb: Rgb
    specular: float = 0.0
    shininess: float = 0.0
    material: int = -1


def build_model(size_wh: tuple[int, int]) -> mujoco.MjModel:
    """Compile a model with all meshes and textures; it is never simulated."""
    spec = mujoco.MjSpec()
    # The framebuffer has the size of the images; larger windows are rendered with coarser pixels.
    quality, screen = spec.visual.quality, spec.visual.global_
    quality.shadowsize, quality.offsamples = SHADOW_MAP_PX, MSAA_SAMPLES
    screen.offwidth, screen.offheight = size_wh
    spec.visual.map.shadowclip = SHADOW_RADIUS_M
    spec.stat.extent, spec.stat.center = 1.0, np.zeros(3)
    for name in (*SURFACES, *PATTERNS):
        _add_texture(spec, name)
    for category in CATALOG:
        for index, part in enumerate(mesh_parts(category)):
            _add_mesh(spec, _mesh_name(category, index), part)
    return spec.compile()


def _add_texture(spec: mujoco.MjSpec, name: str) -> None:
    pixels = texture(name if name in PATTERNS else 'plain', seed=0)
    # Boxes get 2D textures, meshes without texture coordinates the six equal faces of a cube map.
    flat = name in SURFACES
    kind = mujoco.mjtTexture.mjTEXTURE_2D if flat else mujoco.mjtTexture.mjTEXTURE_CUBE
    pixels = pixels if flat else np.tile(pixels, (6, 1, 1))
    added = spec.add_texture(name=name, type=kind, width=SIDE, height=len(pixels), nchannel=3)
    added.data = pixels.tobytes()
    material = spec.add_material(name=name)
    material.texrepeat = SURFACES.get(name, (1, 1))
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def _add_mesh(spec: mujoco.MjSpec, name: str, part: MeshPart) -> None:
    mesh = spec.add_mesh(name=name, inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
    mesh.uservert = part.mesh.vertices.ravel()
    mesh.userface = part.mesh.triangles.ravel()
    # The compiler rejects meshes that no geom uses.
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, contype=0, conaffinity=0)


def _mesh_name(category: str, index: int) -> str:
    return f'{category}_{index}'


class MujocoScene:
    """The list of geoms that MuJoCo draws."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self.drawn = mujoco.MjvScene(model, maxgeom=MAX_GEOMS)
        self._materials = {model.material(index).name: index for index in range(model.nmat)}
        self._meshes: dict[tuple[str, int], tuple[int, Matrix, Matrix]] = {}
        for category in CATALOG:
            for index in range(len(mesh_parts(category))):
                mesh = model.mesh(_mesh_name(category, index)).id
                rotation = np.empty(9)
                mujoco.mju_quat2Mat(rotation, model.mesh_quat[mesh])
                # The compiler moves the vertices into the frame of the mesh's inertia; keep the way back.
                self._meshes[category, index] = mesh, rotation.reshape(3, 3), model.mesh_pos[mesh].copy()

    def load(self, scene: Scene) -> None:
        """Replace the geoms and lights by those of a scene; the camera is set by `set_camera`."""
        self.drawn.ngeom = 0
        for body in scene.bodies:
            self.add_body(body)
        self._add_room(scene.room)
        for index, light in enumerate(scene.lights):
            _set_light(self.drawn.lights[index], index, light)
        self.drawn.nlight = len(scene.lights)

    def clear(self) -> None:
        """Remove all geoms."""
        self.drawn.ngeom = 0

    def add_body(self, body: Body) -> None:
        """Add the geoms of a body; their `segid` is its label."""
        # [3, 3]: scales the unit box of the mesh to the body's size, then rotates it into the table frame.
        stretched = body.rotation * body.size_m
        for index, part in enumerate(mesh_parts(body.category)):
            mesh, rotation, offset = self._meshes[body.category, index]
            geom = self._add(
                mujoco.mjtGeom.mjGEOM_MESH, stretched @ offset + body.position_m, self._appearance(body, part)
            )
            # MuJoCo passes this matrix to OpenGL unchanged, so it may scale as well as rotate.
            geom.mat = stretched @ rotation
            # MuJoCo numbers each mesh and its convex hull: the mesh has the even numbers.
            geom.dataid, geom.segid = 2 * mesh, body.label

    def set_camera(
        self, camera: OrbitCamera, size_wh: tuple[int, int], window: tuple[float, float, float, float]
    ) -> None:
        """Set the camera, restricted to a window x1, y1, x2, y2 of its image.

        Args:
            camera: the camera.
            size_wh: size of the whole image, pixels.
            window: in pixels from the upper left corner of the image; may extend beyond it.
        """
        width, height = size_wh
        pose = camera.pose
        # Width of a pixel on the near plane, meters: OpenGL's frustum is given there.
        pixel = NEAR_M / camera.intrinsics(size_wh)[0, 0]
        left, top, right, bottom = window
        for each in self.drawn.camera:
            each.pos, each.forward, each.up = pose[:3, 3], pose[:3, 2], -pose[:3, 1]
            each.frustum_near, each.frustum_far = NEAR_M, FAR_M
            each.frustum_center = ((left + right) / 2 - width / 2) * pixel
            each.frustum_width = (right - left) / 2 * pixel
            each.frustum_top, each.frustum_bottom = (height / 2 - top) * pixel, (height / 2 - bottom) * pixel

    def _appearance(self, body: Body, part: MeshPart) -> GeomAppearance:
        material = MATERIALS[part.material or body.material]
        rgb = rgb_of(COLORS[part.tint].hsv) if part.tint else body.rgb
        texture_of = self._materials[material.pattern] if material.pattern else -1
        return GeomAppearance(rgb, material.specular, material.shininess, texture_of)

    def _add_room(self, room: Room) -> None:
        length, depth, thick = room.table_m
        floor, side = -room.table_height_m, room.walls_m
        self._add_slab((length / 2, depth / 2, thick / 2), (0, 0, -thick / 2), 'table', room.table)
        # A frame below the tabletop shades the floor; without it, shadows of the objects would appear there.
        frame = self._add_slab((length / 2 - 0.02, depth / 2 - 0.02, 0.01), (0, 0, -thick - 0.01), 'table', room.table)
        frame.category = mujoco.mjtCatBit.mjCAT_DYNAMIC
        self._add_slab((side, side, 0.01), (0, 0, floor - 0.01), 'floor', room.floor)
        # Four walls of 3 m.
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            half = (0.01 if x else side, 0.01 if y else side, 1.5)
            self._add_slab(half, (x * side, y * side, floor + 1.5), 'wall', room.wall)

    def _add_slab(self, half_m: Vector, position_m: Vector, name: str, surface: SurfaceAppearance) -> mujoco.MjvGeom:
        appearance = GeomAppearance(surface.rgb, 0.1, 0.3, self._materials[name])
        geom = self._add(mujoco.mjtGeom.mjGEOM_BOX, np.array(position_m), appearance)
        # Geoms of the category decor cast no shadow; shadows of a slab on itself would be visible as dark specks.
        geom.size, geom.segid, geom.category = half_m, BACKGROUND, mujoco.mjtCatBit.mjCAT_DECOR
        return geom

    def _add(self, kind: mujoco.mjtGeom, position_m: Matrix, appearance: GeomAppearance) -> mujoco.MjvGeom:
        geom = self.drawn.geoms[self.drawn.ngeom]
        rgba = np.array([*appearance.rgb, 1.0], np.float32)
        mujoco.mjv_initGeom(geom, kind, np.ones(3), position_m, np.eye(3).ravel(), rgba)
        geom.category = mujoco.mjtCatBit.mjCAT_DYNAMIC
        geom.specular, geom.shininess = appearance.specular, appearance.shininess
        geom.matid = appearance.material
        self.drawn.ngeom += 1
        return geom


def _set_light(drawn: mujoco.MjvLight, index: int, light: Light) -> None:
    drawn.id, drawn.type = index, mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    # A light of its own, not attached to the camera.
    drawn.headlight, drawn.castshadow = 0, light.shadow
    direction = np.asarray(light.direction) / np.linalg.norm(light.direction)
    # The shadow map is rendered from this position.
    drawn.pos, drawn.dir = -2.0 * direction, direction
    drawn.ambient, drawn.diffuse, drawn.specular = light.ambient, light.diffuse, light.specular
    drawn.attenuation, drawn.cutoff, drawn.exponent, drawn.bulbradius = (1, 0, 0), 60, 1, 0.02
