"""Install data sets: download, unpack and verify published ones, and add the user's own."""
