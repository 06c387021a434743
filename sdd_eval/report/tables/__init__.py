"""Tables of a report: results, summary over seeds, headline, LaTeX and CSV."""
