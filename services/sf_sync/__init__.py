"""Reverse ETL into Salesforce: sends what changed of a week's signals and accounts for every row."""
