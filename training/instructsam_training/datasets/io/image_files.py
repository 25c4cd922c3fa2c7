"""Finds the image files that an annotation file names; tools write names relative to folders that users do not have."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from instructsam_model.errors import ConfigError
from instructsam_model.image_io import SUFFIXES


class ImageFolder:
    """The images of a user's data set.

    Args:
        folder: holds the images, in any sub-folders.

    Raises:
        ConfigError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(f'{folder}: expected the folder of the images, found no such folder')
        self.folder = folder

    def find_all(self, names: Iterable[str]) -> dict[str, Path | ValueError]:
        """Return the file of each name, or why there is none; two names never share a file."""
        found: dict[str, Path | ValueError] = {}
        # Names that lead to each file, to find names that share one.
        by_file: dict[Path, list[str]] = {}
        for name in dict.fromkeys(names):
            try:
                found[name] = file = self._find(name)
            except ValueError as error:
                found[name] = error
            else:
                by_file.setdefault(file.absolute(), []).append(name)
        for file, sharing in by_file.items():
            # A name that is right as it stands keeps its file: `a/1.jpg`, if `b/1.jpg` leads there as well.
            for name in sharing if len(sharing) > 1 else ():
                if not (self.folder / name).is_file():
                    other = ', '.join(repr(each) for each in sharing if each != name)
                    found[name] = ValueError(
                        f'image {name!r}: expected a file of its own, {file} is that of {other} too'
                    )
        return found

    def _find(self, name: str) -> Path:
        """Return the file of a name: as it is, with slashes for backslashes, URL-decoded, or with fewer folders.

        Raises:
            ValueError: there is no such file, or several.
        """
        spellings = [Path(spelling) for spelling in _spellings(name)]
        for spelling in spellings:
            if (self.folder / spelling).is_file():
                return self.folder / spelling
        # `export/images/1.jpg` may be `images/1.jpg` or `1.jpg` below the folder.
        tails = {spelling.parts[-length:] for spelling in spellings for length in range(1, len(spelling.parts) + 1)}
        # The longest tail decides.
        for tail in sorted(tails, key=lambda tail: (-len(tail), tail)):
            files = self._with_tail(tail)
            if len(files) == 1 and self._is_sure(files[0], tail, spellings[0]):
                return files[0]
            if files:
                places = ', '.join(str(path) for path in files[:3])
                raise ValueError(f'image {name!r}: expected it in {self.folder}, found {places}; is one of them meant?')
        raise ValueError(f'image {name!r}: expected it in {self.folder} or a folder in it, found no such file')

    def _with_tail(self, tail: tuple[str, ...]) -> list[Path]:
        """Files whose last folders and name are `tail`, in its own spelling if there are such files."""
        # Compared without case first; files in the exact spelling are preferred.
        folded = tuple(map(_fold, tail))
        known = self._by_name.get(folded[-1], ())
        files = [path for path in known if tuple(map(_fold, path.parts[-len(tail) :])) == folded]
        return [path for path in files if path.parts[-len(tail) :] == tail] or files

    def _is_sure(self, file: Path, tail: tuple[str, ...], name: Path) -> bool:
        # `b/1.jpg` is not `<folder>/a/1.jpg`, but it may be `<folder>/1.jpg`, and `1.jpg` may be in any folder.
        return len(tail) > 1 or len(name.parts) == 1 or file.parent == self.folder

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """All files by their folded name without folders; listed once, and only if a name is not found directly."""
        files: dict[str, list[Path]] = {}
        for path in sorted(self.folder.rglob('*')):
            if path.is_file():
                files.setdefault(_fold(path.name), []).append(path)
        return files


def list_images(folder: Path) -> list[Path]:
    """Return the files with the suffix of an image in a folder and its sub-folders, sorted; none if it is no folder."""
    return [path for path in sorted(folder.rglob('*')) if path.suffix.lower() in SUFFIXES]


def _fold(name: str) -> str:
    """A name without its case and its form of accents: `IMG_1.JPG` may be `img_1.jpg`, and macOS splits accents."""
    return unicodedata.normalize('NFC', name).casefold()


def _spellings(name: str) -> Iterator[str]:
    """Forms of a name, the given one first."""
    posix = name.replace('\\', '/')
    yield from dict.fromkeys((name, posix, unquote(posix), unquote(posix.partition('?')[0])))
