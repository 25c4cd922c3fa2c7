"""Evaluation of a segmenter, or of predictions from a file, on the benchmarks of the paper.

    Query ▶ Segmenter.segment ▶ PredictedMasks ▶ predictions-*.jsonl ▶ ScoredPredictions ▶ report

A benchmark reads its queries. Predictions are written to disk one line at a time. The report depends only on the
queries and the predictions on disk, so it is the same however many runs or processes produced them.
"""
