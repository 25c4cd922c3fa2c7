"""`Variant`: which parts of the method a network has. No torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """The method, or an ablation of it (paper section 5.3, Tables 5 to 7).

    Attributes:
        query_bank: the queries are learned; otherwise they are the embedding of the token `[SEG]`, repeated K times.
        hybrid_attention: the queries of a phrase attend to each other; otherwise each attends only to those before it.
        phrase_condition: SAM3 is conditioned on the phrase; otherwise on the same dummy token for every phrase.
        conditioned_queries: SAM3's decoder queries come from the language model; otherwise from SAM3's own embedding.
    """

    query_bank: bool = True
    hybrid_attention: bool = True
    phrase_condition: bool = True
    conditioned_queries: bool = True
