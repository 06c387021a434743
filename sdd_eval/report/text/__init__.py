"""Sentences of a report: findings, warnings, what an audit allows to be said."""
