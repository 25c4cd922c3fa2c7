"""Faults put into SAM3-Agent on purpose, one at a time: the replay of recorded runs must notice each of them.

`python -m tests.support.agent_faults [FOLDER]` prints which runs and tables notice which fault.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tests.support import GOLDEN, ROOT

PACKAGE = 'instructsam_model.sam3_agent'
FOLDER = ROOT / 'model' / 'instructsam_model' / 'sam3_agent'


@dataclass(frozen=True)
class CodeFault:
    """An edit of one module.

    Attributes:
        name: what is wrong then.
        module: its name, without those of the folders.
        old, new: text that occurs once in the module, and what it becomes.
        witness: a run, or a table `pure/<name>`, that notices it.
    """

    name: str
    module: str
    old: str
    new: str
    witness: str


FAULTS = (
    CodeFault('three braces stay three', 'parse', ".replace('}}}', '}}')", '', '17_triple_braces_and_two_calls'),
    CodeFault('the last closing tag ends the reply', 'parse', 'reply.split(CLOSE)[0] + CLOSE',
              'reply.rpartition(CLOSE)[0] + CLOSE', '17_triple_braces_and_two_calls'),
    CodeFault('the first opening tag counts', 'parse', 'split(OPEN)[-1]', 'partition(OPEN)[2]', 'pure/parse'),
    CodeFault('further parameters are accepted', 'parse', 'if list(parameters) != [key]:', 'if key not in parameters:',
              '23_extra_parameter'),
    CodeFault('any tool may be the first', 'parse', 'if not has_masks and name not in (SEGMENT, REPORT):', 'if False:',
              '21_select_first'),
    CodeFault('a call without a name is a value error', 'parse', "'the call has no name', 'KeyError'",
              "'the call has no name', 'ValueError'", '50_no_name'),
    CodeFault('phrases are compared without case', 'rounds', 'return phrase in state.used',
              'return phrase.lower() in [used.lower() for used in state.used]', '04_repeated_phrase'),
    CodeFault('a refused phrase drops the masks', 'rounds', 'if _is_used(state, phrase):',
              'if _is_used(state, phrase):\n        state = replace(state, latest=Detections(state.size_hw))',
              '32_select_after_refusal'),
    CodeFault('the limit of the overlap is double', 'postprocess', 'np.float32(0.3)', 'np.float64(0.3)',
              'pure/overlap'),
    CodeFault('overlap as intersection over union', 'postprocess',
              'np.minimum(areas[:, None], areas[None])', '(areas[:, None] + areas[None] - intersections)',
              'pure/overlap'),
    CodeFault('the larger mask wins', 'postprocess', 'for index in np.argsort(-scores',
              'for index in np.argsort(-np.diagonal(iom)', 'pure/overlap'),
    CodeFault('masks are not sorted', 'postprocess', "np.argsort(-left.scores, kind='stable').tolist()",
              'list(range(len(left)))', '03_overlap_removed_and_sorted'),
    CodeFault('the sort is not stable', 'postprocess', "np.argsort(-left.scores, kind='stable').tolist()",
              "np.argsort(left.scores, kind='stable')[::-1].tolist()", 'pure/overlap'),
    CodeFault('empty masks are found by area', 'postprocess', "len(encode_rle(mask)['counts']) >= MIN_COUNTS_CHARS",
              'bool(mask.any())', '39_empty_mask_large'),
    CodeFault('encodings of four characters stay', 'postprocess', 'MIN_COUNTS_CHARS = 5', 'MIN_COUNTS_CHARS = 4',
              '38_empty_mask_small'),
    CodeFault('boxes in double precision', 'detections', 'fractions[:, 2:] -= fractions[:, :2]',
              'fractions[:, 2:] = np.diff(np.asarray(boxes_xyxy, float).reshape(-1, 2, 2), axis=1)[:, 0] / sides[:2]',
              '01_one_mask'),
    CodeFault('true selects no mask', 'mask_numbers', 'for number in numbers if number in',
              'for number in numbers if number is not True and number in', '46_select_bool'),
    CodeFault('numbers count from 0', 'rounds', '[number - 1 for number in numbers]',
              '[number % len(state.latest) for number in numbers]', '02_subset_and_bad_indices'),
    CodeFault('a single number is a list', 'mask_numbers', 'chosen = sorted({number for number in numbers',
              'numbers = [numbers] if isinstance(numbers, int) else numbers\n'
              '        chosen = sorted({number for number in numbers', '47_select_int'),
    CodeFault('verdicts in any case', 'verdict', "'Accept' in text, 'Reject' in text",
              "'accept' in text.lower(), 'reject' in text.lower()", '27_verdict_unknown'),
    CodeFault('the first of two verdicts counts', 'verdict', 'if accepts and rejects:', 'if False:',
              '28_verdict_both'),
    CodeFault('rejected masks stay', 'checks', 'if is_accepted else waiting.kept', 'if True else waiting.kept',
              '09_examine_none_then_select'),
    CodeFault('the image stays while masks are examined', 'checks',
              '(*state.messages[:index], withdrawn, *state.messages[index + 1 :])', 'state.messages',
              '10_examine_twice'),
    CodeFault('masks can be examined without an image', 'checks', 'if len(parts) < 2:',
              'if len(parts) < 2:\n            return len(state.messages) - 1\n        if False:',
              '30_examine_after_zero'),
    CodeFault('the conversation starts at the first phrase', 'prune', 'messages[starts[-1] :]', 'messages[starts[0] :]',
              '06_many_phrases'),
    CodeFault('a call without tag is kept', 'prune', "and OPEN in message.text and SEGMENT in", 'and SEGMENT in',
              '16_bare_json'),
    CodeFault('ten messages are allowed', 'prune', 'MAX_MESSAGES_STRICT = 9', 'MAX_MESSAGES_STRICT = 10',
              '11_examine_three_times'),
    CodeFault('the warning names the last phrase too', 'prune', 'sorted(set(used) - {phrase})', 'sorted(used)',
              '04_repeated_phrase'),
    CodeFault('replies are not closed again', 'conversation', "f'{cut_reply(message.text)}\\n\\n'",
              'cut_reply(message.text)', '01_one_mask'),
    CodeFault('one call more than allowed', 'asking', 'limits.main_calls) <= state.spent.main_calls',
              'limits.main_calls) < state.spent.main_calls', '33_generation_limit'),
    CodeFault('failures of SAM3 find nothing', 'rounds', 'if event.stale is None:',
              'if event.stale is None:\n        return _show(state, AskedMasks("segmented", Detections(state.size_hw), '
              'phrase), ImagePart(View("masks"), None))\n    if False:', '36_sam3_fails'),
    CodeFault('a drawing that fails ends the run', 'rounds', "if strict and waiting.kind == 'segmented':", 'if False:',
              '43_exif'),
    CodeFault('reported results have no image', 'rounds', 'detections=nothing, image_rgb=state.image_rgb',
              'detections=nothing', '12_report_first'),
)  # fmt: skip


class _Loader(SourceFileLoader):
    """Loads a module with an edit."""

    def __init__(self, name: str, path: str, fault: CodeFault) -> None:
        super().__init__(name, path)
        self._fault = fault

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text()
        if source.count(self._fault.old) != 1:
            raise AssertionError(f'{self._fault.name}: {self._fault.old!r} is not once in {self.path}')
        return compile(source.replace(self._fault.old, self._fault.new), self.path, 'exec')


class _Finder:
    """Finds the module with the edit."""

    def __init__(self, fault: CodeFault) -> None:
        self._fault = fault

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith(PACKAGE) or name.rpartition('.')[2] != self._fault.module:
            return None
        [file] = map(str, FOLDER.rglob(f'{self._fault.module}.py'))
        return importlib.util.spec_from_file_location(name, file, loader=_Loader(name, file, self._fault))


@contextmanager
def faulty_modules(fault: CodeFault, *names: str) -> Iterator[list[ModuleType]]:
    """Import modules of the package anew, with a fault in one of them; afterwards the right ones are back."""
    saved = {name: module for name, module in sys.modules.items() if name.startswith(PACKAGE)}
    parent, own = importlib.import_module(PACKAGE.rpartition('.')[0]), importlib.import_module(PACKAGE)
    finder: Any = _Finder(fault)
    for name in saved:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield [importlib.import_module(f'{PACKAGE}.{name}') for name in names]
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
            del sys.modules[name]
        sys.modules.update(saved)
        parent.sam3_agent = own  # type: ignore[attr-defined]


def notices(fault: CodeFault, witness: str, folder: Path) -> bool:
    """Return whether the replay of a run, or the check of a table, differs with a fault in the code."""
    modules = ('replay.transcript', 'replay.replay_run', 'replay.tables')
    with faulty_modules(fault, *modules) as (transcript, replay_run, tables):
        if witness.startswith('pure/'):
            return bool(tables.check_table(folder / f'{witness}.json', folder / 'inputs').differences)
        [run] = transcript.read_transcripts(folder / 'transcripts' / f'{witness}.json')
        return bool(replay_run.replay_run(run, folder / 'inputs').differences)


def main(arguments: Sequence[str]) -> int:
    """Print which runs and tables notice which fault; 1 if a fault is not noticed."""
    folder = Path(arguments[0]) if arguments else GOLDEN / 'agent'
    runs = [file.stem for file in sorted((folder / 'transcripts').glob('*.json')) if file.stem != 'index']
    witnesses = [*runs, *(f'pure/{file.stem}' for file in sorted((folder / 'pure').glob('*.json')))]
    caught = 0
    for fault in FAULTS:
        found = [witness for witness in witnesses if notices(fault, witness, folder)]
        caught += bool(found)
        print(f'{len(found):3} of {len(witnesses)}  {fault.name} ({fault.module}): {", ".join(found[:3])}')
    print(json.dumps({'faults': len(FAULTS), 'caught': caught}))
    return 0 if caught == len(FAULTS) else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
