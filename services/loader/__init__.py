"""The loader: validated parts in, the future curated data set out, under the run's staging folder."""
