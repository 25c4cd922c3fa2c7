"""The vocabulary of CLIP, which the recorded token ids are of; it is not part of a golden set.

It is read from a folder of tokenizer files, such as that of `facebook/sam3`, or from CLIP's own file of merges, which
the packages `clip-anytorch`, `open_clip_torch` and `sam3` bring along.
"""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

from transformers import CLIPTokenizer

from instructsam_model.sam3.checkpoint import read_tokenizer
from instructsam_model.sam3.phrase_tokens import PHRASE_TOKENS

MERGES_FILE = 'bpe_simple_vocab_16e6.txt.gz'
PACKAGES = {'clip': '', 'open_clip': '', 'sam3': 'assets'}
"""Packages that have the file: in which of their folders."""
SIZE = 49408
"""Entries of the vocabulary: bytes, bytes at the end of a word, merges, and the tokens of beginning and end."""
SPECIAL = ('<|startoftext|>', '<|endoftext|>')


def load_clip_tokenizer(place: Path | None = None) -> CLIPTokenizer | None:
    """Load the tokenizer from a folder, from CLIP's file of merges, or from an installed package.

    Args:
        place: the folder or the file; None to look for a package.

    Returns:
        None if no place is given and no package has the file.

    Raises:
        CheckpointError: the folder has no tokenizer.
        OSError, ValueError: the file cannot be read.
    """
    if place is not None and place.is_dir():
        return read_tokenizer(place)
    file = place or find_merges()
    return None if file is None else _from_merges(file)


def find_merges() -> Path | None:
    """Return CLIP's file of merges in an installed package, which is not imported; None if there is none."""
    for package, folder in PACKAGES.items():
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec is not None else ():
            file = Path(root, folder, MERGES_FILE)
            if file.is_file():
                return file
    return None


def _from_merges(file: Path) -> CLIPTokenizer:
    with gzip.open(file, 'rt', encoding='utf-8') as stream:
        lines = stream.read().split('\n')
    letters = _letters()
    # The first line is a comment; the file has more merges than the vocabulary.
    count = SIZE - 2 * len(letters) - len(SPECIAL)
    merges = [(first, second) for first, second in (line.split() for line in lines[1 : 1 + count])]
    if len(merges) < count:
        raise ValueError(f'{file}: expected {count} merges, found {len(merges)}')
    words = [*letters, *(f'{letter}</w>' for letter in letters), *(''.join(pair) for pair in merges), *SPECIAL]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=PHRASE_TOKENS)


def _letters() -> list[str]:
    """Return a printable character for each byte in the order of the vocabulary: printable ones first (GPT-2)."""
    printable = [*range(ord('!'), ord('~') + 1), *range(ord('¡'), ord('¬') + 1), *range(ord('®'), ord('ÿ') + 1)]
    others = len([byte for byte in range(256) if byte not in printable])
    return [*map(chr, printable), *(chr(256 + number) for number in range(others))]
