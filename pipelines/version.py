"""The version of the library."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
