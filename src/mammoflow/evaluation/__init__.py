"""Metrics, intervals, baselines and floors, tables and figures."""
