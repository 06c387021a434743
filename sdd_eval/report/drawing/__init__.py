"""The figures of a report: drawn, cached, and converted to inline SVG."""
