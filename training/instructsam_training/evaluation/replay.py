"""Predictions of an agent from the transcripts of its runs: the same numbers again, without a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from instructsam_model.errors import ConfigError
from instructsam_model.masks import encode_rle
from instructsam_model.sam3_agent.core.actions import Finish
from instructsam_model.sam3_agent.loop import run_agent
from instructsam_model.sam3_agent.replay.replay_host import ReplayError, ReplayHost, recorded_settings
from instructsam_model.sam3_agent.replay.transcript import Transcript
from instructsam_model.sam3_agent.run_log import RunLog
from instructsam_model.sam3_agent.segmenter import AgentError
from instructsam_training.evaluation.agent_run import FailureWatch, all_of, from_finish
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.transcripts import FOLDER, TranscriptFolder


def replay_predictions(folder: Path, queries: Iterable[Query]) -> dict[str, PredictedMasks]:
    """Repeat the runs of an evaluation with the recorded replies and masks; images are not drawn.

    Args:
        folder: of the evaluation, or its folder of transcripts.
        queries: with the texts that the model got.

    Returns:
        The predictions by query; those without a transcript are left out.

    Raises:
        ConfigError: there are no transcripts, one is damaged or of another question, or the run does not end as it was
            recorded, as after a change of the code.
    """
    transcripts = find_transcripts(folder)
    predictions = {}
    for query in queries:
        transcript = transcripts.read(query.id)
        if transcript is not None:
            predictions[query.id] = replay_query(query, transcript, transcripts.file(query.id))
    return predictions


def find_transcripts(folder: Path) -> TranscriptFolder:
    """Return the transcripts of an evaluation.

    Raises:
        ConfigError: the folder has none.
    """
    root = folder.parent if folder.name == FOLDER else folder
    found = TranscriptFolder(root)
    if not any(found.folder.glob('*.jsonl')):
        raise ConfigError(
            f'{folder}: expected the folder of an evaluation of an agent, with {FOLDER}/*.jsonl, found none; '
            'evaluate with --backend sam3_agent first'
        )
    return found


def replay_query(query: Query, transcript: Transcript, file: Path) -> PredictedMasks:
    """Repeat the run of one query.

    Args:
        query: with the text that the model got.
        transcript: of its run.
        file: the transcript's, for messages.

    Raises:
        ConfigError: it is of another question, or ends otherwise than recorded.
    """
    if transcript['query'] != query.text:
        raise ConfigError(
            f'{file}: expected the run of {query.text!r}, got that of {transcript["query"]!r}; '
            'is it another data set, or another --prompt?'
        )
    # The images of the messages are not needed, so a black one stands for all of them.
    image_rgb = np.zeros((*query.size_hw, 3), np.uint8)
    log, failures = RunLog(None), FailureWatch()
    host = ReplayHost(transcript, image_rgb)
    try:
        finish = run_agent(
            image_rgb,
            query.text,
            host,
            recorded_settings(transcript),
            observe=all_of(log, failures),
            clock=host.clock,
        )
        host.check_complete()
    except (ReplayError, KeyError, ValueError) as error:
        raise ConfigError(f'{file}: cannot be repeated: {error}') from None
    _check_end(finish, transcript, file)
    if finish.ended == 'error' and failures.error:
        return PredictedMasks(query.id, error=' '.join(str(AgentError(finish)).split()))
    return from_finish(query.id, finish, log, float(transcript.get('peak_memory_gib', 0.0)))


def _check_end(finish: Finish, transcript: Transcript, file: Path) -> None:
    """Check that a repeated run ended as it was recorded.

    Raises:
        ConfigError: it did not.
    """
    result = transcript['result']
    recorded = result.get('exception') or result.get('ended')
    if recorded != (finish.exception or finish.ended):
        raise ConfigError(f'{file}: expected that the run ends with {recorded}, got {finish.exception or finish.ended}')
    if result['status'] == 'returned':
        masks = [encode_rle(mask)['counts'] for mask in finish.detections.masks]
        if masks != result['final_outputs']['pred_masks']:
            raise ConfigError(f'{file}: expected the masks of the recorded result, got others')
