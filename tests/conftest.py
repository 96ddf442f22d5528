"""Helpers beside this file, and the small stages of ``tests/stages/toy_stages.py``, can be imported from every test."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "stages"))
