"""High Bandwidth Flash with a real file behind it: pages, their checksums, and blocks that wear."""
