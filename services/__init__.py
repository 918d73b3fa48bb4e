"""The five services of the pipeline, one package each, none of which imports another."""
