"""Runs for a dashboard: long tables under the predecessor's names, in a folder or a database."""
