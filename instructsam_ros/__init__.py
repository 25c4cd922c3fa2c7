"""The ROS 2 shell around `instructsam_model`: messages in, messages out."""

from pkgutil import extend_path

# The generated modules (instructsam_ros.msg, .srv) live in the install space, not beside this file.
__path__ = extend_path(__path__, __name__)
