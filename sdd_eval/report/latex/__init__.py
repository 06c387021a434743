"""LaTeX tables that fit the columns of a paper, and its numbers as commands."""
