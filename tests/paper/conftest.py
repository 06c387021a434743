"""The tests of this folder import its module of made-up studies by its name."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
