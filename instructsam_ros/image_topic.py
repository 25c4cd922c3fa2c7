"""`ImageTopic`: the topic of an image in one transport of image_transport, and why nothing arrives on it."""

from __future__ import annotations

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

_SUFFIXES = {'raw': '', 'compressed': '/compressed', 'compressedDepth': '/compressedDepth'}
_UNREADABLE = ('theora', 'ffmpeg', 'h264', 'h265', 'x264', 'avif', 'draco')
"""Transports with messages of other types."""


class ImageTopic:
    """The topic of an image in one transport: `<image>` for raw, else `<image>/<transport>`.

    As in image_transport, a remapping of `<image>` holds for all transports; one of `<image>/<transport>` goes first.

    Args:
        node: resolves names.
        name: of the image, such as `left/image`.
        transport: one of `transports`.
        parameter: the parameter that selects the transport.
        transports: those that the parameter allows.

    Attributes:
        message_type: of the topic.
        topic: full name.
    """

    def __init__(self, node: Node, name: str, transport: str, parameter: str, transports: tuple[str, ...]) -> None:
        self._node = node
        self._name = name
        self._parameter = parameter
        self._transports = transports
        suffix = _SUFFIXES[transport]
        self._base = str(node.resolve_topic_name(name))
        full_name = str(node.resolve_topic_name(name + suffix))
        is_remapped = full_name != node.resolve_topic_name(name + suffix, only_expand=True)
        self.topic = full_name if is_remapped else self._base + suffix
        self.message_type: type[Image] | type[CompressedImage] = Image if transport == 'raw' else CompressedImage

    def explain_silence(self) -> str:
        """Return that the topic has no publisher of the type, and what to do; empty if it has one."""
        types = self._types_on(self.topic)
        expected = _type_name(self.message_type)
        if expected in types:
            return ''
        if types:
            return f"'{self.topic}' has messages of type {types[0]}, not {expected}{self._advice()}"
        return f"no publisher on '{self.topic}'{self._advice()}"

    def _advice(self) -> str:
        for transport in self._transports:
            topic = self._base + _SUFFIXES[transport]
            expected = _type_name(Image if transport == 'raw' else CompressedImage)
            if topic != self.topic and expected in self._types_on(topic):
                return f", but there is one on '{topic}'; set {self._parameter} to {transport}"
        image, _, transport = self._base.rpartition('/')
        if transport in self._transports and self._types_on(self._base):
            return f"; remap '{self._name}' to '{image}' and set {self._parameter} to {transport}"
        if self._types_on(f'{self._base}/zstd'):
            return (
                f", but there is one on '{self._base}/zstd'; set {self._parameter} to compressed and remap "
                f"'{self._name}/compressed' to that topic"
            )
        for transport in _UNREADABLE:
            if self._types_on(f'{self._base}/{transport}'):
                return (
                    f", but there is one on '{self._base}/{transport}', a transport that this node cannot read; decode "
                    'it with ros2 run image_transport republish'
                )
        return f"; check the remapping of '{self._name}'"

    def _types_on(self, topic: str) -> list[str]:
        """Return the types that publishers send on a topic."""
        return sorted({info.topic_type for info in self._node.get_publishers_info_by_topic(topic)})


def _type_name(message_type: type[Image] | type[CompressedImage]) -> str:
    return f'sensor_msgs/msg/{message_type.__name__}'
