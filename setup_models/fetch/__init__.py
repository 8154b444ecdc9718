"""Files from elsewhere: downloads that resume, archives held to their digests, links, the hub."""
