"""instructsam-demo: try images and instructions in the browser, with any checkpoint and without ROS."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from instructsam_model.backend_arguments import add_backend_arguments, backend_arguments
from instructsam_model.backends import load_segmenter
from instructsam_model.cli.segment_output import SegmentOutput, describe_image, write_json
from instructsam_model.command_line import ArgumentParser
from instructsam_model.datatypes import Frame, Instruction, Segmentation, Segmenter, Selection
from instructsam_model.draw import color_rgb, overlay
from instructsam_model.errors import CheckpointError, ConfigError, FrameError, InferenceError, RequestError
from instructsam_model.image_io import find_images, read_image
from instructsam_model.runtime.threads import prepare_threads

if TYPE_CHECKING:
    import gradio

Row = tuple[str, str, float, str, int]

HEADINGS = ['', 'label', 'score', 'box', 'pixels']
INSTRUCTIONS = [
    'the red box',
    'the two largest mugs',
    'everything that holds water',
    'the ball that is farthest to the left',
    'what would you take to cut bread?',
]
"""Examples on the page."""
DELETE_CACHE_S = (600, 3600)
"""Interval in which images and results of visitors are deleted, and their minimum age."""


class PageBackend:
    """Handles the requests of the page, one at a time, because a segmenter is not thread-safe.

    Args:
        segmenter: the model; it encodes an image once for consecutive instructions about it.
        checkpoint: its name, for the results.
        folder: for result files.
    """

    def __init__(self, segmenter: Segmenter, checkpoint: str, folder: Path) -> None:
        self._segmenter = segmenter
        self._checkpoint = checkpoint
        self._folder = folder
        self._lock = threading.Lock()
        self._frame = Frame(np.zeros((1, 1, 3), dtype=np.uint8))

    def segment(
        self, image: str | None, text: str, min_score: float, mask_threshold: float, max_instances: float
    ) -> tuple[NDArray[np.uint8], list[Row], str, str]:
        """Segment an image file.

        Returns:
            The overlay, uint8 (H, W, 3); a table row for each instance; a summary in words; and a result file as
            `instructsam-segment --json` writes it.

        Raises:
            ConfigError: a number is out of range.
            FrameError: there is no image, or it cannot be used.
            InferenceError: the model failed.
            RequestError: the instruction is empty or too long.
        """
        if image is None:
            raise FrameError('image: expected one, got none; upload an image or choose an example')
        path = Path(image)
        selection = Selection(min_score, mask_threshold, int(max_instances))
        image_rgb = read_image(path)
        # Gradio handles requests in several threads.
        with self._lock:
            started_s = time.perf_counter()
            segmentation = self._segmenter.segment(self._frame_of(image_rgb), Instruction(text), selection)
            duration_s = time.perf_counter() - started_s
        output = SegmentOutput(images=[describe_image(Path(path.name), [segmentation], [])])
        # The file stays, because the page offers it for download; `serve` deletes the folder at the end.
        with tempfile.NamedTemporaryFile(
            dir=self._folder, prefix=f'{path.stem}-', suffix='.json', delete=False
        ) as file:
            write_json(output, self._checkpoint, file.name)
        rows = describe_rows(segmentation)
        found = f'{len(rows)} found' if rows else 'nothing found'
        return overlay(image_rgb, segmentation), rows, f'{found} in {duration_s:.2f} s', file.name

    def _frame_of(self, image_rgb: NDArray[np.uint8]) -> Frame:
        """Return the frame of the last request if its image is the same, so that its encoding is reused."""
        # By content: with each request comes a path, and different paths may have the same image.
        if not np.array_equal(self._frame.image_rgb, image_rgb):
            self._frame = Frame(image_rgb)
        return self._frame


def describe_rows(segmentation: Segmentation) -> list[Row]:
    """Return a row of `HEADINGS` for each instance; the first column is its color in the overlay, as HTML."""
    rows = []
    for index, instance in enumerate(segmentation.instances):
        # U+25A0 is a filled square.
        swatch = f'<span style="color: rgb{color_rgb(index)}">\u25a0</span>'
        box = ' '.join(f'{side:.0f}' for side in instance.box_xyxy)
        rows.append((swatch, instance.label, round(instance.score, 2), box, int(instance.mask.sum())))
    return rows


def build_page(backend: PageBackend, title: str, examples: Sequence[Path]) -> gradio.Blocks:
    """Build the page.

    Args:
        backend: handles the requests.
        title: heading of the page.
        examples: images to choose from.
    """
    gr = load_gradio()

    def segment(*values: Any) -> tuple[Any, ...]:
        try:
            return backend.segment(*values)
        # The page shows the messages of these; Gradio only logs other errors, which are bugs.
        except (ConfigError, FrameError, InferenceError, RequestError) as error:
            raise gr.Error(str(error), title='Request failed') from error

    defaults = Selection()
    page: gradio.Blocks = gr.Blocks(title=title, analytics_enabled=False, delete_cache=DELETE_CACHE_S)
    with page:
        gr.Markdown(f'# {title}')
        with gr.Row():
            with gr.Column():
                # The original file, so that it is read as instructsam-segment reads it: upright, 8 bits per channel.
                image = gr.Image(label='image', type='filepath', image_mode=None, sources=['upload', 'clipboard'])
                text = gr.Textbox(label='instruction', placeholder=INSTRUCTIONS[0], submit_btn=False)
                button = gr.Button('Segment', variant='primary')
                with gr.Accordion('thresholds', open=False):
                    min_score = gr.Slider(0, 1, defaults.min_score, label='score above', step=0.05)
                    mask_threshold = gr.Slider(0, 1, defaults.mask_threshold, label='mask probability above', step=0.05)
                    max_instances = gr.Slider(1, 100, defaults.max_instances, label='maximum number', step=1)
                if examples:
                    gr.Examples([str(file) for file in examples], image, label='images')
                gr.Examples(INSTRUCTIONS, text, label='instructions')
            # Right column: the results, in the order that `PageBackend.segment` returns them.
            with gr.Column():
                drawn = gr.Image(label='result', format='png', interactive=False, buttons=['download', 'fullscreen'])
                summary = gr.Textbox(label='found', interactive=False)
                table = gr.Dataframe(headers=HEADINGS, datatype=['html', 'str', 'number', 'str', 'number'], wrap=True)
                file = gr.DownloadButton('JSON, masks as COCO RLE')
        inputs, outputs = [image, text, min_score, mask_threshold, max_instances], [drawn, table, summary, file]
        gr.on([button.click, text.submit], segment, inputs, outputs, api_name='segment')
    return page


def load_gradio() -> ModuleType:
    """Import Gradio.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module('gradio')
    except ImportError as error:
        raise ConfigError(
            f"Gradio cannot be imported ({error}); install it with pip install 'gradio>=6.31', "
            'the extra demo of this package'
        ) from error


