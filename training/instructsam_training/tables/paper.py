"""The tables of arXiv 2605.26102 that report results, with the numbers of them that are known here.

Where a number is missing, no source at hand states it. docs/paper.md says where each number is from.
"""

from __future__ import annotations

from collections.abc import Mapping

from instructsam_training.evaluation.published import ALL
from instructsam_training.tables.table import FULL, LATENCY, Column, Number, Row, Table

# Names of the benchmarks, as on the command line of instructsam-eval.
INST2SEG, REASONSEG, GREFCOCO, GSEVAL, ROBOREFIT = 'inst2seg', 'reasonseg', 'grefcoco', 'gseval', 'roborefit'
MAP, GIOU = 'mAP', 'gIoU'
INST2SEG_MAP = Column(MAP, (Number(INST2SEG, 'test', MAP),))
INST2SEG_GIOU = Column(GIOU, (Number(INST2SEG, 'test', GIOU),))
# 62.8 in Table 5 is the mean of mAP 57.3 and cIoU 68.3 on val.
GREFCOCO_MEAN = Column('gRefCOCO', (Number(GREFCOCO, 'val', MAP), Number(GREFCOCO, 'val', 'cIoU')))
# Numbers of ReasonSeg in Table 8 are means of its two splits.
REASONSEG_MEANS = tuple(
    Column(f'ReasonSeg {metric}', (Number(REASONSEG, 'val', metric), Number(REASONSEG, 'test', metric)))
    for metric in ('cIoU', GIOU)
)
FULL_MAP = 31.5
"""mAP of InstructSAM-2B on Inst2Seg."""
WHOLE_METHOD = Row(FULL, 'this evaluation')
IOUS = (GIOU, 'cIoU')
STRATA = {'': ALL, 'single': '1', 'multi': '>=2', 'none': '0'}
"""Names of strata in the paper, of those that have other names in the reports: numbers of targets."""


def _columns(
    benchmark: str, split: str, title: str, metrics: tuple[str, ...], *strata: str, keep_names: bool = False
) -> tuple[Column, ...]:
    """Return one column for each metric of each stratum; without strata, those of the whole split."""
    return tuple(
        Column(
            ' '.join(filter(None, (title, stratum, metric))),
            # Groups of queries, such as `short`, have the same name in the paper and in the reports.
            (Number(benchmark, split, metric, stratum if keep_names else STRATA[stratum]),),
        )
        for stratum in strata or ('',)
        for metric in metrics
    )


