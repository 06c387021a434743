"""The tables of a report: results, means over seeds, headline, comparisons; CSV."""
