"""Networks against each other on the same images: what differs, by how much, and is it chance?"""
