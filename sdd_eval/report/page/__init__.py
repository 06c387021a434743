"""The HTML pages of reports, rendered with jinja2."""
