"""Install data sets: download, unpack, verify, add the user's own."""
