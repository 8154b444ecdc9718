"""Where models come from: made offline from seeds, downloaded, unpacked from archives, or halved."""
