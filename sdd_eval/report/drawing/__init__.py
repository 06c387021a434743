"""Figures of a report: drawn, cached, and inlined as SVG."""
