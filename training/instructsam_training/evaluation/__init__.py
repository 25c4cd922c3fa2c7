"""Scoring of a segmenter, or of anybody's predictions, on the benchmarks of the paper.

    questions ▶ Segmenter.segment ▶ answers.jsonl ▶ judged ▶ report

A benchmark reads its questions; answers are streamed to disk, one line each; the report is made of the questions and
the answers on disk alone, so that it does not matter in how many runs, or by how many processes, they were answered.
"""
