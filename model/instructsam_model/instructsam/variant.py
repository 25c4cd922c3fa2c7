"""`Variant`: which parts of the method a network has. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DUMMY_TOKEN = 0
"""Token that stands for every phrase of a network without phrases."""


@dataclass(frozen=True)
class Variant:
    """The method, or an ablation of it (paper Tables 5 and 7).

    The first two are ablations of the training (Table 5), the others of the inference of a trained network (Table 7).

    Attributes:
        query_bank: the queries are learned; otherwise they are the embedding of the token `[SEG]`, repeated K times.
        hybrid_attention: the queries of a phrase attend to each other; otherwise each attends only to those before it.
        phrase_condition: SAM3 is conditioned on the phrase; otherwise on token 0, for every phrase.
        conditioned_queries: SAM3's decoder queries come from the language model; otherwise from SAM3's own embedding.
    """

    query_bank: bool = True
    hybrid_attention: bool = True
    phrase_condition: bool = True
    conditioned_queries: bool = True


NO_ABLATION = 'none'
ABLATIONS: Mapping[str, Mapping[str, bool]] = {
    NO_ABLATION: {},
    'no_phrase': {'phrase_condition': False},
    'no_queries': {'conditioned_queries': False},
}
"""Ablations of the inference of a trained network, by name: the parts that are switched off."""