def build_parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = ArgumentParser(prog='instructsam-demo', description='Serve a web page to try images and instructions.')
    parser.add_argument('--host', default='127.0.0.1', help='address; 0.0.0.0 for all networks (default: %(default)s)')
    parser.add_argument('--port', type=int, default=7860, help='port to listen on (default: %(default)s)')
    parser.add_argument('--examples', type=Path, metavar='FOLDER', help='folder of example images')
    add_backend_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until it is interrupted; returns 2 on errors."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(format='%(message)s')
    try:
        serve(arguments)
    except (CheckpointError, ConfigError, FrameError, OSError) as error:
        # On one line, because messages of libraries may contain line breaks.
        print(f'instructsam-demo: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    return 0


def serve(arguments: argparse.Namespace) -> None:
    """Load the model and serve the page until it is interrupted.

    Raises:
        CheckpointError, ConfigError, FrameError: as `load_segmenter`, `load_gradio` and `find_images`.
        OSError: the port is in use.
    """
    gr = load_gradio()
    examples = find_images(arguments.examples) if arguments.examples else []
    prepare_threads()
    # The model last, because loading takes much longer than finding out that Gradio or the images are missing.
    segmenter = load_segmenter(**backend_arguments(arguments))
    name = arguments.checkpoint
    # Fonts of the system: those of Gradio's themes are downloaded, and a robot may be offline.
    fonts = {'font': ['system-ui', 'sans-serif'], 'font_mono': ['ui-monospace', 'monospace']}
    with tempfile.TemporaryDirectory(prefix='instructsam-demo-') as folder:
        page = build_page(PageBackend(segmenter, name, Path(folder)), f'InstructSAM \u00b7 {Path(name).name}', examples)
        print(f'open http://{arguments.host}:{arguments.port}', flush=True)
        page.launch(
            server_name=arguments.host,
            server_port=arguments.port,
            theme=gr.themes.Default(**fonts),
            footer_links=[],
            quiet=True,
        )


if __name__ == '__main__':
    sys.exit(main())
