"""`Renderer`: draws the views that the agent asks for."""

from __future__ import annotations

from instructsam_model.draw import ImageArray
from instructsam_model.sam3_agent.core.actions import Rendered, RenderFailed
from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.messages import View
from instructsam_model.sam3_agent.drawing.colors import ChooseColors, RandomColors, distinct_colors
from instructsam_model.sam3_agent.drawing.marks import draw_marks
from instructsam_model.sam3_agent.drawing.zoom import zoom_view
from instructsam_model.sam3_agent.drawing.zoom_pair import draw_zoom_pair


class Renderer:
    """Draws views of the masks of one run.

    Args:
        choose_colors: gives the colors of all masks of an image; a mask that is shown alone has the color of its zoom
            pair.
    """

    def __init__(self, choose_colors: ChooseColors = distinct_colors) -> None:
        self._choose_colors = choose_colors

    @classmethod
    def strict(cls, seed: int = 0) -> Renderer:
        """Return a renderer that draws colors at random, as the public agent does with a seed of NumPy."""
        return cls(RandomColors(seed))

    def render(self, image_rgb: ImageArray, view: View) -> Rendered | RenderFailed:
        """Draw a view.

        Args:
            image_rgb: uint8 (H, W, 3), the image of the run.
            view: what to show.

        Returns:
            For `masks` one image uint8 (H, W, 3); for `mask` that and the zoom pair, uint8 (h, w, 3). RenderFailed if a
            mask is empty, which has no place for a number.
        """
        try:
            return Rendered(self._images(image_rgb, view))
        except ValueError as error:
            return RenderFailed(type(error).__name__, str(error))

    def _images(self, image_rgb: ImageArray, view: View) -> tuple[ImageArray, ...]:
        detections = view.detections or Detections((image_rgb.shape[0], image_rgb.shape[1]))
        if view.kind == 'image':
            return (image_rgb,)
        if view.index is None:
            colors = self._choose_colors(image_rgb, len(detections))
            return (draw_marks(image_rgb, detections.masks, colors),)
        mask = detections.masks[view.index]
        zoom = zoom_view(image_rgb, mask)
        pair = draw_zoom_pair(image_rgb, mask, zoom)
        return (pair,) if view.kind == 'zoom' else (draw_marks(image_rgb, [mask], [zoom.color]), pair)
