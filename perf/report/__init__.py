"""Views of finished records for people, none of which measures anything."""
