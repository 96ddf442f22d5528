"""Observables of whole records, and estimates within their errors."""

from halocline.config.study import Validation
from halocline.observables.base import Setting

COUNT = 100


def observe(kind, record, **options):
    observable = kind(Setting.of(record, Validation(), **options))
    for snapshot in record:
        observable.update(snapshot)
    observable.read(record)
    return observable


def within(estimate, expected, sigmas=4.0):
    return abs(estimate.value - expected) < sigmas * estimate.error
