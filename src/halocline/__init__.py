"""Halocline: open-boundary multiscale simulation, from quantum labels to a verdict with error bars."""

from importlib.metadata import version

__version__ = version("halocline")
