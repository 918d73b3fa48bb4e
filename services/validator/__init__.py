"""The validator: raw pages in, valid and rejected records out, part by part."""
