"""The texts of a report: warnings, the headline table, and which gain may be called robust."""
