"""One data set, or one family of layouts, a file."""
