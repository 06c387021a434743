"""LaTeX tables that fit the columns of a paper, and numbers as LaTeX commands."""
