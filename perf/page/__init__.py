"""Results as one self-contained HTML file: it asks the network for nothing, and is read without a script."""
