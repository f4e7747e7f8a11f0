"""Models of the catalogue, each built once: tests share what it has found out about itself."""

from functools import cache

from planner.model import load_model

shipped = cache(load_model)
