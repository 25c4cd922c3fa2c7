"""Exports of annotation tools, read as the tools write them, into the content of one COCO file."""
