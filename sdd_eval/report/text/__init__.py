"""The texts of a report: warnings, and the headline table for a terminal."""
