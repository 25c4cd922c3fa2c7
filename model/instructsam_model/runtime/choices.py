"""Names of precisions, engines and quantizations, for options and command lines. No torch."""

from __future__ import annotations

DTYPE_NAMES = ('auto', 'float32', 'bfloat16', 'float16')
ENGINES = ('auto', 'eager', 'compiled')
UNQUANTIZED = 'none'
QUANTIZATIONS = (UNQUANTIZED, 'int8', 'fp8')
