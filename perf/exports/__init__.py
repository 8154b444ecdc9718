"""A finished run in the formats that CI systems, dashboards and spreadsheets read: records to text."""
