"""Making of instructions at three levels, as of HMPL-Instruct: candidates, questions to a checker, review by people."""
