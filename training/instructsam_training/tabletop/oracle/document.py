"""The document about the table: what was compared, how, and what the numbers do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instructsam_training.evaluation.report.grid import Grid, as_markdown
from instructsam_training.tabletop.oracle.oracle import MATCH_IOU, SMALL_SHARE

TITLE = '# SAM3-Agent on the simulated tabletop'
ABOUT = f"""\
`make tabletop-agent` writes this page. It compares SAM3-Agent ([agent.md](agent.md)) with a model that answers in one
pass, on the first questions of the test split of the simulated tabletop ([tabletop.md](tabletop.md)).

There is no vision-language model of a useful size on the computers that run the tests, so an oracle takes its place
(`training/instructsam_training/tabletop/oracle`). It gets the messages that a model would get, and its replies go the
same way: prompts, tool calls, SAM3, drawing, pruning and limits are those of the back end `sam3_agent`. It reads the
question and the masks of a message as data, not the drawn numbers, and knows the ground truth:

1. It looks for the name of the candidates, 'mugs' for "the tallest of the mugs", and for more general names down to
   'things' until each target has a mask with an IoU of at least {MATCH_IOU:g}. One phrase must find all targets,
   because the masks of a phrase replace those of the one before.
2. It examines the masks if one that it wants covers less than {100 * SMALL_SHARE:g} % of the image, and there are
   others.
3. It selects the masks that show a target, or reports that there is none.

At an error rate of 10 %, each reply has a mistake with this probability, one of those that are possible for it, with
the same probability for each: no valid call (cut off, without JSON, with a wrong key, another tool), a report that
there is no target, another phrase, another mask; a verdict about a mask is the opposite, or none. After a mistake the
oracle goes on as well as it can. Mistakes depend on the seed, the question and the number of the call only."""
LIMITS = """\
## What the numbers do not say

* How well a real model would do: it errs in other ways, and more often on hard questions. Errors of 0 % are an upper
  bound for a model that looks for phrases like the oracle: what is missing to 100 are masks that SAM3 does not find, or
  finds coarsely.
* How long a run takes: the oracle takes no time. A real model takes most of it, see the published latencies.
* How many tokens a real model takes: they are estimates, four characters or a square of 32 pixels for a token.
* A run that died is no answer. It counts as right if a question has no target, so the table has both numbers; rows
  `strict` behave as the public code, in which a reply that is no valid call ends the run."""


def make_document(rows: Sequence[Mapping[str, Any]], grid: Grid, machine: str, command: str) -> str:
    """Return the document as Markdown.

    Args:
        rows: from `table.read_row`.
        grid: from `table.make_grid`.
        machine: description of the computer; may be empty.
        command: that made the numbers.
    """
    ends = sorted({how for row in rows for how in row['ended'] or ()})
    ended = [(row['model'], *(str(row['ended'].get(how, 0)) for how in ends)) for row in rows if row['ended']]
    parts = [
        TITLE,
        ABOUT,
        '## Accuracy and effort',
        as_markdown(grid),
        *([f'Measured on {machine}.'] if machine else []),
        '## How the runs ended',
        as_markdown(Grid(('runs', *ends), tuple(ended))),
        LIMITS,
        '## Again',
        f'    {command}',
        'Each row has a folder in the output folder with its predictions, its report and the transcripts of its runs. '
        '`instructsam-eval tabletop --data DIR --replay FOLDER` gives the same numbers from the transcripts alone.',
    ]
    return '\n\n'.join(parts) + '\n'