TABLES: Mapping[int, Table] = {
    table.number: table
    for table in (
        # Comparison with other methods.
        Table(
            2,
            'instructions: Inst2Seg and ReasonSeg',
            (
                *_columns(INST2SEG, 'test', 'Inst2Seg', (MAP, GIOU), '', 'single', 'multi'),
                *_columns(INST2SEG, 'test', 'Inst2Seg', (GIOU,), 'none'),
                *_columns(REASONSEG, 'val', 'ReasonSeg val', IOUS),
                *_columns(REASONSEG, 'test', 'ReasonSeg test', IOUS),
                *_columns(REASONSEG, 'test', 'ReasonSeg test', IOUS, 'short', 'long', keep_names=True),
            ),
            (WHOLE_METHOD,),
            compares_methods=True,
            note='the numbers of InstructSAM-2B on short and long queries of ReasonSeg are not known here',
        ),
        Table(
            3,
            'phrases: gRefCOCO and GSEval',
            (
                *_columns(GREFCOCO, 'val', 'gRefCOCO val', (MAP, 'cIoU')),
                *_columns(GREFCOCO, 'testA', 'gRefCOCO testA', (MAP, 'cIoU')),
                *_columns(GREFCOCO, 'testB', 'gRefCOCO testB', (MAP, 'cIoU')),
                *_columns(GSEVAL, 'test', 'GSEval', (GIOU,), 'stuff', 'part', 'multi', 'single', keep_names=True),
                *_columns(GSEVAL, 'test', 'GSEval', (GIOU,)),
            ),
            (WHOLE_METHOD,),
            compares_methods=True,
            note='it is not known here whether the numbers of gRefCOCO are in Table 3 or in another one',
        ),
        Table(
            4,
            'robots: RoboRefIt',
            (*_columns(ROBOREFIT, 'testA', 'testA', ('mIoU',)), *_columns(ROBOREFIT, 'testB', 'testB', ('mIoU',))),
            (WHOLE_METHOD,),
            compares_methods=True,
            note='the paper does not name the metric; the public evaluation computes the mean IoU of masks, of those '
            'with a score above 0.5. The training split is part of stage 1',
        ),
        # Ablations and speed: each row is a model, or a change of its inference.
        Table(
            5,
            'query bank and hybrid attention, each trained without',
            (INST2SEG_MAP, GREFCOCO_MEAN),
            (
                Row(FULL, 'full model', {MAP: FULL_MAP, 'gRefCOCO': 62.8}, 'full.yaml'),
                Row('no_query_bank', 'without query bank', {}, 'no_query_bank.yaml'),
                Row('no_hybrid_attention', 'without hybrid attention', {}, 'no_hybrid_attention.yaml'),
            ),
            note='gRefCOCO is the mean of mAP and cIoU of its val split',
        ),
        Table(
            6,
            'number of queries K, each trained',
            (INST2SEG_MAP, INST2SEG_GIOU),
            (
                Row(FULL, 'K = 10', {MAP: FULL_MAP, GIOU: 60.4, LATENCY: 1.1}, 'full.yaml'),
                Row('queries_50', 'K = 50', {LATENCY: 1.4}, 'queries_50.yaml'),
                Row('queries_200', 'K = 200', {LATENCY: 2.1}, 'queries_200.yaml'),
            ),
            has_speed=True,
        ),
        Table(
            7,
            'phrase and queries, each removed at inference from one trained checkpoint',
            (INST2SEG_MAP, INST2SEG_GIOU),
            (
                Row(FULL, 'full model', {MAP: FULL_MAP, GIOU: 60.4}),
                Row('no_phrase', 'token 0 instead of the phrase', {MAP: 29.1}, options={'ablation': 'no_phrase'}),
                Row('no_queries', "SAM3's own queries", {MAP: 16.7}, options={'ablation': 'no_queries'}),
            ),
            note='29.1 is 2.4 below 31.5. It is not known here what replaces the queries in the paper; without them, '
            "the decoder of the public code takes SAM3's own query embedding",
        ),
        Table(
            8,
            'Inst2Seg as training data: without it, and without the filters of the data engine',
            (INST2SEG_MAP, *REASONSEG_MEANS),
            (
                Row(
                    FULL,
                    'full model',
                    {MAP: FULL_MAP, 'ReasonSeg cIoU': 63.0, 'ReasonSeg gIoU': 61.8},
                    'full.yaml',
                ),
                Row('no_inst2seg', 'without Inst2Seg', {MAP: 25.9}, 'no_inst2seg.yaml'),
                Row('unfiltered_inst2seg', 'Inst2Seg without filtering', {MAP: 11.9}, 'unfiltered_inst2seg.yaml'),
            ),
            note='ReasonSeg is the mean of val and test. The table is headed 8, and called 9 in the text',
        ),
        Table(
            9,
            'stages of the training',
            (INST2SEG_MAP, INST2SEG_GIOU),
            (
                Row(FULL, 'both stages', {MAP: FULL_MAP, GIOU: 60.4}, 'full.yaml'),
                Row('no_stage1', 'stage 2 only', {MAP: 8.1}, 'no_stage1.yaml'),
            ),
        ),
        Table(
            10,
            'latency and memory, means over the queries',
            (INST2SEG_MAP, INST2SEG_GIOU),
            (
                Row(FULL, 'InstructSAM', {MAP: FULL_MAP, GIOU: 60.4, LATENCY: 1.1}),
                Row(
                    'agent',
                    'SAM3-Agent (Qwen3-VL-2B)',
                    {MAP: 29.7, GIOU: 58.8, LATENCY: 29.6},
                    backend='sam3_agent',
                ),
            ),
            has_speed=True,
            has_calls=True,
            note='the memory and the calls in the paper, its GPU and its images are not known here',
        ),
    )
}
