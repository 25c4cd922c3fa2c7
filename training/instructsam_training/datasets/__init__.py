"""Readers of data sets, one file each: raw releases and the published format become `Sample`s.

A reader opens an image only when nothing else gives its size. A record that cannot be read is added to the `SkipReport`
with file, index and reason, and is skipped; a release that cannot be used at all raises `ConfigError`.
`registry.SOURCES` lists them all.
"""
