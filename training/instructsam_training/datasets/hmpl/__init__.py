"""Making of instructions at three levels, as of HMPL-Instruct: records, questions to a checker, review by people.

The order of a candidate is that of the data engine of SAM3-I (arXiv 2512.04585): a writer proposes texts, a checker
answers questions about them, what fails goes back to the writer at most ten times and then to people. Nothing here
calls a model.
"""
