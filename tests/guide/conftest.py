"""Lets the guide's tests use the same data and client as its training and evaluation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "packaging" / "guide"))
