"""Lays the valid parts of a week out as the curated data set, in the run's staging folder."""
