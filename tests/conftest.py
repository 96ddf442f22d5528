"""Helpers beside this file (``synthetic_records``) can be imported from every test."""
